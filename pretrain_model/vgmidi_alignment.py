"""Which measure of VGMIDI's ratings belongs to which bar of the MIDI file.

The meaning of a measure is known from the tool that the raters used (github lucasnfe/adl-music-annotation) and can be
checked on the data. A piece's `measures` is the length of its MIDI file in quarter notes, divided by four and rounded
up, whatever the meter. A rating given at time t of the audio went to entry floor(t / duration × measures), so a measure
is not a bar of the score but one of equal slices of the playing time. The audio was rendered from the MIDI file, so its
`duration` is that of the file, apart from truncation to whole seconds in the first set and silence at a track's end.

So there are two ways to align measures with bars:

- by number: measure k is bar k. Right if bars are four quarters long and the tempo is steady, and otherwise a
  good approximation if the counts are equal.
- by time: a bar takes the mean of the slices that it overlaps, weighted by the overlap. Right if the MIDI file is the
  one that was rated, which is checked by its measures (length in quarters) and its duration (length in seconds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

QUARTERS_PER_MEASURE = 4
# The last note may sound slightly past its bar; this share of a measure does not count as another measure.
_MEASURE_SLACK = 0.05
# How much shorter the audio may be than the notes: durations were cut to whole seconds in the first set, and if many
# tempos share one tick their order is undefined, which moves the end by a few thousandths.
_SECONDS_SHORTER = 1.0
_SHARE_SHORTER = 0.005
_SHARE_LONGER = 0.15  # how much longer the audio may be: a track may end in silence after its last note


@dataclass(frozen=True)
class Playing:
    """The bars of a MIDI file in playing time.

    bar_number, start_seconds: (n,) ascending. end_quarters, end_seconds: end of the last note.
    """

    bar_number: npt.NDArray[np.integer]
    start_seconds: npt.NDArray[np.floating]
    end_quarters: float
    end_seconds: float


class NotAligned(Exception):
    """The measures can't be shown to belong to the bars; the message is one word, the reason."""


def align(
    playing: Playing, measures: int, duration: float, prefer: Literal["number", "time", "equal_only"]
) -> tuple[str, npt.NDArray[np.float64]]:
    """Align a piece: returns "number" or "time", and weights (n bars, measures) whose rows sum to 1.

    measures: number of rated measures. duration: length of the audio in seconds. prefer: see config/pretrain.yaml.
    Raises NotAligned.
    """
    equal = int(playing.bar_number[-1]) + 1 == measures
    if equal and prefer != "time":
        return "number", _by_number(playing, measures)
    if prefer == "equal_only":
        raise NotAligned("bars_differ_from_measures")
    doubt = _doubt(playing, measures, duration)
    if doubt is None:
        return "time", _by_time(playing, measures, duration)
    if equal:
        return "number", _by_number(playing, measures)
    raise NotAligned(doubt)


def _doubt(playing: Playing, measures: int, duration: float) -> str | None:
    """Why the MIDI file may not be the one that was rated; None if it is."""
    length = playing.end_quarters / QUARTERS_PER_MEASURE
    if not measures - 1 < length <= measures + _MEASURE_SLACK:
        return "measures_of_another_length"
    shortest = playing.end_seconds * (1 - _SHARE_SHORTER) - _SECONDS_SHORTER
    if not shortest <= duration <= playing.end_seconds * (1 + _SHARE_LONGER):
        return "duration_of_another_tempo"
    return None


def _by_number(playing: Playing, measures: int) -> npt.NDArray[np.float64]:
    return np.eye(measures)[playing.bar_number]


def _by_time(playing: Playing, measures: int, duration: float) -> npt.NDArray[np.float64]:
    """Share of each bar that falls into each of `measures` equal slices of the playing time."""
    total = max(duration, playing.end_seconds)  # a duration cut to whole seconds ends before the last note
    edges = np.linspace(0, total, measures + 1)
    start = np.asarray(playing.start_seconds, dtype=np.float64)
    # The last bar ends like the one before it or with the last note; silence after that belongs to no bar.
    last_end = max(start[-1] + (start[-1] - start[-2] if len(start) > 1 else total), playing.end_seconds)
    end = np.append(start[1:], max(start[-1], min(total, last_end)))
    overlap = np.minimum(end[:, None], edges[1:]) - np.maximum(start[:, None], edges[:-1])  # (n, measures)
    overlap = np.maximum(overlap, 0)
    # A bar without duration (a last bar in which a note only just ends) takes the slice that contains its start.
    without_duration = overlap.sum(axis=1) <= 0
    overlap[
        without_duration, np.clip(np.searchsorted(edges, start[without_duration], "right") - 1, 0, measures - 1)
    ] = 1
    return overlap / overlap.sum(axis=1, keepdims=True)
