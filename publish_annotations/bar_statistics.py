"""Statistics over all bars of a data set, exact and in constant memory: for the data card, and the ranks of bars.

Valence and arousal have four decimals, so counting how often each of their 20,001 values occurs loses nothing.
Statistics are over bars, so a long song weighs more than a short one; sd is the population's (ddof 0); quartiles are
numpy's (linear between order statistics).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.annotations import CURATED_STYLES, DIMENSIONS, QUADRANTS

_BELOW_1 = np.nextafter(np.float32(1), np.float32(0))  # the highest of very many bars would be rounded to 1
_GRID = np.arange(-10_000, 10_001) / 10_000


@dataclass(frozen=True)
class Summary:
    """Statistics of one dimension over all bars."""

    mean: float
    sd: float
    q25: float
    median: float
    q75: float


@dataclass
class Statistics:
    """Counts over songs and their bars.

    counts: (2, 20,001) number of bars at each value of valence and of arousal, from −1. quadrants: (4,) number of bars
    in Q1 to Q4. styles: number of songs that name each curated style; without_style: number that name none.
    """

    songs: int = 0
    bars: int = 0
    counts: np.ndarray = field(default_factory=lambda: np.zeros((2, len(_GRID)), np.int64))
    quadrants: np.ndarray = field(default_factory=lambda: np.zeros(4, np.int64))
    styles: Counter[str] = field(default_factory=Counter)
    without_style: int = 0

    def add(self, group: RowGroup) -> None:
        """Add the songs and bars of a row group, whose values are from −1 to 1."""
        self.songs += group.songs.num_rows
        self.bars += group.bars.num_rows
        self.counts += count_values(group.bars)
        pleasant, excited = (group.bars[name].to_numpy() >= 0 for name in DIMENSIONS)
        self.quadrants += [int(((pleasant == q.pleasant) & (excited == q.excited)).sum()) for q in QUADRANTS]
        if CURATED_STYLES in group.songs.column_names:
            self._add_styles(group.songs[CURATED_STYLES].combine_chunks())

    def update(self, other: Statistics) -> None:
        """Add the counts of another Statistics."""
        self.songs += other.songs
        self.bars += other.bars
        self.counts += other.counts
        self.quadrants += other.quadrants
        self.styles.update(other.styles)
        self.without_style += other.without_style

    def summary(self, dimension: int) -> Summary:
        """Statistics of one dimension, 0 for valence or 1 for arousal; there must be bars."""
        counts = self.counts[dimension]
        mean = float(counts @ _GRID / self.bars)
        sd = float(np.sqrt(counts @ np.square(_GRID - mean) / self.bars))
        rank = np.array([0.25, 0.5, 0.75]) * (self.bars - 1)  # of a quartile among the sorted values, from 0
        up_to, below = np.cumsum(counts), np.floor(rank)
        lower = _GRID[np.searchsorted(up_to, below, side="right")]
        upper = _GRID[np.searchsorted(up_to, np.ceil(rank), side="right")]
        return Summary(mean, sd, *(lower + (rank - below) * (upper - lower)).tolist())

    def styles_by_songs(self) -> list[tuple[str, int]]:
        """The styles with their number of songs, the most frequent first."""
        return sorted(self.styles.items(), key=lambda item: (-item[1], item[0]))

    def _add_styles(self, styles: pa.ListArray) -> None:
        names = pa.table({"song": pc.list_parent_indices(styles), "style": pc.list_flatten(styles)})
        names = names.filter(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(names["style"])), 0))
        once = names.group_by(["song", "style"]).aggregate([])
        self.styles.update({n["values"]: n["counts"] for n in pc.value_counts(once["style"]).to_pylist()})
        self.without_style += len(styles) - len(pc.unique(once["song"]))


class Ranks:
    """Where a bar lies among all bars of a data set.

    counts: (2, 20,001), the number of bars at each value of valence and of arousal, from −1.
    """

    def __init__(self, counts: np.ndarray):
        below = np.cumsum(counts, axis=1) - counts
        ranks = (below + counts / 2) / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        self._ranks = np.minimum(ranks.astype(np.float32), _BELOW_1)

    def of(self, bars: pa.Table) -> list[np.ndarray]:
        """The rank of each bar in valence, and in arousal, below 1: the share of lower bars and half of equal ones."""
        return [ranks[at] for ranks, at in zip(self._ranks, _indices(bars), strict=True)]


def count_values(bars: pa.Table) -> np.ndarray:
    """The number of bars at each value of valence and of arousal, from −1: int64 (2, 20,001)."""
    return np.stack([np.bincount(at, minlength=len(_GRID)) for at in _indices(bars)])


def _indices(bars: pa.Table) -> list[np.ndarray]:
    """The index of each bar's valence, and of its arousal, among all values that there are."""
    values = (bars[name].to_numpy().astype(np.float64) for name in DIMENSIONS)
    return [np.rint((value + 1) * 10_000).astype(np.int64) for value in values]


class RowGroup(NamedTuple):
    """Some songs and all of their bars, as rows of the two published tables."""

    songs: pa.Table
    bars: pa.Table
