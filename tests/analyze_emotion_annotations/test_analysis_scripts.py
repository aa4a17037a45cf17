"""The numbered scripts as a user runs them: the files they write, and the one line they print on an error."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from script_runs import settings_words

from pipeline.annotations import record_path

PLOTS = ("styles", "planes", "ridgelines", "quadrants", "trajectories")
TABLES = ("statistics_by_style", "statistics_by_feature", "comparisons", "trajectories", "songs_to_look_at")
STYLE = "music_styles_curated"


def files_in(folder):
    return {path.name for path in folder.iterdir()}


def test_statistics_of_a_library(annotations, library, tmp_path, run_here):
    folder = annotations(library[:30], library[30:])
    settings = settings_words(f"input.dir={folder}", "output.dir=results", "plot.dpi=50")
    done = run_here("01_statistics.py", *settings)
    assert done.returncode == 0 and done.stderr == ""
    results = tmp_path / "results"
    plots = {f"{name}.{form}" for name in PLOTS for form in ("png", "svg")}
    assert files_in(results) == {"run.json", *plots, *(f"{name}.csv" for name in TABLES)}
    assert all((results / f"{name}.png").stat().st_size > 5_000 for name in PLOTS)
    for name in (*plots, *(f"{name}.csv" for name in TABLES)):
        assert f"results/{name}" in done.stdout
    tables = {name: pd.read_csv(results / f"{name}.csv", keep_default_na=False) for name in TABLES}

    styles = tables["statistics_by_style"]
    assert list(styles.columns[:7]) == [
        "style_column", "style", "n_songs", "n_bars", "valence_mean", "valence_mean_low", "valence_mean_high"
    ]  # fmt: skip
    assert list(styles["style"]) == ["(all)", "folk", "jazz", "blues", "pop", "(none)"]
    bars = np.concatenate([ratings for _, ratings in library])
    assert styles.loc[0, "n_bars"] == len(bars)
    assert styles.loc[0, "valence_mean"] == pytest.approx(bars[:, 0].mean(), abs=5e-5)
    assert set(tables["statistics_by_feature"]["feature"]) == {"(all)", "tempo", "note density"}
    compared = tables["comparisons"]
    assert {frozenset(pair) for pair in zip(compared["group_a"], compared["group_b"], strict=True)} == {
        frozenset(pair) for pair in (("folk", "jazz"), ("folk", "blues"), ("pop", "jazz"), ("pop", "blues"))
    }
    trajectories = tables["trajectories"]
    assert list(trajectories.columns[:4]) == ["grouping", "name", "point", "n_songs"]
    assert list(trajectories["point"][:20]) == list(range(20)) and trajectories["name"].iloc[0] == "(all)"
    songs = tables["songs_to_look_at"]
    assert set(songs["title"]) <= {str(row["title"]) for row, _ in library} and "part" not in songs
    record = json.loads((results / "run.json").read_text())
    assert (record["songs"], record["parts"], record["unfinished_parts"]) == (60, 2, 0)
    assert record["settings"]["input"]["dir"] == str(folder)


def test_curves_of_the_first_songs(annotations, library, tmp_path, run_here):
    folder = annotations(library[:3])
    done = run_here(
        "02_plot_song_curves.py", *settings_words(f"input.dir={folder}", "output.dir=results", "songs.first=2")
    )
    assert done.returncode == 0, done.stderr
    plots = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "results" / "curves").iterdir())
    *printed, hint, following = done.stdout.splitlines()
    assert sorted(printed) == plots and len(plots) == 4  # PNG and SVG of two songs
    assert hint == "2 of 3 songs drawn: songs.first draws more, songs.md5 chooses"
    assert following.startswith("next: python analyze_emotion_annotations/03_report.py --set ")


def test_curves_of_all_songs_of_a_folder_of_midi_files_are_named_after_the_files(annotations, tmp_path, run_here):
    titles = ("one.mid", "below/two.mid")
    folder = annotations([({"name": title, "title": title}, np.zeros((3, 2))) for title in titles])
    words = settings_words(f"input.dir={folder}", "output.dir=results", "plot.formats=[png]")
    done = run_here("02_plot_song_curves.py", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ["results/curves/one.png", "results/curves/below_two.png"]


def test_a_report_of_unfinished_annotations(annotations, library, tmp_path, run_here):
    folder = annotations(library[:20], library[20:])
    record_path(folder, 1).unlink()
    done = run_here("03_report.py", *settings_words(f"input.dir={folder}", "output.dir=results", "plot.dpi=50"))
    assert done.returncode == 0 and done.stderr == ""
    assert files_in(tmp_path / "results") == {"report.html"}
    assert "1 unfinished part of" in done.stdout and "results/report.html" in done.stdout
    page = (tmp_path / "results" / "report.html").read_text(encoding="utf-8")
    assert "20 songs" in page and page.count("data:image/png;base64,") == 10  # wide and narrow


def test_plots_are_written_in_the_formats_asked_for(annotations, tmp_path, run_here):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    done = run_here(
        "01_statistics.py",
        *settings_words(f"input.dir={folder}", "output.dir=out", "plot.formats=[svg]", "plot.dpi=50"),
    )
    assert done.returncode == 0, done.stderr
    plots = {name for name in files_in(tmp_path / "out") if name.endswith((".png", ".svg"))}
    assert plots == {f"{name}.svg" for name in PLOTS[:-1]}  # three bars are too few for a trajectory
    assert len(pd.read_csv(tmp_path / "out" / "trajectories.csv")) == 0


@pytest.fixture
def one_line(run_here, tmp_path):
    """A function that runs a script, checks its exit code and that stderr is one line, and returns that line."""

    def run(code, script, *words):
        done = run_here(script, *words)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and done.stderr.endswith("\n")
        assert not (tmp_path / "output").exists()
        return done.stderr

    return run


@pytest.mark.parametrize("script", ["01_statistics.py", "02_plot_song_curves.py", "03_report.py"])
def test_wrong_settings_are_refused_in_one_line(one_line, tmp_path, script):
    for given, *said in (
        ("styles.colum=x", "styles.colum", "known here", "column"),
        ("stiles.column=x", "stiles"),
        ("features.tempo_edges=[120, 60]", "features.tempo_edges", "larger"),
        ("features.track_edges=[]", "features.track_edges"),
        ("plot.formats=[]", "plot.formats", "png"),
        ("plot.formats=[pdf]", "plot.formats", "pdf"),
        ("songs.first=0", "songs.first"),
        ("compute.memory_mb=much", "compute.memory_mb"),
    ):
        line = one_line(2, script, *settings_words(given))
        assert all(word in line for word in said), line
    mine = tmp_path / "mine.yaml"
    for text, *said in (
        ("styles: {colum: x}", "styles.colum", "mine.yaml"),
        ("features: {density_edges: [4, 4]}", "features.density_edges"),
        ("songs: {midi: mine.mid}", "songs.midi", "known here", "md5"),  # once was; annotate_own_music draws such files
        ("styles: [", "mine.yaml", "not valid as settings"),
    ):
        mine.write_text(text)
        line = one_line(2, script, "--config", "mine.yaml")
        assert all(word in line for word in said), line
    assert "no such settings file" in one_line(2, script, "--config", "nowhere.yaml")


@pytest.mark.parametrize("script", ["01_statistics.py", "03_report.py"])
def test_invalid_annotations_are_refused_in_one_line(one_line, annotations, script):
    songs = [({"name": "a", STYLE: '["folk"]'}, np.zeros((3, 2)))]
    others = [({"name": "b"}, np.zeros((3, 2)))]

    def line_on(folder, *settings):
        return one_line(1, script, *settings_words(f"input.dir={folder}", "output.dir=out", *settings))

    assert "nowhere: no such folder" in line_on("nowhere")
    unfinished = annotations(songs, folder="unfinished")
    record_path(unfinished, 0).unlink()
    assert "no finished part" in line_on(unfinished)
    assert "no bar was annotated" in line_on(annotations([({"name": "a"}, np.zeros((0, 2)))], folder="without bars"))
    older = annotations(songs, folder="older")
    bars = older / "bars" / "part-00000.csv"
    pd.read_csv(bars).drop(columns="arousal").to_csv(bars, index=False)
    line = line_on(older)
    assert str(bars) in line and "column arousal is missing" in line
    line = line_on(annotations(songs, others, folder="mixed"))
    assert "part-00001.csv" in line and STYLE in line
    line = line_on(annotations(songs, folder="whole"), "styles.column=genre")
    assert "styles.column" in line and "genre" in line and STYLE in line


@pytest.mark.parametrize("script", ["01_statistics.py", "02_plot_song_curves.py", "03_report.py"])
def test_an_output_folder_that_is_a_file_is_refused(one_line, annotations, tmp_path, script):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    (tmp_path / "taken").write_text("a file")
    for output in ("taken", "taken/below"):
        line = one_line(1, script, *settings_words(f"input.dir={folder}", f"output.dir={output}"))
        assert "taken" in line
    assert (tmp_path / "taken").read_text() == "a file"


def test_statistics_are_not_written_into_a_folder_of_annotations(one_line, annotations):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    before = (folder / "run.json").read_bytes() if (folder / "run.json").exists() else None
    line = one_line(1, "01_statistics.py", *settings_words(f"input.dir={folder}", f"output.dir={folder}"))
    assert f"output.dir: {folder} holds annotations" in line
    assert before == ((folder / "run.json").read_bytes() if before is not None else None)


def test_a_damaged_run_record_stops_the_report(one_line, annotations, tmp_path):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    (folder / "run.json").write_text("{")
    words = settings_words(f"input.dir={folder}", "output.dir=out", "plot.dpi=50")
    assert str(folder / "run.json") in one_line(2, "03_report.py", *words)
    assert not (tmp_path / "out").exists()  # nothing half done stays


def test_songs_that_are_not_found_are_named(one_line, annotations, library):
    folder = annotations(library[:2])
    assert "0123" in one_line(1, "02_plot_song_curves.py", *settings_words(f"input.dir={folder}", "songs.md5=['0123']"))


@pytest.mark.parametrize("name", ["run.json", "export.json"])
def test_the_results_of_another_script_are_not_written_over(one_line, annotations, tmp_path, name):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text('{"settings": {}, "head_digest": "0"}')
    line = one_line(1, "01_statistics.py", *settings_words(f"input.dir={folder}", "output.dir=out"))
    writer = "pretrain_model/03_train.py" if name == "run.json" else "publish_annotations/01_export.py"
    assert f"output.dir: out holds the results of {writer}" in line
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]
