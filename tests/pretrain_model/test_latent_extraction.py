"""Extraction: every labelled piece is encoded once, and a bad piece is the only one lost."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from musetok_bridge import score_to_bars
from pipeline.files import midi_md5
from pipeline.settings import UserError
from pretrain_model.extraction import extract_latents, latents_path, read_latents, read_metadata
from pretrain_model.head import NamedEncoder
from pretrain_model.pretrain_settings import SetSettings
from pretrain_model.rated_pieces import RatedBars, load_rated_pieces, rated_bars
from pretrain_model.rated_set import LEFT_OUT, PIECES, RATINGS, RatedSet

VGMIDI = SetSettings("vgmidi", "vgmidi", scale="common")


def train_bars(folder: Path, encoder: NamedEncoder) -> RatedBars:
    """The rated bars of VGMIDI's train split."""
    return rated_bars(load_rated_pieces(folder, VGMIDI, ["train"], encoder))


@pytest.fixture
def prepared(tmp_path, make_midi) -> Path:
    """Five prepared pieces of VGMIDI with different music, two bars rated in each."""
    folder = tmp_path / "prepared"
    (folder / "midi").mkdir(parents=True)
    pieces, ratings = [], []
    for k in range(5):
        content = make_midi(12, 1 + k)
        (folder / "midi" / f"{k}.mid").write_bytes(content)
        md5 = midi_md5(content)
        pieces.append((f"1_piece{k}", f"midi/{k}.mid", md5, f"game {k}", "train", f"game {k}", "A Title", "", 1.0))
        ratings += [(f"1_piece{k}", bar, 0.1 * k, -0.1 * bar, 0.1, 0.2, 4) for bar in (2, 0)]
    made = RatedSet(
        pd.DataFrame(pieces, columns=[*PIECES]),
        pd.DataFrame(ratings, columns=[*RATINGS]),
        pd.DataFrame(columns=[*LEFT_OUT]),
    )
    made.write(folder, "vgmidi")
    return folder


def test_a_piece_on_disk_has_the_bars_of_its_midi(prepared, encoder) -> None:
    counts, failures = extract_latents(prepared, ["vgmidi"], encoder, 2)
    assert counts["pieces encoded"] == 5
    assert failures.empty
    for k in range(5):
        path = latents_path(prepared, encoder, "vgmidi", f"1_piece{k}")
        bars = score_to_bars(prepared / "midi" / f"{k}.mid")
        made, metadata = read_latents(path), read_metadata(path)
        np.testing.assert_array_equal(made.bar_number, bars.bar_number)
        np.testing.assert_array_equal(made.n_notes, bars.n_notes)
        np.testing.assert_array_equal(made.latents, encoder.encode([bars])[0][1])
        assert (made.latents.dtype, made.codes.dtype) == (np.float32, np.int16)
        assert metadata["encoder_digest"] == encoder.digest
        assert len(metadata["midi_md5"]) == 32


def test_a_finished_piece_is_not_encoded_again(prepared, encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 2)
    latents_path(prepared, encoder, "vgmidi", "1_piece3").unlink()
    encoder.pieces_encoded = 0
    counts, _ = extract_latents(prepared, ["vgmidi"], encoder, 2)
    assert encoder.pieces_encoded == 1
    assert counts["pieces done before"] == 4


def test_other_weights_or_another_midi_are_encoded_again(prepared, encoder, make_encoder, make_midi) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    retrained = make_encoder(digest="b" * 64)
    extract_latents(prepared, ["vgmidi"], retrained, 10)
    assert retrained.pieces_encoded == 5
    rougher = make_encoder(digest="b" * 64, dtype="torch.bfloat16")
    extract_latents(prepared, ["vgmidi"], rougher, 10)
    assert rougher.pieces_encoded == 5
    extract_latents(prepared, ["vgmidi"], retrained, 10)
    (prepared / "midi" / "2.mid").write_bytes(make_midi(20, 1))
    extract_latents(prepared, ["vgmidi"], retrained, 10)
    assert retrained.pieces_encoded == 11
    assert len(read_latents(latents_path(prepared, retrained, "vgmidi", "1_piece2")).latents) == 5


