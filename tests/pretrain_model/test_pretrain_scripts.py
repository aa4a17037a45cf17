"""The numbered scripts in order, as a user runs them, with an encoder that needs no weights."""

import json
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from made_music import arpeggios, rock, with_drums
from symusic import Note, Track

import musetok_bridge
import pretrain_model.training
from pipeline.settings import PROJECT_ROOT, load_settings
from pretrain_model.band import BAND
from pretrain_model.head import load_head
from pretrain_model.latent_sequence import predict_sequence, train_latent_sequence
from pretrain_model.listener import Listener
from pretrain_model.pretrain_settings import SETTINGS_FILE, SPLITS, Predictor, PretrainSettings
from pretrain_model.rated_pieces import load_rated_pieces

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
            "listener.latent_components=2",
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
    made = out / ("head" if head == "listener" else "head_custom_mlp")
    loaded = load_head(str(made / "head.safetensors"))
    record = json.loads((made / "run.json").read_text())
    assert record["head_digest"] == loaded.digest
    if head == "custom_mlp":
        assert loaded.encoder_digest == encoder.digest
        losses = pd.read_csv(made / "losses.csv")
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
    path = tmp_path / "out" / ("head" if head == "listener" else "head_custom_mlp") / "head.safetensors"
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


EVERY_MODEL = f"cross_validate.predictors=[{', '.join(get_args(Predictor))}]"
QUICK = "cross_validate.predictors=[constant, listener_whole]"


@pytest.fixture
def extracted(run, tagged_folder) -> str:
    """All three sets after steps 1 and 2; the setting that names the third."""
    tagged = f"tagged.path={tagged_folder}"
    for script in ("01_prepare_datasets.py", "02_extract_latents.py"):
        run(script, tagged)
    return tagged


def test_drums_are_learned_from_tagged_songs_and_only_from_them(run, tmp_path, tagged_folder, capsys) -> None:
    drums = BAND.index("drums_per_second")
    out, weights = tmp_path / "out", []
    for path in ("null", str(tagged_folder)):
        for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py"):
            run(script, f"tagged.path={path}", "tagged.test_share=0", "listener.penalty_band=0.1")
        head = load_head(str(out / "head" / "head.safetensors"))
        assert isinstance(head.model, Listener)
        weights.append(head.model.weights["band.weight"])
        assert ("tagged: 6 pieces" in head.facts["pieces"]) == (path != "null")
    assert not weights[0].any()
    assert weights[1][1, drums] > 0
    printed = capsys.readouterr().out
    assert "tagged: pieces: 6; groups: 6" in printed
    counts = json.loads((out / "datasets.json").read_text())["counts"]
    assert set(counts) == {"emopia", "vgmidi", "tagged"}


def test_tagged_songs_have_splits_and_those_for_the_test_are_not_learned_from(run, tmp_path, tagged_folder) -> None:
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py"):
        run(script, f"tagged.path={tagged_folder}")
    pieces = pd.read_csv(tmp_path / "out" / "tagged_pieces.csv")
    assert pieces["group"].tolist() == [f"key {k}" for k in range(6)]
    kept = pieces["split"].isin(["train", "val"]).sum()
    assert 0 < kept < 6
    assert f"tagged: {kept} pieces" in load_head(str(tmp_path / "out" / "head" / "head.safetensors")).facts["pieces"]
    ratings = pd.read_csv(tmp_path / "out" / "tagged_ratings.csv")
    assert ratings["valence"].tolist() == [k % 3 for k in range(6)]  # in the unit of the tags
    assert ratings["arousal"].tolist() == [*range(6)]


def test_later_steps_use_what_was_prepared_without_its_path(run, tmp_path, extracted) -> None:
    digests = []
    for settings in ([extracted], [], ["data.train_on=[emopia, vgmidi, tagged]"], ["data.train_on=[emopia, vgmidi]"]):
        run("03_train.py", *settings)
        digests.append(load_head(str(tmp_path / "out" / "head" / "head.safetensors")).digest)
    assert digests[0] == digests[1] == digests[2] != digests[3]


@pytest.mark.parametrize(
    ("script", "setting"),
    [("01_prepare_datasets.py", "datasets"), ("03_train.py", "train_on"), ("05_cross_validate.py", "train_on")],
)
def test_a_set_that_is_named_and_has_no_files_is_refused_in_one_line(run, capsys, script, setting) -> None:
    with pytest.raises(SystemExit) as caught:
        run(script, f"data.{setting}=tagged")
    assert caught.value.code == 2
    told = f"error: 'data.{setting}' names tagged, which has no path: set sets.tagged.path\n"
    assert capsys.readouterr().err == told


