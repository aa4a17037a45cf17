from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import datasets
import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import errors as hub
from small_dataset import mixed_songs, rows_of, settings_for, song, write_parquet

from pipeline.settings import UserError
from process_gigamidi.annotation_settings import DatasetSettings
from process_gigamidi.gigamidi_source import open_source
from process_gigamidi.song_rows import Row


def local(path: Path, *overrides: str) -> DatasetSettings:
    return settings_for(path, path, *overrides).dataset


def all_rows(path: Path, *overrides: str) -> list[Row]:
    return list(open_source(local(path, *overrides)).all_rows())


def test_the_named_configuration_is_read_and_never_the_default(hub_copy: Path) -> None:
    assert [row.music for row in all_rows(hub_copy)] == mixed_songs()
    assert len(all_rows(hub_copy, "dataset.config=v1.0.0")) == 1


def test_a_copy_that_holds_one_release_only_gives_that_one(hub_copy: Path) -> None:
    (hub_copy / "v1.0.0" / "train.parquet").unlink()
    assert len(all_rows(hub_copy)) == 23
    with pytest.raises(UserError, match=r"no configuration 'v1.0.0'"):
        open_source(local(hub_copy, "dataset.config=v1.0.0"))


def test_without_the_readme_the_folder_of_the_configuration_is_read(hub_copy: Path) -> None:
    (hub_copy / "README.md").unlink()
    assert len(all_rows(hub_copy)) == 23


@pytest.mark.parametrize("groups", [1, 2, 3, 7, 100])
def test_parts_are_a_fixed_number_of_row_groups_whatever_is_read_before(hub_copy: Path, groups: int) -> None:
    source = open_source(local(hub_copy), groups)
    sizes = [4, 4, 2, 4, 4, 4, 1]  # of the row groups of both files
    expected = [sum(sizes[first : first + groups]) for first in range(0, 7, groups)]
    assert source.n_parts == len(expected)
    backwards = {part: list(source.rows(part)) for part in reversed(range(source.n_parts))}
    assert [len(backwards[part]) for part in range(source.n_parts)] == expected
    assert [row for part in range(source.n_parts) for row in backwards[part]] == all_rows(hub_copy)
    assert source.md5s(0) == [row.md5 for row in backwards[0]]


@pytest.mark.parametrize("limit", [1, 4, 9, 22, 23, 50])
def test_a_limit_cuts_the_last_part(hub_copy: Path, limit: int) -> None:
    source = open_source(local(hub_copy, f"dataset.limit={limit}"), 2)
    everything = open_source(local(hub_copy), 2)
    assert list(source.all_rows()) == list(everything.all_rows())[:limit]
    assert list(source.rows(0)) == list(everything.rows(0))[:limit]
    assert [len(source.md5s(part)) for part in range(source.n_parts)] == [
        len(list(source.rows(part))) for part in range(source.n_parts)
    ]


def test_a_row_group_without_rows_is_a_part_without_songs(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", rows_of([song(1)]))
    schema = pq.read_schema(tmp_path / "train-0.parquet")
    with pq.ParquetWriter(tmp_path / "train-1.parquet", schema) as writer:
        writer.write_table(schema.empty_table())
    write_parquet(tmp_path / "train-2.parquet", rows_of([song(2)]))
    assert [row.music for row in all_rows(tmp_path)] == [song(1), song(2)]


def test_a_hundred_midi_files_count_as_a_row_group(tmp_path: Path) -> None:
    for i in range(250):
        (tmp_path / f"{i:03d}.mid").write_bytes(song(1, 20 + i % 80))
    source = open_source(local(tmp_path), 2)
    assert [len(list(source.rows(part))) for part in range(source.n_parts)] == [200, 50]
    assert open_source(local(tmp_path, "dataset.limit=120"), 1).n_parts == 2


def test_only_the_columns_that_are_used_are_asked_for(hub_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    load = datasets.load_dataset
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: calls.append((a, k)) or load(*a, **k))
    source = open_source(local(hub_copy))
    arguments, options = calls[-1]
    assert arguments[1] == "v2.0.0"
    assert options["streaming"] is True
    assert set(options["columns"]) == {"md5", "music", *source.columns}  # type: ignore[call-overload]
    assert "loop_start" not in options["columns"]  # type: ignore[operator]


def test_a_release_with_md5_and_music_only_is_enough(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [{"md5": "0" * 32, "music": song(1)}])
    source = open_source(local(tmp_path))
    assert source.columns == ()
    assert [row.md5 for row in source.all_rows()] == ["0" * 32]


def test_a_row_without_md5_gets_that_of_its_bytes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [{"md5": None, "music": song(1)}, {"md5": "", "music": song(2)}])
    assert [row.md5 for row in all_rows(tmp_path)] == [hashlib.md5(song(n)).hexdigest() for n in (1, 2)]


def test_parquet_without_music_is_refused(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [{"md5": "0" * 32, "text": "x"}])
    with pytest.raises(UserError, match=r"no column 'music'.*md5, text"):
        open_source(local(tmp_path))


