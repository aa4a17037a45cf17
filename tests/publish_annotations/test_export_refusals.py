"""What 01_export.py refuses with one line that says what to do, and that it then leaves earlier exports alone."""

from __future__ import annotations

import errno
import json
import shlex
from dataclasses import asdict
from pathlib import Path

import pytest
from datasets import NamedSplit
from filelock import FileLock
from script_runs import Done, run_script, settings_words
from small_release import (
    annotate_split,
    content,
    csv_rows,
    export_settings,
    files_of,
)

from pipeline.annotations import finished_parts, record_path, table_path
from pipeline.files import file_digest, write_json
from pipeline.records import RecordError, digest_of, read_record
from pipeline.settings import UserError, load_settings
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.part_files import complete_part
from publish_annotations.annotated_splits import is_split_name
from publish_annotations.export import export

pytestmark = pytest.mark.usefixtures("models")

SCRIPT = "publish_annotations/01_export.py"


def test_an_unfinished_folder_is_refused_with_the_command_that_finishes_it(
    annotations: list[Path], tmp_path: Path
) -> None:
    record_path(annotations[0], 1).unlink()
    with pytest.raises(
        UserError, match=r"annotations-train: 1 of 4 parts not finished \(00001\); finish it first: "
    ) as said:
        export(export_settings(annotations, tmp_path / "data"))
    assert not (tmp_path / "data").exists()
    words = shlex.split(str(said.value).partition("finish it first: ")[2])
    assert words[:2] == ["python", "process_gigamidi/01_annotate.py"]
    annotate(load_settings(AnnotationSettings, SETTINGS_FILE, None, words[3::2]))
    export(export_settings(annotations, tmp_path / "data"))


def test_a_folder_without_totals_or_without_annotations_is_refused_in_one_line(
    annotations: list[Path], tmp_path: Path
) -> None:
    run = json.loads((annotations[0] / "run.json").read_text())
    write_json(annotations[0] / "run.json", run | {"totals": None})
    with pytest.raises(UserError, match="doesn't have the totals of all parts; finish it first: python"):
        export(export_settings(annotations, tmp_path / "data"))
    with pytest.raises(UserError, match=r"nowhere holds no run.json; annotate into it first: .*output.dir=.*nowhere"):
        export(export_settings([tmp_path / "nowhere"], tmp_path / "data"))


def test_a_part_of_another_run_is_refused_in_one_line(release: Path, annotations: list[Path], tmp_path: Path) -> None:
    annotate_split(release, tmp_path / "other", "train", "bars.merge_doubled=false")
    record_path(annotations[0], 1).write_bytes(record_path(tmp_path / "other", 1).read_bytes())
    with pytest.raises(
        UserError, match=r"part 00001 of .* belongs to another run; see what is wrong: python .*02_verify.py"
    ):
        export(export_settings(annotations, tmp_path / "data"))


@pytest.mark.parametrize("kind", ["bars", "songs"])
def test_a_changed_table_is_refused_and_an_earlier_export_stays(
    annotations: list[Path], tmp_path: Path, kind: str
) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    before = content(tmp_path / "data")
    path = table_path(annotations[1], kind, 0)
    path.write_bytes(path.read_bytes().replace(b"0.1", b"0.2"))
    with pytest.raises(UserError, match=rf"{kind}/part-00000.csv was changed since it was written; .*02_verify.py"):
        export(export_settings(annotations, tmp_path / "data"))
    assert content(tmp_path / "data") == before
    assert [path.name for path in tmp_path.glob(".*")] == []


def forge(folder: Path, kind: str, change: dict[str, str]) -> None:
    """Change a part's table and its record to match, so that only the rows show the change."""
    record, path = read_record(folder, 0), table_path(folder, kind, 0)
    text = path.read_text(encoding="utf-8")
    for old, new in change.items():
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    complete_part(folder, 0, record.run, record.totals)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("bars", "bar_number", "number"),
        ("bars", ",3/4,3/4,", ",3/4,3/4,x"),
        ("songs", "n_bars", "bars"),
        ("songs", ",0.", ",x."),
        ("songs", ",2\n", ",2.5\n"),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_in_one_line(
    annotations: list[Path], tmp_path: Path, kind: str, old: str, new: str
) -> None:
    forge(annotations[1], kind, {old: new})
    with pytest.raises(UserError, match=f"{kind}.* can't be read") as said:
        export(export_settings(annotations, tmp_path / "data"))
    assert "\n" not in str(said.value) and "02_verify.py" in str(said.value)