def test_a_damaged_file_is_written_again(prepared, encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    path = latents_path(prepared, encoder, "vgmidi", "1_piece0")
    whole, latents = path.read_bytes(), read_latents(path).latents
    path.write_bytes(whole[: len(whole) // 2])
    counts, _ = extract_latents(prepared, ["vgmidi"], encoder, 10)
    assert counts["pieces encoded"] == 1
    np.testing.assert_array_equal(read_latents(path).latents, latents)


def test_the_encoder_gets_batches_across_pieces(prepared, encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 2)
    assert encoder.batches == [2, 2, 1]


def test_a_bad_piece_is_the_only_one_lost(prepared, encoder) -> None:
    (prepared / "midi" / "1.mid").write_bytes(b"not music")
    (prepared / "midi" / "4.mid").unlink()
    counts, failures = extract_latents(prepared, ["vgmidi"], encoder, 2)
    assert counts["pieces encoded"] == 3
    assert failures["piece"].tolist() == ["1_piece1", "1_piece4"]
    assert failures["reason"].tolist() == ["not_midi", "FileNotFoundError"]
    assert train_bars(prepared, encoder).pieces == ("1_piece0", "1_piece2", "1_piece3")


def test_ratings_and_latents_are_matched_by_bar_number(prepared, encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    bars = train_bars(prepared, encoder)
    assert bars.bar_number.tolist() == [0, 2] * 5
    np.testing.assert_allclose(bars.targets[:, 1], [0, -0.2] * 5, atol=1e-6)
    np.testing.assert_allclose(bars.targets[:, 0], np.repeat(np.arange(5) * 0.1, 2), atol=1e-6)
    last = read_latents(latents_path(prepared, encoder, "vgmidi", "1_piece4")).latents
    np.testing.assert_array_equal(bars.latents[-2:], last[[0, 2]])


def test_latents_of_another_encoder_are_refused(prepared, encoder, make_encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    with pytest.raises(UserError, match=r"another encoder.*02_extract_latents"):
        train_bars(prepared, make_encoder(digest="b" * 64))


def test_a_missing_step_is_named(tmp_path, prepared, encoder) -> None:
    with pytest.raises(UserError, match="01_prepare_datasets"):
        extract_latents(tmp_path, ["emopia"], encoder, 10)
    with pytest.raises(UserError, match="02_extract_latents"):
        train_bars(prepared, encoder)


def test_a_piece_knows_its_raters_and_who_it_is(prepared, encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    piece = load_rated_pieces(prepared, VGMIDI, ["train"], encoder)[3]
    assert (piece.dataset, piece.kind, piece.group, piece.split) == ("vgmidi", "curve", "game 3", "train")
    assert piece.error == pytest.approx((0.1 / 3**0.5, 0.2 / 3**0.5))  # of the mean of four raters
    assert piece.n_raters == 4
    assert piece.same_as == (f"md5 {midi_md5((prepared / 'midi' / '3.mid').read_bytes())}", "game3|atitle")


def test_a_set_that_is_read_as_points_has_the_mean_of_its_bars_for_each_piece(prepared, encoder) -> None:
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    for piece in load_rated_pieces(prepared, replace(VGMIDI, kind="point"), ["train"], encoder):
        assert len(piece.rated) == len(piece.made.bar_number) == 3
        np.testing.assert_allclose(piece.targets[:, 1], -0.1, atol=1e-6)


def test_of_signs_a_zero_is_unsure_and_a_piece_without_a_side_is_skipped(prepared, encoder) -> None:
    ratings = pd.read_csv(prepared / "vgmidi_ratings.csv")
    ratings["bar_number"], ratings["valence"], ratings["arousal"] = np.nan, 0, 1
    ratings.loc[ratings["piece"] == "1_piece1", "arousal"] = 0
    ratings.loc[ratings["piece"] == "1_piece4", "arousal"] = -1
    ratings.drop_duplicates("piece").to_csv(prepared / "vgmidi_ratings.csv", index=False)
    extract_latents(prepared, ["vgmidi"], encoder, 10)
    pieces = load_rated_pieces(prepared, replace(VGMIDI, kind="sign"), ["train"], encoder)
    assert [piece.name for piece in pieces] == ["1_piece0", "1_piece2", "1_piece3", "1_piece4"]
    assert all(np.isnan(piece.targets[:, 0]).all() for piece in pieces)
    assert [set(piece.targets[:, 1]) for piece in pieces] == [{1.0}, {1.0}, {1.0}, {-1.0}]
