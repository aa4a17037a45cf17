"""Where the bars of a score are: time signatures, the stretches between their changes, and the tempo map.

A stretch is the time under one meter. Its bars are counted from its own first tick and all have the meter's length,
except the last, which the next change may cut short. Two clocks run side by side: file ticks (the score's own
resolution, in which bar lines are exact) and MuseTok's ticks (480 per quarter note, in which notes are quantized).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from .vocabulary import METER_ID, METERS, TICKS_PER_QUARTER, TICKS_PER_WHOLE

DEFAULT_TEMPO = 500_000  # microseconds per quarter note, the MIDI standard's 120 a minute
OPEN_END = 2**50  # MuseTok ticks; beyond every score
_TWO_FOUR = Fraction(2, 4)


def to_musetok_ticks(ticks: np.ndarray, ticks_per_quarter: int) -> np.ndarray:
    """File ticks in MuseTok's 480 per quarter note, cut to whole ticks. int64, same shape."""
    if ticks_per_quarter == TICKS_PER_QUARTER:
        return ticks.astype(np.int64)
    return (ticks / ticks_per_quarter * TICKS_PER_QUARTER).astype(np.int64)


@cache
def written_meter(numerator: int, denominator: int) -> tuple[tuple[int, int], Fraction]:
    """The vocabulary's meter that stands for a notated one, and the bar's length in whole notes.

    A meter of the vocabulary stands for itself, and any meter of its length takes it (8/8 is written 4/4). One shorter
    than 2/4 or longer than every meter of the vocabulary is barred anew as 4/4. Any other takes the next longer meter
    and keeps its own length (5/4 is written 6/4). Of several as long, the same denominator goes first, then compound
    meter for compound meter, then the nearest denominator.
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

    file_start: first file tick. bar_ticks: a bar's length in file ticks, exact. n_bars: bars up to the next change
    (0 for the last stretch, which has no end). first_bar: number of the stretch's first bar, from 0 at tick 0.
    start, end: first MuseTok tick and the one after the last. bar_length: in MuseTok ticks.
    meter_id: word id of the written meter. notated: the meter as notated, "5/4".
    """

    file_start: np.ndarray
    bar_ticks: list[Fraction]
    n_bars: np.ndarray
    first_bar: np.ndarray
    start: np.ndarray
    end: np.ndarray
    bar_length: np.ndarray
    meter_id: np.ndarray
    notated: list[str]

    def of_ticks(self, ticks: np.ndarray) -> np.ndarray:
        """Index of the stretch that holds each MuseTok tick."""
        return np.searchsorted(self.start, ticks, side="right") - 1

    def bar_in_stretch(self, stretch: np.ndarray, ticks: np.ndarray) -> np.ndarray:
        """Index within its stretch of the bar that holds each MuseTok tick."""
        bar = (ticks - self.start[stretch]) // self.bar_length[stretch]
        # Cutting to whole ticks can leave one tick behind a stretch's last bar: it is that bar's.
        return np.where(self.end[stretch] == OPEN_END, bar, np.minimum(bar, self.n_bars[stretch] - 1))

    def bar_span(self, stretch: np.ndarray, bar: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First MuseTok tick of each bar and the one after its last, a cut at the stretch's end included."""
        first = self.start[stretch] + bar * self.bar_length[stretch]
        cut = (bar == self.n_bars[stretch] - 1) & (self.end[stretch] != OPEN_END)
        return first, np.where(cut, self.end[stretch], first + self.bar_length[stretch])

    def bar_start_ticks(self, bar_number: np.ndarray) -> np.ndarray:
        """File tick of each numbered bar's line, to the nearest tick. int64."""
        stretch = self.of_bars(bar_number)
        result = np.empty(len(bar_number), dtype=np.int64)
        for k in np.unique(stretch):
            here = stretch == k
            index = bar_number[here] - self.first_bar[k]
            ticks = self.bar_ticks[k]
            # floor(x + 1/2) in whole numbers: exact however long the score claims to be
            result[here] = self.file_start[k] + (2 * index * ticks.numerator + ticks.denominator) // (
                2 * ticks.denominator
            )
        return result

    def of_bars(self, bar_number: np.ndarray) -> np.ndarray:
        """Index of the stretch that each numbered bar belongs to."""
        return np.searchsorted(self.first_bar, bar_number, side="right") - 1


def find_stretches(
    times: np.ndarray, numerators: np.ndarray, denominators: np.ndarray, ticks_per_quarter: int
) -> Stretches:
    """Cut a score's time at its meter changes.

    times, numerators, denominators: the time signatures, ascending in time, file ticks. The first also covers the time
    before it; of several at one tick the last one counts; one that repeats the running meter changes nothing; one with
    a zero is no meter. Without any the score is in 4/4.
    """
    by_time = {
        t: (n, d) for t, n, d in zip(times.tolist(), numerators.tolist(), denominators.tolist(), strict=True) if n and d
    }
    kept: list[tuple[int, tuple[int, int]]] = []
    for time, meter in by_time.items() or [(0, (4, 4))]:
        if not kept or kept[-1][1] != meter:
            kept.append((time if kept else 0, meter))

    file_start = np.array([time for time, _ in kept], dtype=np.int64)
    written = [written_meter(*meter) for _, meter in kept]
    bar_ticks = [4 * ticks_per_quarter * length for _, length in written]
    spans = np.diff(file_start).tolist()
    n_bars = np.array([-(-span // ticks) for span, ticks in zip(spans, bar_ticks, strict=False)] + [0], dtype=np.int64)
    start = to_musetok_ticks(file_start, ticks_per_quarter)
    return Stretches(
        file_start=file_start,
        bar_ticks=bar_ticks,
        n_bars=n_bars,
        first_bar=np.concatenate([[0], np.cumsum(n_bars[:-1])]),
        start=start,
        end=np.append(start[1:], OPEN_END),
        bar_length=np.array([int(TICKS_PER_WHOLE * length) for _, length in written], dtype=np.int64),
        meter_id=np.array([METER_ID[meter] for meter, _ in written], dtype=np.int16),
        notated=[f"{n}/{d}" for _, (n, d) in kept],
    )


def ticks_to_seconds(
    ticks: np.ndarray, tempo_times: np.ndarray, microseconds_per_quarter: np.ndarray, ticks_per_quarter: int
) -> np.ndarray:
    """Seconds from tick 0 under the tempo map.

    tempo_times: file ticks, ascending; of several at one tick the last one counts; before the first it is 120 a minute.
    """
    times = np.concatenate([[0], tempo_times]).astype(np.float64)
    seconds_per_tick = np.concatenate([[DEFAULT_TEMPO], microseconds_per_quarter]) / (1e6 * ticks_per_quarter)
    at_change = np.concatenate([[0.0], np.cumsum(np.diff(times) * seconds_per_tick[:-1])])
    k = np.searchsorted(times, ticks, side="right") - 1
    return at_change[k] + (ticks - times[k]) * seconds_per_tick[k]
