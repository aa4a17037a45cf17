"""Which measure of VGMIDI's listeners belongs to which bar of the MIDI file.

What the listeners rated is known from the tool that they used (github lucasnfe/adl-music-annotation) and can be checked
on the data. A piece's `measures` is the length of its MIDI file in quarter notes, divided by four and rounded up,
whatever the meter. A rating given at time t of the audio went to entry floor(t / duration × measures), so a measure is
not a bar of the score but an equal slice of the playing time. The audio was rendered from the MIDI file, so its
`duration` is the file's own, up to whole seconds in the first set and to silence before the end of the track.

Two ways follow from a measure to a bar:

- by number: measure k is bar k. Right where bars are four quarters long and the tempo is steady, and a good
  approximation elsewhere if the counts are equal.
- by time: a bar takes the mean of the slices that it overlaps, weighted by the overlap. Right if the MIDI file is the
  one that was rated, which is shown by its measures (length in quarters) and its duration (length in seconds).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

QUARTERS_PER_MEASURE = 4
# A last note may sound a moment past its bar: this part of a measure doesn't open another one.
_MEASURE_SLACK = 0.05
# How much the audio may be shorter than the notes: durations were cut to whole seconds in the first set, and where many
# tempos stand at one tick their order is open, which moves the end by some thousandths.
_SECONDS_SHORTER = 1.0
_SHARE_SHORTER = 0.005
_SHARE_LONGER = 0.15  # and longer: a track may end in silence after its last note


@dataclass(frozen=True)
class Playing:
    """The bars of a MIDI file as they are played.

    bar_number: (n,) ascending; start_seconds: (n,) ascending; end_quarters, end_seconds: when the last note ends.
    """

    bar_number: npt.NDArray[np.integer]
    start_seconds: npt.NDArray[np.floating]
    end_quarters: float
    end_seconds: float


class NotAligned(Exception):
    """The measures can't be shown to belong to the bars; the message is one word for the reason."""


def align(
    playing: Playing, measures: int, duration: float, prefer: Literal["number", "time", "equal_only"]
) -> tuple[str, npt.NDArray[np.float64]]:
    """How a piece was aligned ("number" or "time"), and weights (n bars, measures) whose rows sum to 1.

    measures: how many the listeners rated; duration: length of the audio in seconds; prefer: see config/pretrain.yaml.
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
    """Why the MIDI file may not be the one that was rated, None if it is."""
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
    # A bar without extent in time (the last one, opened by a note's very end) takes the slice that it stands in.
    nowhere = overlap.sum(axis=1) <= 0
    overlap[nowhere, np.clip(np.searchsorted(edges, start[nowhere], "right") - 1, 0, measures - 1)] = 1
    return overlap / overlap.sum(axis=1, keepdims=True)
