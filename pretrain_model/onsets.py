"""Which notes begin together, as a listener hears it, and thresholds that no inaudible change jumps over.

Two onsets less than about 20 ms apart are heard as one (Hirsh, Journal of the Acoustical Society of America 31, 1959),
and the notes of a chord that a pianist plays together lie up to 30 ms apart (Goebl, ibid. 110, 2001). So notes are
grouped by seconds, not by equal ticks.
"""

from __future__ import annotations

import numpy as np

EARLY = 0.03  # seconds before a bar line from which an onset belongs to the bar after it; as long as a chord may spread
# seconds from the first onset of a cluster within which notes begin with it: between the 20 ms of the one study and the
# 30 ms of the other
TOGETHER = 0.028


def clusters(begins: np.ndarray, first_of_songs: np.ndarray | None = None) -> np.ndarray:
    """The index of the cluster that each note belongs to, (n), from 0.

    begins: (n), seconds, ascending within each song. first_of_songs: the indices at which songs begin, the first of
    them 0, none above n; None if there is one song. The first note of a song that is not yet in a cluster opens one,
    which takes all its notes that begin up to TOGETHER after it.
    """
    if not len(begins):
        return np.empty(0, dtype=np.int64)
    opens = np.zeros(len(begins) + 1, dtype=bool)
    opens[0] = True
    opens[1:-1] = np.diff(begins) > TOGETHER
    if first_of_songs is not None:
        opens[first_of_songs] = True
    opens = opens[:-1]
    # a run without such a gap is one cluster unless it is longer than one, as a very fast arpeggio is
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(begins)) - 1
    is_long = begins[last] - begins[first] > TOGETHER
    for start, end in zip(first[is_long].tolist(), last[is_long].tolist(), strict=True):
        position = start
        while begins[end] - begins[position] > TOGETHER:
            run = begins[position : end + 1]
            after = position + int(np.searchsorted(run, run[0] + TOGETHER, side="right"))
            position = min(max(after, position + 1), end)  # the sum above and the difference may round differently
            opens[position] = True
    return np.cumsum(opens) - 1


def bar_of(onsets: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The index of the bar of each onset. onsets: (n), seconds. edges: (bars + 1), the bar lines in seconds."""
    return np.clip(np.searchsorted(edges[:-1], onsets + EARLY, side="right") - 1, 0, len(edges) - 2)


def rises(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to `low`, 1 from `high`, and a straight line between: a threshold that no small change jumps over."""
    return np.clip((values - low) / (high - low), 0, 1)