def test_tables_of_a_set_that_has_no_path_any_more_are_removed(run, tmp_path, tagged_folder, capsys) -> None:
    run("01_prepare_datasets.py", f"tagged.path={tagged_folder}")
    assert (tmp_path / "out" / "tagged_pieces.csv").exists()
    run("01_prepare_datasets.py")
    assert not list((tmp_path / "out").glob("tagged_*.csv"))
    assert "tagged: not used, since it has no path" in capsys.readouterr().out


def test_a_folder_of_tagged_songs_that_is_none_is_an_error_of_one_line(run, tmp_path, capsys) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as caught:
        run("01_prepare_datasets.py", f"tagged.path={tmp_path / 'empty'}")
    assert caught.value.code == 1
    complained = capsys.readouterr().err.strip().splitlines()[-1]
    assert str(tmp_path / "empty") in complained
    assert "no CSV with a column valence, arousal or quadrant; name them by sets.tagged.columns" in complained


def test_heads_are_compared_on_games_that_they_have_not_seen(run, tmp_path, tagged_folder, capsys) -> None:
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "05_cross_validate.py"):
        run(script, f"tagged.path={tagged_folder}", EVERY_MODEL)
    table = pd.read_csv(tmp_path / "out" / "cross_validation.csv")
    listeners = {f"listener_{kind}" for kind in ("heard", "whole", "whole_cautious", "whole_and_latents")}
    predictors = {"constant", "trees", "custom_mlp", "custom_mlp_mean", "latent_sequence", *listeners}
    for dataset in ("emopia", "emopia_by_song", "tagged"):
        assert set(table[table["dataset"] == dataset]["predictor"]) == predictors
    assert set(table[table["dataset"] == "vgmidi"]["predictor"]) == predictors | {"one_rater", "half_of_raters"}
    for unseen in ("vgmidi_never_seen", "emopia_never_seen", "tagged_never_seen"):
        assert set(table[table["dataset"] == unseen]["predictor"]) == predictors - {"constant"}
    assert set(table[table["dataset"] == "emopia_never_seen"]["metric"]) == {"auc"}
    assert table[table["metric"] == "auc"]["value"].between(0, 1).all()
    for by_tags in ("tagged", "tagged_never_seen"):  # whose unit is their own
        assert set(table[table["dataset"] == by_tags]["metric"]) == {"rho"}
        assert set(table[table["dataset"] == by_tags]["level"]) == {"piece"}
    alike = table.query("predictor in ['constant', 'custom_mlp_mean'] and level == 'within' and metric == 'r'")
    assert set(alike["predictor"]) == {"constant", "custom_mlp_mean"}  # all bars of a piece are predicted alike
    assert alike["value"].isna().all()
    listener = table[(table["dataset"] == "vgmidi") & (table["predictor"] == "listener_whole")]
    assert {"mae_third_1", "covered_50_third_2", "covered_90_third_3"} <= set(listener["metric"])
    assert (table["low"] <= table["high"])[table["low"].notna()].all()
    bars = pd.read_csv(tmp_path / "out" / "cross_validation_bars.csv")
    assert bars.notna().all(axis=None)
    assert set(bars["dataset"]) == {"vgmidi"}  # the set with curves
    row = table.query("predictor == 'trees' and level == 'bar' and dimension == 'arousal' and metric == 'mae'").iloc[0]
    error = (bars["arousal_trees"] - bars["arousal_rated"]).abs().mean()
    assert row["value"] == pytest.approx(error, abs=1e-5)
    printed = capsys.readouterr().out
    assert "| per bar | trees | arousal |" in printed
    assert "| per piece | trees | arousal |" in printed.partition("| tagged | predictor")[2].partition("\n\n")[0]


