"""What 02_verify.py finds in a folder that was tampered with, and that the command it prints repairs it."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from small_dataset import rows_of, settings_for, song, tables, write_parquet

from pipeline.annotations import TABLES, record_path, table_path
from pipeline.files import file_digest, write_json
from pipeline.records import read_record
from pipeline.settings import UserError, load_settings
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.verification import Verification, annotate_command, verify

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def made(hub_copy: Path, finished: Path, tmp_path: Path) -> AnnotationSettings:
    """The settings of a finished folder, which a test may change."""
    shutil.copytree(finished, tmp_path / "out")
    return settings_for(hub_copy, tmp_path / "out")


def found(settings: AnnotationSettings) -> list[str]:
    return [finding.what for finding in verify(settings).findings]


def forge(folder: Path, part: int, kind: str, change: Callable[[str], str]) -> None:
    """Change a table, and its record so that its digest is right."""
    path = table_path(folder, kind, part)
    path.write_text(change(path.read_text()))
    record = read_record(folder, part)
    record.sha256[kind] = file_digest(path)
    write_json(record_path(folder, part), asdict(record))


def repair(found: Verification) -> None:
    """Do what the verification's commands say."""
    *removals, again = found.repairs
    for line in removals:
        rm, path = shlex.split(line)
        assert rm == "rm"
        Path(path).unlink()
    command = shlex.split(again)
    assert command[:2] == ["python", "process_gigamidi/01_annotate.py"]
    annotate(load_settings(AnnotationSettings, SETTINGS_FILE, None, command[3::2]))


def test_a_finished_folder_has_nothing_wrong(made: AnnotationSettings) -> None:
    verification = verify(made)
    assert verification.findings == [] and verification.repairs == []
    assert (verification.n_parts, verification.totals.rows) == (4, 23)


@pytest.mark.parametrize("lost", [f"{kind}/part-00001.csv" for kind in TABLES] + ["parts/part-00001.json"])
def test_a_missing_file_is_named_and_repaired(made: AnnotationSettings, lost: str) -> None:
    whole = tables(made.folder)
    (made.folder / lost).unlink()
    verification = verify(made)
    assert [finding.what[:11] for finding in verification.findings] == ["part 00001:"]
    assert "missing" in verification.findings[0].what
    repair(verification)
    assert tables(made.folder) == whole and found(made) == []


@pytest.mark.parametrize("kind", TABLES)
def test_one_changed_byte_is_found_and_repaired(made: AnnotationSettings, kind: str) -> None:
    whole = tables(made.folder)
    path = table_path(made.folder, kind, 0)
    path.write_bytes(path.read_bytes()[:-2] + b"7\n")
    verification = verify(made)
    assert [finding.what for finding in verification.findings] == [
        f"part 00000: {kind} changed since they were written"
    ]
    repair(verification)
    assert tables(made.folder) == whole and found(made) == []


def without_line(at: int) -> Callable[[str], str]:
    return lambda text: "".join(line for i, line in enumerate(text.splitlines(keepends=True)) if i != at)


def swapped(i: int, k: int) -> Callable[[str], str]:
    def swap(text: str) -> str:
        lines = text.splitlines(keepends=True)
        lines[i], lines[k] = lines[k], lines[i]
        return "".join(lines)

    return swap


def field(at: int, column: int, value: str) -> Callable[[str], str]:
    def put(text: str) -> str:
        lines = text.splitlines()
        fields = lines[at].split(",")
        fields[column] = value
        lines[at] = ",".join(fields)
        return "\n".join(lines) + "\n"

    return put


@pytest.mark.parametrize(
    ("kind", "change", "what"),
    [
        ("bars", without_line(3), "the rows of bars don't follow those of songs"),
        ("bars", swapped(4, 5), "bars follow each other, but not in"),
        ("bars", field(5, 2, "1.0001"), "bars: valence has a cell that can't be"),
        ("bars", field(5, 3, "nan"), "bars: arousal has a cell that can't be"),
        ("bars", field(5, 3, ""), "bars: arousal has a cell that can't be"),
        ("bars", field(5, 2, "0.9999"), "valence_mean is the mean"),
        ("bars", field(5, 4, "0"), "bars begin at no earlier tick than those before"),
        ("bars", field(5, 8, "17"), "the bars have the song's notes"),
        ("bars", field(5, 9, "17"), "the bars have the song's drum notes"),
        ("bars", field(5, 10, "-1"), "bars: valence_error_sd has a cell that can't be"),
        ("bars", field(0, 2, "v"), "the columns are not md5"),
        ("bars", field(5, 5, "-1"), "bars: start_seconds has a cell that can't be"),
        ("bars", field(5, 5, "inf"), "bars: start_seconds has a cell that can't be"),
        ("bars", field(5, 6, "=1/0"), "bars: meter has a cell that can't be"),
        ("bars", field(5, 6, "1/" + "9" * 400), "bars: meter has a cell that can't be"),
        ("bars", field(5, 7, "4"), "bars: barred_as has a cell that can't be"),
        ("bars", field(5, 1, "-5"), "bars: bar_number has a cell that can't be"),
        ("songs", field(2, 4, "x"), "songs: n_instruments has a cell that can't be"),
        ("songs", field(2, 5, "nan"), "songs: duration_seconds has a cell that can't be"),
        ("songs", field(2, 7, "-3"), "songs: valence_sd has a cell that can't be"),
        ("songs", field(2, 11, "-1"), "songs: left_out_zero_length has a cell that can't be"),
        ("songs", field(2, 16, "1.5"), "songs: n_clamped has a cell that can't be"),
        ("songs", field(2, 19, "x" * 50_000), "songs: music_style_scraped has a cell that can't be"),
        ("failures", without_line(1), "missing from songs and failures"),
        ("failures", lambda text: text + text.splitlines()[-1] + "\n", "more often than in the dataset"),
        ("songs", swapped(1, 2), "the rows of bars don't follow those of songs"),
    ],
)
def test_tables_that_cannot_be_true_are_found(
    made: AnnotationSettings, kind: str, change: Callable[[str], str], what: str
) -> None:
    part = 0 if kind == "failures" else 2  # the third part has songs of several bars
    forge(made.folder, part, kind, change)
    assert any(what in finding for finding in found(made)), found(made)


