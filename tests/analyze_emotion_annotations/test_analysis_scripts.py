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


PICTURES = ("styles", "planes", "ridgelines", "quadrants", "courses")


def test_statistics_report_and_curves_of_a_library(annotations, library, tmp_path):
    folder = annotations(library[:30], library[30:])
    done = run("01_statistics.py", tmp_path, f"input.dir={folder}", "output.dir=results", "styles.min_songs=1")
    assert done.returncode == 0, done.stderr
    results = tmp_path / "results"
    table = pd.read_csv(results / "statistics_by_style.csv", keep_default_na=False)
    assert set(table["style"]) == {"(all)", "(none)", "folk", "pop", "jazz", "blues"}
    assert (table["valence_mean_low"] <= table["valence_mean"]).all()
    features = pd.read_csv(results / "statistics_by_feature.csv")
    assert {"tempo", "note density"} <= set(features["feature"])
    compared = pd.read_csv(results / "comparisons.csv", keep_default_na=False)
    of_styles = compared[compared["grouping"] == "music_styles_curated"]
    # of folk, pop, jazz and blues: all pop songs are folk too, and all blues songs jazz, so nothing is left to compare
    assert len(of_styles) == 2 * 4
    assert (of_styles["p_holm"] >= of_styles["p"]).all() and (of_styles["p"] > 0).all()
    assert len(pd.read_csv(results / "courses.csv")) % 20 == 0
    songs = pd.read_csv(results / "songs_to_look_at.csv")
    assert {"highest valence", "changes most", "typical of folk"} <= set(songs["list"])
    for name in PICTURES:
        assert (results / f"{name}.png").stat().st_size > 10_000
        assert "<svg" in (results / f"{name}.svg").read_text(encoding="utf-8")[:1000]
    record = json.loads((results / "run.json").read_text())
    assert (record["songs"], record["parts"]) == (60, 2)
    assert record["settings"]["input"]["dir"] == str(folder)
    assert not list(results.glob(".database-*"))

    done = run("03_report.py", tmp_path, f"input.dir={folder}", "output.dir=results")
    assert done.returncode == 0, done.stderr
    assert "results/report.html" in done.stdout
    assert (results / "report.html").read_text(encoding="utf-8").startswith("<!")

    done = run("02_plot_song_curves.py", tmp_path, f"input.dir={folder}", "output.dir=results", "songs.first=2")
    assert done.returncode == 0, done.stderr
    pictures = sorted(str(path.relative_to(tmp_path)) for path in (results / "curves").iterdir())
    assert sorted(done.stdout.split()) == pictures
    assert len(pictures) == 4  # PNG and SVG of two songs


def test_one_line_for_what_is_wrong(annotations, library, tmp_path):
    folder = annotations(library[:2])
    empty = annotations([(library[0][0], library[0][1][:0])], folder="empty")
    foreign = annotations(library[:2], folder="foreign")
    table = foreign / "bars" / "part-00000.csv"
    table.write_text(table.read_text().replace("arousal", "energy"))
    in_its_place = tmp_path / "in_its_place"
    in_its_place.write_text("a file, not a folder")
    for script, settings, code, said in (
        ("01_statistics.py", ["input.dir=nowhere"], 1, "nowhere: no such folder"),
        ("01_statistics.py", [f"input.dir={folder}", "styles.min_song=1"], 2, "unknown setting 'styles.min_song'"),
        ("01_statistics.py", [f"input.dir={folder}", "features.tempo_edges=[90,80]"], 2, "features.tempo_edges"),
        ("01_statistics.py", [f"input.dir={folder}", "picture.formats=[]"], 2, "picture.formats"),
        ("01_statistics.py", [f"input.dir={empty}"], 1, "no bar was annotated"),
        ("03_report.py", [f"input.dir={foreign}"], 1, "column arousal is missing"),
        ("03_report.py", [f"input.dir={folder}", f"output.dir={in_its_place}"], 1, "in_its_place"),
        ("02_plot_song_curves.py", [f"input.dir={folder}", "songs.md5=[abc1]"], 1, "abc1"),
        ("02_plot_song_curves.py", [f"input.dir={folder}", "songs.first=0"], 2, "songs.first"),
    ):
        done = run(script, tmp_path, *settings)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        assert said in done.stderr
    assert not (tmp_path / "output" / "analysis" / "statistics_by_style.csv").exists()