def test_bars_that_are_not_the_songs_are_refused(annotations: list[Path], tmp_path: Path) -> None:
    first, second = csv_rows(annotations[1], "songs")[:2]
    forge(annotations[1], "bars", {first["md5"]: second["md5"]})
    with pytest.raises(UserError, match="its bars are not those of its songs"):
        export(export_settings(annotations, tmp_path / "data"))


def test_more_or_fewer_bars_than_the_songs_have_are_refused(annotations: list[Path], tmp_path: Path) -> None:
    last = csv_rows(annotations[1], "songs")[-1]
    path = table_path(annotations[1], "bars", 1)
    whole = path.read_text()
    record = read_record(annotations[1], 1)
    for text, what in (
        (whole + whole.splitlines()[-1] + "\n", "more bars"),
        (whole[: whole.rindex(last["md5"])], "fewer"),
    ):
        path.write_text(text)
        complete_part(annotations[1], 1, record.run, record.totals)
        with pytest.raises(UserError, match=what):
            export(export_settings(annotations, tmp_path / "data"))


def test_a_value_out_of_range_is_refused(annotations: list[Path], tmp_path: Path) -> None:
    row = csv_rows(annotations[1], "bars")[0]
    forge(annotations[1], "bars", {f",{row['valence']},": ",1.0001,"})
    with pytest.raises(UserError, match=r"a cell of valence is out of its range.*see what is wrong: python"):
        export(export_settings(annotations, tmp_path / "data"))


@pytest.mark.parametrize("cell", ["-5", "2.5", "99999999999", "x", ""])
def test_a_cell_that_no_bar_has_is_refused(annotations: list[Path], tmp_path: Path, cell: str) -> None:
    row = csv_rows(annotations[1], "bars")[0]
    line = ",".join(row.values())
    forge(annotations[1], "bars", {line: line.replace(f",{row['n_notes']},", f",{cell},", 1)})
    with pytest.raises(UserError, match="see what is wrong: python"):
        export(export_settings(annotations, tmp_path / "data"))


def test_splits_that_do_not_belong_together_are_refused(release: Path, annotations: list[Path], tmp_path: Path) -> None:
    annotate_split(release, tmp_path / "other", "test", "bars.merge_doubled=false")
    train = annotations[0]
    with pytest.raises(
        UserError, match=r"made with bars.merge_doubled = True, .*other with False; annotate the second again"
    ) as said:
        export(export_settings([train, tmp_path / "other"], tmp_path / "data"))
    words = shlex.split(str(said.value).partition("settings of the first: ")[2])
    again = load_settings(AnnotationSettings, SETTINGS_FILE, None, words[3::2])
    annotate(again)
    export(export_settings([train, again.folder], tmp_path / "data"))
    with pytest.raises(UserError, match="both hold the split 'train'; name one folder for each split"):
        export(export_settings([train, train], tmp_path / "data"))


def test_an_earlier_export_is_replaced_and_nothing_else_is(annotations: list[Path], tmp_path: Path) -> None:
    data = tmp_path / "data"
    export(export_settings(annotations, data, bars_per_row_group=15, bars_per_file=40))
    (tmp_path / ".data.partial" / "bars").mkdir(parents=True)  # from an export that was killed
    (tmp_path / ".data.partial" / "bars" / "test-00007.parquet").touch()
    export(export_settings(annotations, data))
    record = json.loads((data / "export.json").read_text())
    assert set(record["files"]) | {"export.json"} == set(content(data))
    assert all(file_digest(data / name) == about["sha256"] for name, about in record["files"].items())
    assert len(files_of(data, "bars", "train")) == 1
    (data / "notes.txt").write_text("mine")
    before = content(data)
    with pytest.raises(
        UserError, match=r"data holds a file that no export wrote as it is \(notes.txt\), so nothing in it is changed"
    ):
        export(export_settings(annotations, data))
    with pytest.raises(UserError, match="annotations-test holds a file that no export wrote"):
        export(export_settings(annotations[:1], annotations[1]))
    assert content(data) == before


def test_two_exports_into_one_folder_do_not_mix(annotations: list[Path], tmp_path: Path) -> None:
    (tmp_path / ".data.partial").mkdir()
    with (
        FileLock(tmp_path / ".data.partial" / ".lock"),
        pytest.raises(UserError, match=r"another export into .*data is running"),
    ):
        export(export_settings(annotations, tmp_path / "data"))