def test_a_song_that_is_there_twice_is_found(made: AnnotationSettings) -> None:
    def twice(text: str) -> str:
        return text + text.splitlines()[-1] + "\n"

    last = table_path(made.folder, "songs", 2).read_text().splitlines()[-1].split(",")
    forge(made.folder, 2, "songs", twice)
    forge(made.folder, 2, "bars", lambda text: text + "".join(text.splitlines(keepends=True)[-int(last[1]) :]))
    assert any(f"{last[0]} is here more often than in the dataset" in finding for finding in found(made))


def test_a_part_of_another_run_is_found(made: AnnotationSettings, hub_copy: Path, tmp_path: Path) -> None:
    other = settings_for(hub_copy, tmp_path / "other", "bars.merge_doubled=false")
    annotate(other)
    record_path(made.folder, 1).write_bytes(record_path(other.folder, 1).read_bytes())
    assert found(made) == ["part 00001: made with other settings, weights or data than run.json says"]


def test_leftovers_of_a_killed_run_and_surplus_parts_are_found(made: AnnotationSettings) -> None:
    (made.folder / "bars" / ".part-00002.csv.0123456789ab-77-01234567.partial").touch()
    for kind in TABLES:
        table_path(made.folder, kind, 9).touch()
    record_path(made.folder, 9).write_bytes(record_path(made.folder, 1).read_bytes())
    verification = verify(made)
    assert [finding.what.split(":")[1] for finding in verification.findings] == [
        " the dataset has no such part",
        " left by a run that was stopped, unless one is running now",
    ]
    for line in verification.repairs:
        Path(shlex.split(line)[1]).unlink()
    assert found(made) == []


def test_totals_that_a_killed_run_did_not_write_are_found_and_repaired(made: AnnotationSettings) -> None:
    path = made.folder / "run.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"totals": None}))
    verification = verify(made)
    assert [finding.what for finding in verification.findings] == [
        "run.json: the totals of all parts are missing or wrong"
    ]
    repair(verification)
    assert json.loads(path.read_text()) == record


def test_another_dataset_is_refused_and_a_moved_one_is_not(
    made: AnnotationSettings, hub_copy: Path, tmp_path: Path
) -> None:
    moved = hub_copy.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"dataset.path: .* does not exist"):
        verify(made)
    assert found(settings_for(moved, made.folder)) == []
    write_parquet(moved / "v2.0.0" / "train" / "train-00001.parquet", rows_of([song(1)]))
    with pytest.raises(UserError, match="not the dataset that the folder was made from"):
        verify(settings_for(moved, made.folder))


def test_a_folder_without_annotations_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no run.json"):
        verify(settings_for(tmp_path, tmp_path))


def test_the_command_names_every_setting_that_is_not_the_default() -> None:
    overrides = ["dataset.limit=5", "output.dir=my folder", "bars.merge_doubled=false", "model.dtype=bfloat16"]
    settings = load_settings(AnnotationSettings, SETTINGS_FILE, None, overrides)
    words = shlex.split(annotate_command(settings))
    assert load_settings(AnnotationSettings, SETTINGS_FILE, None, words[3::2]) == settings
    assert sorted(words[3::2]) == sorted(overrides)


def test_real_annotations_verify(shared: Path, tmp_path: Path) -> None:
    sample = shared / "data" / "gigamidi_sample"
    settings = settings_for(sample, tmp_path / "out", "dataset.split=test")
    annotate(settings)
    assert found(settings) == []


@pytest.mark.parametrize(
    "text", ["null", "true", "12", "[a]", "a: b", "two\nlines", "\x1b[2J", "ä 'b' \"c\"", "#", "{"]
)
def test_the_printed_command_is_one_line_that_gives_the_settings_back(text: str) -> None:
    settings = load_settings(AnnotationSettings, SETTINGS_FILE)
    odd = replace(settings, dataset=replace(settings.dataset, path=text))
    command = annotate_command(odd)
    assert command.isprintable()
    assert load_settings(AnnotationSettings, SETTINGS_FILE, None, shlex.split(command)[3::2]) == odd
