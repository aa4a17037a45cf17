from __future__ import annotations

import hashlib
import os
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

from pipeline.cells import LONGEST_TEXT
from pipeline.settings import UserError
from song_sources.dataset_settings import DatasetSettings
from song_sources.gigamidi_source import open_source
from song_sources.song_rows import Row


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


def test_only_the_columns_that_are_used_are_read(hub_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    read = pq.ParquetFile.iter_batches

    def record(file: pq.ParquetFile, size: int, groups: list[int], columns: list[str]) -> Iterator[pa.RecordBatch]:
        asked.append(columns)
        return read(file, size, groups, columns)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", record)
    source = open_source(local(hub_copy))
    source.md5s(0)
    assert asked[-1] == ["md5"]
    list(source.rows(0))
    assert set(asked[-1]) == {"md5", "music", *source.columns}
    assert "loop_start" not in asked[-1]


def test_a_release_with_md5_and_music_only_is_enough(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [{"md5": "0" * 32, "music": song(1)}])
    source = open_source(local(tmp_path))
    assert source.columns == ()
    assert [row.md5 for row in source.all_rows()] == ["0" * 32]


def test_a_row_without_md5_gets_that_of_its_bytes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [{"md5": None, "music": song(1)}, {"md5": "", "music": song(2)}])
    assert [row.md5 for row in all_rows(tmp_path)] == [hashlib.md5(song(n)).hexdigest() for n in (1, 2)]


@pytest.mark.parametrize(
    "music",
    [
        pa.array([song(1), None], pa.large_binary()),
        pa.array([song(1), None], pa.binary()).dictionary_encode(),
        pa.array([{"bytes": song(1), "path": "a.mid"}, {"bytes": None, "path": "b.mid"}]),
        pa.array([{"path": None, "bytes": song(1), "more": 1}, None]),
    ],
    ids=["large", "dictionary", "structure", "structure with nulls"],
)
def test_music_may_be_bytes_of_any_form(tmp_path: Path, music: pa.Array) -> None:
    pq.write_table(pa.table({"music": music}), tmp_path / "train.parquet")
    rows = all_rows(tmp_path)
    assert [row.music for row in rows] == [song(1), None]
    assert rows[0].md5 == hashlib.md5(song(1)).hexdigest()


@pytest.mark.parametrize(
    "music",
    [
        pa.array(["TVRoZA=="]),
        pa.array([list(song(1))]),
        pa.array([{"path": "a.mid"}]),
        pa.array([{"bytes": "text"}]),
        pa.array([1.5]),
        pa.array([None]),
    ],
    ids=["text", "list of numbers", "structure without bytes", "structure of text", "number", "null"],
)
def test_a_column_of_music_that_holds_no_bytes_is_refused_at_once(tmp_path: Path, music: pa.Array) -> None:
    write_parquet(tmp_path / "train-0.parquet", rows_of([song(1)]))
    pq.write_table(pa.table({"music": music}), tmp_path / "train-1.parquet")
    with pytest.raises(UserError, match=r"train-1.parquet: its column 'music' holds .*, not the bytes of MIDI files"):
        open_source(local(tmp_path))


@pytest.mark.parametrize("name", ["data[1]", "a*b", "who?", "[!x]", "{a,b}", "a b", "ü", "back\\slash", "%41", "~"])
@pytest.mark.parametrize("kind", ["parquet", "midi"])
def test_a_path_is_a_path_and_no_pattern(tmp_path: Path, name: str, kind: str) -> None:
    for folder, pitch in ((name, 60), ("data1", 61), ("aXb", 62), ("whoX", 63), ("x", 64), ("a", 65), ("A", 66)):
        if kind == "parquet":
            write_parquet(tmp_path / folder / "v2.0.0" / "train.parquet", rows_of([song(1, pitch)]))
        else:
            (tmp_path / folder).mkdir()
            (tmp_path / folder / "a.mid").write_bytes(song(1, pitch))
    assert [row.music for row in all_rows(tmp_path / name)] == [song(1, 60)]