def test_it_is_measured_whether_each_set_helps_the_others(run, tmp_path, extracted, capsys) -> None:
    run("05_cross_validate.py", extracted, QUICK)
    table = pd.read_csv(tmp_path / "out" / "cross_validation_sets.csv")
    columns = ["set", "on", "dimension", "without", "with", "difference", "low", "high", "n"]
    assert [*table.columns] == columns
    sets = {"emopia", "vgmidi", "tagged"}
    mean = table[table["on"] == "(all others)"]
    assert sorted(mean["set"]) == sorted(sets)
    each = table.drop(mean.index)
    pairs = {(row.set, row.on, row.dimension) for row in each.itertuples()}
    assert pairs == {(a, b, d) for a in sets for b in sets - {a} for d in ("valence", "arousal")}
    assert len(each) == len(pairs)
    assert dict(zip(each["on"], each["n"], strict=True)) == {"emopia": 6, "vgmidi": 8, "tagged": 6}  # groups and pieces
    assert each[["without", "with"]].abs().max(axis=None) <= 1
    assert (each["difference"] - (each["with"] - each["without"])).abs().max() < 2e-6
    assert (table["low"] <= table["high"]).all()
    for row in mean.itertuples():
        assert row.difference == pytest.approx(each.loc[each["set"] == row.set, "difference"].mean(), abs=1e-5)
    printed = capsys.readouterr().out
    assert "| learning from | on | dimension | without | with | difference |" in printed
    lines = [line.split(" | ")[:3] for line in printed.splitlines() if line.count("|") == 7]
    assert ["| emopia", "vgmidi", "valence"] in lines and ["| tagged", "(all others)", "both"] in lines


def test_without_the_comparison_there_is_no_table_of_sets(run, tmp_path, extracted, capsys) -> None:
    run("05_cross_validate.py", extracted, QUICK, "cross_validate.compare_sets=false")
    assert not (tmp_path / "out" / "cross_validation_sets.csv").exists()
    assert "learning from" not in capsys.readouterr().out


def test_a_set_of_fewer_groups_than_folds_is_learned_from_and_not_measured(run, tmp_path, extracted, capsys) -> None:
    run("05_cross_validate.py", extracted, QUICK, "cross_validate.folds=7")
    complained = capsys.readouterr().err
    for name in ("emopia", "tagged"):
        assert f"note: {name} has 6 groups, too few for 7 folds: it is learned from and not measured" in complained
    assert "vgmidi has" not in complained
    table = pd.read_csv(tmp_path / "out" / "cross_validation.csv")
    assert set(table["dataset"]) == {"vgmidi", "vgmidi_never_seen"}
    helps = pd.read_csv(tmp_path / "out" / "cross_validation_sets.csv")
    assert {*zip(helps["set"], helps["on"], strict=True)} == {
        (name, on) for name in ("emopia", "tagged") for on in ("vgmidi", "(all others)")
    }


