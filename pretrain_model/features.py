"""Performance features of a bar: tempo, density, loudness, register, length, rhythm and harmony.

MuseTok's words hold no tempo, no loudness and no time in seconds; these features do. They are computed from the pitched
notes that `score_to_bars` converts, all tracks together, in any order of the tracks; drums count in what is dense and
loud. Onsets are those of onsets.py: notes that a listener hears begin together. A note belongs to the bar in which its
onset falls, and an onset up to EARLY before a bar line to the bar after it. Arrays are over bars or over notes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import symusic.core

from musetok_bridge.bars import Bars
from musetok_bridge.quantization import distinct
from musetok_bridge.scores import Notes, all_notes, seconds_at
from musetok_bridge.vocabulary import N_PITCHES

from .band import Drums, band_features
from .onsets import bar_of, clusters, rises
from .time_averages import LEAST_SECONDS
from .tonality import PITCH_CLASSES, TONAL, standardised, tonal_features

PERFORMANCE = (
    "tempo",  # log2 of quarters a minute, mean over the bar
    "notes_per_second",  # log(1 + x), as are the next two
    "onsets_per_second",
    "notes_per_quarter",
    "chord_size",  # notes per onset
    "off_grid",  # from 0, all onsets so far on a grid of sixteenths or triplets, to 1, no beat grid, as in recordings
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
    "short",  # share of notes shorter than about 0.3 quarters
    "articulation",  # length over the time to the next onset, mean, at most 3
    "polyphony",  # log(1 + notes that sound together), mean over the bar
    "rhythm_sd",  # of log2 of the times between onsets
    "triple",  # 1 in a meter whose beats or parts of beats go by threes (3/4, 6/8)
    "harmonic_change",  # 1 − correlation of pitch classes with the bar before
)
FEATURES = (*PERFORMANCE, *TONAL)
VERSION = "3"  # changes with the meaning of the features; a head reads only the version that it was trained on
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
# what is UNHEARD in a piece without pitched notes: all but what drums and the meter define, so polyphony, too
_PITCHED = np.array([name not in _DEFINED_IN_SILENCE - {"polyphony"} for name in FEATURES])
MIDDLE_C = 60
OCTAVE = 12
SLOWEST, FASTEST = 20.0, 400.0  # quarters a minute
SHORTEST, LONGEST = 0.02, 8.0  # limits of a note's length, seconds or quarters
GRIDS = (4, 3)  # parts of a quarter: sixteenths and triplets
OFF_BEAT = (1 / 16, 1 / 8)  # quarters from the beat between which an onset goes from on it to off it
SHORT = (0.27, 0.33)  # quarters between which a note goes from short, as a sixteenth, to not short
UNHEARD = np.nan  # the value of a feature that nothing in the piece defines
DRUM_WEIGHT = 0.5  # of a drum's onset in the densities, against a pitched note's


@dataclass(frozen=True)
class BarFeatures:
    """The features of a piece's bars.

    edges: float64 (n + 1), seconds of the bar lines, ascending. values: float32 (n, len(FEATURES)), finite, or UNHEARD
    in a piece of drums alone. band: float32 (n, len(BAND)), finite, all 0 in piano music.
    """

    edges: np.ndarray
    values: np.ndarray
    band: np.ndarray


def bar_features(score: symusic.core.ScoreTick, bars: Bars) -> BarFeatures:
    """The features of a score's bars. bars: the result of `score_to_bars` for the score.

    A bar without pitched notes has zero density and keeps the other features of the bar before it; a score without
    them has the value UNHEARD there.
    """
    notes = all_notes(score)
    lines = np.append(bars.start_tick, bars.end_tick)
    ticks = (notes.start, notes.start + np.maximum(notes.length, 0), lines)
    begins, ends, edges = np.split(seconds_at(score, np.concatenate(ticks)), [len(notes), 2 * len(notes)])
    pitched = np.flatnonzero(notes.is_pitched)
    heard, onsets = _heard(notes, pitched, begins, ends, edges, score.tpq)
    drums = Drums.of(notes, begins, edges)
    seconds = np.maximum(np.diff(edges), LEAST_SECONDS)
    quarters = np.maximum(np.diff(lines) / score.tpq, 1e-3)
    pitch_classes = np.bincount(
        heard.bar * PITCH_CLASSES + heard.pitch % OCTAVE,
        weights=np.clip(heard.seconds, 0.05, 2.0),
        minlength=len(bars) * PITCH_CLASSES,
    ).reshape(len(bars), PITCH_CLASSES)
    columns = {
        "tempo": np.log2(np.clip(60 * quarters / seconds, SLOWEST, FASTEST)),
        "triple": np.array([_is_triple(meter) for meter in bars.meter], dtype=float),
        "harmonic_change": _harmonic_change(pitch_classes),
        **_density(heard, onsets, drums, seconds, quarters),
        **_sound(heard, onsets),
        **_rhythm(heard, onsets),
    }
    performance = np.stack([columns[name] for name in PERFORMANCE], axis=1)
    _hold(performance, heard.counts > 0)
    values = np.concatenate([performance, tonal_features(pitch_classes, edges)], axis=1)
    if not len(pitched):
        values[:, _PITCHED] = UNHEARD
    band = band_features(notes, begins, np.clip(ends - begins, 0, LONGEST), pitched, drums, edges)
    return BarFeatures(edges, values.astype(np.float32), band.astype(np.float32))


@dataclass(frozen=True)
class _HeardNotes:
    """Notes sorted by onset, then from high to low; arrays over notes, except counts, which is over bars.

    onset: index of the onset; notes that begin together share one. start: the onset, quarters from tick 0. seconds,
    quarters: length of the note. to_next: seconds to the next onset. counts: notes of each bar.
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
        if len(has_notes):
            result[has_notes] = ufunc.reduceat(values, self.bar.searchsorted(has_notes))
        return result

    def only(self, indices: np.ndarray) -> _HeardNotes:
        """The notes at the given indices."""
        fields = {name: getattr(self, name)[indices] for name in self.__dataclass_fields__ if name != "counts"}
        return _HeardNotes(**fields, counts=np.bincount(fields["bar"], minlength=len(self.counts)))


