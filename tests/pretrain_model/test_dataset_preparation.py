"""From the authors' files to labels: what is used, what is left out, and that no archive writes outside its folder."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.files import RawData, raw_data
from pipeline.settings import UserError, load_settings
from pretrain_model.emopia import prepare_emopia
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.vgmidi import RATINGS_FILE, prepare_vgmidi, read_ratings, split_of


@pytest.fixture
def settings() -> PretrainSettings:
    return load_settings(PretrainSettings, SETTINGS_FILE)


def test_emopia_clips_get_the_point_of_their_quadrant(emopia_zip, settings, tmp_path) -> None:
    counts = prepare_emopia(RawData(emopia_zip, "emopia.path"), settings.emopia.points, tmp_path / "out")
    labels = pd.read_csv(tmp_path / "out" / "emopia_labels.csv")
    assert counts["clips"] == len(labels) == 12
    assert (np.sign(labels["valence"]) == labels["quadrant"].map({1: 1, 2: -1, 3: -1, 4: 1})).all()
    assert (np.sign(labels["arousal"]) == labels["quadrant"].map({1: 1, 2: 1, 3: -1, 4: -1})).all()
    assert all((tmp_path / "out" / midi).read_bytes()[:4] == b"MThd" for midi in labels["midi"])


def test_no_emopia_song_is_in_two_splits(emopia_zip, settings, tmp_path) -> None:
    prepare_emopia(RawData(emopia_zip, "emopia.path"), settings.emopia.points, tmp_path)
    labels = pd.read_csv(tmp_path / "emopia_labels.csv")
    assert (labels.groupby("song")["split"].nunique() == 1).all()
    left_out = pd.read_csv(tmp_path / "emopia_left_out.csv").set_index("clip")["reason"].to_dict()
    assert left_out == {
        "Q2_gone_0.mid": "no_midi",
        "Q3_trainsong1_9.mid": "song_in_two_splits",
        "Q1_stray_0.mid": "in_no_split",
    }


def test_a_clip_whose_name_and_table_disagree_is_left_out(emopia_zip, settings, tmp_path) -> None:
    with zipfile.ZipFile(emopia_zip) as archive:
        archive.extractall(tmp_path / "unpacked")
    table = tmp_path / "unpacked" / "EMOPIA_2.2" / "split" / "train_clip.csv"
    table.write_text(table.read_text().replace("Q1_trainsong1_0.mid,1", "Q1_trainsong1_0.mid,4"))
    counts = prepare_emopia(RawData(tmp_path / "unpacked", "emopia.path"), settings.emopia.points, tmp_path / "out")
    assert counts["clips"] == 11
    assert counts["left out, quadrant_unclear"] == 1


def test_vgmidi_label_is_the_plain_mean_and_spread_of_the_valid_ratings(vgmidi_folder, settings, tmp_path) -> None:
    counts = prepare_vgmidi(RawData(vgmidi_folder, "vgmidi.path"), settings.vgmidi, tmp_path / "out")
    labels = pd.read_csv(tmp_path / "out" / "vgmidi_labels.csv")
    bar = labels[(labels["game"] == "Game 3") & (labels["bar_number"] == 2)].iloc[0]
    heard = np.array([0.07, 0.17, 0.57])  # 0.05 · 3 + 0.01 · 2, and −0.1, 0, +0.4
    assert bar["valence_mean"] == pytest.approx(heard.mean(), abs=1e-6)
    assert bar["valence_sd"] == pytest.approx(heard.std(), abs=1e-6)
    assert bar["n_ratings"] == 3
    assert counts["ratings"] == 24
    assert counts["ratings left out, wrong length or value"] == 3
    assert counts["ratings left out, unlisted piece"] == 1


def test_the_raters_ratings_average_to_the_label(vgmidi_folder, settings, tmp_path) -> None:
    prepare_vgmidi(RawData(vgmidi_folder, "vgmidi.path"), settings.vgmidi, tmp_path)
    means = pd.read_csv(tmp_path / "vgmidi_ratings.csv").groupby(["piece", "bar_number"])["arousal"].mean()
    labels = pd.read_csv(tmp_path / "vgmidi_labels.csv").set_index(["piece", "bar_number"])["arousal_mean"]
    np.testing.assert_allclose(means.sort_index(), labels.sort_index(), atol=1e-6)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "can't be read"),
        ("", "can't be read"),
        ("piece,listener,bar_number,valence,arousal\n", "no column rater"),
    ],
)
def test_ratings_that_are_missing_or_older_are_refused_with_the_step_to_run(tmp_path, content, reason) -> None:
    if content is not None:
        (tmp_path / RATINGS_FILE).write_text(content)
    with pytest.raises(
        UserError, match=rf"{RATINGS_FILE}: {reason}.*; run python pretrain_model/01_prepare_datasets.py"
    ) as said:
        read_ratings(tmp_path)
    assert "\n" not in str(said.value)


def test_waltz_measured_in_fours_is_aligned_by_time(vgmidi_folder, settings, make_midi, tmp_path) -> None:
    waltz = vgmidi_folder / "labelled" / "midi" / "Series_NES_Game 0_A Title_with Underscore.mid"
    waltz.write_bytes(make_midi(15, meter=(3, 4)))  # five bars, four measures of four quarters
    prepare_vgmidi(RawData(vgmidi_folder, "vgmidi.path"), settings.vgmidi, tmp_path)
    labels = pd.read_csv(tmp_path / "vgmidi_labels.csv")
    bars = labels[labels["game"] == "Game 0"]
    assert set(bars["aligned"]) == {"time"}
    assert len(bars) == 5
    assert bars["valence_mean"].is_monotonic_increasing


def test_a_piece_that_cannot_be_aligned_is_left_out_with_its_reason(
    vgmidi_folder, settings, make_midi, tmp_path
) -> None:
    midis = sorted((vgmidi_folder / "labelled" / "midi").iterdir())
    midis[0].write_bytes(make_midi(40))
    midis[1].unlink()
    midis[2].write_bytes(b"no MIDI file")
    counts = prepare_vgmidi(RawData(vgmidi_folder, "vgmidi.path"), settings.vgmidi, tmp_path)
    left_out = pd.read_csv(tmp_path / "vgmidi_left_out.csv")
    assert left_out["reason"].tolist() == ["measures_of_another_length", "no_midi", "unusable_midi_not_midi"]
    assert counts["pieces"] == 5


def test_a_games_split_does_not_depend_on_the_other_games() -> None:
    games = [f"Game {k}" for k in range(2000)]
    splits = [split_of(game, 7, 0.2, 0.1) for game in games]
    assert splits[:10] == [split_of(game, 7, 0.2, 0.1) for game in games[:10]]
    assert splits.count("val") / 2000 == pytest.approx(0.2, abs=0.03)
    assert splits.count("test") / 2000 == pytest.approx(0.1, abs=0.03)
    assert splits != [split_of(game, 8, 0.2, 0.1) for game in games]


def test_no_path_in_an_archive_writes_outside_the_folder(vgmidi_folder, settings, make_midi, tmp_path) -> None:
    """A member and an annotation that both point outside: the file is written inside, under its last name."""
    evil = "../../labelled/midi/Series_NES_Evil_Escape.mid"
    path = tmp_path / "evil.zip"
    record = {
        "pieces": {"piece0": {"midi": "../../../escape.mid", "measures": 4, "duration": 8}},
        "annotations": {"piece0_1": {"valence": [0] * 4, "arousal": [0] * 4}},
    }
    good = json.loads((vgmidi_folder / "labelled" / "annotations" / "vgmidi_raw_1.json").read_text())
    good["pieces"]["piece0"]["midi"] = "Series_NES_Evil_Escape.mid"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(evil, make_midi(16))
        archive.writestr("labelled/annotations/vgmidi_raw_1.json", json.dumps(good))
        archive.writestr("labelled/annotations/vgmidi_raw_2.json", json.dumps(record))
    before = set(tmp_path.rglob("*"))
    prepare_vgmidi(RawData(path, "vgmidi.path"), settings.vgmidi, tmp_path / "a" / "b" / "out")
    written = {p for p in set(tmp_path.rglob("*")) - before if p.is_file()}
    assert all(p.is_relative_to(tmp_path / "a" / "b" / "out") for p in written)
    assert tmp_path / "a" / "b" / "out" / "midi" / "vgmidi" / "Series_NES_Evil_Escape.mid" in written


def test_without_a_network_the_message_names_url_and_setting(tmp_path) -> None:
    url = (tmp_path / "nowhere.zip").as_uri()
    with pytest.raises(UserError) as caught:
        raw_data(None, url, None, tmp_path / "downloads", "emopia")
    assert url in str(caught.value)
    assert "emopia.path" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_download_with_another_md5_is_refused_and_not_kept(emopia_zip, tmp_path) -> None:
    with pytest.raises(UserError, match="md5"):
        raw_data(None, emopia_zip.as_uri(), "0" * 32, tmp_path / "downloads", "emopia")
    assert not list((tmp_path / "downloads").iterdir())


def test_a_finished_download_is_not_repeated(emopia_zip, tmp_path) -> None:
    first = raw_data(None, emopia_zip.as_uri(), None, tmp_path / "downloads", "emopia")
    emopia_zip.unlink()
    assert raw_data(None, emopia_zip.as_uri(), None, tmp_path / "downloads", "emopia").names == first.names


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_a_file_that_is_not_an_archive_is_reported_in_one_line(tmp_path, content) -> None:
    path = tmp_path / "data.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"data\.zip.*vgmidi\.path"):
        RawData(path, "vgmidi.path")


def test_another_dataset_is_refused(emopia_zip, vgmidi_folder, settings, tmp_path) -> None:
    with pytest.raises(UserError, match="split/train_clip"):
        prepare_emopia(RawData(vgmidi_folder, "emopia.path"), settings.emopia.points, tmp_path)
    with pytest.raises(UserError, match="vgmidi_raw_1"):
        prepare_vgmidi(RawData(emopia_zip, "vgmidi.path"), settings.vgmidi, tmp_path)
    broken = vgmidi_folder / "labelled" / "annotations" / "vgmidi_raw_2.json"
    broken.write_text('{"pieces": []')
    with pytest.raises(UserError, match="vgmidi_raw_2"):
        prepare_vgmidi(RawData(vgmidi_folder, "vgmidi.path"), settings.vgmidi, tmp_path)


def test_real_datasets(shared, settings, tmp_path) -> None:
    counts = prepare_emopia(
        RawData(shared / "data" / "EMOPIA_2.2.zip", "emopia.path"), settings.emopia.points, tmp_path
    )
    assert [counts[f"clips in {split}"] for split in ("train", "val", "test")] == [767, 115, 83]
    counts = prepare_vgmidi(RawData(shared / "data" / "vgmidi.zip", "vgmidi.path"), settings.vgmidi, tmp_path)
    assert counts["pieces"] + counts["left out, measures_of_another_length"] == 158
    labels = pd.read_csv(tmp_path / "vgmidi_labels.csv")
    assert (labels.groupby("game")["split"].nunique() == 1).all()
    assert labels[["valence_mean", "arousal_mean"]].abs().to_numpy().max() <= 1
    shutil.rmtree(tmp_path / "midi")
    assert Path(shared / "data" / "vgmidi.zip").exists()
