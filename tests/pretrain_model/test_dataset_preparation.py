"""From the authors' files to labels: what is used, what is left out, and that no archive writes outside its folder."""

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.files import RawData, raw_data
from pipeline.settings import UserError, load_settings
from pretrain_model.adapters import ADAPTERS
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, SetSettings
from pretrain_model.rated_set import (
    LEFT_OUT,
    PIECES,
    RATERS,
    RATINGS,
    RatedSet,
    is_by_identity,
    read_set_table,
    split_of,
    table_path,
)

KINDS = ("pieces", "ratings", "left_out", "raters", "wanted")


def block(name: str, path: Path) -> SetSettings:
    """A block of the default settings, with this path."""
    return next(
        b for b in load_settings(PretrainSettings, SETTINGS_FILE, None, [f"{name}.path={path}"]).sets if b.name == name
    )


def prepared(name: str, path: Path, folder: Path) -> tuple[dict[str, int], pd.DataFrame]:
    """Prepare a set as step 1 does; returns its counts, and its ratings beside its pieces."""
    found = ADAPTERS[name](block(name, path), folder)  # type: ignore[index]
    found.write(folder, name)
    tables = (read_set_table(folder, name, kind) for kind in ("ratings", "pieces"))
    return dict(found.counts), pd.merge(*tables, on="piece", validate="many_to_one")


def test_emopia_clips_get_the_point_of_their_quadrant(emopia_zip, tmp_path) -> None:
    counts, labels = prepared("emopia", emopia_zip, tmp_path / "out")
    assert counts["clips"] == len(labels) == 12
    quadrant = labels["piece"].str[1].astype(int)
    assert (np.sign(labels["valence"]) == quadrant.map({1: 1, 2: -1, 3: -1, 4: 1})).all()
    assert (np.sign(labels["arousal"]) == quadrant.map({1: 1, 2: 1, 3: -1, 4: -1})).all()
    assert all((tmp_path / "out" / midi).read_bytes()[:4] == b"MThd" for midi in labels["midi"])
    points = block("emopia", emopia_zip).points
    first = labels[quadrant == 1][["valence", "arousal"]]
    np.testing.assert_allclose(first, np.repeat([points.Q1], len(first), axis=0))


def test_a_rating_of_a_whole_piece_has_no_bar_and_no_raters(emopia_zip, tmp_path) -> None:
    _, labels = prepared("emopia", emopia_zip, tmp_path)
    assert labels[["bar_number", "valence_sd", "arousal_sd", "n_raters"]].isna().all(axis=None)
    assert not table_path(tmp_path, "emopia", "raters").exists()


def test_no_emopia_song_is_in_two_splits(emopia_zip, tmp_path) -> None:
    _, labels = prepared("emopia", emopia_zip, tmp_path)
    assert (labels.groupby("group")["split"].nunique() == 1).all()
    assert labels["group"].nunique() == 6
    left_out = pd.read_csv(tmp_path / "emopia_left_out.csv").set_index("piece")["reason"].to_dict()
    assert left_out == {
        "Q2_gone_0.mid": "no_midi",
        "Q3_trainsong1_9.mid": "song_in_two_splits",
        "Q1_stray_0.mid": "in_no_split",
    }


def test_a_clip_whose_name_and_table_disagree_is_left_out(emopia_zip, tmp_path) -> None:
    with zipfile.ZipFile(emopia_zip) as archive:
        archive.extractall(tmp_path / "unpacked")
    table = tmp_path / "unpacked" / "EMOPIA_2.2" / "split" / "train_clip.csv"
    table.write_text(table.read_text().replace("Q1_trainsong1_0.mid,1", "Q1_trainsong1_0.mid,4"))
    counts, _ = prepared("emopia", tmp_path / "unpacked", tmp_path / "out")
    assert counts["clips"] == 11
    assert counts["left out, quadrant_unclear"] == 1


