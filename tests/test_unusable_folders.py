"""Folders that a script can't work in: each script refuses them in one line and changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from script_runs import run_script, settings_words
from small_dataset import song

from pipeline.annotations import FORMAT, TABLES

OF_DATASETS = {
    "process_gigamidi/01_annotate.py": ("dataset.path=a.mid", "output.dir=folder"),
    "process_gigamidi/02_verify.py": ("dataset.path=a.mid", "output.dir=folder"),
    "publish_annotations/01_export.py": ("export.folders=[folder]", "export.dir=data"),
}
OF_ANALYSIS = {
    f"analyze_emotion_annotations/{script}.py": ("input.dir=folder", "output.dir=analysis")
    for script in ("01_statistics", "02_plot_song_curves", "03_report")
}
SCRIPTS = OF_DATASETS | OF_ANALYSIS


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with one song in it."""
    (tmp_path / "a.mid").write_bytes(song(3))
    return tmp_path


def refusal(script: str, here: Path) -> str:
    """The one line in which a script refuses the folder, which stays as it was."""
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    ran = run_script(script, *settings_words(*SCRIPTS[script]), folder=here)
    assert ran.returncode == 2 and ran.stderr.startswith("error: ") and ran.stderr.count("\n") == 1, ran.stderr
    after = {path: path.read_bytes() for path in here.rglob("*") if path.is_file() and path.name != ".run.lock"}
    assert after == before
    return ran.stderr


@pytest.mark.parametrize("script", SCRIPTS)
def test_tables_of_an_older_format_are_refused(script: str, here: Path) -> None:
    for table in (*TABLES, "parts"):
        (here / "folder" / table).mkdir(parents=True)
        (here / "folder" / table / f"part-00000.{'json' if table == 'parts' else 'csv'}").write_text("md5\n")
    record = {"settings": {}, "decides": {"format": FORMAT - 1}, "parts": 1, "totals": None}
    (here / "folder" / "run.json").write_text(json.dumps(record))
    line = refusal(script, here)
    assert f"format {FORMAT - 1}, this version reads and writes format {FORMAT}" in line
    assert "annotate into another output.dir" in line


@pytest.mark.parametrize("script", OF_DATASETS)
def test_tables_of_ones_own_files_are_refused_where_a_dataset_is_needed(script: str, here: Path) -> None:
    ran = run_script("annotate_own_music/01_annotate_file.py", "a.mid", "--no-plots", "--csv", "folder", folder=here)
    assert ran.returncode == 0, ran.stderr
    line = refusal(script, here)
    own = "annotate_own_music/01_annotate_file.py"
    assert f"run.json: written by {own}; this reads what" in line or f"holds the results of {own}; choose" in line


@pytest.mark.parametrize(
    ("record", "writer"),
    [
        ({"written_by": "pretrain_model/04_evaluate.py"}, "pretrain_model/04_evaluate.py"),
        ({"written_by": "x\n\x1b[2J"}, "x [2J"),
        ({"parts": 1, "annotations_run_sha256": None}, "analyze_emotion_annotations/01_statistics.py"),
        ({"encoder_digest": "", "head_digest": "0"}, "pretrain_model/03_train.py"),
        ({"encoder_file_digest": "0", "steps": 1}, "musetok_bridge/02_train_tokenizer.py"),
        (None, "publish_annotations/01_export.py"),
    ],
)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_of_another_script_is_told_by_its_name(
    script: str, record: dict[str, object] | None, writer: str, here: Path
) -> None:
    (here / "folder").mkdir()
    name, content = ("export.json", {"files": {}}) if record is None else ("run.json", {"settings": {}, **record})
    (here / "folder" / name).write_text(json.dumps(content))
    line = refusal(script, here)
    if script == "process_gigamidi/01_annotate.py":  # which writes into it
        assert f"output.dir: folder holds the results of {writer}; choose another folder" in line
    else:
        assert f"{name}: written by {writer}; this reads what process_gigamidi/01_annotate.py " in line


@pytest.mark.parametrize("content", ["{", "[]", '{"settings": {}, "decides": []}', '{"settings": []}'])
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_damaged_run_record_is_refused(script: str, content: str, here: Path) -> None:
    (here / "folder").mkdir()
    (here / "folder" / "run.json").write_text(content)
    line = refusal(script, here)
    assert "run.json: not a record of an annotation" in line and "restore it, or take another folder" in line
