"""Keys: scales and cadences are found in their keys, in any transposition."""

from typing import NamedTuple

import numpy as np
import pytest

from pretrain_model.played_songs import SongBars
from pretrain_model.tonality import find_keys, standardised, tonal_features


class Key(NamedTuple):
    """Of each profile."""

    mode: np.ndarray
    clarity: np.ndarray
    tonic: np.ndarray


MAJOR_SCALE, MINOR_SCALE = [0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 11]


def cadence(third: int) -> np.ndarray:
    """Four bars of one second: tonic, subdominant, dominant, tonic. third: semitones in all chords but the dominant."""
    bars = np.zeros((4, 12))
    for bar, chord in zip(bars, ([0, third, 7], [5, 5 + third, 0], [7, 11, 2], [0, third, 7]), strict=True):
        bar[chord] = 1.0
    return bars


def sounding(scale: list[int], tonic: int) -> np.ndarray:
    profile = np.zeros(12)
    for pitch_class in (*scale, *(scale[k] for k in (0, 2, 4))):  # the tonic's triad sounds twice as long
        profile[(pitch_class + tonic) % 12] += 1
    return profile


def heard(pitch_classes: np.ndarray, edges: np.ndarray) -> dict[str, np.ndarray]:
    """The tonal features of one song, by their names."""
    bars = SongBars([edges])
    return tonal_features(pitch_classes, standardised(pitch_classes, bars), bars)


def key_of(profiles: np.ndarray) -> Key:
    bars = SongBars([np.arange(len(profiles) + 1.0)])
    keys = find_keys(standardised(profiles, bars), bars)
    return Key(*keys.mode_and_clarity(), keys.tonic())


@pytest.mark.parametrize("tonic", range(12))
def test_scales_are_heard_in_their_keys(tonic: int) -> None:
    key = key_of(np.stack([sounding(MAJOR_SCALE, tonic), sounding(MINOR_SCALE, tonic)]))
    assert key.tonic.tolist() == [tonic, tonic]
    assert key.mode[0] > 0 > key.mode[1]
    assert (key.clarity > 0.7).all()


def test_silence_has_no_key() -> None:
    key = key_of(np.zeros((1, 12)))
    assert (key.mode[0], key.clarity[0]) == (0, 0)


def test_a_minor_cadence_has_the_minor_third_and_sixth_of_its_key() -> None:
    edges = np.arange(5.0)
    major, minor = ({k: v[-1] for k, v in heard(cadence(third), edges).items()} for third in (4, 3))
    assert major["mode_heard"] > 0 > minor["mode_heard"]
    assert (major["degree_4"], major["degree_3"]) == pytest.approx((1 / 3, 0))
    assert (minor["degree_4"], minor["degree_3"]) == pytest.approx((0, 1 / 3))
    assert minor["pitch_classes"] == pytest.approx(3 / 12)


@pytest.mark.parametrize("semitones", range(1, 12))
def test_nothing_changes_when_a_piece_is_transposed(semitones: int) -> None:
    draw = np.random.default_rng(semitones)
    pitch_classes, edges = draw.random((30, 12)), np.cumsum(draw.random(31))
    moved = heard(np.roll(pitch_classes, semitones, axis=1), edges)
    for name, values in heard(pitch_classes, edges).items():
        np.testing.assert_allclose(moved[name], values, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("root", [0, 5, 11])
@pytest.mark.parametrize(
    ("name", "chord"),
    [("major", [0, 4, 7]), ("minor", [0, 3, 7]), ("diminished", [0, 3, 6]), ("dominant_seventh", [0, 4, 7, 10])],
)
def test_a_chord_fits_its_own_kind_best_on_any_root(name: str, chord: list[int], root: int) -> None:
    bar = np.zeros((1, 12))
    bar[0, (np.array(chord) + root) % 12] = 2.0
    fits = {k: v[0] for k, v in heard(bar, np.arange(2.0)).items() if k.startswith("chord_")}
    assert fits.pop(f"chord_{name}") == pytest.approx(1)
    assert max(fits.values()) < 0.95
