"""The numbered scripts as a user runs them."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd

from musetok_bridge.settings import PROJECT_ROOT

PHASE = PROJECT_ROOT / "analyze_emotion_annotations"


def run(script, cwd, *settings):
    command = [sys.executable, str(PHASE / script), *(word for setting in settings for word in ("--set", setting))]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_statistics_and_curves_of_a_library(annotations, library, tmp_path):
    folder = annotations(library[:30], library[30:])
    done = run("01_statistics.py", tmp_path, f"input.dir={folder}", "output.dir=results")
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    table = pd.read_csv(results / "statistics_by_style.csv")
    assert set(table["style"]) == {"(all)", "(none)", "folk", "pop", "jazz", "blues"}
    assert (results / "styles.png").stat().st_size > 10_000
    record = json.loads((results / "run.json").read_text())
    assert (record["songs"], record["parts"]) == (60, 2)
    assert record["settings"]["input"]["dir"] == str(folder)

    done = run("02_plot_song_curves.py", tmp_path, f"input.dir={folder}", "output.dir=results", "songs.first=2")
    assert done.returncode == 0, done.stderr
    pictures = sorted(str(path.relative_to(tmp_path)) for path in (results / "curves").iterdir())
    assert sorted(done.stdout.split()) == pictures
    assert len(pictures) == 4  # PNG and SVG of two songs


def test_one_line_for_what_is_wrong(annotations, library, tmp_path):
    folder = annotations(library[:2])
    for script, settings, code in (
        ("01_statistics.py", ["input.dir=nowhere"], 1),
        ("02_plot_song_curves.py", [f"input.dir={folder}", "songs.md5=[0123]"], 1),
        ("02_plot_song_curves.py", [f"input.dir={folder}", "songs.first=0"], 2),
    ):
        done = run(script, tmp_path, *settings)
        assert done.returncode == code
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "output").exists()
