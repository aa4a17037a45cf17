"""The valence–arousal plane with the mean of every style and a cross from the lower to the upper quartile."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.settings import one_line

from .drawn_styles import DrawnStyle
from .figures import FAINT, boxes_for_missing_letters, new_figure
from .group_statistics import AFFECTS
from .label_placing import place_labels
from .song_groups import ALL

_QUADRANTS = ((1, 1, "Q1  V+ A+"), (-1, 1, "Q2  V− A+"), (-1, -1, "Q3  V− A−"), (1, -1, "Q4  V+ A−"))


def plot_styles(styles: Sequence[DrawnStyle], column: str, dpi: int) -> Figure:
    """Draw the plane, and beside it the list of styles, from high to low arousal as they stand in the plane."""
    figure = new_figure(12.0, 8.0, dpi)
    plane = figure.add_axes((0.075, 0.11, 0.56, 0.80))
    _draw_plane(plane, _reach(styles))
    for style in styles:
        _draw_cross(plane, style)
    means = np.stack([_mean(style) for style in styles])
    with boxes_for_missing_letters():
        place_labels(plane, means, [one_line(style.name, 20) for style in styles], size=10)
    by_arousal = sorted(styles, key=lambda style: -_mean(style)[1])
    handles = [Line2D([], [], linewidth=1.5, **style.symbol) for style in by_arousal]
    labels = [f"{style.name}  ({style.songs})" for style in by_arousal]
    size = min(11, 300 / len(labels))  # many styles need the whole height
    legend = figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.65, 0.92), frameon=False, fontsize=size)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a style's name is not ours: "$" is a dollar
    title = "all songs" if column == ALL else f"by style ({column})"
    figure.text(0.075, 0.945, f"Valence and arousal of bars, {title}", fontsize=14, parse_math=False)
    note = "Symbol: mean over bars. Cross: lower to upper quartile. A song with several styles counts in each."
    figure.text(0.075, 0.025, note, fontsize=10, color="#404040")
    return figure


def _mean(style: DrawnStyle) -> np.ndarray:
    """Mean valence and arousal, (2,)."""
    return style.row[[f"{affect}_mean" for affect in AFFECTS]].to_numpy(float)


def _quartiles(style: DrawnStyle) -> np.ndarray:
    """Lower and upper quartile, (2, 2): row 0 valence, row 1 arousal."""
    return np.array([[style.row[f"{affect}_{q}"] for q in ("q25", "q75")] for affect in AFFECTS], dtype=float)


def _reach(styles: Sequence[DrawnStyle]) -> float:
    """Half the width of the plane: all crosses and some room for the quadrants' names, at most the whole plane."""
    furthest = max(float(np.abs([*_quartiles(style).ravel(), *_mean(style)]).max()) for style in styles)
    return min(1.0, np.ceil(furthest * 1.1 * 10 + 1e-9) / 10)


def _draw_plane(plane: Axes, reach: float) -> None:
    plane.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    plane.set_xlabel("valence  (unpleasant to pleasant)", fontsize=12)
    plane.set_ylabel("arousal  (calm to excited)", fontsize=12)
    plane.axhline(0, color=FAINT, linewidth=1, zorder=0)
    plane.axvline(0, color=FAINT, linewidth=1, zorder=0)
    for x, y, name in _QUADRANTS:
        corner = plane.text(0.5 + 0.485 * x, 0.5 + 0.485 * y, name, transform=plane.transAxes, fontsize=12, zorder=0)
        corner.set(ha="right" if x > 0 else "left", va="top" if y > 0 else "bottom", color="#606060")


def _draw_cross(plane: Axes, style: DrawnStyle) -> None:
    (x, y), ((left, right), (low, high)) = _mean(style), _quartiles(style)
    plane.plot([left, right], [y, y], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot([x, x], [low, high], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot(x, y, **style.symbol, zorder=3)
