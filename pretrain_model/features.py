"""Performance features of a bar: tempo, density, loudness, register, length, rhythm and harmony.

MuseTok's words hold no tempo, no loudness and no time in seconds; these features do. They are computed from the pitched
notes that `score_to_bars` converts, all tracks together, in any order of the tracks; drums count in what is dense and
loud. Onsets are those of onsets.py: notes that a listener hears begin together. A note belongs to the bar in which its
onset falls, and an onset up to EARLY before a bar line to the bar after it. Arrays are over bars or over notes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import symusic.core

from musetok_bridge.bars import Bars, ReadBars
from musetok_bridge.quantization import distinct
from musetok_bridge.scores import all_notes, clock_of
from musetok_bridge.vocabulary import N_PITCHES

from .band import LONGEST_SOUND, Drums, band_features
from .onsets import clusters, rises
from .played_songs import Played, PlayedSongs, SongBars
from .tonality import PITCH_CLASSES, TONAL, harmonic_change, standardised, tonal_features

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
# These features of PERFORMANCE have values of their own in a bar without notes; others keep those of the one before.
# TONAL tells of silence there: 0, or 1 for key_distance, but for the means over what was heard before.
_DEFINED_IN_SILENCE = {
    "tempo",
    "triple",
    "notes_per_second",
    "onsets_per_second",
    "notes_per_quarter",
    "loudness",
    "polyphony",
}
_HELD = np.array([name in PERFORMANCE and name not in _DEFINED_IN_SILENCE for name in FEATURES])
# what is UNHEARD in a piece without pitched notes: all but what drums and the meter define, so polyphony, too
_PITCHED = np.array([name not in _DEFINED_IN_SILENCE - {"polyphony"} for name in FEATURES])
MIDDLE_C = 60
OCTAVE = 12
SLOWEST, FASTEST = 20.0, 400.0  # quarters a minute
SHORTEST, LONGEST = 0.02, LONGEST_SOUND  # limits of a note's length, seconds or quarters
GRIDS = (4, 3)  # parts of a quarter: sixteenths and triplets
OFF_BEAT = (1 / 16, 1 / 8)  # quarters from the beat between which an onset goes from on it to off it
SHORT = (0.27, 0.33)  # quarters between which a note goes from short, as a sixteenth, to not short
UNHEARD = np.nan  # the value of a feature that nothing in the piece defines
SONGS_AT_ONCE = 16  # with more their arrays leave the processor's cache, with fewer the calls cost more
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

    A bar without pitched notes has zero density, no harmony of its own, and keeps the other features of PERFORMANCE of
    the bar before it; a score without them has the value UNHEARD there.
    """
    return song_features(ReadBars(bars, all_notes(score), clock_of(score), score.tpq))


def song_features(read: ReadBars) -> BarFeatures:
    """As `bar_features`, of bars with what they were made from."""
    return features_of_songs([Played.of(read)])[0]


def features_of_songs(played: Sequence[Played]) -> list[BarFeatures]:
    """As `bar_features`, for many songs."""
    some = (played[i : i + SONGS_AT_ONCE] for i in range(0, len(played), SONGS_AT_ONCE))
    return [features for songs in some for features in _features_at_once(songs)]


def _features_at_once(played: Sequence[Played]) -> list[BarFeatures]:
    songs = PlayedSongs(played)
    heard, onsets = _heard(songs)
    drums = Drums.of(songs)
    pitch_classes = np.bincount(
        heard.bar * PITCH_CLASSES + heard.pitch % OCTAVE,
        weights=np.clip(heard.seconds, 0.05, 2.0),
        minlength=len(songs.bars) * PITCH_CLASSES,
    ).reshape(len(songs.bars), PITCH_CLASSES)
    unit = standardised(pitch_classes, songs.bars)
    columns = {
        "tempo": np.log2(np.clip(60 * songs.quarters / songs.bars.seconds, SLOWEST, FASTEST)),
        "triple": songs.is_triple,
        **_density(heard, onsets, drums, songs),
        **_sound(heard, onsets),
        **_rhythm(heard, onsets),
        "harmonic_change": harmonic_change(unit, songs.bars),
        **tonal_features(pitch_classes, unit, songs.bars),
    }
    values = np.stack([columns[name] for name in FEATURES], axis=1)
    _hold(values, heard.counts > 0, songs.bars)
    for (bars, _), n_pitched in zip(songs.bars, np.diff(songs.pitched.first), strict=True):
        if not n_pitched:
            values[bars, _PITCHED] = UNHEARD
    values, band = values.astype(np.float32), band_features(songs, drums).astype(np.float32)
    return [BarFeatures(edges, values[bars], band[bars]) for bars, edges in songs.bars]


@dataclass(frozen=True)
class _HeardNotes:
    """Notes sorted by onset, then from high to low; arrays over notes, except counts, which is over bars.

    onset: index of the onset; notes that begin together share one. start: the onset, quarters from tick 0. seconds,
    quarters: length of the note. to_next: seconds to the song's next onset. opens_song: whether the note is of a song's
    first onset. counts: notes of each bar.
    """

    bar: np.ndarray
    onset: np.ndarray
    start: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    seconds: np.ndarray
    quarters: np.ndarray
    to_next: np.ndarray
    opens_song: np.ndarray
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