def _heard(
    notes: Notes, pitched: np.ndarray, begins: np.ndarray, ends: np.ndarray, edges: np.ndarray, ticks_per_quarter: int
) -> tuple[_HeardNotes, _HeardNotes]:
    """The notes to measure, and the highest of each onset.

    pitched: indices of the pitched notes. begins, ends: seconds of all notes. edges: the bar lines in seconds. Notes of
    one onset and pitch are merged into one, with the greatest length and velocity. An onset lies where its notes begin
    on average.
    """
    pitched = pitched[np.argsort(begins[pitched], kind="stable")]
    onset = clusters(begins[pitched])
    n_onsets = onset[-1] + 1 if len(onset) else 0
    size = np.bincount(onset, minlength=n_onsets)
    at = np.bincount(onset, weights=begins[pitched], minlength=n_onsets) / size
    start = np.bincount(onset, weights=notes.start[pitched], minlength=n_onsets) / size / ticks_per_quarter
    to_next = np.append(np.diff(at), LONGEST)[: len(at)]
    bar = bar_of(at, edges)
    key = onset * N_PITCHES - notes.pitch[pitched]
    order = np.argsort(key, kind="stable")
    first, _ = distinct(key[order])
    velocity, seconds, quarters = (
        np.maximum.reduceat(values[order], first) if len(first) else values
        for values in (
            notes.velocity[pitched],
            ends[pitched] - begins[pitched],
            notes.length[pitched] / ticks_per_quarter,
        )
    )
    onset, pitch = onset[order[first]], notes.pitch[pitched][order[first]]
    heard = _HeardNotes(
        bar=bar[onset],
        onset=onset,
        start=start[onset],
        pitch=pitch,
        velocity=velocity,
        seconds=seconds,
        quarters=quarters,
        to_next=to_next[onset],
        counts=np.bincount(bar[onset], minlength=len(edges) - 1),
    )
    return heard, heard.only(np.flatnonzero(np.diff(onset, prepend=-1)))


@cache
def _is_triple(meter: str) -> bool:
    return int(meter.partition("/")[0]) % 3 == 0


def _density(
    notes: _HeardNotes, onsets: _HeardNotes, drums: Drums, seconds: np.ndarray, quarters: np.ndarray
) -> dict[str, np.ndarray]:
    """Density features. seconds, quarters: (bars), lengths of the bars."""
    sounds = np.clip(notes.seconds, 0, LONGEST)
    return {
        "notes_per_second": np.log1p((notes.counts + DRUM_WEIGHT * drums.counts) / seconds),
        "onsets_per_second": np.log1p((onsets.counts + DRUM_WEIGHT * drums.onset_counts) / seconds),
        "notes_per_quarter": np.log1p((notes.counts + DRUM_WEIGHT * drums.counts) / quarters),
        "chord_size": notes.counts / np.maximum(onsets.counts, 1),
        "off_grid": _off_grid(onsets),
        "off_beat": onsets.mean(rises(np.abs(onsets.start - np.round(onsets.start)), *OFF_BEAT)),
        "polyphony": np.log1p(notes.sum(sounds) / seconds),
        "loudness": np.log1p((notes.sum(sounds * notes.velocity / 127) + drums.loudness) / seconds),
    }


def _off_grid(onsets: _HeardNotes) -> np.ndarray:
    """1 less the consistency with which the onsets so far lie on a grid of sixteenths or of triplets.

    Consistency is the length of the mean of unit vectors (Mardia and Jupp, Directional Statistics, 2000) whose angle is
    an onset's position within a part of the quarter: 1 if all have the same, about 0 if there is no beat grid.
    """
    n = np.maximum(np.cumsum(onsets.counts), 1)
    consistent = [
        np.hypot(*(np.cumsum(onsets.sum(wave(2 * np.pi * parts * onsets.start))) for wave in (np.cos, np.sin))) / n
        for parts in GRIDS
    ]
    return 1 - np.maximum(*consistent)


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
        "melody_leap": onsets.mean(np.minimum(np.abs(np.diff(top, prepend=top[:1])), 2.0)),
    }


def _rhythm(notes: _HeardNotes, onsets: _HeardNotes) -> dict[str, np.ndarray]:
    """Features of note lengths, absolute and relative to the time between onsets."""
    return {
        "length_seconds": notes.mean(np.log2(np.clip(notes.seconds, SHORTEST, LONGEST))),
        "length_quarters": notes.mean(np.log2(np.clip(notes.quarters, SHORTEST, LONGEST))),
        "short": notes.mean(1 - rises(notes.quarters, *SHORT)),
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