@pytest.mark.parametrize(
    ("names", "split", "found"),
    [
        (["data/train-00000-of-00001.parquet", "data/odd-00000-of-00001.parquet", "x.parquet"], "odd", [1]),
        (["train/a.parquet", "validation/b.parquet", "c.parquet"], "train", [0]),
        (["a/val/x.parquet", "a/dev-2/y.parquet", "test/train.parquet"], "validation", [0, 1]),
        (["train-0.parquet", "my_test.1.parquet", "training.parquet"], "train", [0, 2]),
        (["one.parquet", "deep/two.parquet"], "train", [0, 1]),
        (["v2.0.0/eval.parquet", "v1.0.0/test.parquet"], "test", [0]),
        ([".hidden/train.parquet", "train.parquet", "__x/train.parquet"], "train", [1]),
    ],
)
def test_files_are_found_by_their_names(tmp_path: Path, names: list[str], split: str, found: list[int]) -> None:
    for i, name in enumerate(names):
        write_parquet(tmp_path / name, rows_of([song(1, 40 + i)]))
    rows = all_rows(tmp_path, f"dataset.split={split}")
    assert sorted(row.music or b"" for row in rows) == sorted(song(1, 40 + i) for i in found)


def test_of_several_releases_none_is_taken_by_chance(tmp_path: Path) -> None:
    for release in ("v1.0.0", "v3"):
        write_parquet(tmp_path / release / "train.parquet", rows_of([song(1)]))
    with pytest.raises(UserError, match=r"no configuration 'v2.0.0'; it has v1.0.0, v3"):
        open_source(local(tmp_path))


LISTS = [
    "configs:\n- config_name: v2.0.0\n  data_files: {train: 'v2.0.0/train/*.parquet'}",
    "configs:\n- config_name: v2.0.0\n  data_files: {train: ['v2.0.0/train/*0.parquet', 'v2.0.0/**/*1.parquet']}",
    "configs:\n- config_name: v2.0.0\n  data_files: 'v2.0.0/**'",
    "configs:\n- config_name: v2.0.0\n  data_files: ['v2.0.0/train/train-0000[01].parquet']",
    "configs:\n- config_name: v2.0.0\n  data_dir: v2.0.0",
    "configs:\n- config_name: default\n  data_files: 'v2.0.0/**'",
    "license: mit",
    "configs: none\n",
]