def _heard(songs: PlayedSongs) -> tuple[_HeardNotes, _HeardNotes]:
    """The notes to measure, and the highest of each onset.

    Notes of one onset and pitch are merged into one, with the greatest length and velocity. An onset lies where its
    notes begin on average.
    """
    pitched = songs.pitched.which
    notes, begins = songs.notes, songs.begins[pitched]
    ticks_per_quarter = songs.ticks_per_quarter[pitched]
    onset = clusters(begins, songs.pitched.first)
    first_onset = songs.pitched.first_cluster(onset)
    n_onsets = first_onset[-1]
    size = np.bincount(onset, minlength=n_onsets)
    at = np.bincount(onset, weights=begins, minlength=n_onsets) / size
    start = np.bincount(onset, weights=notes.start[pitched], minlength=n_onsets) / size
    to_next = np.append(np.diff(at), LONGEST)[: len(at)]
    to_next[first_onset[first_onset > 0] - 1] = LONGEST
    opens_song = np.zeros(n_onsets + 1, dtype=bool)
    opens_song[first_onset] = True
    bar = songs.bars.of_onsets(at, first_onset)
    pitch = notes.pitch[pitched]
    key = onset * N_PITCHES - pitch
    order = np.argsort(key, kind="stable")
    first, _ = distinct(key[order])
    velocity, seconds, quarters = (
        np.maximum.reduceat(values[order], first) if len(first) else values
        for values in (
            notes.velocity[pitched],
            songs.ends[pitched] - begins,
            notes.length[pitched] / ticks_per_quarter,
        )
    )
    chosen = order[first]
    onset = onset[chosen]
    heard = _HeardNotes(
        bar=bar[onset],
        onset=onset,
        start=start[onset] / ticks_per_quarter[chosen],
        pitch=pitch[chosen],
        velocity=velocity,
        seconds=seconds,
        quarters=quarters,
        to_next=to_next[onset],
        opens_song=opens_song[onset],
        counts=np.bincount(bar[onset], minlength=len(songs.bars)),
    )
    return heard, heard.only(distinct(onset)[0])


def _density(notes: _HeardNotes, onsets: _HeardNotes, drums: Drums, songs: PlayedSongs) -> dict[str, np.ndarray]:
    """Density features."""
    seconds, sounds = songs.bars.seconds, np.clip(notes.seconds, 0, LONGEST)
    return {
        "notes_per_second": np.log1p((notes.counts + DRUM_WEIGHT * drums.counts) / seconds),
        "onsets_per_second": np.log1p((onsets.counts + DRUM_WEIGHT * drums.onset_counts) / seconds),
        "notes_per_quarter": np.log1p((notes.counts + DRUM_WEIGHT * drums.counts) / songs.quarters),
        "chord_size": notes.counts / np.maximum(onsets.counts, 1),
        "off_grid": _off_grid(onsets, songs.bars),
        "off_beat": onsets.mean(rises(np.abs(onsets.start - np.round(onsets.start)), *OFF_BEAT)),
        "polyphony": np.log1p(notes.sum(sounds) / seconds),
        "loudness": np.log1p((notes.sum(sounds * notes.velocity / 127) + drums.loudness) / seconds),
    }


def _off_grid(onsets: _HeardNotes, songs: SongBars) -> np.ndarray:
    """1 less the consistency with which a song's onsets so far lie on a grid of sixteenths or of triplets.

    Consistency is the length of the mean of unit vectors (Mardia and Jupp, Directional Statistics, 2000) whose angle is
    an onset's position within a part of the quarter: 1 if all have the same, about 0 if there is no beat grid.
    """
    waves = [onsets.sum(wave(2 * np.pi * parts * onsets.start)) for parts in GRIDS for wave in (np.cos, np.sin)]
    n, *sums = songs.so_far(np.stack([onsets.counts, *waves]))
    consistent = [np.hypot(*sums[i : i + 2]) / np.maximum(n, 1) for i in (0, 2)]
    return 1 - np.maximum(*consistent)


def _sound(notes: _HeardNotes, onsets: _HeardNotes) -> dict[str, np.ndarray]:
    """Features of velocity and register."""
    octaves, velocity = (notes.pitch - MIDDLE_C) / OCTAVE, notes.velocity / 127
    top = (onsets.pitch - MIDDLE_C) / OCTAVE
    leap = np.diff(top, prepend=top[:1])
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
        "melody_leap": onsets.mean(np.where(onsets.opens_song, 0.0, np.minimum(np.abs(leap), 2.0))),
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


def _hold(values: np.ndarray, has_notes: np.ndarray, songs: SongBars) -> None:
    """Give bars without notes the values of the song's last bar with notes, or else of its first one, in place."""
    bar = np.arange(len(has_notes))
    first = np.minimum.reduceat(np.where(has_notes, bar, len(bar)), songs.first[:-1])  # a song's first with notes
    first = np.where(first < songs.first[1:], first, songs.first[:-1])
    before = np.repeat(first, np.diff(songs.first))
    last = np.maximum.accumulate(np.where(has_notes, bar, before))
    values[:, _HELD] = values[last][:, _HELD]