def test_vgmidi_label_is_the_plain_mean_and_spread_of_the_valid_ratings(vgmidi_folder, tmp_path) -> None:
    counts, labels = prepared("vgmidi", vgmidi_folder, tmp_path / "out")
    bar = labels[(labels["group"] == "Game 3") & (labels["bar_number"] == 2)].iloc[0]
    heard = np.array([0.07, 0.17, 0.57])  # 0.05 · 3 + 0.01 · 2, and −0.1, 0, +0.4
    assert bar["valence"] == pytest.approx(heard.mean(), abs=1e-6)
    assert bar["valence_sd"] == pytest.approx(heard.std(), abs=1e-6)
    assert bar["n_raters"] == 3
    assert counts["ratings"] == 24
    assert counts["ratings left out, wrong length or value"] == 3
    assert counts["ratings left out, unlisted piece"] == 1


def test_the_raters_ratings_average_to_the_label(vgmidi_folder, tmp_path) -> None:
    _, labels = prepared("vgmidi", vgmidi_folder, tmp_path)
    raters = read_set_table(tmp_path, "vgmidi", "raters")
    means = raters.groupby(["piece", "bar_number"])["arousal"].mean()
    expected = labels.set_index(["piece", "bar_number"])["arousal"]
    assert means.index.sort_values().equals(expected.index.sort_values())
    np.testing.assert_allclose(means.sort_index(), expected.sort_index(), atol=1e-6)


@pytest.mark.parametrize("name", ["emopia", "vgmidi"])
def test_the_tables_of_every_set_have_the_same_columns(name, emopia_zip, vgmidi_folder, tmp_path) -> None:
    prepared(name, {"emopia": emopia_zip, "vgmidi": vgmidi_folder}[name], tmp_path)
    columns = {"pieces": PIECES, "ratings": RATINGS, "left_out": LEFT_OUT, "raters": RATERS}
    for kind, wanted in columns.items():
        if (path := table_path(tmp_path, name, kind)).exists():
            assert [*pd.read_csv(path).columns][: len(wanted)] == [*wanted]
    assert not is_by_identity(tmp_path, name)
    pieces = read_set_table(tmp_path, name, "pieces")
    assert pieces["md5"].str.fullmatch("[0-9a-f]{32}").all()
    assert (pieces["weight"] == 1).all()


def test_what_others_may_have_as_well_is_named(emopia_zip, vgmidi_folder, tmp_path) -> None:
    """A clip of EMOPIA is of a recording; a piece of VGMIDI has its game for an artist, and a title."""
    _, clips = prepared("emopia", emopia_zip, tmp_path)
    assert (clips["recording"] == "youtube " + clips["group"]).all()
    _, bars = prepared("vgmidi", vgmidi_folder, tmp_path)
    assert set(bars["title"]) == {"A Title_with Underscore"}
    assert (bars["artist"] == bars["group"]).all()


def test_tables_of_an_earlier_run_that_a_set_has_no_more_are_removed(vgmidi_folder, tmp_path) -> None:
    prepared("vgmidi", vgmidi_folder, tmp_path)
    assert table_path(tmp_path, "vgmidi", "raters").exists()
    empty = [pd.DataFrame(columns=[*columns]) for columns in (PIECES, RATINGS, LEFT_OUT)]
    RatedSet(*empty, wanted=pd.DataFrame({"row": [1]})).write(tmp_path, "vgmidi")
    assert {kind for kind in KINDS if table_path(tmp_path, "vgmidi", kind).exists()} == {"left_out", "wanted"}
    assert is_by_identity(tmp_path, "vgmidi")


@pytest.mark.parametrize("kind", ["pieces", "ratings", "raters"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "does not exist"),
        ("", "can't be read"),
        ("piece,listener,bar_number\n", "no column (rater|midi|valence), so another version wrote it"),
    ],
)
def test_tables_that_are_missing_or_older_are_refused_with_the_step_to_run(tmp_path, kind, content, reason) -> None:
    if content is not None:
        table_path(tmp_path, "vgmidi", kind).write_text(content)
    step = "run python pretrain_model/01_prepare_datasets.py"
    with pytest.raises(UserError, match=rf"vgmidi_{kind}\.csv:? {reason}.*[:;] {step}") as said:
        read_set_table(tmp_path, "vgmidi", kind)
    assert "\n" not in str(said.value)


