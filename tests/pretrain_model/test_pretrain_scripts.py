"""The numbered scripts in order, as a user runs them, with an encoder that needs no weights."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from made_music import arpeggios, rock, with_drums
from symusic import Note, Track

import musetok_bridge
from pipeline.settings import PROJECT_ROOT
from pretrain_model.band import BAND
from pretrain_model.head import load_head
from pretrain_model.listener import Listener

SCRIPTS = PROJECT_ROOT / "pretrain_model"


@pytest.fixture
def run(monkeypatch, encoder, tmp_path, emopia_zip, vgmidi_folder):
    """Run a numbered script in this process, with the settings for the small datasets and some more."""
    monkeypatch.setattr(musetok_bridge, "load_encoder", lambda *_, **__: encoder, raising=False)

    def run_script(name: str, *settings: str) -> None:
        wanted = [
            f"output.dir={tmp_path / 'out'}",
            f"emopia.path={emopia_zip}",
            f"vgmidi.path={vgmidi_folder}",
            "vgmidi.split_seed=2",
            "vgmidi.val_share=0.3",
            "vgmidi.test_share=0.3",
            "train.max_epochs=15",
            "train.batch_size=16",
            "train.size=small",
            "cross_validate.folds=2",
            "cross_validate.resamples=100",
        ]
        arguments = [part for setting in (*wanted, *settings) for part in ("--set", setting)]
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        runpy.run_path(str(SCRIPTS / name), run_name="__main__")

    return run_script


@pytest.mark.parametrize("head", ["listener", "custom_mlp"])
def test_from_archives_to_an_evaluation(run, tmp_path, encoder, capsys, head) -> None:
    out = tmp_path / "out"
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py", "04_evaluate.py"):
        run(script, f"train.head={head}")
    printed = capsys.readouterr().out
    assert str(out) in printed
    table = pd.read_csv(out / "evaluation.csv")
    assert set(table["split"]) == {"val", "test"}
    assert set(table[table["dataset"] == "vgmidi"]["predictor"]) == {"head", "constant", "one_rater"}
    assert set(table[table["dataset"] == "emopia"]["predictor"]) == {"head", "constant"}
    clips = table[(table["dataset"] == "emopia") & (table["level"] == "piece") & (table["dimension"] == "quadrant")]
    assert clips["accuracy"].between(0, 1).all()
    loaded = load_head(str(out / "head" / "head.safetensors"))
    record = json.loads((out / "head" / "run.json").read_text())
    assert record["head_digest"] == loaded.digest
    if head == "custom_mlp":
        assert loaded.encoder_digest == encoder.digest
        losses = pd.read_csv(out / "head" / "losses.csv")
        assert record["best_epoch"] == losses.set_index("epoch")["val_loss"].idxmin()
    else:
        assert not loaded.reads_latents
    assert ("music that it knows" in printed) == (head == "listener")  # the listener is trained on val too
    assert (out / "evaluation.png").stat().st_size > 10_000


@pytest.mark.parametrize("head", ["listener", "custom_mlp"])
@pytest.mark.parametrize("dataset", ["emopia", "vgmidi"])
def test_the_same_seed_writes_the_same_head(run, tmp_path, head, dataset) -> None:
    wanted = (f"data.datasets={dataset}", f"data.train_on={dataset}", f"train.head={head}")
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py"):
        run(script, *wanted)
    path = tmp_path / "out" / "head" / "head.safetensors"
    first = load_head(str(path)).digest
    run("03_train.py", *wanted)
    assert load_head(str(path)).digest == first


@pytest.fixture
def tagged_folder(tmp_path: Path) -> Path:
    """Six songs for piano, strings and drums; the more drums, the more aroused."""
    folder = tmp_path / "tagged"
    folder.mkdir()
    rows = ["file,song_key,deezer_valence,deezer_arousal"]
    for k in range(6):
        score = with_drums(arpeggios(k % 2), rock(60 + 10 * k, 1 + k))
        score.tracks.append(Track("strings", 48, False))
        score.tracks[-1].notes.append(Note(0, 1920, 50, 60))
        (folder / f"song {k}.mid").write_bytes(score.dumps_midi())
        rows.append(f"song {k}.mid,key {k},{k % 3},{k}")
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return folder


def test_drums_are_learned_from_tagged_songs_and_only_from_them(run, tmp_path, tagged_folder, capsys) -> None:
    drums = BAND.index("drums_per_second")
    out, weights = tmp_path / "out", []
    for path in ("null", str(tagged_folder)):
        for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py"):
            run(script, f"tagged.path={path}", "listener.penalty_band=0.1")
        head = load_head(str(out / "head" / "head.safetensors"))
        assert isinstance(head.model, Listener)
        weights.append(head.model.weights["band.weight"])
        assert ("tagged: 6 pieces" in head.facts["pieces"]) == (path != "null")
    assert not weights[0].any()
    assert weights[1][1, drums] > 0
    printed = capsys.readouterr().out
    assert "tagged: files: 6; songs: 6" in printed
    counts = json.loads((out / "datasets.json").read_text())["counts"]
    assert set(counts) == {"emopia", "vgmidi", "tagged"}


def test_a_folder_of_tagged_songs_that_is_none_is_an_error_of_one_line(run, tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as caught:
        run("01_prepare_datasets.py", f"tagged.path={tmp_path / 'empty'}")
    assert caught.value.code == 1
    complained = capsys.readouterr().err.strip().splitlines()[-1]
    assert "labels.csv" in complained
    assert "tagged.path" in complained


def test_heads_are_compared_on_games_that_they_have_not_seen(run, tmp_path, tagged_folder, capsys) -> None:
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "05_cross_validate.py"):
        run(script, f"tagged.path={tagged_folder}")
    table = pd.read_csv(tmp_path / "out" / "cross_validation.csv")
    listeners = {f"listener_{kind}" for kind in ("heard", "whole", "whole_cautious", "whole_and_latents")}
    predictors = {"constant", "trees", "custom_mlp", *listeners}
    assert set(table[table["dataset"] == "emopia"]["predictor"]) == predictors
    assert set(table[table["dataset"] == "vgmidi"]["predictor"]) == predictors | {"one_rater", "half_of_raters"}
    for unseen in ("vgmidi_never_seen", "emopia_never_seen"):
        assert set(table[table["dataset"] == unseen]["predictor"]) == predictors - {"constant"}
    assert set(table[table["dataset"] == "emopia_never_seen"]["metric"]) == {"auc"}
    assert table[table["metric"] == "auc"]["value"].between(0, 1).all()
    by_tags = table[table["dataset"] == "tagged_by_song"]
    assert set(by_tags["predictor"]) == listeners  # others don't learn from tags
    assert set(by_tags["metric"]) == {"rho"}
    listener = table[(table["dataset"] == "vgmidi") & (table["predictor"] == "listener_whole")]
    assert {"mae_third_1", "covered_50_third_2", "covered_90_third_3"} <= set(listener["metric"])
    assert (table["low"] <= table["high"])[table["low"].notna()].all()
    bars = pd.read_csv(tmp_path / "out" / "cross_validation_bars.csv")
    assert bars.notna().all(axis=None)
    row = table.query("predictor == 'trees' and level == 'bar' and dimension == 'arousal' and metric == 'mae'").iloc[0]
    error = (bars["arousal_trees"] - bars["arousal_rated"]).abs().mean()
    assert row["value"] == pytest.approx(error, abs=1e-5)
    assert "| per bar | trees | arousal |" in capsys.readouterr().out


def test_a_missing_step_is_an_error_of_one_line(run, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run("03_train.py")
    assert caught.value.code == 1
    assert "01_prepare_datasets.py" in capsys.readouterr().err


@pytest.mark.parametrize("script", sorted(p.name for p in SCRIPTS.glob("0*.py")))
def test_help_shows_the_settings(script: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    assert "--set" in shown
    assert "split_seed" in shown


def test_a_script_runs_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "01_prepare_datasets.py"), "--set", "emopia.path=missing.zip"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "missing.zip" in ended.stderr
    assert "emopia.path" in ended.stderr