def test_more_folds_than_any_set_has_groups_are_refused(run, extracted, capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        run("05_cross_validate.py", extracted, QUICK, "cross_validate.folds=20")
    assert caught.value.code == 2
    assert "'cross_validate.folds' is more than any set has groups" in capsys.readouterr().err.splitlines()[-1]


def test_a_set_that_is_only_measured_changes_nothing_of_what_is_learned(run, tmp_path, extracted) -> None:
    path = tmp_path / "out" / "head" / "head.safetensors"
    digests, names = [], []
    for settings in ([], ["tagged.use=measure"], ["data.train_on=[emopia, vgmidi]"]):
        run("03_train.py", extracted, *settings)
        head = load_head(str(path))
        digests.append(head.digest)
        names.append({block["name"] for block in json.loads(head.facts["sets"])})
    assert digests[0] != digests[1] == digests[2]
    assert names == [{"emopia", "vgmidi", "tagged"}, {"emopia", "vgmidi"}, {"emopia", "vgmidi"}]


def test_a_set_that_is_only_measured_is_predicted_and_changes_no_other_figure(run, tmp_path, extracted) -> None:
    tables, helps = [], []
    for settings in (["tagged.use=measure"], ["data.datasets=[emopia, vgmidi]", "data.train_on=[emopia, vgmidi]"]):
        run("05_cross_validate.py", extracted, QUICK, *settings)
        tables.append(pd.read_csv(tmp_path / "out" / "cross_validation.csv"))
        helps.append(pd.read_csv(tmp_path / "out" / "cross_validation_sets.csv"))
    measured = tables[0][tables[0]["dataset"] == "tagged"]
    assert set(measured["predictor"]) == {"constant", "listener_whole"}
    assert not (tables[0]["dataset"] == "tagged_never_seen").any()  # it never is anything else
    others = tables[0].drop(measured.index).reset_index(drop=True)
    pd.testing.assert_frame_equal(others, tables[1])
    assert set(helps[0]["set"]) == {"emopia", "vgmidi"}
    assert {"emopia", "vgmidi", "tagged"} <= set(helps[0]["on"])
    between = [table[table["on"].isin(["emopia", "vgmidi"])].reset_index(drop=True) for table in helps]
    pd.testing.assert_frame_equal(*between)


def test_a_head_names_its_sets_with_their_licences_and_what_to_cite(run, tmp_path, extracted) -> None:
    run("03_train.py", extracted, "vgmidi.licence=mine", "vgmidi.citation=Myself")
    sets = json.loads(load_head(str(tmp_path / "out" / "head" / "head.safetensors")).facts["sets"])
    by_name = {block["name"]: block for block in sets}
    assert set(by_name) == {"emopia", "vgmidi", "tagged"}
    emopia = by_name["emopia"]
    assert (emopia["adapter"], emopia["kind"], emopia["licence"], emopia["pieces"]) == (
        *("emopia", "sign", "CC BY-NC-SA 4.0"),
        8,
    )
    assert "EMOPIA" in emopia["citation"] and "ISMIR 2021" in emopia["citation"]
    assert (by_name["vgmidi"]["licence"], by_name["vgmidi"]["citation"]) == ("mine", "Myself")
    tagged = by_name["tagged"]
    assert (tagged["adapter"], tagged["kind"], tagged["licence"]) == ("table", "point", "not stated")
    assert "Delbouys" in tagged["citation"]
    record = json.loads((tmp_path / "out" / "head" / "run.json").read_text())
    assert json.loads(record["sets"]) == sets


def test_a_set_with_a_unit_of_its_own_has_correlations_and_no_errors(run, tmp_path, extracted) -> None:
    run("03_train.py", extracted)
    run("04_evaluate.py", extracted, "evaluate.splits=[test]")
    table = pd.read_csv(tmp_path / "out" / "evaluation.csv")
    assert set(table["dataset"]) == {"emopia", "vgmidi", "tagged"}
    tags = table[table["dataset"] == "tagged"]
    assert set(tags["level"]) == {"piece"}
    assert tags[["mae", "mse", "ccc", "accuracy"]].isna().all(axis=None)
    by_head = tags[(tags["predictor"] == "head") & (tags["dimension"] == "arousal")]
    assert by_head["pearson_r"].between(-1, 1).all() and len(by_head) == 1
    others = table[table["dataset"] != "tagged"]
    assert others.loc[others["dimension"] != "quadrant", ["mae", "mse"]].notna().all(axis=None)
    assert set(table.loc[table["dataset"] == "vgmidi", "level"]) == {"bar", "piece", "within"}


def test_a_list_of_sets_in_a_users_file_takes_the_place_of_the_default_one(
    run, tmp_path, emopia_zip, tagged_folder, monkeypatch, capsys
) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"""
output: {{dir: {tmp_path / "mine"}}}
data: {{train_on: piano}}
sets:
  - {{name: piano, adapter: emopia, path: {emopia_zip}, scale: common}}
  - name: my-bands
    adapter: table
    path: {tagged_folder}
    use: measure
    columns: {{valence: deezer_valence, arousal: deezer_arousal}}
"""
    )
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py"):
        monkeypatch.setattr(sys, "argv", [script, "--config", str(mine), "--set", "my-bands.group=song_key"])
        runpy.run_path(str(SCRIPTS / script), run_name="__main__")
    assert set(json.loads((tmp_path / "mine" / "datasets.json").read_text())["counts"]) == {"piano", "my-bands"}
    head = load_head(str(tmp_path / "mine" / "head" / "head.safetensors"))
    assert [block["name"] for block in json.loads(head.facts["sets"])] == ["piano"]
    assert "vgmidi" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["data.train_on=[emopia, nobody]"], "'data.train_on' names 'nobody', which is not in sets: emopia, vgmidi"),
        (["data.train_on=nobody"], "'data.train_on' names 'nobody'"),
        (["data.train_on=emopia", "emopia.use=measure"], "'data.train_on' names no set with use: train"),
        (["emopia.adapter=emopai"], "'sets.emopia.adapter' is 'emopai', not one of emopia, vgmidi, deam"),
        (["emopia.kind=curve"], "'sets.emopia.kind' is curve: emopia has sign, point, rank"),
    ],
)  # fmt: skip
def test_sets_that_cannot_be_learned_from_are_refused_in_one_line(run, extracted, capsys, settings, told) -> None:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        run("03_train.py", *settings)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_the_same_music_in_two_sets_is_refused_by_name_or_kept_together(
    run, tmp_path, vgmidi_folder, tagged_folder, capsys
) -> None:
    midi = min((vgmidi_folder / "labelled" / "midi").iterdir())
    (tagged_folder / "song 0.mid").write_bytes(midi.read_bytes())
    for script in ("01_prepare_datasets.py", "02_extract_latents.py"):
        run(script, f"tagged.path={tagged_folder}")
    with pytest.raises(SystemExit) as caught:
        run("05_cross_validate.py", QUICK)
    assert caught.value.code == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert "1_piece0 (vgmidi)" in told and "song 0 (tagged)" in told and ": md5 " in told
    run("05_cross_validate.py", QUICK, "data.same_songs=together", "cross_validate.compare_sets=false")
    table = pd.read_csv(tmp_path / "out" / "cross_validation.csv")
    assert {"vgmidi", "emopia", "emopia_by_song", "vgmidi_never_seen"} <= set(table["dataset"])