def change_run(folder: Path, **decides: object) -> None:
    """Change what run.json says of a folder, and every record to match."""
    run = json.loads((folder / "run.json").read_text())
    run["decides"] |= decides
    write_json(folder / "run.json", run)
    for part in finished_parts(folder):
        write_json(record_path(folder, part), asdict(read_record(folder, part)) | {"run": digest_of(run["decides"])})


@pytest.mark.parametrize(
    "name",
    ["/abs", "../../x", "a/b", "..", ".a", "a..b", "a.", "a b", "a-b", "a*", "x" * 51, 1, True, "a\u2028b"],
)
def test_a_split_whose_name_is_not_one_is_refused_and_nothing_is_written(
    annotations: list[Path], tmp_path: Path, name: object
) -> None:
    change_run(annotations[0], **{"dataset.split": name})
    before = set(tmp_path.rglob("*"))
    with pytest.raises(RecordError, match=r"run\.json: ") as raised:
        export(export_settings(annotations[:1], tmp_path / "data"))
    assert str(raised.value).isprintable()
    assert set(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["train", "train.1", "Übung_2", "x" * 50])
def test_the_names_that_the_hub_takes_are_names_of_splits(name: str) -> None:
    assert is_split_name(name) and NamedSplit(name)  # which raises an error for any other name


def test_a_number_of_parts_that_nobody_has_is_refused_at_once(annotations: list[Path], tmp_path: Path) -> None:
    run = json.loads((annotations[0] / "run.json").read_text())
    write_json(annotations[0] / "run.json", run | {"parts": 10**12})
    with pytest.raises(
        UserError, match=r"999,999,999,996 of 1,000,000,000,000 parts not finished \(00004, 00005, 00006, …"
    ):
        export(export_settings(annotations, tmp_path / "data"))


def test_a_first_line_without_end_is_refused(annotations: list[Path], tmp_path: Path) -> None:
    for line in ("x" * 200_000, "md5\0", '"' * 200_001, "é" * 9_999):
        table_path(annotations[0], "songs", 0).write_text(line)
        with pytest.raises(UserError, match="can't be read as a table of songs"):
            export(export_settings(annotations, tmp_path / "data"))


def run(folder: Path, *overrides: str) -> Done:
    return run_script(SCRIPT, *settings_words(*overrides), folder=folder)


def test_the_script_prints_what_it_wrote(annotations: list[Path], tmp_path: Path) -> None:
    ran = run(tmp_path, "export.folders=[annotations-train, annotations-test]", "export.dir=data")
    assert (ran.returncode, ran.stderr) == (0, "")
    bars = sum(len(csv_rows(folder, "bars")) for folder in annotations)
    assert ran.stdout.startswith(f"26 songs annotated, {bars} bars, 5 failed: train, test, in data\n")
    assert 'datasets.load_dataset("data", "songs", split="train", streaming=True)' in ran.stdout
    assert (tmp_path / "data" / "README.md").is_file()


@pytest.mark.parametrize(
    ("override", "code", "what"),
    [
        ("export.folders=[nowhere]", 1, "error: export.folders: nowhere holds no run.json"),
        ("export.folders=[]", 2, "error: export.folders names no folder"),
        (
            "export.repo=gigamidi",
            2,
            "error: --set export.repo: 'export.repo' is 'gigamidi', which is not a name on the Hub",
        ),
        (
            "export.bars_per_file=3",
            2,
            "error: --set export.bars_per_file: 'export.bars_per_file' is 3, which is not from",
        ),
        ("card.title=", 2, "error: --set card.title: there is nothing after the ="),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(tmp_path: Path, override: str, code: int, what: str) -> None:
    ran = run(tmp_path, override)
    assert ran.returncode == code
    assert ran.stderr.startswith(what) and ran.stderr.count("\n") == 1


def test_a_full_disk_is_reported_in_one_line_and_an_earlier_export_stays(
    annotations: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    before = content(tmp_path / "data")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file")

    monkeypatch.setattr("publish_annotations.parquet_files.pq.ParquetWriter.write_table", full)
    with pytest.raises(UserError, match=r"export.dir: .*data can't be written to \(No space left on device\)"):
        export(export_settings(annotations, tmp_path / "data"))
    assert content(tmp_path / "data") == before
    assert [path.name for path in tmp_path.glob(".*")] == []
