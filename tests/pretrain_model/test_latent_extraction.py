"""Extraction: every labelled piece is encoded once, and a bad piece is the only one lost."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from musetok_bridge import score_to_bars
from pipeline.settings import UserError
from pretrain_model.extraction import extract_latents, latents_path, read_latents, read_metadata
from pretrain_model.rated_pieces import NamedEncoder, RatedBars, load_rated_pieces, rated_bars


def train_bars(folder: Path, encoder: NamedEncoder) -> RatedBars:
    """The rated bars of VGMIDI's train split."""
    return rated_bars(load_rated_pieces(folder, "vgmidi", ["train"], encoder))


@pytest.fixture
def prepared(tmp_path, make_midi) -> Path:
    """Five prepared pieces of VGMIDI with different music, two bars rated in each."""
    folder = tmp_path / "prepared"
    (folder / "midi").mkdir(parents=True)
    rows = []
    for k in range(5):
        (folder / "midi" / f"{k}.mid").write_bytes(make_midi(12, 1 + k))
        rows += [(f"1_piece{k}", f"midi/{k}.mid", bar, 0.1 * k, -0.1 * bar, "train", f"game {k}") for bar in (2, 0)]
    columns = ["piece", "midi", "bar_number", "valence_mean", "arousal_mean", "split", "game"]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "vgmidi_labels.csv", index=False)
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
