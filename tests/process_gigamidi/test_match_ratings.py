"""Songs rated in lists are found in a stream of music, by every identity, once for all lists."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_hub import COMMIT, FakeHub
from script_runs import Done, run_script, settings_words
from small_dataset import README, song, write_parquet
from symusic import Note, Score, Tempo, Track

from musetok_bridge import load_encoder, score_to_bars
from pipeline.settings import PROJECT_ROOT, UserError, load_settings
from pretrain_model.extraction import is_made, latents_path, read_latents
from pretrain_model.features import bar_features
from pretrain_model.pretrain_settings import PretrainSettings, SetSettings
from pretrain_model.rated_pieces import load_rated_pieces
from pretrain_model.rated_set import PIECES, RATINGS, WANTED, read_set_table
from process_gigamidi.match_settings import RatingMatchSettings
from process_gigamidi.matched_pieces import mean_rating, pieces_and_ratings
from process_gigamidi.matched_songs import tempo_of, tempo_ratio
from process_gigamidi.wanted_songs import WantedSongs
from song_sources.gigamidi_source import open_source
from song_sources.parquet_rows import ParquetSource
from song_sources.song_identities import identity_of_file, identity_of_row, score_of
from song_sources.song_identity import musicbrainz_id, spotify_id

SCRIPT = "process_gigamidi/03_match_ratings.py"
SPOTIFY = "4uLU6hMCjMI75M1A2tKUQC"
OTHER_SPOTIFY = "7ouMYWpwJ422jRcDASZB7P"
MUSICBRAINZ = "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"
COLUMNS = pa.schema(
    [
        ("md5", pa.string()),
        ("music", pa.binary()),
        ("title", pa.string()),
        ("artist", pa.string()),
        ("tempo", pa.string()),
        ("audio_text_matches_score", pa.float64()),
        ("audio_text_matches_sid", pa.list_(pa.string())),
        ("audio_text_matches_mbid", pa.list_(pa.string())),
    ]
)


def md5_of(music: bytes) -> str:
    return hashlib.md5(music).hexdigest()


SONGS = [song(1 + i % 5, 40 + i) for i in range(12)]  # all in 3/4 at 90 quarters a minute
BROKEN = b"MThd and then nothing"


def row(music: bytes | None, **known: Any) -> dict[str, Any]:
    return {**dict.fromkeys(COLUMNS.names), "md5": md5_of(music or b""), "music": music, **known}


def rows() -> list[dict[str, Any]]:
    """Four row groups of three; no song of the third is wanted."""
    return [
        row(SONGS[0]),
        row(SONGS[1], audio_text_matches_sid=["x", SPOTIFY], audio_text_matches_score=0.9),
        row(SONGS[2], audio_text_matches_mbid=[MUSICBRAINZ.upper()], audio_text_matches_score=0.6),
        row(SONGS[3], artist="The Beatles", title="Let It Be (Remastered)"),
        row(SONGS[4], artist="Beatles", title="Let it be - 2009 Remaster", tempo="[666.0]"),
        row(BROKEN, artist="beatles", title="LET IT BE"),
        row(SONGS[6], title="Let It Be"),
        row(SONGS[7], audio_text_matches_sid=[], artist="", title=""),
        row(SONGS[8]),
        row(SONGS[0], audio_text_matches_sid=[OTHER_SPOTIFY]),  # the first song again, by another id
        row(None, audio_text_matches_sid=[OTHER_SPOTIFY], audio_text_matches_score=0.2),
        row(SONGS[11], artist="Nobody", title="Nothing"),
    ]


def wanted(*some: Mapping[str, Any]) -> pd.DataFrame:
    """A table WANTED; of what a row leaves out, texts are empty and numbers missing."""
    texts = dict.fromkeys(WANTED[1:6], "")
    plain = [
        {**dict.fromkeys(WANTED), **texts, "row": i, "group": f"g{i}", "split": "train", "valence": i / 10,
         "arousal": -i / 10, **given}
        for i, given in enumerate(some)
    ]  # fmt: skip
    return pd.DataFrame(plain, columns=list(WANTED))


LIST = wanted(
    {"md5": md5_of(SONGS[0]).upper(), "tempo": 45.0},
    {"spotify_id": f"https://open.spotify.com/track/{SPOTIFY}?si=1", "tempo": 120.0},
    {"musicbrainz_id": MUSICBRAINZ, "artist": "A", "title": "B"},
    {"artist": "Beatles", "title": "Let it be", "split": "test"},
    {"artist": "Not", "title": "There"},
)


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    """A local copy of a data set in GigaMIDI's layout."""
    folder = tmp_path / "copy"
    path = folder / "v2.0.0" / "train" / "train-00000.parquet"
    path.parent.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows(), COLUMNS), path, row_group_size=3)
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    """A folder of prepared ratings with one list."""
    folder = tmp_path / "ratings"
    folder.mkdir()
    LIST.to_csv(folder / "list_wanted.csv", index=False)
    return folder


