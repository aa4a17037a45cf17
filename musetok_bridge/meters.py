"""Where the bars of a score are: time signatures, and the stretches between their changes.

A stretch is the time under one meter. Its bars are counted from its own first tick and all have the meter's length,
except the last, which the next change may cut short. There are two clocks: file ticks (the score's own resolution, in
which bar lines are exact) and MuseTok's ticks (480 per quarter note, in which notes are quantized).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, lru_cache

import numpy as np

from .vocabulary import METER_ID, METERS, TICKS_PER_QUARTER, TICKS_PER_WHOLE

OPEN_END = 2**50  # MuseTok ticks; beyond every score
_TWO_FOUR = Fraction(2, 4)


def to_musetok_ticks(ticks: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    """Convert file ticks to MuseTok's 480 per quarter note, truncated to whole ticks. int64, same shape."""
    if ticks_per_quarter == TICKS_PER_QUARTER:
        return ticks.astype(np.int64)
    return (ticks / ticks_per_quarter * TICKS_PER_QUARTER).astype(np.int64)


@cache
def written_meter(numerator: int, denominator: int) -> tuple[tuple[int, int], Fraction]:
    """The meter of the vocabulary that a notated meter is written as, and the bar's length in whole notes.

    A meter of the vocabulary is written as itself, and another meter of the same length as that one (8/8 as 4/4). A
    meter shorter than 2/4 or longer than every meter of the vocabulary is barred anew as 4/4. Any other is written as
    the next longer meter but keeps its own length (5/4 is written 6/4). Among several meters of that length, the same
    denominator is preferred, then compound for compound meter, then the nearest denominator.
    """
    length = Fraction(numerator, denominator)
    longer = [m for m in METERS if Fraction(*m) >= length]
    same = (numerator, denominator) in METERS or any(Fraction(*m) == length for m in METERS)
    if not longer or (length < _TWO_FOUR and not same) or TICKS_PER_WHOLE * length % 1:
        return (4, 4), Fraction(1)
    next_length = min(Fraction(*m) for m in longer)

    def unlikeness(meter: tuple[int, int]) -> tuple[bool, bool, int]:
        return (
            meter[1] != denominator,
            _is_compound(meter[0]) != _is_compound(numerator),
            abs(meter[1].bit_length() - denominator.bit_length()),
        )

    return min((m for m in longer if Fraction(*m) == next_length), key=unlikeness), length


def _is_compound(numerator: int) -> bool:
    return numerator > 3 and numerator % 3 == 0


