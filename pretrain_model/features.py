"""Performance features of a bar: tempo, density, loudness, register, length, rhythm and harmony.

MuseTok's words hold no tempo, no loudness and no time in seconds; these features do. They are computed from the notes
that `score_to_bars` converts (pitched, in the piano's range, with a length), all tracks together, in any order of the
tracks. A note belongs to the bar in which it starts. Arrays are over bars or over notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import symusic.core

from musetok_bridge.bars import Bars
from musetok_bridge.quantization import distinct
from musetok_bridge.scores import Limits, pitched_notes, seconds_at
from musetok_bridge.vocabulary import N_PITCHES

from .tonality import PITCH_CLASSES, TONAL, standardised, tonal_features

PERFORMANCE = (
    "tempo",  # log2 of quarters a minute, mean over the bar
    "notes_per_second",  # log(1 + x), as are the next two
    "onsets_per_second",
    "notes_per_quarter",
    "chord_size",  # notes per onset
    "off_grid",  # share of onsets off every twelfth of a quarter: high where there is no beat grid, as in recordings
    "off_beat",  # share of onsets off the quarters
    "velocity",  # mean, as a share of 127, as are the next two
    "velocity_sd",
    "velocity_max",
    "loudness",  # log(1 + velocities of the notes that sound together), mean over the bar
    "pitch",  # mean, in octaves above middle C, as are the next three
    "highest",
    "lowest",
    "melody",  # the highest note at each onset
    "pitch_sd",  # octaves
    "melody_leap",  # mean size of the melody's steps, octaves
    "length_seconds",  # log2, mean over the notes
    "length_quarters",  # log2, mean over the notes
    "short",  # share of notes shorter than 0.3 quarters
    "articulation",  # length over the time to the next onset, mean, at most 3
    "polyphony",  # log(1 + notes that sound together), mean over the bar
    "rhythm_sd",  # of log2 of the times between onsets
    "triple",  # 1 in a meter whose beats or parts of beats go by threes (3/4, 6/8)
    "harmonic_change",  # 1 − correlation of pitch classes with the bar before
)
FEATURES = (*PERFORMANCE, *TONAL)
VERSION = "2"  # changes with the meaning of the features; a head reads only the version that it was trained on
# these features have values of their own in a bar without notes; the others keep those of the bar before it
_DEFINED_IN_SILENCE = {
    "tempo",
    "triple",
    "notes_per_second",
    "onsets_per_second",
    "notes_per_quarter",
    "loudness",
    "polyphony",
}
_HELD = np.array([name not in _DEFINED_IN_SILENCE for name in PERFORMANCE])
MIDDLE_C = 60
OCTAVE = 12
SLOWEST, FASTEST = 20.0, 400.0  # quarters a minute
SHORTEST, LONGEST = 0.02, 8.0  # limits of a note's length, seconds or quarters
GRID = 12  # parts of a quarter; sixteenths and triplets lie on this grid
OFF_GRID = 1 / 48  # quarters from the grid beyond which an onset counts as off it


@dataclass(frozen=True)
class BarFeatures:
    """The features of a piece's bars.

    edges: float64 (n + 1), seconds of the bar lines, ascending. values: float32 (n, len(FEATURES)), finite.
    """

    edges: np.ndarray
    values: np.ndarray


def bar_features(score: symusic.core.ScoreTick, bars: Bars, limits: Limits | None = None) -> BarFeatures:
    """The features of a score's bars. bars: the result of `score_to_bars` for the score.

    A bar without notes has zero density and keeps the other features of the bar before it. Raises UnusableScore as
    `score_to_bars` does.
    """
    notes, edges = _heard(score, bars, limits or Limits())
    onsets = notes.only(distinct(notes.onset)[0])  # the first note of an onset is its highest
    seconds = np.maximum(np.diff(edges), 1e-3)
    quarters = np.maximum(np.diff(np.append(bars.start_tick, bars.end_tick)) / score.tpq, 1e-3)
    pitch_classes = np.bincount(
        notes.bar * PITCH_CLASSES + notes.pitch % OCTAVE,
        weights=np.clip(notes.seconds, 0.05, 2.0),
        minlength=len(bars) * PITCH_CLASSES,
    ).reshape(len(bars), PITCH_CLASSES)
    columns = {
        "tempo": np.log2(np.clip(60 * quarters / seconds, SLOWEST, FASTEST)),
        "triple": np.array([_is_triple(meter) for meter in bars.meter], dtype=float),
        "harmonic_change": _harmonic_change(pitch_classes),
        **_density(notes, onsets, seconds, quarters),
        **_sound(notes, onsets),
        **_rhythm(notes, onsets),
    }
    performance = np.stack([columns[name] for name in PERFORMANCE], axis=1)
    _hold(performance, notes.counts > 0)
    values = np.concatenate([performance, tonal_features(pitch_classes, edges)], axis=1)
    return BarFeatures(edges, values.astype(np.float32))


@dataclass(frozen=True)
class _HeardNotes:
    """Notes sorted by start, then from high to low; arrays over notes, except counts, which is over bars.

    onset: index of the onset; notes that start together share one. start: quarters from tick 0. seconds, quarters:
    length of the note. to_next: seconds to the next onset. counts: notes of each bar.
    """

    bar: np.ndarray
    onset: np.ndarray
    start: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    seconds: np.ndarray
    quarters: np.ndarray
    to_next: np.ndarray
    counts: np.ndarray

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum over the notes of each bar."""
        return np.bincount(self.bar, weights=values, minlength=len(self.counts))

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Mean over the notes of each bar, 0 for a bar without notes."""
        return self.sum(values) / np.maximum(self.counts, 1)

    def mean_and_sd(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation over the notes of each bar."""
        mean = self.mean(values)
        return mean, np.sqrt(np.maximum(self.mean(np.square(values)) - np.square(mean), 0))

    def extreme(self, ufunc: np.ufunc, values: np.ndarray) -> np.ndarray:
        """The maximum or minimum (ufunc) over the notes of each bar, 0 for a bar without notes."""
        result, has_notes = np.zeros(len(self.counts)), np.flatnonzero(self.counts)
        result[has_notes] = ufunc.reduceat(values, self.bar.searchsorted(has_notes))
        return result

    def only(self, indices: np.ndarray) -> _HeardNotes:
        """The notes at the given indices."""
        fields = {name: getattr(self, name)[indices] for name in self.__dataclass_fields__ if name != "counts"}
        return _HeardNotes(**fields, counts=np.bincount(fields["bar"], minlength=len(self.counts)))