def match(ratings: Path, music: Path, *overrides: str) -> Done:
    """Run the script; one row group a part, conversion in the test's own process."""
    paths = (f"ratings.dir={ratings}", f"dataset.path={music}", "output.row_groups_per_part=1", "compute.workers=0")
    return run_script(SCRIPT, *settings_words(*paths, *overrides))


def matches_in(ratings: Path) -> pd.DataFrame:
    return pd.read_csv(ratings / "matched" / "matches.csv", keep_default_na=False, dtype=str)


def files_in(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_songs_are_found_by_each_identity(ratings: Path, stream: Path) -> None:
    done = match(ratings, stream)
    assert (done.returncode, done.stderr) == (0, "")
    found = matches_in(ratings)
    assert [tuple(values) for values in found[["row", "md5", "matched_by", "n_bars"]].to_numpy()] == [
        ("0", md5_of(SONGS[0]), "md5", "1"),
        ("1", md5_of(SONGS[1]), "spotify_id", "2"),
        ("2", md5_of(SONGS[2]), "musicbrainz_id", "3"),
        ("3", md5_of(SONGS[3]), "artist_title", "4"),
        ("3", md5_of(SONGS[4]), "artist_title", "5"),
        ("3", md5_of(BROKEN), "artist_title", ""),
    ]
    assert found["reason"].tolist()[:-1] == [""] * 5 and found["reason"].iloc[-1].startswith("unreadable")
    assert found["score"].tolist() == ["", "0.9000", "0.6000", "", "", ""]
    # 90 is twice 45, and three quarters of 120; the text in the stream says nothing
    assert found["tempo_ratio"].tolist() == ["1.0000", "0.7500", "", "", "", ""]
    for line in (
        "list: 4 of 5 rows matched, by 5 songs",
        "matches: 1 by md5, 1 by spotify_id, 1 by musicbrainz_id, 2 by artist_title",
        "1 row with several songs, 0 songs with several rows",
        "median 0.750, quartiles 0.675 and 0.825",
        "50 % of 2 matches with a tempo",
        "1 song failed:",
        "1 unreadable",
        f": python pretrain_model/03_train.py --set output.dir={ratings}",
    ):
        assert line in done.stdout


def test_pieces_and_ratings_are_those_of_the_rows(ratings: Path, stream: Path) -> None:
    match(ratings, stream)
    pieces, rated = (read_set_table(ratings, "list", kind) for kind in ("pieces", "ratings"))
    assert tuple(pieces) == PIECES and tuple(rated) == RATINGS
    assert pieces["piece"].tolist() == [md5_of(music) for music in SONGS[:5]] == pieces["md5"].tolist()
    assert pieces["weight"].tolist() == [1, 1, 1, 0.5, 0.5]  # two usable files of one rating share its weight
    assert pieces["group"].tolist() == ["g0", "g1", "g2", "g3", "g3"]
    assert pieces["split"].tolist() == ["train", "train", "train", "test", "test"]
    assert pieces["artist"].tolist() == ["", "", "A", "Beatles", "Beatles"]
    assert set(pieces["midi"]) == set(pieces["recording"]) == {""}
    assert rated["valence"].tolist() == [0, 0.1, 0.2, 0.3, 0.3] and rated["bar_number"].isna().all()


def test_latents_are_those_that_the_encoder_gives_the_song(ratings: Path, stream: Path) -> None:
    match(ratings, stream)
    encoder = load_encoder("bundled", "cpu", "float32")
    md5 = md5_of(SONGS[4])
    path = latents_path(ratings, encoder, "_matched", md5)
    assert is_made(path, encoder, md5) and not is_made(path, encoder, md5_of(SONGS[3]))
    written = read_latents(path)
    assert written.latents.shape == (5, encoder.width) and written.n_notes.tolist() == [3] * 5
    assert written.edges == pytest.approx(np.arange(0, 12, 2))  # bars of 3/4 at 90 last two seconds
    assert {file.stem for file in path.parent.iterdir()} == {md5_of(music) for music in SONGS[:5]}
    assert not [file for file in files_in(ratings) if file.endswith(".mid")]


def test_music_is_read_only_of_row_groups_with_a_match(
    ratings: Path, stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    original = ParquetSource.group_rows

    def counted(source: ParquetSource, group: int) -> Any:
        read.append(group)
        return original(source, group)

    monkeypatch.setattr(ParquetSource, "group_rows", counted)
    match(ratings, stream)
    assert read == [0, 1, 3]


def test_one_song_of_several_rows_is_one_piece_with_their_mean(ratings: Path, stream: Path) -> None:
    both = wanted(
        {"artist": "Nobody", "title": "Nothing", "valence": 0.2, "n_raters": 1, "group": "a", "split": "test"},
        {"artist": "Nobody", "title": "Nothing (live)", "valence": 0.6, "n_raters": 3, "group": "b"},
    )
    both.to_csv(ratings / "list_wanted.csv", index=False)
    done = match(ratings, stream)
    pieces, rated = (read_set_table(ratings, "list", kind) for kind in ("pieces", "ratings"))
    assert pieces[["piece", "weight"]].to_numpy().tolist() == [[md5_of(SONGS[11]), 1]]
    assert rated["valence"].tolist() == pytest.approx([0.5]) and rated["n_raters"].tolist() == [4]
    assert "1 song with several rows" in done.stdout


def test_rows_that_share_a_song_are_never_in_two_splits() -> None:
    table = wanted({"split": "test"}, {"split": "train"}, {"split": "train"}, {"split": "val"})
    table["row"] = table["row"].astype(str)
    shared = [("1", "y"), ("0", "x"), ("1", "x"), ("2", "y"), ("3", "z"), ("2", "w")]
    matches = pd.DataFrame(shared, columns=["row", "md5"])
    pieces = pieces_and_ratings(table, matches)[0].set_index("piece")
    assert pieces["split"].to_dict() == {"w": "test", "x": "test", "y": "test", "z": "val"}
    assert pieces["group"].to_dict() == {"w": "g0", "x": "g0", "y": "g0", "z": "g3"}


def test_rows_that_share_a_song_bring_their_groups_together() -> None:
    """x is a song of the artists A and B, so other songs of B are in A's split, too."""
    table = wanted({"group": "A", "split": "test"}, {"group": "B"}, {"group": "B"}, {"group": "C"}, {"group": ""},
                   {"group": ""})  # fmt: skip
    table["row"] = table["row"].astype(str)
    shared = [("0", "x"), ("1", "x"), ("2", "y"), ("3", "z"), ("4", "v"), ("5", "w")]
    pieces = pieces_and_ratings(table, pd.DataFrame(shared, columns=["row", "md5"]))[0].set_index("piece")
    assert pieces["group"].to_dict() == {"x": "A", "y": "A", "z": "C", "v": "", "w": ""}
    assert pieces["split"].to_dict() == {"x": "test", "y": "test", "z": "train", "v": "train", "w": "train"}


def test_a_list_of_which_nothing_is_found_has_no_tables_and_the_others_are_used(
    ratings: Path, stream: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    LIST.iloc[[4]].to_csv(ratings / "other_wanted.csv", index=False)
    (ratings / "other_pieces.csv").write_text("of an earlier matching", encoding="utf-8")
    done = match(ratings, stream)
    assert done.returncode == 0
    assert "note: other: no song is found that can be used" in done.stderr and "set dataset.path" in done.stderr
    assert not (ratings / "other_pieces.csv").exists() and not (ratings / "other_ratings.csv").exists()
    blocks = tuple(SetSettings(name, "table", path="x.csv") for name in ("list", "other"))
    settings = load_settings(PretrainSettings, "pretrain.yaml", None, [f"output.dir={ratings}"])
    settings = replace(settings, sets=blocks)
    assert [block.name for block in settings.prepared()] == [block.name for block in settings.trained_on()] == ["list"]
    told = capsys.readouterr().err
    assert told.count("note: other: none of its songs is found") == 1 and "03_match_ratings.py" in told
    assert settings.to_prepare() == [*blocks]
    named = replace(settings, data=replace(settings.data, train_on=("other",)))
    encoder = load_encoder("bundled", "cpu", "float32")
    with pytest.raises(UserError, match=r"other_\w+\.csv does not exist: run .*03_match_ratings\.py first"):
        load_rated_pieces(ratings, named.trained_on()[0], ["train"], encoder)


def test_a_row_without_a_number_of_raters_counts_once() -> None:
    table = wanted({"valence": 0.0, "valence_sd": 0.1}, {"valence": 1.0, "valence_sd": 0.1, "n_raters": 3})
    valence, _, spread, _, raters = mean_rating(table[list(RATINGS[2:])].to_numpy(float))
    assert (valence, spread, raters) == (pytest.approx(0.75), pytest.approx(0.1), 3)
    only_valence = np.array([[0.5, np.nan, np.nan, np.nan, np.nan]])
    assert mean_rating(only_valence)[0] == 0.5 and np.isnan(mean_rating(only_valence)[1:]).all()


def test_the_surest_identity_decides(ratings: Path, stream: Path) -> None:
    both = wanted({"artist": "Beatles", "title": "Let it be"}, {"md5": md5_of(SONGS[3])})
    both.to_csv(ratings / "list_wanted.csv", index=False)
    match(ratings, stream)
    found = matches_in(ratings)
    of_song = found[found["md5"] == md5_of(SONGS[3])]
    assert of_song[["row", "matched_by"]].to_numpy().tolist() == [["1", "md5"]]
    assert set(found["row"]) == {"0", "1"}


def test_a_match_of_ids_needs_the_least_score(ratings: Path, stream: Path) -> None:
    match(ratings, stream, "match.least_score=0.7")
    assert set(matches_in(ratings)["row"]) == {"0", "1", "3"}  # 0.9 is enough, 0.6 is not; others need no score


def test_a_song_without_a_score_counts_only_with_least_score_0() -> None:
    table = wanted({"spotify_id": SPOTIFY})
    unscored = identity_of_row("", {"audio_text_matches_sid": [SPOTIFY]})
    assert len(WantedSongs({"list": table}, 0).matches(unscored)) == 1
    assert WantedSongs({"list": table}, 0.01).matches(unscored) == []


def test_two_lists_share_one_conversion(ratings: Path, stream: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    LIST.iloc[[3, 0]].to_csv(ratings / "other_wanted.csv", index=False)
    encoded: list[str] = []
    monkeypatch.setattr("process_gigamidi.matched_songs.encode_pieces", recorded(encoded))
    done = match(ratings, stream)
    assert done.returncode == 0
    assert sorted(encoded) == sorted(md5_of(music) for music in SONGS[:5])
    assert read_set_table(ratings, "other", "pieces")["weight"].tolist() == [1, 0.5, 0.5]
    assert len(read_set_table(ratings, "list", "pieces")) == 5
    assert "other: 2 of 2 rows matched" in done.stdout and "list: 4 of 5 rows matched" in done.stdout


def recorded(encoded: list[str]) -> Callable[..., dict[str, int]]:
    from pretrain_model.extraction import encode_pieces

    def encode(pieces: list[Any], encoder: Any) -> dict[str, int]:
        encoded.extend(piece.midi_md5 for piece in pieces)
        return encode_pieces(pieces, encoder)

    return encode


def test_a_stopped_run_goes_on_and_ends_with_the_same_files(
    ratings: Path, stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    match(ratings, stream)
    whole = files_in(ratings)
    for part in (1, 3):
        (ratings / "matched" / "parts" / f"part-{part:05d}.json").unlink()
    (ratings / "matched" / "parts" / "part-00001.csv").write_text("half a table", encoding="utf-8")
    (ratings / "list_pieces.csv").unlink()
    encoded: list[str] = []
    monkeypatch.setattr("process_gigamidi.matched_songs.encode_pieces", recorded(encoded))
    done = match(ratings, stream)
    assert done.returncode == 0 and "4 parts, 2 to do" in done.stdout
    assert encoded == []  # the latents are there already
    assert files_in(ratings) == whole


def test_a_run_that_dies_in_a_part_leaves_no_result_of_it(
    ratings: Path, stream: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(pieces: list[Any], encoder: Any) -> dict[str, int]:
        if any(piece.midi_md5 == md5_of(SONGS[3]) for piece in pieces):
            raise OSError(28, "No space left on device")
        return recorded([])(pieces, encoder)

    with monkeypatch.context() as patched:
        patched.setattr("process_gigamidi.matched_songs.encode_pieces", full)
        done = match(ratings, stream)
    assert done.returncode == 1 and "No space left" in done.stderr
    names = {path.name for path in (ratings / "matched" / "parts").glob("part-*")}
    assert names == {"part-00000.csv", "part-00000.json"} and not (ratings / "list_pieces.csv").exists()
    assert match(ratings, stream).returncode == 0
    assert len(read_set_table(ratings, "list", "pieces")) == 5


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda ratings: LIST.iloc[:2].to_csv(ratings / "list_wanted.csv", index=False), "another list_wanted.csv"),
        (lambda ratings: LIST.to_csv(ratings / "new_wanted.csv", index=False), "without new_wanted.csv"),
        (lambda ratings: (ratings / "more_wanted.csv").unlink(), "with more_wanted.csv, which is gone"),
        (lambda ratings: "match.least_score=0.5", "match.least_score = 0.0, now it is 0.5"),
        (lambda ratings: "dataset.limit=3", "dataset.limit = null, now it is 3"),
    ],
)
def test_a_folder_begun_with_something_else_is_refused(
    ratings: Path, stream: Path, change: Callable[[Path], str | None], what: str
) -> None:
    LIST.to_csv(ratings / "more_wanted.csv", index=False)
    match(ratings, stream)
    override = change(ratings)
    before = files_in(ratings)
    done = match(ratings, stream, *([override] if override else []))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert what in done.stderr and f"remove {ratings / 'matched'} to match again" in done.stderr
    assert files_in(ratings) == before


def test_other_music_in_the_same_place_is_refused(ratings: Path, stream: Path) -> None:
    match(ratings, stream)
    path = next(stream.rglob("*.parquet"))
    pq.write_table(pa.Table.from_pylist(rows()[:4], COLUMNS), path, row_group_size=3)
    done = match(ratings, stream)
    assert done.returncode == 1 and "the files in dataset.path are others" in done.stderr


def test_without_a_wanted_table_the_step_before_is_named(tmp_path: Path, stream: Path) -> None:
    done = match(tmp_path / "empty", stream)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "run python pretrain_model/01_prepare_datasets.py first" in done.stderr


def test_nothing_found_is_an_error_and_leaves_no_pieces(ratings: Path, stream: Path) -> None:
    LIST.iloc[[4]].to_csv(ratings / "list_wanted.csv", index=False)
    (ratings / "list_pieces.csv").write_text("of an earlier matching", encoding="utf-8")
    done = match(ratings, stream)
    assert done.returncode == 1 and "none of 12 songs is in list" in done.stderr and done.stderr.count("\n") == 1
    assert not (ratings / "list_pieces.csv").exists()


def test_songs_that_all_fail_are_an_error(ratings: Path, stream: Path) -> None:
    wanted({"md5": md5_of(BROKEN)}).to_csv(ratings / "list_wanted.csv", index=False)
    done = match(ratings, stream)
    assert done.returncode == 1 and "every song that matched failed" in done.stderr


def test_a_false_md5_names_no_file(ratings: Path, tmp_path: Path) -> None:
    music = tmp_path / "copy" / "data.parquet"
    music.parent.mkdir()
    evil = [row(SONGS[5], md5="../../evil", artist="Not", title="There"), row(SONGS[6], md5=md5_of(SONGS[0]))]
    pq.write_table(pa.Table.from_pylist(evil, COLUMNS), music)
    assert match(ratings, music.parent).returncode == 0
    found = matches_in(ratings)[["row", "md5", "n_bars"]].to_numpy().tolist()
    assert found == [["4", md5_of(SONGS[5]), "1"], ["0", md5_of(SONGS[6]), ""]]
    assert "other_bytes" in matches_in(ratings)["reason"].iloc[1]
    latents = ratings / "latents" / "bundled" / "_matched"
    assert [path.name for path in latents.iterdir()] == [f"{md5_of(SONGS[5])}.safetensors"]
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize("md5s", [{}, {"md5": [md5_of(SONGS[9]), None, None]}], ids=["no column", "missing"])
def test_music_without_md5_is_matched_by_its_bytes(ratings: Path, tmp_path: Path, md5s: dict[str, Any]) -> None:
    music = tmp_path / "copy" / "data.parquet"
    music.parent.mkdir()
    pq.write_table(pa.table({"music": [SONGS[9], SONGS[0], None], **md5s}), music)
    assert match(ratings, music.parent).returncode == 0
    assert matches_in(ratings)[["row", "md5"]].to_numpy().tolist() == [["0", md5_of(SONGS[0])]]


def test_two_workers_find_the_same(ratings: Path, stream: Path, tmp_path: Path) -> None:
    match(ratings, stream)
    alone = matches_in(ratings)
    other = tmp_path / "other"
    other.mkdir()
    LIST.to_csv(other / "list_wanted.csv", index=False)
    done = match(other, stream, "compute.workers=2")
    assert done.returncode == 0
    assert matches_in(other).equals(alone)


def test_two_runs_share_a_folder(ratings: Path, stream: Path, tmp_path: Path) -> None:
    paths = (f"ratings.dir={ratings}", f"dataset.path={stream}", "output.row_groups_per_part=1", "compute.workers=1")
    words = [sys.executable, str(PROJECT_ROOT / SCRIPT), *settings_words(*paths)]
    runs = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    printed = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    assert all("list: 4 of 5 rows matched, by 5 songs" in out for out, _ in printed)
    parts = [line for out, _ in printed for line in out.splitlines() if "  part 0000" in line]
    assert len(parts) == 4  # each part by one of the two
    assert len(matches_in(ratings)) == 6


@pytest.mark.slow
def test_a_stream_of_the_hub_is_read_at_the_commit_it_was_begun_with(ratings: Path, stream: Path) -> None:
    words = settings_words(
        f"ratings.dir={ratings}", "output.row_groups_per_part=1", "compute.workers=0", "dataset.retry_seconds=0"
    )
    environment = {**os.environ, "HF_HOME": str(ratings / "hf"), "HF_UPDATE_DOWNLOAD_COUNTS": "0"}

    def run_at(hub: FakeHub, commit: str) -> subprocess.CompletedProcess[str]:
        hub.commit, hub.requests = commit, []
        command = [sys.executable, str(PROJECT_ROOT / SCRIPT), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    write_parquet(stream / "v1.0.0" / "train.parquet", [row(SONGS[0])])  # the library wants all files of the README
    with FakeHub(stream) as hub:
        environment["HF_ENDPOINT"] = hub.endpoint
        first = run_at(hub, COMMIT)
        assert (first.returncode, first.stderr) == (0, "")
        assert "list: 4 of 5 rows matched, by 5 songs" in first.stdout
        (ratings / "matched" / "parts" / "part-00001.json").unlink()
        newer = run_at(hub, "f" * 40)
        assert newer.returncode == 1 and f"has no revision '{COMMIT}'" in newer.stderr
        again = run_at(hub, COMMIT)
        assert again.returncode == 0 and "4 parts, 1 to do" in again.stdout


def test_midi_files_are_found_by_their_bytes_and_names(ratings: Path, tmp_path: Path) -> None:
    folder = tmp_path / "midi"
    named = {
        "any.mid": SONGS[0],
        "Beatles/Let It Be.1.mid": SONGS[3],
        "sub/The_Beatles_-_Let_it_be.mid": SONGS[4],
        "Let It Be.mid": SONGS[6],
    }
    for name, music in named.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_bytes(music)
    assert match(ratings, folder).returncode == 0
    found = matches_in(ratings)[["row", "md5", "matched_by"]].to_numpy().tolist()
    assert sorted(found) == sorted(
        [
            ["0", md5_of(SONGS[0]), "md5"],
            ["3", md5_of(SONGS[3]), "artist_title"],
            ["3", md5_of(SONGS[4]), "artist_title"],
        ]
    )


HOSTILE: list[Any] = [
    None,
    "",
    float("nan"),
    float("inf"),
    True,
    -1,
    10**400,
    b"\xff\xfe",
    "\ud800",
    "a" * 200_000,
    [],
    [None, 3, b"\xff", ["nested"], {"a": 1}],
    {"id": SPOTIFY},
    list(range(5_000)),
    f"['{SPOTIFY}', 'x']",
    object(),
]


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: type(value).__name__)
def test_no_value_of_a_column_is_a_crash(value: Any) -> None:
    columns = ("title", "artist", "audio_text_matches_sid", "audio_text_matches_mbid", "audio_text_matches_score")
    identity = identity_of_row("", dict.fromkeys(columns, value))
    table = wanted({"spotify_id": SPOTIFY, "musicbrainz_id": MUSICBRAINZ, "artist": "a", "title": "b"})
    is_id = SPOTIFY in repr(value)
    assert bool(WantedSongs({"list": table}, 0).matches(identity)) == is_id
    assert identity.score is None or np.isfinite(identity.score)
    assert len(identity.spotify) <= 1_000


def test_hostile_columns_of_a_dataset_leave_the_other_rows_alone(ratings: Path, tmp_path: Path) -> None:
    music = tmp_path / "copy" / "data.parquet"
    music.parent.mkdir()
    table = pa.table(
        {
            "md5": pa.array([b"\xff\x00", md5_of(SONGS[0]).encode()], pa.binary()),
            "music": [SONGS[1], SONGS[0]],
            "artist": pa.array([[1], None], pa.list_(pa.int64())),
            "title": pa.array([5, None], pa.int64()),
            "audio_text_matches_sid": pa.array([SPOTIFY, None], pa.string()),
            "audio_text_matches_score": pa.array(["high", "0.5"], pa.string()),
        }
    )
    pq.write_table(table, music)
    assert match(ratings, music.parent).returncode == 0
    found = matches_in(ratings)[["row", "md5", "score"]].to_numpy().tolist()
    assert found == [["1", md5_of(SONGS[1]), ""], ["0", md5_of(SONGS[0]), "0.5000"]]


@pytest.mark.parametrize("text", [SPOTIFY, f" {SPOTIFY} ", f"spotify:track:{SPOTIFY}", f"https://x.com/{SPOTIFY}?si=a"])
def test_a_spotify_id_is_found_in_every_form(text: str) -> None:
    assert spotify_id(text) == SPOTIFY


def test_an_id_is_no_sentence() -> None:
    assert spotify_id("not an id") == "" == spotify_id("")
    assert musicbrainz_id(f"https://musicbrainz.org/recording/{MUSICBRAINZ.upper()}") == MUSICBRAINZ
    assert musicbrainz_id("a b") == ""


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("ABBA/Waterloo.1.mid", [("ABBA", "Waterloo")]),
        ("ABBA - Waterloo.mid", [("ABBA", "Waterloo")]),
        ("a/ABBA/Waterloo - live.mid", [("Waterloo", "live"), ("ABBA", "Waterloo - live")]),
        ("Waterloo.mid", []),
    ],
)
def test_artist_and_title_of_a_path(path: str, names: list[tuple[str, str]]) -> None:
    assert list(identity_of_file("", path).names) == names


def test_a_score_is_a_finite_number() -> None:
    assert [score_of(value) for value in (0.5, "0.5", 1, [0.1, None, 0.7], "x", float("nan"), True)] == [
        *(0.5, 0.5, 1, 0.7, None, None, None)
    ]


def test_half_and_double_tempo_agree() -> None:
    assert tempo_ratio(60, 120) == tempo_ratio(240, 120) == tempo_ratio(120, 120) == 1
    assert tempo_ratio(120, 90) == pytest.approx(2 / 3) and tempo_ratio(80, 120) == pytest.approx(2 / 3)
    for tempo in np.geomspace(20, 400, 97):
        assert 2 / 3 - 1e-9 <= (tempo_ratio(tempo, 100.0) or 0) < 4 / 3
    assert tempo_ratio(120, float("nan")) is None


@pytest.mark.parametrize(("slow_bars", "median"), [(4, 60), (2, 200)])
def test_the_tempo_of_a_file_is_the_median_over_its_time(slow_bars: int, median: float) -> None:
    score = Score(480)
    for tempo in (Tempo(0, 200.0), Tempo(8 * 4 * 480, 60.0)):  # eight bars in 9.6 s, then some of 4 s
        score.tempos.append(tempo)
    track = Track()
    for beat in range(4 * (8 + slow_bars)):
        track.notes.append(Note(beat * 480, 480, 60, 80))
    score.tracks.append(track)
    features = bar_features(score, score_to_bars(score))
    assert tempo_of(features.values, features.edges) == pytest.approx(median)


def test_the_record_tells_what_decided_and_what_was_found(ratings: Path, stream: Path) -> None:
    match(ratings, stream)
    record = json.loads((ratings / "matched" / "run.json").read_text(encoding="utf-8"))
    digest = hashlib.sha256((ratings / "list_wanted.csv").read_bytes()).hexdigest()
    assert record["written_by"] == SCRIPT and record["decides"]["list_wanted.csv"] == digest
    assert record["decides"]["model.encoder"] == load_encoder("bundled", "cpu", "float32").digest
    counts = record["sets"]["list"]
    assert (counts["rows"], counts["rows_matched"], counts["songs_matched"]) == (5, 4, 5)
    assert counts["failed_by_reason"] == {"unreadable": 1}


def test_a_changed_table_of_a_part_is_refused(ratings: Path, stream: Path) -> None:
    match(ratings, stream)
    with (ratings / "matched" / "parts" / "part-00000.csv").open("a", encoding="utf-8") as table:
        table.write("list,0,x,md5,,,1,\n")
    done = match(ratings, stream)
    assert done.returncode == 1 and "part-00000.json" in done.stderr and "remove it and run again" in done.stderr


def test_a_limit_cuts_the_identities_as_it_cuts_the_rows(stream: Path) -> None:
    overrides = [f"dataset.path={stream}", "dataset.limit=4"]
    settings = load_settings(RatingMatchSettings, "match.yaml", None, overrides)
    source, seen = open_source(settings.dataset, 5), SimpleNamespace(rows=0)

    def count(n: int) -> None:
        seen.rows += n

    chosen = list(source.chosen_rows(0, lambda identity: True, count))
    assert len(chosen) == seen.rows == 4
    assert [identity.md5 for identity, _ in chosen] == [row.md5 for _, row in chosen] == source.md5s(0)


def test_processes_that_convert_don_t_wait_for_torch() -> None:
    """They import the script, what it imports at its top, and the function of the features."""
    code = (
        f"import runpy, sys; runpy.run_path({str(PROJECT_ROOT / SCRIPT)!r}, run_name='__mp_main__'); "
        "import musetok_bridge.conversion, pretrain_model.features; "
        "print(sorted({'torch', 'datasets', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