def test_the_same_music_in_two_games_makes_them_one_group(run, tmp_path, vgmidi_folder) -> None:
    midis = sorted((vgmidi_folder / "labelled" / "midi").iterdir())
    midis[1].write_bytes(midis[0].read_bytes())
    for script in ("01_prepare_datasets.py", "02_extract_latents.py"):
        run(script)
    pieces = pd.read_csv(tmp_path / "out" / "vgmidi_pieces.csv").sort_values("piece")
    assert pieces["group"].nunique() == len(pieces) - 1
    assert pieces.iloc[:2][["group", "split", "md5"]].nunique().tolist() == [1, 1, 1]
    run("05_cross_validate.py", QUICK, "cross_validate.compare_sets=false")


def test_custom_mlp_is_trained_apart_from_what_stops_it_and_from_the_test(
    run, tmp_path, extracted, monkeypatch
) -> None:
    """One song is in the training and validation data, one in the validation and test data."""
    out = tmp_path / "out"
    games, clips = (pd.read_csv(out / f"{name}_pieces.csv", keep_default_na=False) for name in ("vgmidi", "emopia"))
    val_songs = sorted(set(clips.loc[clips["split"] == "val", "group"]))
    assert len(val_songs) == 2 and (games["split"] == "train").any()
    song_of = {"train": val_songs[0], "test": val_songs[1]}  # of VGMIDI's split, which of EMOPIA's songs it has
    for split, song in song_of.items():
        game = games.index[games["split"] == split][0]
        clip = clips.index[clips["group"] == song][0]
        for table, row in ((games, game), (clips, clip)):
            table.loc[row, ["artist", "title"]] = "Somebody", f"Song of {split}"
    games.to_csv(out / "vgmidi_pieces.csv", index=False)
    clips.to_csv(out / "emopia_pieces.csv", index=False)
    used: list[set[str]] = []
    original = pretrain_model.training.train_head

    def train_head(train, val, settings):  # type: ignore[no-untyped-def]
        used.extend({name for part in parts for name in part.pieces} for parts in (train, val))
        return original(train, val, settings)

    monkeypatch.setattr("pretrain_model.training.train_head", train_head)
    run("03_train.py", extracted, "train.head=custom_mlp", "data.same_songs=together")
    of = {
        (d, s): set(t.loc[t["split"] == s, "piece"]) for d, t in (("v", games), ("e", clips)) for s in set(t["split"])
    }
    shared_train = set(games.loc[games["title"] == "Song of train", "piece"])
    assert used[0] == (of["v", "train"] - shared_train) | of["e", "train"]
    shared_val = set(clips.loc[clips["group"] == song_of["test"], "piece"])
    assert used[1] == of.get(("v", "val"), set()) | (of["e", "val"] - shared_val)


def test_heads_of_different_kinds_do_not_overwrite_each_other(run, tmp_path, extracted) -> None:
    out = tmp_path / "out"
    run("03_train.py", extracted)
    listener = load_head(str(out / "head" / "head.safetensors"))
    run("03_train.py", extracted, "train.head=custom_mlp")
    assert load_head(str(out / "head" / "head.safetensors")).digest == listener.digest
    assert (out / "head" / "sets.csv").exists() and (out / "head_custom_mlp" / "losses.csv").exists()
    run("04_evaluate.py", extracted, "train.head=custom_mlp")
    digest = json.loads((out / "evaluation.json").read_text())["head_digest"]
    assert digest == load_head(str(out / "head_custom_mlp" / "head.safetensors")).digest