def _heard(score: symusic.core.ScoreTick, bars: Bars, limits: Limits) -> tuple[_HeardNotes, np.ndarray]:
    """The notes to measure, and the bar lines in seconds, (bars + 1).

    Notes of equal start and pitch are merged into one, with the greatest length and velocity. Infinite times are
    replaced by the largest number of single precision.
    """
    pitched = pitched_notes(score, limits)
    key = pitched.start * N_PITCHES - pitched.pitch
    order = np.argsort(key, kind="stable")
    first, _ = distinct(key[order])
    start, pitch = pitched.start[order[first]], pitched.pitch[order[first]]
    length, velocity = (np.maximum.reduceat(v[order], first) for v in (pitched.length, pitched.velocity))
    first_of_onset, onset = distinct(start)
    onsets = start[first_of_onset]
    ticks = (onsets, start + length, bars.start_tick, [bars.end_tick])
    seconds = np.nan_to_num(seconds_at(score, np.concatenate(ticks)), posinf=float(np.finfo(np.float32).max))
    begins, ends, edges = np.split(seconds, [len(onsets), len(onsets) + len(start)])
    bar = np.clip(np.searchsorted(bars.start_tick, start, side="right") - 1, 0, len(bars) - 1)
    notes = _HeardNotes(
        bar=bar,
        onset=onset,
        start=start / score.tpq,
        pitch=pitch,
        velocity=velocity,
        seconds=ends - begins[onset],
        quarters=length / score.tpq,
        to_next=np.append(np.diff(begins), LONGEST)[onset],
        counts=np.bincount(bar, minlength=len(bars)),
    )
    return notes, np.maximum.accumulate(edges)


