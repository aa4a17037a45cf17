"""Names beside the points of a plot, placed so that they cover neither each other nor any point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg

_DISTANCES = (12, 22, 34, 48, 64, 82, 102, 124, 148)  # points of type between a plot's point and the middle of its name
# degrees, diagonals first: straight up and along there may be error bars
_DIRECTIONS = np.deg2rad([base + turn for turn in (0, 15, -15, 30, -30, 45) for base in (45, 135, 315, 225)])
_MARKER = 7  # points of type kept free on every side of a plot's point
_HALO = [patheffects.withStroke(linewidth=2.5, foreground="white", alpha=0.85)]


def place_labels(axes: Axes, points: np.ndarray, names: Sequence[str], size: float) -> None:
    """Write each name at the nearest free place around its point, with a thin line to it if that is further off.

    points: (n, 2) in data units, axes limits already set; size: of the type, in points. A name that finds no free place
    is left out: it stands in the legend all the same.
    """
    canvas = axes.figure.canvas
    assert isinstance(canvas, FigureCanvasAgg)
    renderer = canvas.get_renderer()
    pixels_a_point = renderer.points_to_pixels(1.0)
    at = axes.transData.transform(points) / pixels_a_point  # (n, 2) in points of type
    frame = np.asarray(axes.get_window_extent(renderer).get_points()) / pixels_a_point  # lower left, upper right
    taken = [np.stack([point - _MARKER, point + _MARKER]) for point in at]
    for i, (point, name) in enumerate(zip(at, names, strict=True)):
        text = axes.annotate(name, points[i], fontsize=size, ha="center", va="center", zorder=4)
        text.set(parse_math=False, path_effects=_HALO)
        half = np.asarray(text.get_window_extent(renderer).size) / pixels_a_point / 2
        text.remove()
        offset = _free_offset(point, half, taken, frame)
        if offset is None:
            continue
        taken.append(np.stack([point + offset - half, point + offset + half]))
        text = axes.annotate(
            name,
            points[i],
            xytext=tuple(offset),
            textcoords="offset points",
            fontsize=size,
            ha="center",
            va="center",
            zorder=4,
            arrowprops={"arrowstyle": "-", "color": "#404040", "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4},
        )
        text.set(parse_math=False, path_effects=_HALO)


def _free_offset(
    point: np.ndarray, half: np.ndarray, taken: Sequence[np.ndarray], frame: np.ndarray
) -> np.ndarray | None:
    """Where the middle of a name of this half-size may stand, seen from its point; None if all is taken."""
    boxes = np.stack(taken)  # (m, 2, 2) lower left and upper right corners
    for distance in _DISTANCES:
        for direction in _DIRECTIONS:
            away = np.array([np.cos(direction), np.sin(direction)])
            offset = away * (distance + np.abs(away) * half * [1, 0.3])
            low, high = point + offset - half, point + offset + half
            inside = np.all(low >= frame[0] + 2) and np.all(high <= frame[1] - 2)
            overlaps = np.all((boxes[:, 0] < high) & (boxes[:, 1] > low), axis=1)
            if inside and not overlaps.any():
                return offset
    return None
