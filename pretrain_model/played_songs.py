"""Songs as they sound, in seconds, and many of them side by side.

Features are computed for many songs at once, since on the short arrays of one song most of NumPy's time goes into the
calls. Notes and bars are numbered through all songs, one song after the other. What looks from bar to bar, and every
product of matrices, is done song by song: so a song's values don't depend, even in their last digits, on the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from musetok_bridge.bars import ReadBars
from musetok_bridge.scores import Notes

from .onsets import EARLY, bar_of
from .time_averages import LEAST_SECONDS

_LEAST_QUARTERS = 1e-3  # least length of a bar


@dataclass(frozen=True)
class Played:
    """A song as it sounds: what its features are computed from.

    notes: all notes. begins, ends: float64, seconds of each. edges: float64 (bars + 1), seconds of the bar lines.
    quarters: float64 (bars), their lengths. is_triple: bool (bars), whether the meter's beats or their parts go by
    threes (3/4, 6/8). ticks_per_quarter: file ticks of a quarter note.
    """

    notes: Notes
    begins: np.ndarray
    ends: np.ndarray
    edges: np.ndarray
    quarters: np.ndarray
    is_triple: np.ndarray
    ticks_per_quarter: int

    @classmethod
    def of(cls, read: ReadBars) -> Played:
        """A score's notes under its clock."""
        bars, notes = read.bars, read.notes
        lines = np.append(bars.start_tick, bars.end_tick)
        ticks = (notes.start, notes.start + np.maximum(notes.length, 0), lines)
        begins, ends, edges = np.split(read.clock.seconds_at(np.concatenate(ticks)), [len(notes), 2 * len(notes)])
        quarters = np.maximum(np.diff(lines) / read.ticks_per_quarter, _LEAST_QUARTERS)
        is_triple = np.array([_is_triple(meter) for meter in bars.meter])
        return cls(notes, begins, ends, edges, quarters, is_triple, read.ticks_per_quarter)


@cache
def _is_triple(meter: str) -> bool:
    return int(meter.partition("/")[0]) % 3 == 0


class Group(NamedTuple):
    """Some notes of each song, song after song, in the order in which they begin.

    which: their indices among the notes of all songs. first: int64 (songs + 1), where each song's begin in `which`.
    """

    which: np.ndarray
    first: np.ndarray

    def first_cluster(self, cluster: np.ndarray) -> np.ndarray:
        """Where each song's clusters begin, (songs + 1); the last is their number. cluster: of each note, from 0."""
        n_clusters = cluster[-1] + 1 if len(cluster) else 0
        return np.append(cluster, n_clusters)[self.first]


class SongBars:
    """The bars of songs, one song after the other.

    edges: of each song, float64 (its bars + 1), seconds of the bar lines, ascending. first: int64 (songs + 1), the
    index of each song's first bar. begin: float64 (bars), when each begins. seconds: float64 (bars), how long each
    lasts, at least LEAST_SECONDS.
    """

    def __init__(self, edges: Sequence[np.ndarray]):
        self.edges = edges
        self.first = _ends([len(lines) - 1 for lines in edges])
        self.begin = _joined([lines[:-1] for lines in edges])
        self.seconds = np.maximum(_joined([np.diff(lines) for lines in edges]), LEAST_SECONDS)

    def __len__(self) -> int:
        return len(self.begin)

    def __iter__(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Of each song its bars among all, and its bar lines in seconds, (bars + 1)."""
        first = self.first.tolist()
        for begin, end, edges in zip(first[:-1], first[1:], self.edges, strict=True):
            yield slice(begin, end), edges

    def of_onsets(self, onsets: np.ndarray, first: np.ndarray) -> np.ndarray:
        """The index among all bars of each onset. onsets: seconds, song after song. first: where each song's begin."""
        found = np.empty(len(onsets), dtype=np.int64)
        begins = first.tolist()
        for begin, end, (bars, edges) in zip(begins[:-1], begins[1:], self, strict=True):
            found[begin:end] = bar_of(onsets[begin:end], edges) + bars.start
        return found

    def product(self, rows: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        """The product of rows, (…, bars, k), and a matrix, (k, m), song by song."""
        made = np.empty((*rows.shape[:-1], matrix.shape[1]))
        for bars, _ in self:
            np.matmul(rows[..., bars, :], matrix, out=made[..., bars, :])
        return made

    def so_far(self, values: np.ndarray) -> np.ndarray:
        """Sums over each song's bars up to each bar. values: (…, bars)."""
        sums = np.empty(values.shape)
        for bars, _ in self:
            np.cumsum(values[..., bars], axis=-1, out=sums[..., bars])
        return sums


class PlayedSongs:
    """Songs one after the other; arrays over the notes, or over the bars, of all of them.

    bars: their bars. notes, begins, ends, quarters, is_triple: as in Played. ticks_per_quarter: int64, of each note's
    song. pitched, drums: the notes that are pitched, and those of drums that begin within the bars.
    """

    def __init__(self, songs: Sequence[Played]):
        self.bars = SongBars([song.edges for song in songs])
        self.notes = Notes(*(_joined([getattr(s.notes, name) for s in songs]) for name in Notes.__dataclass_fields__))
        self.begins, self.ends, self.quarters, self.is_triple = (
            _joined([getattr(song, name) for song in songs]) for name in ("begins", "ends", "quarters", "is_triple")
        )
        sizes = [len(song.notes) for song in songs]
        self.ticks_per_quarter = np.repeat([song.ticks_per_quarter for song in songs], sizes)
        first_note = _ends(sizes).tolist()
        self.pitched = _group(songs, first_note, [np.flatnonzero(song.notes.is_pitched) for song in songs])
        self.drums = _group(songs, first_note, [_drums_within(song) for song in songs])


def _group(songs: Sequence[Played], first_note: Sequence[int], chosen: Sequence[np.ndarray]) -> Group:
    """The chosen notes of each song in the order in which they begin; those that begin together keep theirs."""
    ordered = [
        some[np.argsort(song.begins[some], kind="stable")] + first
        for song, first, some in zip(songs, first_note[:-1], chosen, strict=True)
    ]
    return Group(_joined(ordered), _ends([len(some) for some in ordered]))


def _drums_within(song: Played) -> np.ndarray:
    begins, edges = song.begins, song.edges
    return np.flatnonzero(song.notes.is_drum & (begins + EARLY >= edges[0]) & (begins < edges[-1]))


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _ends(sizes: Sequence[int]) -> np.ndarray:
    """0, and where each part of these sizes ends."""
    return np.cumsum([0, *sizes])