def test_of_a_set_found_by_identity_the_step_to_run_is_the_match(tmp_path) -> None:
    table_path(tmp_path, "mine", "wanted").write_text("row\n")
    with pytest.raises(UserError, match=r"mine_pieces\.csv.*run python process_gigamidi/03_match_ratings\.py"):
        read_set_table(tmp_path, "mine", "pieces")


def test_waltz_measured_in_fours_is_aligned_by_time(vgmidi_folder, make_midi, tmp_path) -> None:
    waltz = vgmidi_folder / "labelled" / "midi" / "Series_NES_Game 0_A Title_with Underscore.mid"
    waltz.write_bytes(make_midi(15, meter=(3, 4)))  # five bars, four measures of four quarters
    _, labels = prepared("vgmidi", vgmidi_folder, tmp_path)
    bars = labels[labels["group"] == "Game 0"]
    assert set(bars["aligned"]) == {"time"}
    assert len(bars) == 5
    assert bars["valence"].is_monotonic_increasing


def test_a_piece_that_cannot_be_aligned_is_left_out_with_its_reason(vgmidi_folder, make_midi, tmp_path) -> None:
    midis = sorted((vgmidi_folder / "labelled" / "midi").iterdir())
    midis[0].write_bytes(make_midi(40))
    midis[1].unlink()
    midis[2].write_bytes(b"no MIDI file")
    counts, _ = prepared("vgmidi", vgmidi_folder, tmp_path)
    left_out = pd.read_csv(tmp_path / "vgmidi_left_out.csv")
    assert left_out["reason"].tolist() == ["measures_of_another_length", "no_midi", "unusable_midi_not_midi"]
    assert counts["pieces"] == 5


def test_a_games_split_does_not_depend_on_the_other_games() -> None:
    games = [f"Game {k}" for k in range(2000)]
    seventh = SetSettings("vgmidi", "vgmidi", split_seed=7, val_share=0.2, test_share=0.1)
    splits = [split_of(game, seventh) for game in games]
    assert splits[:10] == [split_of(game, seventh) for game in games[:10]]
    assert splits.count("val") / 2000 == pytest.approx(0.2, abs=0.03)
    assert splits.count("test") / 2000 == pytest.approx(0.1, abs=0.03)
    assert splits != [split_of(game, replace(seventh, split_seed=8)) for game in games]


def test_no_path_in_an_archive_writes_outside_the_folder(vgmidi_folder, make_midi, tmp_path) -> None:
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
    prepared("vgmidi", path, tmp_path / "a" / "b" / "out")
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


def test_another_dataset_is_refused(emopia_zip, vgmidi_folder, tmp_path) -> None:
    with pytest.raises(UserError, match="split/train_clip"):
        prepared("emopia", vgmidi_folder, tmp_path)
    with pytest.raises(UserError, match="vgmidi_raw_1"):
        prepared("vgmidi", emopia_zip, tmp_path)
    broken = vgmidi_folder / "labelled" / "annotations" / "vgmidi_raw_2.json"
    broken.write_text('{"pieces": []')
    with pytest.raises(UserError, match="vgmidi_raw_2"):
        prepared("vgmidi", vgmidi_folder, tmp_path)


def test_real_datasets(shared, tmp_path) -> None:
    counts, clips = prepared("emopia", shared / "data" / "EMOPIA_2.2.zip", tmp_path)
    assert [counts[f"clips in {split}"] for split in ("train", "val", "test")] == [767, 115, 83]
    assert (clips.groupby("group")["split"].nunique() == 1).all()
    counts, labels = prepared("vgmidi", shared / "data" / "vgmidi.zip", tmp_path)
    assert counts["pieces"] + counts["left out, measures_of_another_length"] == 158
    assert (labels.groupby("group")["split"].nunique() == 1).all()
    assert labels[["valence", "arousal"]].abs().to_numpy().max() <= 1
    shutil.rmtree(tmp_path / "midi")
    assert Path(shared / "data" / "vgmidi.zip").exists()
