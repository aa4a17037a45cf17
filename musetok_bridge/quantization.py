"""MuseTok's rhythm: onsets on a grid of sixteenths and triplets, durations from a list, overlaps cut.

All functions are pure, on parallel 1-d int64 arrays over notes in MuseTok ticks (480 per quarter note), the notes in
the order of their starts. The rules are those of MuseTok's data preparation.
"""

from __future__ import annotations

import numpy as np

from .meters import Stretches
from .vocabulary import PLAIN_DURATIONS, TRIPLET_DURATIONS

SIXTEENTH, TRIPLET_SIXTEENTH = 120, 80
TRIPLET_RUNS = ((80, 5), (160, 5), (320, 5), (80, 2), (160, 2), (320, 2), (640, 2))  # (step in ticks, steps)
_LONGEST_DURATION = max(PLAIN_DURATIONS)


def _grid_neighbours(grid_steps: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each tick of half a quarter note, the grid's period: the grid point at or before it, and the next."""
    period = 240
    points = np.array(sorted({p for step in grid_steps for p in range(0, period + 1, step)}))
    after = np.searchsorted(points, np.arange(period), side="right")
    return points[after - 1], points[after]


_PLAIN_GRID = _grid_neighbours((SIXTEENTH,))
_FULL_GRID = _grid_neighbours((SIXTEENTH, TRIPLET_SIXTEENTH))


def _nearest_durations(durations: tuple[int, ...]) -> np.ndarray:
    """The nearest duration, the first listed of two as near, for lengths of 0..1920 ticks."""
    listed = np.array(durations)
    return listed[np.abs(np.arange(_LONGEST_DURATION + 1)[:, None] - listed).argmin(axis=1)]


_PLAIN_NEAREST = _nearest_durations(PLAIN_DURATIONS)
_TRIPLET_NEAREST = _nearest_durations(PLAIN_DURATIONS + TRIPLET_DURATIONS)
_IS_DURATION = np.isin(np.arange(_LONGEST_DURATION + 1), PLAIN_DURATIONS + TRIPLET_DURATIONS)


def quantize_onsets(start: np.ndarray, stretches: Stretches) -> tuple[np.ndarray, np.ndarray]:
    """Put each start on the grid of its bar.

    Returns the onsets, where the end of a bar means the start of the next, and which notes are triplet notes.
    """
    _, bar_first, bar_end = stretches.bar_of_ticks(start)
    onset = _to_grid(start, bar_first, bar_end, _FULL_GRID)
    onsets, place = np.unique(onset, return_inverse=True)
    is_triplet = find_triplets(onsets, stretches)[place]
    candidate = (onset - stretches.start[stretches.of_ticks(onset)]) % TRIPLET_SIXTEENTH == 0
    redo = candidate & ~is_triplet
    onset[redo] = _to_grid(start[redo], bar_first[redo], bar_end[redo], _PLAIN_GRID)
    return onset, is_triplet


def _to_grid(
    start: np.ndarray, bar_first: np.ndarray, bar_end: np.ndarray, grid: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The nearest of the bar's grid points and its end; of two as near the earlier."""
    position = start - bar_first
    phase = position % 240
    before = position - phase + grid[0][phase]
    after = np.minimum(position - phase + grid[1][phase], bar_end - bar_first)
    return bar_first + np.where(position - before <= after - position, before, after)


def find_triplets(onsets: np.ndarray, stretches: Stretches) -> np.ndarray:
    """Which of the distinct, ascending onsets belong to triplets.

    An onset opens a run if other onsets follow it at even triplet steps within its bar, the longer runs tried first; a
    run makes all its members triplet onsets, and a member opens no run of its own.
    """
    stretch = stretches.of_ticks(onsets)
    candidates = np.flatnonzero((onsets - stretches.start[stretch]) % TRIPLET_SIXTEENTH == 0)
    first = onsets[candidates]
    _, _, bar_end = stretches.bar_of_ticks(first)
    run = np.full(len(first), -1)
    for r, (step, steps) in enumerate(TRIPLET_RUNS):
        fits = np.flatnonzero((run < 0) & (first + step * steps < bar_end))
        for i in range(1, steps + 1):
            member = first[fits] + step * i
            at = np.minimum(np.searchsorted(onsets, member), len(onsets) - 1)
            fits = fits[onsets[at] == member]
        run[fits] = r

    triplets: set[int] = set()
    opening = run >= 0
    for onset, r in zip(first[opening].tolist(), run[opening].tolist(), strict=True):
        if onset not in triplets:  # whether an onset opens a run depends on the runs before it: one walk, in order
            step, steps = TRIPLET_RUNS[r]
            triplets.update(range(onset, onset + step * steps + 1, step))
    return np.isin(onsets, np.fromiter(triplets, dtype=np.int64, count=len(triplets)))


def quantize_durations(length: np.ndarray, is_triplet: np.ndarray) -> np.ndarray:
    """The nearest duration of the plain list, for triplet notes of both lists; of two as near the first listed."""
    length = np.clip(length, 0, _LONGEST_DURATION)
    return np.where(is_triplet, _TRIPLET_NEAREST[length], _PLAIN_NEAREST[length])


def cut_overlaps(onset: np.ndarray, duration: np.ndarray, stretches: Stretches) -> np.ndarray:
    """Shorten notes that sound into a later onset of their stretch, where the shorter length is a duration.

    onset: ascending. A later onset that has no note outlasting this one cuts it; one with a longer note is passed over.
    Neither the last onset of a stretch nor its notes are looked at. Returns the new durations.
    """
    end = onset + duration
    onsets, first, group = np.unique(onset, return_index=True, return_inverse=True)
    latest = np.maximum.reduceat(end, first)
    stretch = stretches.of_ticks(onsets)
    last_of_stretch = np.searchsorted(stretch, stretch, side="right") - 1

    duration = duration.copy()
    note = np.flatnonzero(group < last_of_stretch[group])
    later = group[note] + 1
    while True:
        looking = (later < last_of_stretch[group[note]]) & (end[note] > onsets[later])
        note, later = note[looking], later[looking]
        if not len(note):
            return duration
        passes = end[note] >= latest[later]
        stop, gap = note[~passes], (onsets[later] - onset[note])[~passes]
        fits = _IS_DURATION[gap]
        duration[stop[fits]] = gap[fits]
        note, later = note[passes], later[passes] + 1