def test_a_recurrent_head_predicts_the_same_alone_and_in_a_batch(run, tmp_path, extracted, encoder) -> None:
    settings = load_settings(PretrainSettings, SETTINGS_FILE, overrides=["train.max_epochs=2"])
    block = next(block for block in settings.sets if block.name == "vgmidi")
    pieces = load_rated_pieces(tmp_path / "out", block, SPLITS, encoder)
    model = train_latent_sequence(pieces[:5], pieces[5:], settings.train)
    again = train_latent_sequence(pieces[:5], pieces[5:], settings.train)
    with torch.inference_mode():
        together = model([torch.from_numpy(piece.made.latents) for piece in pieces])
    alone = np.concatenate([predict_sequence(model, piece) for piece in pieces])
    np.testing.assert_allclose(together.numpy(), alone, atol=1e-6)
    assert all((predict_sequence(again, piece) == predict_sequence(model, piece)).all() for piece in pieces)
    longer = replace(pieces[0].made, latents=np.concatenate([pieces[0].made.latents, pieces[0].made.latents[:1] + 1]))
    assert (predict_sequence(model, replace(pieces[0], made=longer))[0] != predict_sequence(model, pieces[0])[0]).all()


def test_a_listener_reads_at_most_the_largest_set(run, tmp_path, extracted) -> None:
    run("03_train.py", extracted, "listener.largest_set=10", "listener.splits=[train, val, test]")
    pieces = load_head(str(tmp_path / "out" / "head" / "head.safetensors")).facts["pieces"]
    assert "emopia: 10 pieces" in pieces and "vgmidi: 8 pieces" in pieces


def test_a_song_that_is_tested_is_refused_or_left_out(run, tmp_path, extracted, capsys) -> None:
    """What is learned from is compared with the music of the test, of which only the names are read."""
    out = tmp_path / "out"
    clips = pd.read_csv(out / "emopia_pieces.csv", keep_default_na=False)
    ends = [clips.index[clips["split"] == split][0] for split in ("train", "test")]
    clips.loc[ends, ["artist", "title"]] = "Somebody", "Song"
    clips.to_csv(out / "emopia_pieces.csv", index=False)
    with pytest.raises(SystemExit) as caught:
        run("03_train.py", extracted)
    assert caught.value.code == 1
    assert "would be in training and test data at once" in capsys.readouterr().err
    run("03_train.py", extracted, "data.same_songs=together")
    song = clips.loc[ends[0], "group"]
    left = ((clips["split"] != "test") & (clips["group"] != song)).sum()
    assert f"emopia: {left} pieces" in load_head(str(out / "head" / "head.safetensors")).facts["pieces"]


def test_raters_and_signs_are_measured_only_where_they_mean_something(run, tmp_path) -> None:
    """One rater is measured against curves, and accuracy where zero is that of the predictions."""
    for script in ("01_prepare_datasets.py", "02_extract_latents.py", "03_train.py", "04_evaluate.py"):
        run(script, "vgmidi.kind=point", "emopia.scale=own")
    assert (tmp_path / "out" / "vgmidi_raters.csv").exists()
    table = pd.read_csv(tmp_path / "out" / "evaluation.csv")
    assert set(table.loc[table["dataset"] == "vgmidi", "predictor"]) == {"head", "constant"}
    clips = table[table["dataset"] == "emopia"]
    assert set(clips["dimension"]) == {"valence", "arousal"}
    assert clips[["mae", "mse", "ccc", "accuracy"]].isna().all(axis=None)


def test_tables_of_a_set_that_is_not_asked_for_stay(run, tmp_path, tagged_folder) -> None:
    run("01_prepare_datasets.py", f"tagged.path={tagged_folder}")
    run("01_prepare_datasets.py", "data.datasets=[emopia, vgmidi]")
    assert (tmp_path / "out" / "tagged_pieces.csv").exists()
    with pytest.raises(SystemExit) as caught:
        run("01_prepare_datasets.py", "data.datasets=tagged")
    assert caught.value.code == 2
    assert (tmp_path / "out" / "tagged_pieces.csv").exists()


def test_no_set_is_called_all(tmp_path, monkeypatch, capsys) -> None:
    mine = tmp_path / "mine.yaml"
    for name, is_allowed in (("all", False), ("all-of-mine", True)):
        mine.write_text(f"sets: [{{name: {name}, adapter: emopia}}]\noutput: {{dir: {tmp_path / 'out'}}}\n")
        monkeypatch.setattr(sys, "argv", ["02_extract_latents.py", "--config", str(mine)])
        with pytest.raises(SystemExit):
            runpy.run_path(str(SCRIPTS / "02_extract_latents.py"), run_name="__main__")
        assert ("a name of up to 40 letters, digits, _ and -, but not all" in capsys.readouterr().err) != is_allowed


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
