"""Key, mode and harmony of bars, from the durations of the pitch classes.

Keys are found with Krumhansl and Kessler's profiles (Psychological Review 89, 1982): the key whose profile correlates
best with the pitch classes. People hear a bar in the key of the bars before it, so a bar's pitch classes are also
counted as degrees of a running key. Nothing here changes when a piece is transposed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .played_songs import SongBars
from .time_averages import heard_mean, leaky_means

PITCH_CLASSES = 12
# from the tonic upwards
_MAJOR = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
_MINOR = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])
_RUNNING = {"4s": 4.0, "16s": 16.0}  # windows of the running mode, in seconds
_KEY_SECONDS = 8.0  # window of the running key in which a bar's degrees are counted
_DEGREES = (1, 3, 4, 6, 8, 9, 10, 11)  # semitones above the tonic; the others are common to major and minor
_INTERVALS = (1, 2, 3, 4, 5, 6)
_CHORDS = {  # semitones above the root
    "major": (0, 4, 7),
    "minor": (0, 3, 7),
    "diminished": (0, 3, 6),
    "augmented": (0, 4, 8),
    "dominant_seventh": (0, 4, 7, 10),
    "major_seventh": (0, 4, 7, 11),
    "minor_seventh": (0, 3, 7, 10),
    "suspended_fourth": (0, 5, 7),
    "suspended_second": (0, 2, 7),
    "fifth": (0, 7),
}
_LESS_THE_MEAN = np.eye(PITCH_CLASSES) - 1 / PITCH_CLASSES
_HIGHER = np.concatenate([np.roll(np.eye(PITCH_CLASSES), interval, axis=0) for interval in _INTERVALS], axis=1)
_IN_USE = 0.02  # least share of a bar's sound for a pitch class to count as used

TONAL = (
    # mode: correlation of the best major key less that of the best minor key; clarity: correlation of the best key;
    # both for the bar, for the last seconds and for everything heard so far
    *(f"{name}_{window}" for window in ("bar", *_RUNNING, "heard") for name in ("mode", "clarity")),
    *(f"degree_{k}" for k in _DEGREES),  # share of the bar's sound k semitones above the running tonic
    "key_distance",  # 1 − correlation of the bar's pitch classes with those of the last seconds
    *(f"interval_{k}" for k in _INTERVALS),  # share of pairs of pitch classes k semitones apart
    *(f"chord_{name}" for name in _CHORDS),  # correlation of the bar with the best chord of this kind
    "pitch_classes",  # number of pitch classes in use, as a share of 12
)


@dataclass(frozen=True)
class Keys:
    """How well profiles fit each key: correlations with the major and the minor keys, (…, 12), by tonic from C."""

    major: np.ndarray
    minor: np.ndarray

    def mode_and_clarity(self) -> tuple[np.ndarray, np.ndarray]:
        """As in TONAL, (…) each."""
        major, minor = largest(self.major), largest(self.minor)
        return major - minor, np.maximum(major, minor)

    def tonic(self) -> np.ndarray:
        """The tonic of the best key, (…), a pitch class (0 is C)."""
        is_major = largest(self.major) >= largest(self.minor)
        return np.where(is_major, self.major.argmax(axis=-1), self.minor.argmax(axis=-1))


def standardised(profiles: np.ndarray, songs: SongBars) -> np.ndarray:
    """Profiles of bars, (…, bars, 12), centred and scaled to length 1, so that dot products are correlations.

    A flat one becomes 0.
    """
    return _of_unit_length(songs.product(profiles, _LESS_THE_MEAN))


def _of_unit_length(centred: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.einsum("...i,...i->...", centred, centred))[..., None]
    return centred / np.where(length > 1e-9, length, np.inf)


def _on_every_root(profile: np.ndarray) -> np.ndarray:
    """A profile from its tonic or root upwards, (12,), moved to each pitch class from C: (12, 12), standardised."""
    return _of_unit_length(np.stack([np.roll(profile, root) for root in range(PITCH_CLASSES)]) @ _LESS_THE_MEAN)


_MAJOR_KEYS, _MINOR_KEYS = _on_every_root(_MAJOR), _on_every_root(_MINOR)
_CHORD_PROFILES = np.concatenate(
    [_on_every_root(np.bincount(chord, minlength=PITCH_CLASSES)) for chord in _CHORDS.values()]
)  # (chords * 12, 12)


def find_keys(unit: np.ndarray, songs: SongBars) -> Keys:
    """How standardised profiles of bars, (…, bars, 12), the durations of the pitch classes from C, fit each key."""
    return Keys(songs.product(unit, _MAJOR_KEYS.T), songs.product(unit, _MINOR_KEYS.T))


def largest(values: np.ndarray) -> np.ndarray:
    """The maximum over the last axis, many times as fast as NumPy's where that is short: over the first of a copy."""
    return np.ascontiguousarray(np.moveaxis(values, -1, 0)).max(axis=0)


def harmonic_change(unit: np.ndarray, songs: SongBars) -> np.ndarray:
    """1 − the correlation of each bar's pitch classes with those of the bar before, 0 in a song's first bar: (bars).

    unit: (bars, 12), standardised.
    """
    change = np.empty(len(unit))
    change[1:] = 1 - (unit[1:] * unit[:-1]).sum(axis=1)
    change[songs.first[:-1]] = 0.0
    return change


def tonal_features(pitch_classes: np.ndarray, unit: np.ndarray, songs: SongBars) -> dict[str, np.ndarray]:
    """The features TONAL of bars, (bars) each, by their names.

    pitch_classes: (bars, 12), seconds for which each sounds, from C. unit: the same, standardised.
    """
    averages = np.empty((len(_RUNNING) + 2, *unit.shape))  # of the windows, of everything heard, and for the key
    for bars, edges in songs:
        own = pitch_classes[bars]
        *running, lately = leaky_means(own, edges, (*_RUNNING.values(), _KEY_SECONDS))
        averages[:, bars] = [*running, heard_mean(own, edges), lately]
    units = np.concatenate([unit[None], standardised(averages, songs)])
    keys = find_keys(units, songs)
    mode, clarity = Keys(keys.major[:-1], keys.minor[:-1]).mode_and_clarity()
    tonic = Keys(keys.major[-1], keys.minor[-1]).tonic()
    total = pitch_classes.sum(axis=1, keepdims=True)
    share = pitch_classes / np.where(total > 0, total, np.inf)
    degrees = (tonic[:, None] + np.array(_DEGREES)) % PITCH_CLASSES
    higher = songs.product(share, _HIGHER).reshape(len(share), len(_INTERVALS), PITCH_CLASSES)  # [:, k]: interval k
    chords = songs.product(unit, _CHORD_PROFILES.T).reshape(len(unit), len(_CHORDS), PITCH_CLASSES)
    columns = [
        *(values for window in zip(mode, clarity, strict=True) for values in window),
        *np.take_along_axis(share, degrees, axis=1).T,
        1 - (unit * units[-1]).sum(axis=1),
        *np.einsum("nki,ni->kn", higher, share),
        *largest(chords).T,
        (share > _IN_USE).mean(axis=1),
    ]
    return dict(zip(TONAL, columns, strict=True))
