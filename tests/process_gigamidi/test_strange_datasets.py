"""Data sets that strangers made, from the first row to the report: nothing strange stops a run or gets through."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from script_runs import run_script
from small_dataset import mixed_songs, read, rows_of, settings_for, song, write_parquet

from analyze_emotion_annotations.annotation_tables import find_songs, parts_of
from pipeline.annotations import INSTRUMENT_CATEGORY, table_path
from pipeline.cells import LONGEST_TEXT
from pipeline.records import read_record
from pipeline.settings import UserError, as_override, load_settings
from process_gigamidi.annotation import annotate
from process_gigamidi.verification import verify
from publish_annotations.export import export
from publish_annotations.export_settings import SETTINGS_FILE, ExportSettings

pytestmark = pytest.mark.usefixtures("models")

TITLES = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=1", "''+x", "plain", "'quoted'", "＝1", "\t=1", "", "a=b"]


def exported(folder: Path, out: Path) -> pa.Table:
    """The published songs of a folder of annotations."""
    words = [f"export.folders=[{json.dumps(str(folder))}]", f"export.dir={as_override(str(out))}"]
    export(load_settings(ExportSettings, SETTINGS_FILE, None, words))
    return pa.concat_tables(pq.ParquetFile(file).read() for file in sorted((out / "songs").iterdir()))


def analysed(folder: Path, out: Path) -> None:
    """Run statistics and report on a folder of annotations."""
    for script in ("01_statistics.py", "03_report.py"):
        words = ("--set", f"input.dir={folder}", "--set", f"output.dir={out}", "--set", "styles.min_songs=1")
        done = run_script(f"analyze_emotion_annotations/{script}", *words)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_spreadsheet_runs_no_title_and_every_reader_gets_the_text_back(tmp_path: Path) -> None:
    rows = [
        row | {"title": title, "artist": title, "music_styles_curated": ["-1"]}
        for row, title in zip(rows_of(songs(12)), TITLES, strict=True)
    ]
    write_parquet(tmp_path / "data" / "train.parquet", rows)
    settings = settings_for(tmp_path / "data", tmp_path / "out", "output.row_groups_per_part=9")
    annotate(settings)
    with (tmp_path / "out" / "songs" / "part-00000.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "@", "＝", "-1"))]
    assert verify(settings).findings == []
    texts = [title.replace("\t", " ") for title in TITLES]
    assert exported(tmp_path / "out", tmp_path / "data-set")["title"].to_pylist() == [text or None for text in texts]
    parts, _ = parts_of(tmp_path / "out")
    assert [found.title for found in find_songs(parts, [], first=20)] == texts
    analysed(tmp_path / "out", tmp_path / "analysis")
    cells = [
        cell
        for path in (tmp_path / "analysis").glob("*.csv")
        for row in csv.reader(path.open(newline="", encoding="utf-8"))
        for cell in row
    ]
    assert not [cell for cell in cells if cell[:1] in (*"=+@＝",)] and "'-1" in cells


def songs(n: int) -> list[bytes | None]:
    return [song(1 + i % 3, 40 + i) for i in range(n)]


def test_values_that_dont_fit_are_empty_and_counted_and_all_scripts_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange: list[dict[str, Any]] = [
        {"num_tracks": "four", "title": "x" * 3_000_000, "NOMML": "[1, 2]"},
        {"num_tracks": str(2**40), "title": "y" * 100_000, "NOMML": "not a list"},
        {"num_tracks": "12", "title": None, "NOMML": json.dumps([1] * 2_000)},
        {"num_tracks": "", "title": "\x00\x1b[2J\n", "NOMML": ""},
    ]
    tags = [["a" * 2_000, "b"], ["rock"] * 5_000, ["x" * 900, "y" * 99, "z" * 99], ["\u202eabc", None, " "]]
    rows = [
        row | more | {"music_styles_curated": styles, INSTRUMENT_CATEGORY: 2**31 + i, "tempo": "t" * 5_000}
        for i, (row, more, styles) in enumerate(zip(rows_of(songs(4)), strange, tags, strict=True))
    ]
    write_parquet(tmp_path / "data" / "train.parquet", rows)
    settings = settings_for(tmp_path / "data", tmp_path / "out")
    totals = annotate(settings)
    assert totals.emptied == 2 + 2 + 4  # numbers of tracks, NOMML, categories
    assert "8 values of the dataset left empty" in capsys.readouterr().out
    table = read(tmp_path / "out", "songs")
    assert table["num_tracks"].tolist() == ["", "", "12", ""]
    assert table["title"].str.len().max() == LONGEST_TEXT and table["tempo"].str.len().max() == LONGEST_TEXT
    assert verify(settings).findings == []
    found = exported(tmp_path / "out", tmp_path / "published")
    assert found["num_tracks"].to_pylist() == [None, None, 12, None]
    assert found["NOMML"].to_pylist() == [[1, 2], None, None, None]
    assert [len(styles) for styles in found["music_styles_curated"].to_pylist()] == [1, 250, 2, 2]
    analysed(tmp_path / "out", tmp_path / "analysis")


def test_a_cut_text_of_letters_of_four_bytes_is_exported(tmp_path: Path) -> None:
    rows = [row | {"title": "🎵" * 5_000, "artist": "\ud83c"} for row in rows_of(songs(2))]
    table = pa.Table.from_pylist([{**row, "artist": None} for row in rows])
    (tmp_path / "data").mkdir()
    pq.write_table(table, tmp_path / "data" / "train.parquet")
    annotate(settings_for(tmp_path / "data", tmp_path / "out"))
    assert exported(tmp_path / "out", tmp_path / "set")["title"].to_pylist() == ["🎵" * LONGEST_TEXT] * 2


def test_songs_whose_bytes_changed_are_counted_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(songs(3))
    rows[1]["music"] = song(9, 70)
    rows.append({**rows[0], "md5": "f" * 32, "music": b"no music"})
    write_parquet(tmp_path / "data" / "train.parquet", rows)
    totals = annotate(settings_for(tmp_path / "data", tmp_path / "out"))
    assert totals.other_bytes == 2 == read_record(tmp_path / "out", 0).totals.other_bytes
    assert "2 songs with other bytes than the md5 says" in capsys.readouterr().out


def test_a_run_whose_songs_nearly_all_fail_says_so_last_and_ends_with_1(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", rows_of([None] * 38 + [song(1)]), row_group_size=100)
    words = [f"dataset.path={tmp_path / 'data'}", f"output.dir={tmp_path / 'out'}", "compute.workers=1"]
    done = run_script("process_gigamidi/01_annotate.py", *(word for given in words for word in ("--set", given)))
    assert done.returncode == 1
    *_, last = done.stderr.splitlines()
    assert last.startswith("error: 38 of 39 songs in the first part failed, 38 of them with no_music: ")
    assert str(tmp_path / "out" / "failures") in last
    assert len(read(tmp_path / "out", "failures")) == 38  # what was done is kept


def test_a_run_with_some_failures_is_well(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", rows_of([*[None] * 9, song(1)]), row_group_size=100)
    assert annotate(settings_for(tmp_path, tmp_path / "out")).failures == 9


def test_a_folder_without_a_song_is_no_good_folder_for_verify_and_export(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", rows_of([None, None, b""]))
    settings = settings_for(tmp_path / "data", tmp_path / "out")
    with pytest.raises(UserError, match="3 of 3 songs"):
        annotate(settings)
    (finding,) = verify(settings).findings
    assert "no song" in finding.what
    with pytest.raises(UserError, match="no song in"):
        exported(tmp_path / "out", tmp_path / "set")


@pytest.mark.parametrize(
    "name", ["who?", "a*b", "[1]", "back\\slash", "a b", "'quoted'", "ü", "$HOME", "new\nline", "%s"]
)
def test_an_output_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", rows_of(songs(5)))
    for decoy in ("whoX", "aXb", "1"):
        (tmp_path / decoy / "bars").mkdir(parents=True)
        (tmp_path / decoy / "bars" / "part-00000.csv").write_text("md5\nx\n")
    folder = tmp_path / name / "out"
    settings = settings_for(tmp_path / "data", tmp_path / "out", f"output.dir={as_override(str(folder))}")
    annotate(settings)
    annotate(settings)  # continues
    assert verify(settings).findings == []
    assert exported(folder, tmp_path / name / "set").num_rows == 5
    done = run_script(
        "analyze_emotion_annotations/01_statistics.py",
        "--set",
        f"input.dir={as_override(str(folder))}",
        "--set",
        f"output.dir={as_override(str(tmp_path / name))}",
    )
    if {"\\", "?"} & set(name):
        assert done.returncode == 1 and "can't be used here" in done.stderr and done.stderr.count("\n") == 1
        return
    assert (done.returncode, done.stderr) == (0, "")
    assert "5" in (tmp_path / name / "statistics_by_style.csv").read_text()


def test_a_path_that_is_not_utf_8_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"output.dir.*not UTF-8") as raised:
        settings_for(tmp_path, tmp_path / "caf\udce9")
    assert "\n" not in str(raised.value) and str(raised.value).isprintable()


def test_files_whose_names_are_not_utf_8_are_annotated(tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    (folder / "caf\udce9.mid").write_bytes(song(2))
    settings = settings_for(folder, tmp_path / "out")
    annotate(settings)
    assert read(tmp_path / "out", "songs")["title"].tolist() == ["caf?.mid"]
    assert read(tmp_path / "out", "songs")["md5"].tolist() == [hashlib.md5(song(2)).hexdigest()]
    assert verify(settings).findings == []


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", rows_of(mixed_songs()))
    monkeypatch.setenv("HOME", str(tmp_path))
    annotate(settings_for(Path("~/data"), Path("~/out")))
    assert (tmp_path / "out" / "run.json").exists()


def test_a_data_set_without_rows_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([("md5", pa.string()), ("music", pa.binary())])
    pq.write_table(schema.empty_table(), tmp_path / "train.parquet")
    with pytest.raises(UserError, match="there are no songs in it"):
        annotate(settings_for(tmp_path, tmp_path / "out"))


def test_different_songs_of_one_md5_are_not_mixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row | {"md5": "song1" if i < 3 else row["md5"]} for i, row in enumerate(rows_of(songs(6)))]
    write_parquet(tmp_path / "data" / "train.parquet", rows, row_group_size=100)
    annotate(settings_for(tmp_path / "data", tmp_path / "out"))
    words = ("--set", f"input.dir={tmp_path / 'out'}", "--set", f"output.dir={tmp_path / 'an'}")
    done = run_script("analyze_emotion_annotations/01_statistics.py", *words)
    assert done.returncode == 0 and "1 md5 left out, each of several songs with different bars" in done.stderr
    with (tmp_path / "an" / "statistics_by_style.csv").open(newline="") as file:
        (everything, *_) = csv.DictReader(file)
    assert everything["n_songs"] == "3"


def test_a_style_that_is_half_a_letter_is_shown_as_a_question_mark(tmp_path: Path) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", rows_of(songs(3)))
    annotate(settings_for(tmp_path / "data", tmp_path / "out"))
    path = table_path(tmp_path / "out", "songs", 0)
    path.write_text(path.read_text().replace('""folk""', '""\\ud800""'))
    analysed(tmp_path / "out", tmp_path / "analysis")
    with (tmp_path / "analysis" / "statistics_by_style.csv").open(newline="") as file:
        assert "?" in {row["style"] for row in csv.DictReader(file)}


def test_a_full_disk_is_one_line_that_names_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_parquet(tmp_path / "data" / "train.parquet", rows_of(songs(3)))
    annotate(settings_for(tmp_path / "data", tmp_path / "out"))

    def full(*_: object, **__: object) -> None:
        raise duckdb.IOException("IO Error: Could not write all bytes: No space left on device")

    monkeypatch.setattr(duckdb, "connect", full)
    words = ("--set", f"input.dir={tmp_path / 'out'}", "--set", f"output.dir={tmp_path / 'an'}")
    done = run_script("analyze_emotion_annotations/01_statistics.py", *words)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert str(tmp_path / "an") in done.stderr and "No space left on device" in done.stderr