@dataclass(frozen=True)
class Stretches:
    """The stretches of a score between its meter changes; arrays over stretches, in time order.

    Each stretch has its own clock of MuseTok ticks, which begins at its first file tick, so earlier stretches do not
    affect its rhythm. The clocks laid end to end form one time line.

    file_start: first file tick. bar_ticks: int64 (stretches, 2), a bar's length in file ticks as numerator and
    denominator. first_bar: number of the stretch's first bar, from 0 at tick 0. start: first tick of the time line.
    bar_length: in MuseTok ticks. meter_id: word id of the written meter. notated: the meter as notated, "5/4".
    barred_as: the meter whose length its bars have: the notated one unless that is barred anew, as 1/4 is as "4/4".
    """

    ticks_per_quarter: int
    file_start: np.ndarray
    bar_ticks: np.ndarray
    first_bar: np.ndarray
    start: np.ndarray
    bar_length: np.ndarray
    meter_id: np.ndarray
    notated: list[str]
    barred_as: list[str]

    def on_time_line(self, file_ticks: np.ndarray) -> np.ndarray:
        """File ticks as ticks of the time line, int64."""
        if len(self.start) == 1:
            return to_musetok_ticks(file_ticks, self.ticks_per_quarter)
        stretch = np.searchsorted(self.file_start, file_ticks, side="right") - 1
        return self.start[stretch] + to_musetok_ticks(file_ticks - self.file_start[stretch], self.ticks_per_quarter)

    def index_at_ticks(self, ticks: np.ndarray) -> np.ndarray:
        """Index of the stretch that contains each tick of the time line."""
        if len(self.start) == 1:
            return np.zeros(len(ticks), dtype=np.int64)
        return np.searchsorted(self.start, ticks, side="right") - 1

    def bar_of_ticks(self, ticks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The bar that contains each tick of the time line: its number, first tick, and the tick after its last.

        A bar that a meter change cuts short ends at the change.
        """
        if len(self.start) == 1:  # true of most scores; dividing by one number is several times faster
            length = int(self.bar_length[0])
            bar = ticks // length
            return bar, bar * length, (bar + 1) * length
        stretch = self.index_at_ticks(ticks)
        bar = (ticks - self.start[stretch]) // self.bar_length[stretch]
        first = self.start[stretch] + bar * self.bar_length[stretch]
        cut = np.append(self.start[1:], OPEN_END)[stretch]
        return self.first_bar[stretch] + bar, first, np.minimum(first + self.bar_length[stretch], cut)

    def bar_start_ticks(self, bar_number: np.ndarray) -> np.ndarray:
        """File tick at which each numbered bar begins, rounded to the nearest tick. int64."""
        stretch = self.index_at_bars(bar_number)
        index = bar_number - self.first_bar[stretch]
        numerator, denominator = self.bar_ticks[stretch].T
        # floor(x + 1/2) in integers: exact however long the score is
        return self.file_start[stretch] + (2 * index * numerator + denominator) // (2 * denominator)

    def index_at_bars(self, bar_number: np.ndarray) -> np.ndarray:
        """Index of the stretch that each numbered bar belongs to."""
        return np.searchsorted(self.first_bar, bar_number, side="right") - 1


def meter_changes(times: np.ndarray, numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """The time signatures that begin a stretch, int64 (stretches, 3): file tick, numerator, denominator.

    times: file ticks, ascending. The first signature also covers the time before it; of several at one tick the last
    counts; a signature that repeats the current meter or contains a zero is ignored. Without any signature the score is
    in 4/4.
    """
    signatures = np.stack([times, numerators, denominators], axis=1).astype(np.int64)
    signatures = signatures[(signatures[:, 1:] > 0).all(axis=1)]
    if not len(signatures):
        return np.array([[0, 4, 4]])
    signatures = signatures[np.append(signatures[1:, 0] != signatures[:-1, 0], True)]
    signatures = signatures[np.append(True, (signatures[1:, 1:] != signatures[:-1, 1:]).any(axis=1))]
    signatures[0, 0] = 0
    return signatures


@lru_cache(maxsize=256)
def one_meter(numerator: int, denominator: int, ticks_per_quarter: int) -> Stretches:
    """The single stretch of a score with one time signature, cached because most scores share a few signatures."""
    changes = meter_changes(*(np.array([value]) for value in (0, numerator, denominator)))
    return find_stretches(changes, ticks_per_quarter)


def find_stretches(changes: np.ndarray, ticks_per_quarter: int) -> Stretches:
    """Lay out the stretches between a score's meter changes. changes: what `meter_changes` returns."""
    file_start = changes[:, 0]
    meters = [(n, d) for n, d in changes[:, 1:].tolist()]
    written = [written_meter(*meter) for meter in meters]
    lengths = [4 * ticks_per_quarter * length for _, length in written]
    bar_ticks = np.array([(ticks.numerator, ticks.denominator) for ticks in lengths], dtype=np.int64)
    spans = np.diff(file_start)
    n_bars = -(-spans * bar_ticks[:-1, 1] // bar_ticks[:-1, 0])
    return Stretches(
        ticks_per_quarter=ticks_per_quarter,
        file_start=file_start,
        bar_ticks=bar_ticks,
        first_bar=np.concatenate([[0], np.cumsum(n_bars)]),
        start=np.concatenate([[0], np.cumsum(to_musetok_ticks(spans, ticks_per_quarter))]),
        bar_length=np.array([int(TICKS_PER_WHOLE * length) for _, length in written], dtype=np.int64),
        meter_id=np.array([METER_ID[meter] for meter, _ in written], dtype=np.int16),
        notated=[f"{n}/{d}" for n, d in meters],
        barred_as=[
            f"{n}/{d}" if Fraction(n, d) == length else f"{w}/{x}"
            for (n, d), ((w, x), length) in zip(meters, written, strict=True)
        ],
    )
