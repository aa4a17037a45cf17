"""The examples run, and the notebook's outputs are those that are stored in it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pyarrow.parquet as pq
import pytest
from notebook_run import NOTEBOOK, executed
from script_runs import run_script, settings_words

from pipeline.settings import PROJECT_ROOT

EXAMPLES = PROJECT_ROOT / "examples"


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """What the cells print and return as text; pictures are told by their size alone."""
    outputs: list[Any] = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output["text"] if "text" in output else output["data"]["text/plain"] for output in outputs]


def test_the_notebook_runs_and_gives_the_outputs_that_it_shows() -> None:
    shown = printed(nbformat.read(NOTEBOOK, as_version=4))
    assert printed(executed()) == shown
    assert len(shown) >= 6 and any("Valence_" in text and "Note_Pitch_" in text for text in shown)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs as MIDI files in `music`, annotated and exported to `export`."""
    folder = tmp_path_factory.mktemp("control")
    (folder / "music").mkdir()
    for name in ("leading_empty_bars", "random_mix"):
        shutil.copy(PROJECT_ROOT / "tests" / "fixtures" / "synthetic" / f"{name}.mid", folder / "music")
    annotating = (f"dataset.path={folder / 'music'}", f"output.dir={folder / 'out'}", "compute.workers=0")
    exporting = (f"export.folders=[{folder / 'out'}]", f"export.dir={folder / 'export'}")
    for script, settings in (
        ("process_gigamidi/01_annotate.py", annotating),
        ("publish_annotations/01_export.py", exporting),
    ):
        assert run_script(script, *settings_words(*settings)).returncode == 0
    return folder


def test_each_bar_has_its_two_control_tokens_before_it(export: Path) -> None:
    for song in pq.read_table(export / "export" / "songs").to_pylist():
        path = export / "music" / song["title"]
        command = [sys.executable, EXAMPLES / "control_tokens.py", path, export / "export"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        assert len(lines) == song["n_bars"]
        for line, valence, arousal in zip(lines, song["valence_rank"], song["arousal_rank"], strict=True):
            assert line.split()[:3] == [f"Valence_{int(8 * valence)}", f"Arousal_{int(8 * arousal)}", "Bar_None"]
            assert line.count("Bar_None") == line.count("Valence_") == 1


def test_a_song_that_is_not_in_the_data_set_is_one_line(export: Path) -> None:
    other = PROJECT_ROOT / "tests" / "fixtures" / "synthetic" / "meter_3_4.mid"
    command = [sys.executable, EXAMPLES / "control_tokens.py", other, export / "export"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr == f"error: {other} is no song with ranks of {export / 'export'}\n"
