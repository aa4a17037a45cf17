"""Musical facts that the bundled head must reproduce on the bundled samples."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
from symusic import Score, Track

from musetok_bridge import score_to_bars
from musetok_bridge.scores import read_score
from pipeline.settings import PROJECT_ROOT
from pretrain_model.features import bar_features
from pretrain_model.head import HeadInput, load_head

SAMPLES = sorted((PROJECT_ROOT / "samples").glob("*.abc"))


@pytest.fixture(scope="module")
def rate() -> Callable[[Score], np.ndarray]:
    """Valence and arousal of every bar, (n, 2), by the bundled head."""
    head = load_head("bundled")
    assert not head.reads_latents

    def rate(score: Score) -> np.ndarray:
        bars = score_to_bars(score, merge_doubled=True, thin_long_bars=True)
        return head.predict([HeadInput(bar_features(score, bars))])[0][:, :2]

    return rate


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [read_score(path) for path in SAMPLES]


def changed(score: Score, change: Callable[[Track], None]) -> Score:
    copy = score.copy()
    for track in copy.tracks:
        change(track)
    return copy


def in_minor(score: Score) -> Score:
    """The piece with the third, sixth and seventh degrees of its major key lowered."""
    notes = np.concatenate([track.notes.numpy()["pitch"] for track in score.tracks])
    profile = np.bincount(notes % 12, minlength=12)
    tonic = max(range(12), key=lambda k: profile[[(k + d) % 12 for d in (0, 2, 4, 5, 7, 9, 11)]].sum() + profile[k] / 9)

    def lower(track: Track) -> None:
        for note in track.notes:
            note.pitch -= int((note.pitch - tonic) % 12 in (4, 9, 11))

    return changed(score, lower)


@pytest.mark.parametrize("semitones", [-3, -2, -1, 1, 2, 3])
def test_transposing_a_piece_moves_no_prediction_far(rate, scores, semitones: int) -> None:
    moves = [np.abs(rate(score.shift_pitch(semitones)) - rate(score)).mean(axis=0) for score in scores]
    assert np.mean(moves, axis=0).max() < 0.1
    assert np.max(moves) < 0.2


def test_faster_is_more_aroused(rate, scores) -> None:
    def faster(score: Score) -> Score:
        copy = score.copy()
        for tempo in copy.tempos:
            tempo.qpm *= 1.5
        return copy

    rises = [rate(faster(score))[:, 1].mean() - rate(score)[:, 1].mean() for score in scores]
    assert np.mean(rises) > 0.05
    assert np.mean(np.array(rises) > 0) > 0.9


def test_louder_is_more_aroused(rate, scores) -> None:
    def at(score: Score, velocity: int) -> Score:
        def play(track: Track) -> None:
            for note in track.notes:
                note.velocity = velocity

        return changed(score, play)

    rises = [rate(at(score, 110))[:, 1].mean() - rate(at(score, 50))[:, 1].mean() for score in scores]
    assert np.mean(rises) > 0.02
    assert np.mean(np.array(rises) > 0) > 0.9


def test_major_is_more_pleasant_than_the_same_piece_in_minor(rate, scores) -> None:
    keys = [re.findall(r"^K:\s*(\S+)", path.read_text(), re.MULTILINE)[0] for path in SAMPLES]
    in_major = [score for score, key in zip(scores, keys, strict=True) if not key.endswith(("m", "min"))]
    assert len(in_major) > 10
    rises = [rate(score)[:, 0].mean() - rate(in_minor(score))[:, 0].mean() for score in in_major]
    assert np.mean(rises) > 0.1
    assert np.mean(np.array(rises) > 0) > 0.8


def test_the_order_of_the_tracks_changes_nothing(rate, scores) -> None:
    for score in scores:
        parts = score.copy()
        notes = parts.tracks[0].notes
        upper, lower = parts.tracks[0].copy(), parts.tracks[0].copy()
        upper.notes = type(notes)([note for note in notes if note.pitch >= 64])
        lower.notes = type(notes)([note for note in notes if note.pitch < 64])
        parts.tracks = [upper, lower, *list(parts.tracks)[1:]]
        turned = parts.copy()
        turned.tracks = list(parts.tracks)[::-1]
        np.testing.assert_array_equal(rate(turned), rate(parts))
