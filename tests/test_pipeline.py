"""From ABC notation to plots, with the bundled weights and the scripts."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from script_runs import run_script, settings_words
from small_dataset import tables

from musetok_bridge import load_encoder, score_to_bars
from musetok_bridge.checkpoint import BUNDLED_CHECKPOINT
from pipeline.settings import PROJECT_ROOT
from pretrain_model.head import BUNDLED_FILES, load_head

SAMPLES = sorted((PROJECT_ROOT / "samples").glob("*.abc"))


def run(script, *settings):
    done = run_script(script, *settings_words(*settings))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sample_dataset):
    """The demo's results for the samples: annotations and analysis."""
    folder = tmp_path_factory.mktemp("pipeline")
    annotations, analysis = f"{folder}/annotations", f"output.dir={folder}/analysis"
    run("process_gigamidi/01_annotate.py", f"dataset.path={sample_dataset}", f"output.dir={annotations}")
    run("analyze_emotion_annotations/01_statistics.py", f"input.dir={annotations}", analysis)
    run("analyze_emotion_annotations/02_plot_song_curves.py", f"input.dir={annotations}", analysis, "songs.first=2")
    return folder


def read(folder, kind):
    return pd.concat([pd.read_csv(path) for path in sorted((folder / "annotations" / kind).glob("*.csv"))])


def test_every_sample_has_its_bars_in_order_and_in_range(folder):
    songs, bars = read(folder, "songs"), read(folder, "bars")
    assert len(songs) == 16 and len(read(folder, "failures")) == 0  # the train split
    assert songs["n_bars"].sum() == len(bars)
    assert bars[["valence", "arousal"]].abs().max().max() <= 1
    for md5, song_bars in bars.groupby("md5", sort=False):
        assert (np.diff(song_bars["bar_number"]) == 1).all()
        assert (np.diff(song_bars["start_seconds"]) > 0).all()
        song = songs.set_index("md5").loc[md5]
        assert song_bars["valence"].mean() == pytest.approx(song["valence_mean"], abs=1e-3)


def test_pieces_differ_from_each_other_and_within(folder):
    bars = read(folder, "bars")
    assert bars.groupby("md5")["arousal"].mean().std() > 0.02
    assert bars.groupby("md5")["arousal"].std().mean() > 0.01


def test_the_analysis_of_them_is_there(folder):
    table = pd.read_csv(folder / "analysis" / "statistics_by_style.csv")
    everything = table[table["style"] == "(all)"].iloc[0]
    assert everything["n_songs"] == 16
    assert (folder / "analysis" / "styles.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / "analysis" / "curves").glob("*.png"))) == 2


def test_the_run_says_what_made_it(folder):
    record = json.loads((folder / "annotations" / "run.json").read_text())
    text = json.dumps(record)
    assert load_head("bundled").digest in text
    assert record["decides"]["model.encoder"] is None  # the default head needs none
    assert record["versions"]["torch"].startswith("2.")


@pytest.mark.slow  # every script in a process of its own, which takes seconds to start
def test_as_processes_the_scripts_write_the_same(folder, tmp_path, synthetic):
    own = f"{tmp_path}/own"
    annotations, analysis = f"input.dir={own}/annotations", f"output.dir={own}/analysis"
    for script, *words in (
        ("samples/make_dataset.py", "--out", f"{tmp_path}/dataset"),
        ("annotate_own_music/01_annotate_file.py", str(synthetic / "random_mix.mid"), "--plots", f"{own}/curves"),
        ("process_gigamidi/01_annotate.py", f"dataset.path={tmp_path}/dataset", f"output.dir={own}/annotations"),
        ("process_gigamidi/02_verify.py", f"output.dir={own}/annotations"),
        ("publish_annotations/01_export.py", f"export.folders=[{own}/annotations]", f"export.dir={own}/export"),
        ("analyze_emotion_annotations/01_statistics.py", annotations, analysis),
        ("analyze_emotion_annotations/02_plot_song_curves.py", annotations, analysis, "songs.first=2"),
        ("analyze_emotion_annotations/03_report.py", annotations, analysis, "styles.min_songs=2"),
    ):
        words = words if words[0].startswith(("-", "/")) else settings_words(*words)
        command = [sys.executable, str(PROJECT_ROOT / script), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), script
    assert tables(tmp_path / "own" / "annotations") == tables(folder / "annotations")
    style_tables = [where / "analysis" / "statistics_by_style.csv" for where in (tmp_path / "own", folder)]
    assert style_tables[0].read_bytes() == style_tables[1].read_bytes()
    assert (tmp_path / "own" / "analysis" / "report.html").is_file()
    assert (tmp_path / "own" / "export" / "README.md").is_file()
    assert (tmp_path / "own" / "curves" / "random_mix.png").is_file()


def test_the_bundled_weights_are_small_and_belong_together():
    assert BUNDLED_CHECKPOINT.stat().st_size <= 12_000_000
    encoder = load_encoder("bundled")
    for name, path in BUNDLED_FILES.items():
        assert path.stat().st_size <= 12_000_000
        load_head(name).check_encoder(encoder)


@pytest.mark.parametrize(("name", "reads_latents"), [("bundled_heard", False), ("bundled_mlp", True)])
def test_every_bundled_head_annotates(folder, sample_dataset, tmp_path, name, reads_latents):
    settings = (f"dataset.path={sample_dataset}", f"output.dir={tmp_path}/annotations", f"model.head={name}")
    run("process_gigamidi/01_annotate.py", *settings, "dataset.limit=5")
    record = json.loads((tmp_path / "annotations" / "run.json").read_text())
    assert record["decides"]["model.encoder"] == (load_encoder("bundled").digest if reads_latents else None)
    bars, by_default = read(tmp_path, "bars"), read(folder, "bars")
    by_default = by_default[by_default["md5"].isin(bars["md5"])].reset_index(drop=True)
    described = ["md5", "bar_number", "start_tick", "start_seconds", "meter", "n_notes"]
    pd.testing.assert_frame_equal(bars[described], by_default[described])
    assert (bars["arousal"] - by_default["arousal"]).abs().max() > 0.01
    assert (bars[["valence_error_sd", "arousal_error_sd"]] > 0).all(axis=None)


def test_the_bundled_encoder_tells_the_bars_of_real_music_apart():
    encoder = load_encoder("bundled")
    bars = [score_to_bars(path) for path in SAMPLES]
    pairs = encoder.encode(bars)
    codes = np.concatenate([codes for codes, _ in pairs])
    distinct = len({song[i].tobytes() for song in bars for i in range(len(song))})
    assert len(np.unique(codes, axis=0)) > 0.95 * distinct
    assert (codes >= 0).all() and codes.shape[1] == encoder.levels
    # the levels refine: what is left of the vector shrinks, so the first codeword carries most of the latent
    latents = np.concatenate([latents for _, latents in pairs])
    first = encoder.codebooks[0].numpy()[codes[:, 0]]
    assert np.linalg.norm(latents - first) < np.linalg.norm(latents)