def test_midi_files_are_found_below_the_folder_in_the_order_of_their_paths(tmp_path: Path) -> None:
    for i, name in enumerate(["b.mid", "a/z.MID", "a/y.midi", "c.kar", "notes.txt"]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(song(1 + i))
    rows = all_rows(tmp_path)
    assert [row.described["title"] for row in rows] == ["a/y.midi", "a/z.MID", "b.mid", "c.kar"]
    assert [row.md5 for row in rows] == [hashlib.md5(song(n)).hexdigest() for n in (3, 2, 1, 4)]


def test_one_midi_file_is_a_dataset_of_one(tmp_path: Path) -> None:
    (tmp_path / "my song.mid").write_bytes(song(2))
    assert [row.md5 for row in all_rows(tmp_path / "my song.mid")] == [hashlib.md5(song(2)).hexdigest()]


def test_a_midi_file_that_vanishes_is_a_row_with_nothing_to_read(tmp_path: Path) -> None:
    for name in ("a.mid", "b.mid"):
        (tmp_path / name).write_bytes(song(2))
    source = open_source(local(tmp_path))
    (tmp_path / "a.mid").unlink()
    assert [(row.name, row.music is None) for row in source.all_rows()] == [("a.mid", True), ("b.mid", False)]


def test_a_folder_to_which_files_were_added_is_another_dataset(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(song(2))
    before = open_source(local(tmp_path)).identity
    (tmp_path / "b.mid").write_bytes(song(3))
    assert open_source(local(tmp_path)).identity != before


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dataset.config=v9"], r"no configuration 'v9'; it has v1.0.0, v2.0.0"),
        (["dataset.config=' '"], r"name a configuration"),
        (["dataset.split=validation"], r"dataset.split: .* has no split 'validation'; it has train"),
    ],
)
def test_a_configuration_or_split_that_is_not_there(hub_copy: Path, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        open_source(local(hub_copy, *overrides))


def test_a_path_that_is_not_there_or_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"dataset.path: .* does not exist"):
        open_source(local(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=r"neither Parquet nor MIDI"):
        open_source(local(tmp_path))
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"is not a MIDI file"):
        open_source(local(tmp_path / "a.txt"))


def test_a_broken_parquet_file_is_named_in_one_line(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", rows_of([song(1)]))
    (tmp_path / "train-1.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(UserError, match=r"can't be read") as raised:
        all_rows(tmp_path)
    assert "\n" not in str(raised.value)


Answer = Callable[[int, str, str], None]


@pytest.fixture
def answering_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answer]:
    """A server in the Hub's place that gives every request the same status and error headers."""
    answer = {"status": 404, "X-Error-Code": "", "X-Error-Message": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(int(answer["status"]))
            for header in ("X-Error-Code", "X-Error-Message"):
                if answer[header]:
                    self.send_header(header, str(answer[header]))
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield lambda status, code, message: answer.update(
        {"status": status, "X-Error-Code": code, "X-Error-Message": message}
    )
    server.shutdown()
    server.server_close()


ON_THE_HUB = DatasetSettings("Metacreation/GigaMIDI", "v2.0.0", "train", None, None, None, 0)


@pytest.mark.parametrize(
    ("status", "code", "text", "message"),
    [
        (401, "GatedRepo", "", r"not logged in: accept the conditions at https://\S+, then run `hf auth login`"),
        (403, "GatedRepo", "", r"no access yet: accept the conditions"),
        (404, "RepoNotFound", "", r"dataset.name: no Metacreation/GigaMIDI"),
        (404, "RevisionNotFound", "", r"dataset.revision"),
        (401, "", "Invalid credentials in Authorization header", r"refuses the token"),
    ],
)
def test_what_the_hub_refuses_is_one_line_that_says_what_to_do(
    answering_hub: Answer, status: int, code: str, text: str, message: str
) -> None:
    answering_hub(status, code, text)
    with pytest.raises(UserError, match=message) as raised:
        open_source(ON_THE_HUB)
    assert "\n" not in str(raised.value)


REQUEST = httpx2.Request("GET", "https://huggingface.co/api")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConnectionError("Couldn't reach 'Metacreation/GigaMIDI' on the Hub"), r"can't be reached"),
        (httpx2.ConnectTimeout("timed out", request=REQUEST), r"can't be reached"),
        (hub.OfflineModeIsEnabled("HF_HUB_OFFLINE"), r"can't be reached"),
        (hub.GatedRepoError("gated", response=httpx2.Response(403, request=REQUEST)), r"no access yet"),
        (DatasetNotFoundError("Dataset 'x' doesn't exist on the Hub or cannot be accessed."), r"dataset.name"),
        (
            hub.HfHubHTTPError("busy", response=httpx2.Response(429, request=REQUEST)),
            r"error 429; .*the same command goes on",
        ),
        (ValueError("BuilderConfig 'v2.0.0' not found. Available: ['v3.0.0']"), r"dataset.config: .* it has v3.0.0"),
        (ValueError("Bad split: train. Available splits: ['test']"), r"dataset.split: .* it has test"),
        (pa.ArrowInvalid("something\nlong"), r"can't be read \(ArrowInvalid: something long\)"),
    ],
)
def test_what_loading_raises_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, message: str) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(UserError, match=message) as raised:
        open_source(ON_THE_HUB)
    assert "\n" not in str(raised.value)