@pytest.mark.parametrize("front", LISTS)
def test_a_readme_may_list_the_files_in_any_form_of_the_hub(hub_copy: Path, front: str) -> None:
    (hub_copy / "README.md").write_text(f"---\n{front}\n---\n\n# Data\n---\n", encoding="utf-8")
    assert [row.music for row in all_rows(hub_copy)] == mixed_songs()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("../other/*.parquet", "outside of this copy"),
        ("v2.0.0/../../other/train.parquet", "outside of this copy"),
        ("/etc/*.parquet", "outside of this copy"),
        ("https://example.org/x.parquet", "outside of this copy"),
        ("hf://datasets/x/y/z.parquet", "outside of this copy"),
        ("zip://x.parquet::v2.0.0/y.zip", "outside of this copy"),
        ("*" * 200, "no list of a dataset's files"),
        ("x" * 1000, "no list of a dataset's files"),
    ],
)
def test_a_readme_names_files_of_its_own_folder_only(hub_copy: Path, pattern: str, message: str) -> None:
    write_parquet(hub_copy.parent / "other" / "train.parquet", rows_of([song(1)]))
    front = f"configs:\n- config_name: v2.0.0\n  data_files: [{{split: train, path: '{pattern}'}}]"
    (hub_copy / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    with pytest.raises(UserError, match=message) as raised:
        open_source(local(hub_copy))
    assert "README.md" in str(raised.value) and "\n" not in str(raised.value)


def test_a_release_that_a_readme_lists_twice_is_refused(hub_copy: Path) -> None:
    front = "configs:\n- {config_name: v2.0.0, data_files: a.parquet}\n- {config_name: v2.0.0, data_files: b.parquet}"
    (hub_copy / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"README.md: the configuration 'v2.0.0' is there twice"):
        open_source(local(hub_copy))


def test_a_path_may_end_in_a_space_and_a_tilde_may_be_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i, name in enumerate(("d", "d ", "~")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mid").write_bytes(song(1, 50 + i))
    assert [row.music for row in all_rows(tmp_path / "d ")] == [song(1, 51)]
    monkeypatch.chdir(tmp_path)
    settings = settings_for(tmp_path, tmp_path, "dataset.path=./~").dataset
    assert [row.music for row in open_source(settings).all_rows()] == [song(1, 52)]


def test_a_parquet_file_whose_name_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", rows_of([song(1)]))
    (tmp_path / "train.parquet").rename(tmp_path / "train\udcff.parquet")
    with pytest.raises(UserError, match=r"the name is not UTF-8.*rename it") as raised:
        open_source(local(tmp_path))
    assert str(raised.value).isprintable()


def test_a_readme_names_what_it_likes_for_other_releases(hub_copy: Path) -> None:
    front = "configs:\n- {config_name: v2.0.0, data_files: 'v2.0.0/**'}\n- {config_name: x, data_files: '../y/*'}"
    (hub_copy / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    assert len(all_rows(hub_copy)) == 23


def test_anchors_tags_and_equal_keys_of_a_readme_are_no_hindrance(hub_copy: Path) -> None:
    front = "a: &x [1]\na: *x\nb: !!str 1\nconfigs:\n- config_name: v2.0.0\n  data_files: &all v2.0.0/**\nc: *all"
    (hub_copy / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    assert len(all_rows(hub_copy)) == 23


def test_patterns_with_many_stars_take_no_time(tmp_path: Path) -> None:
    """A pattern that a backtracking matcher would try in 10^20 ways."""
    for i in range(3):
        write_parquet(tmp_path / f"{'a' * 200}{i}.parquet", rows_of([song(1)]))
    pattern = "*a*a*a*a*a*a*a*a*ab"
    front = f"configs:\n- {{config_name: v2.0.0, data_files: ['{pattern}', '**/**/**/{'a' * 200}1.parquet']}}"
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    assert len(all_rows(tmp_path)) == 1


@pytest.mark.parametrize("kind", ["pipe", "folder", "endless"])
def test_a_readme_that_is_no_text_is_no_hindrance(hub_copy: Path, kind: str) -> None:
    readme = hub_copy / "README.md"
    readme.unlink()
    if kind == "endless":
        with readme.open("wb") as file:
            file.truncate(10**12)  # takes no room on the disk
    else:
        readme.mkdir() if kind == "folder" else os.mkfifo(readme)
    assert len(all_rows(hub_copy)) == 23


def test_a_data_dir_is_searched_by_the_rules_of_the_hub(tmp_path: Path) -> None:
    write_parquet(tmp_path / "v2" / "part-0.parquet", rows_of([song(1)]))
    write_parquet(tmp_path / "v2" / "latest.parquet", rows_of([song(2)]))
    front = "configs:\n- {config_name: v2.0.0, data_dir: v2}"
    (tmp_path / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    assert len(all_rows(tmp_path)) == 2


def test_numbered_folders_are_no_releases(tmp_path: Path) -> None:
    for i in range(3):
        write_parquet(tmp_path / str(i) / "x.parquet", rows_of([song(1, 50 + i)]))
    assert [row.music for row in all_rows(tmp_path)] == [song(1, 50 + i) for i in range(3)]


def test_files_with_different_columns_are_read_as_far_as_each_goes(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train-0.parquet", [{"md5": "a" * 32, "music": song(1), "title": "first"}])
    write_parquet(tmp_path / "train-1.parquet", [{"music": song(2), "artist": "x"}, {"music": song(3), "artist": "y"}])
    source = open_source(local(tmp_path), 100)
    assert source.columns == ("title", "artist")
    rows = list(source.all_rows())
    assert [row.described for row in rows] == [
        {"title": title, "artist": artist} for title, artist in [("first", None), (None, "x"), (None, "y")]
    ]
    assert source.md5s(0) == [row.md5 for row in rows]
    assert rows[1].md5 == hashlib.md5(song(2)).hexdigest()


def test_two_columns_of_music_are_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array([song(1)]), pa.array([song(2)])], names=["music", "music"])
    pq.write_table(table, tmp_path / "train.parquet")
    with pytest.raises(UserError, match=r"train.parquet: there is more than one column 'music'"):
        open_source(local(tmp_path))


def test_a_text_that_cant_be_read_changes_none_beside_it(tmp_path: Path) -> None:
    names = pa.Array.from_buffers(pa.string(), 3, pa.array([b"song-1", b"song-2\xff", b"song-3"]).buffers())
    paths = pa.StructArray.from_arrays([pa.array([song(1), song(2), song(3)]), names], names=["bytes", "path"])
    lists = pa.FixedSizeListArray.from_arrays(names, 1)
    columns = {"md5": names, "music": paths, "title": names, "music_styles_curated": lists}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    rows = all_rows(tmp_path)
    assert [row.music for row in rows] == [song(1), song(2), song(3)]
    assert [row.md5 for row in rows] == ["song-1", hashlib.md5(song(2)).hexdigest(), "song-3"]
    for column, expected in (("title", "song-2�"), ("music_styles_curated", ["song-2�"])):
        assert [row.described[column] for row in rows][1] == expected


def test_a_dictionary_of_texts_that_cant_be_read_is_left_empty_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = pa.Array.from_buffers(pa.string(), 2, pa.array([b"x", b"\xff"]).buffers())
    columns = {"music": [song(1), song(2)], "artist": pa.DictionaryArray.from_arrays(pa.array([0, 1]), names)}
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    rows = all_rows(tmp_path)
    assert [(row.music, row.described["artist"]) for row in rows] == [(song(1), None), (song(2), None)]
    assert "column 'artist' of row group 0 is left empty" in capsys.readouterr().err


def test_a_value_that_python_doesnt_have_is_empty_and_counted(tmp_path: Path) -> None:
    times = pa.array([10**18, 0], pa.int64()).cast(pa.timestamp("us"))
    pq.write_table(pa.table({"music": [song(1), song(2)], "title": times}), tmp_path / "train.parquet")
    rows = all_rows(tmp_path)
    assert [(row.described["title"], row.n_emptied) for row in rows] == [(None, 1), ("1970-01-01 00:00:00", 0)]


@pytest.mark.parametrize("front", ["configs: [", "a: [*x]", "[" * 100_000, 'a: "\\UFFFFFFFF"'])
def test_a_readme_that_cant_be_read_is_named_in_one_line(hub_copy: Path, front: str) -> None:
    (hub_copy / "README.md").write_text(f"---\n{front}\n---\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"README.md: can't be read") as raised:
        open_source(local(hub_copy))
    assert "\n" not in str(raised.value)


def test_a_link_into_a_folder_that_may_not_be_entered_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may enter any folder, so the refusal is made up."""
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.mid").write_bytes(song(1))
    (tmp_path / "music" / "locked").mkdir()
    stat = os.stat

    def refusing(path: object, *more: object, **how: object) -> os.stat_result:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *more, **how)  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr(os, "stat", refusing)
    assert [row.described["title"] for row in all_rows(tmp_path / "music")] == ["a.mid"]
    assert "locked can't be read (Permission denied): the files in it are left out" in capsys.readouterr().err


def test_linked_folders_are_followed_and_each_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "below").mkdir(parents=True)
    (tmp_path / "elsewhere" / "below" / "b.mid").write_bytes(song(2))
    music = tmp_path / "music"
    music.mkdir()
    (music / "a.mid").write_bytes(song(1))
    (music / "again").symlink_to(music)
    (music / "linked").symlink_to(tmp_path / "elsewhere")
    (music / "linked-too").symlink_to(tmp_path / "elsewhere" / "below")
    (tmp_path / "elsewhere" / "back").symlink_to(music)
    (music / "c.mid").symlink_to(tmp_path / "elsewhere" / "below" / "b.mid")
    (music / "gone.mid").symlink_to(tmp_path / "gone")
    rows = all_rows(music)
    assert [row.described["title"] for row in rows] == ["a.mid", "c.mid", "linked/below/b.mid"]


def test_parquet_in_linked_folders_is_found_as_in_a_cache_of_the_hub(hub_copy: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshot"
    for file in hub_copy.rglob("*.*"):
        if file.is_file():
            link = snapshot / file.relative_to(hub_copy)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    assert len(all_rows(snapshot)) == 23
    (tmp_path / "linked").symlink_to(hub_copy)
    assert len(all_rows(tmp_path / "linked")) == 23


def test_midi_beside_parquet_is_not_ignored_without_a_word(hub_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (hub_copy / "a.mid").write_bytes(song(1))
    assert len(all_rows(hub_copy)) == 23
    assert "Parquet files, which are read, and 1 MIDI file, not read" in capsys.readouterr().err


def test_what_strangers_wrote_is_fitted_to_the_contract(tmp_path: Path) -> None:
    category = "instrument_category__drums-only__0__all-instruments-with-drums__1_no-drums__2"
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9 \xff"]).buffers())
    table = pa.table(
        {
            "music": [song(1)],
            "title": broken,
            "artist": ["x" * 3_000_000],
            "num_tracks": ["four"],
            category: [2**40],
            "NOMML": [[1, 2**63 - 1, None]],
            "music_styles_curated": pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), broken),
            "music_style_scraped": ["a\nb\x00c"],
        }
    )
    pq.write_table(table, tmp_path / "train.parquet")
    (row,) = all_rows(tmp_path)
    assert row.described["title"] == "caf� �"
    assert row.described["artist"] == "x" * LONGEST_TEXT
    assert (row.described["num_tracks"], row.described[category], row.n_emptied) == (None, None, 2)
    assert row.described["NOMML"] == [1, 2**63 - 1, None]
    assert row.described["music_styles_curated"] == ["caf� �"]
    assert row.described["music_style_scraped"] == "a b c"


@pytest.mark.parametrize(
    ("md5", "expected"),
    [
        (pa.array([bytes.fromhex("ab" * 16)]), "ab" * 16),
        (pa.array([b"AB" * 16]), "AB" * 16),
        (pa.array([12345]), "12345"),
        (pa.array(["  x  "]), "x"),
        (pa.array(["x" * 3_000_000]), None),
        (pa.array([None], pa.string()), None),
        (pa.array([float("nan")]), None),
    ],
    ids=["bytes", "hex as bytes", "number", "spaces", "3 MB", "null", "nan"],
)
def test_a_name_of_any_form_is_a_text_or_that_of_the_bytes(tmp_path: Path, md5: pa.Array, expected: str) -> None:
    pq.write_table(pa.table({"md5": md5, "music": [song(1)]}), tmp_path / "train.parquet")
    source = open_source(local(tmp_path))
    names = [expected or hashlib.md5(song(1)).hexdigest()]
    assert [row.md5 for row in source.all_rows()] == source.md5s(0) == names


def test_bytes_that_are_not_those_of_their_md5_are_noticed(tmp_path: Path) -> None:
    true = hashlib.md5(song(1)).hexdigest()
    names = [true, true.upper(), "0" * 32, "no digest", None]
    write_parquet(tmp_path / "train.parquet", [{"md5": name, "music": song(1)} for name in names])
    assert [row.has_other_bytes for row in all_rows(tmp_path)] == [False, False, True, False, False]


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
        (["dataset.config=' '"], r"not the name of a release"),
        (["dataset.config=../../.."], r"not the name of a release"),
        (["dataset.config=.."], r"not the name of a release"),
        (["dataset.split=../x"], r"not the name of a split"),
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
