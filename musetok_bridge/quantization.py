"""MuseTok's rhythm: onsets on a grid of sixteenths and triplets, durations from a list, overlaps cut.

All functions are pure and take parallel 1-d int64 arrays over notes, in MuseTok ticks (480 per quarter note), sorted by
start. The rules are those of MuseTok's data preparation.
"""

from __future__ import annotations

import numpy as np

from .meters import OPEN_END, Stretches
from .vocabulary import LONGEST_DURATION, PLAIN_DURATIONS, TRIPLET_DURATIONS

SIXTEENTH, TRIPLET_SIXTEENTH = 120, 80
_RUNS = tuple(  # step between members and span, in triplet sixteenths, and a mark for each member
    (between, between * steps, b"\1" * (steps + 1))
    for between, steps in ((1, 5), (2, 5), (4, 5), (1, 2), (2, 2), (4, 2), (8, 2))
)
_LONGEST_RUN = max(last for _, last, _ in _RUNS)
_BETWEEN_MEMBERS = {i for between, last, _ in _RUNS for i in range(between, last + 1, between)}  # triplet sixteenths


def _grid_neighbours(grid_steps: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each tick of the grid's period, half a quarter note: the grid point at or before it, and the next one."""
    period = 240
    points = np.array(sorted({p for step in grid_steps for p in range(0, period + 1, step)}))
    after = np.searchsorted(points, np.arange(period), side="right")
    return points[after - 1], points[after]


_PLAIN_GRID = _grid_neighbours((SIXTEENTH,))
_FULL_GRID = _grid_neighbours((SIXTEENTH, TRIPLET_SIXTEENTH))


def _nearest_durations(durations: tuple[int, ...]) -> np.ndarray:
    """The nearest duration for lengths of 0..1920 ticks; of two equally near the one listed first."""
    listed = np.array(durations)
    return listed[np.abs(np.arange(LONGEST_DURATION + 1)[:, None] - listed).argmin(axis=1)]


_PLAIN_NEAREST = _nearest_durations(PLAIN_DURATIONS)
_TRIPLET_NEAREST = _nearest_durations(PLAIN_DURATIONS + TRIPLET_DURATIONS)
_IS_DURATION = np.isin(np.arange(LONGEST_DURATION + 1), PLAIN_DURATIONS + TRIPLET_DURATIONS)


def quantize_onsets(start: np.ndarray, stretches: Stretches) -> tuple[np.ndarray, np.ndarray]:
    """Move each start to the grid of its bar.

    Returns the onsets (the end of a bar is the start of the next) and which notes are triplet notes.
    """
    _, bar_first, bar_end = stretches.bar_of_ticks(start)
    onset = _to_grid(start, bar_first, bar_end, _FULL_GRID)
    first, group = distinct(onset)
    onsets = onset[first]
    is_triplet, is_candidate = find_triplets(onsets, stretches)
    redo = np.flatnonzero((is_candidate & ~is_triplet)[group])
    onset[redo] = _to_grid(start[redo], bar_first[redo], bar_end[redo], _PLAIN_GRID)
    return onset, is_triplet[group]


def distinct(ascending: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index at which each distinct value first occurs, and for each element the rank of its value.

    Of values in another order: where each run of equal ones begins, and for each element the number of its run.
    """
    is_new = np.empty(len(ascending), dtype=bool)
    is_new[:1] = True
    np.not_equal(ascending[1:], ascending[:-1], out=is_new[1:])
    return np.flatnonzero(is_new), np.cumsum(is_new) - 1


def _to_grid(
    start: np.ndarray, bar_first: np.ndarray, bar_end: np.ndarray, grid: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The nearest of the bar's grid points or its end; of two equally near the earlier."""
    position = start - bar_first
    phase = position % 240
    before = position - phase + grid[0][phase]
    after = np.minimum(position - phase + grid[1][phase], bar_end - bar_first)
    return bar_first + np.where(position - before <= after - position, before, after)


def find_triplets(onsets: np.ndarray, stretches: Stretches) -> tuple[np.ndarray, np.ndarray]:
    """Which of the distinct, ascending onsets belong to triplets, and which are candidates, on a triplet step.

    An onset opens a run if other onsets follow it at even triplet steps within its bar; longer runs are tried first.
    All members of a run are triplet onsets, and a member opens no run of its own.
    """
    step, is_candidate = _triplet_step(onsets, stretches)
    found = np.zeros(len(onsets), dtype=bool)
    candidates = np.flatnonzero(is_candidate)
    step = step[candidates]
    if np.bincount(step % 3, minlength=3).min() == 0:  # no run: the members of one lie on all thirds of half a quarter
        return found, is_candidate
    present = np.zeros(step[-1] + 1 + _LONGEST_RUN, dtype=bool)
    present[step] = True
    _, _, bar_end = stretches.bar_of_ticks(onsets[candidates])
    room = bar_end - onsets[candidates]
    follows = {i: present[step + i] for i in _BETWEEN_MEMBERS}
    run = np.full(len(step), -1)
    for r in reversed(range(len(_RUNS))):
        between, last, _ = _RUNS[r]
        fits = room > TRIPLET_SIXTEENTH * last
        for i in range(between, last + 1, between):
            fits &= follows[i]
        run[fits] = r

    members = bytearray(len(present))
    opening = np.flatnonzero(run >= 0)
    for first, r in zip(step[opening].tolist(), run[opening].tolist(), strict=True):
        if not members[first]:  # whether an onset opens a run depends on the runs before it, so the loop is in order
            between, last, all_members = _RUNS[r]
            members[first : first + last + 1 : between] = all_members
    found[candidates] = np.frombuffer(members, dtype=bool)[step]
    return found, is_candidate


def _triplet_step(ticks: np.ndarray, stretches: Stretches) -> tuple[np.ndarray, np.ndarray]:
    """Ticks of the time line as triplet sixteenths, counted through all stretches, and which ticks are on such a step.

    A run lies within one stretch, so this count keeps the distances between its members.
    """
    if len(stretches.start) == 1:
        step, rest = np.divmod(ticks, TRIPLET_SIXTEENTH)
        return step, rest == 0
    stretch = stretches.index_at_ticks(ticks)
    first_step = np.concatenate([[0], np.cumsum(np.diff(stretches.start) // TRIPLET_SIXTEENTH + 1)])
    step, rest = np.divmod(ticks - stretches.start[stretch], TRIPLET_SIXTEENTH)
    return first_step[stretch] + step, rest == 0


def quantize_durations(length: np.ndarray, is_triplet: np.ndarray) -> np.ndarray:
    """The nearest plain duration, or triplet duration for triplet notes; of two equally near the one listed first."""
    length = np.clip(length, 0, LONGEST_DURATION)
    return np.where(is_triplet, _TRIPLET_NEAREST[length], _PLAIN_NEAREST[length])


def cut_overlaps(onset: np.ndarray, duration: np.ndarray, stretches: Stretches) -> np.ndarray:
    """Shorten notes that sound into a later onset of their stretch, if the shorter length is a duration.

    onset: ascending. A note is cut at the first later onset that has a note ending after it. The last onset of a
    stretch cuts nothing, and its notes are not cut. Returns the new durations.
    """
    end = onset + duration
    first, group = distinct(onset)
    onsets = onset[first]
    latest = np.maximum.reduceat(end, first)
    stretch = stretches.index_at_ticks(onsets)
    last_of_stretch = np.append(stretch[1:] != stretch[:-1], True)
    in_the_way = np.where(last_of_stretch, OPEN_END, onsets)  # the last onset of a stretch cuts no note
    next_in_the_way = np.where(last_of_stretch, OPEN_END, np.append(in_the_way[1:], OPEN_END))

    looking = np.flatnonzero(end > next_in_the_way[group])
    later, its_end = group[looking] + 1, end[looking]
    stopped, met = [looking[:0]], [later[:0]]  # notes, and the onset that they do not outlast
    while len(looking):
        passes = its_end >= latest[later]
        stopped.append(looking[~passes])
        met.append(later[~passes])
        passes &= its_end > next_in_the_way[later]
        looking, later, its_end = looking[passes], later[passes] + 1, its_end[passes]
    note = np.concatenate(stopped)
    gap = onsets[np.concatenate(met)] - onset[note]
    fits = _IS_DURATION[gap]
    duration = duration.copy()
    duration[note[fits]] = gap[fits]
    return duration