@cache
def _is_triple(meter: str) -> bool:
    return int(meter.partition("/")[0]) % 3 == 0


def _density(
    notes: _HeardNotes, onsets: _HeardNotes, seconds: np.ndarray, quarters: np.ndarray
) -> dict[str, np.ndarray]:
    """Density features. seconds, quarters: (bars), lengths of the bars."""
    sounds = np.clip(notes.seconds, 0, LONGEST)
    return {
        "notes_per_second": np.log1p(notes.counts / seconds),
        "onsets_per_second": np.log1p(onsets.counts / seconds),
        "notes_per_quarter": np.log1p(notes.counts / quarters),
        "chord_size": notes.counts / np.maximum(onsets.counts, 1),
        "off_grid": onsets.mean(_off(onsets.start, GRID) > OFF_GRID),
        "off_beat": onsets.mean(_off(onsets.start, 1) > OFF_GRID),
        "polyphony": np.log1p(notes.sum(sounds) / seconds),
        "loudness": np.log1p(notes.sum(sounds * notes.velocity / 127) / seconds),
    }


def _off(quarters: np.ndarray, parts: int) -> np.ndarray:
    """Distance, in quarters, of each position from the nearest point of a grid with `parts` points a quarter."""
    return np.abs(quarters * parts - np.round(quarters * parts)) / parts


def _sound(notes: _HeardNotes, onsets: _HeardNotes) -> dict[str, np.ndarray]:
    """Features of velocity and register."""
    octaves, velocity = (notes.pitch - MIDDLE_C) / OCTAVE, notes.velocity / 127
    top = (onsets.pitch - MIDDLE_C) / OCTAVE
    mean_velocity, velocity_sd = notes.mean_and_sd(velocity)
    mean_pitch, pitch_sd = notes.mean_and_sd(octaves)
    return {
        "velocity": mean_velocity,
        "velocity_sd": velocity_sd,
        "velocity_max": notes.extreme(np.maximum, velocity),
        "pitch": mean_pitch,
        "pitch_sd": pitch_sd,
        "highest": notes.extreme(np.maximum, octaves),
        "lowest": notes.extreme(np.minimum, octaves),
        "melody": onsets.mean(top),
        "melody_leap": onsets.mean(np.minimum(np.abs(np.diff(top, prepend=top[0])), 2.0)),
    }


def _rhythm(notes: _HeardNotes, onsets: _HeardNotes) -> dict[str, np.ndarray]:
    """Features of note lengths, absolute and relative to the time between onsets."""
    return {
        "length_seconds": notes.mean(np.log2(np.clip(notes.seconds, SHORTEST, LONGEST))),
        "length_quarters": notes.mean(np.log2(np.clip(notes.quarters, SHORTEST, LONGEST))),
        "short": notes.mean(notes.quarters < 0.3),
        "articulation": notes.mean(np.clip(notes.seconds / np.maximum(notes.to_next, SHORTEST), 0, 3)),
        "rhythm_sd": onsets.mean_and_sd(np.log2(np.clip(onsets.to_next, SHORTEST, LONGEST)))[1],
    }


def _harmonic_change(pitch_classes: np.ndarray) -> np.ndarray:
    unit = standardised(pitch_classes)
    return np.append(0.0, 1 - (unit[1:] * unit[:-1]).sum(axis=1))


def _hold(performance: np.ndarray, has_notes: np.ndarray) -> None:
    """Give bars without notes the values of the last bar with notes, in place."""
    last = np.maximum.accumulate(np.where(has_notes, np.arange(len(has_notes)), np.argmax(has_notes)))
    performance[:, _HELD] = performance[last][:, _HELD]
