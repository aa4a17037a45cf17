"""The valence–arousal plane with the mean of every style and a cross from the lower to the upper quartile.

Which styles are drawn, and how each looks, is decided here for all plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.annotations import DIMENSIONS, QUADRANTS
from pipeline.settings import UserError, one_line

from .plot_canvas import (
    BLACK,
    BLUE,
    FAINT,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    boxes_for_missing_letters,
    new_figure,
)
from .song_groups import ALL, NO_STYLE, RARE

# 6 colours and 11 shapes in step give 66 different pairs, and neighbours differ in both; black and grey have a meaning
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE)
_LONGEST_NAME = 24  # letters that fit beside every plot
_SHAPES = "osD^vP<X>ph"
_NAMED = {RARE: ("rare styles", GREY, "o"), NO_STYLE: ("no style given", GREY, "s"), ALL: ("all songs", BLACK, "*")}
_DISTANCES = (12, 22, 34, 48, 64, 82, 102, 124, 148)  # points of type between a plot's point and the middle of its name
# degrees, diagonals first: straight up and along there may be error bars
_DIRECTIONS = np.deg2rad([base + turn for turn in (0, 15, -15, 30, -30, 45) for base in (45, 135, 315, 225)])
_MARKER = 7  # points of type kept free on every side of a plot's point
_HALO = [patheffects.withStroke(linewidth=2.5, foreground="white", alpha=0.85)]


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
    return style.row[[f"{dimension}_mean" for dimension in DIMENSIONS]].to_numpy(float)


def _quartiles(style: DrawnStyle) -> np.ndarray:
    """Lower and upper quartile, (2, 2): row 0 valence, row 1 arousal."""
    return np.array([[style.row[f"{dimension}_{q}"] for q in ("q25", "q75")] for dimension in DIMENSIONS], dtype=float)


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
    for q in QUADRANTS:
        at = (0.985 if q.pleasant else 0.015, 0.985 if q.excited else 0.015)
        corner = plane.text(*at, f"{q.name}  {q.signs}", transform=plane.transAxes, fontsize=12, zorder=0)
        corner.set(ha="right" if q.pleasant else "left", va="top" if q.excited else "bottom", color="#606060")


def _draw_cross(plane: Axes, style: DrawnStyle) -> None:
    (x, y), ((left, right), (low, high)) = _mean(style), _quartiles(style)
    plane.plot([left, right], [y, y], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot([x, x], [low, high], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot(x, y, **style.symbol, zorder=3)


@dataclass(frozen=True)
class DrawnStyle:
    """A group of songs in the plots. row: of the table of statistics, whose index is also its g."""

    name: str
    colour: str
    shape: str
    row: pd.Series

    @property
    def g(self) -> int:
        """Its number among the groups."""
        return int(str(self.row.name))

    @property
    def songs(self) -> str:
        """How many songs it has, in words."""
        return f"{self.row['n_songs']:,} song{'s'[: self.row['n_songs'] != 1]}"

    @property
    def symbol(self) -> dict[str, Any]:
        """How matplotlib is to draw its marker."""
        size = {"*": 15, "P": 11, "X": 11}.get(self.shape, 10)
        return {"color": self.colour, "marker": self.shape, "markersize": size, "markeredgecolor": "white"}


def choose_column(table: pd.DataFrame, wanted: str | None) -> str:
    """The style column to draw: the wanted one, else the first that names a style, else that of the overall row."""
    styles = table[table["kind"] == "style"]
    if wanted is None:
        named = styles.loc[styles["name"] != NO_STYLE, "grouping"]
        return str(named.iloc[0]) if len(named) else ALL
    columns = list(dict.fromkeys(styles["grouping"]))
    if wanted not in columns:
        known = ", ".join(columns) or "none"
        raise UserError(f"styles.column: the annotations have no column {wanted}; their style columns: {known}")
    return wanted


def styles_to_draw(table: pd.DataFrame, column: str, most: int) -> list[DrawnStyle]:
    """The styles of a column, most songs first, at most so many; then rare ones, songs without a style, and all songs.

    table: group_statistics.
    """
    of_column = table[(table["grouping"] == column) & (column != ALL)]
    apart = of_column["name"].isin(_NAMED)
    named = of_column[~apart].sort_values(["n_songs", "name"], ascending=[False, True])[:most]
    drawn = [
        DrawnStyle(one_line(str(row["name"]), _LONGEST_NAME), colour, shape, row)
        for (_, row), colour, shape in zip(named.iterrows(), cycle(_COLOURS), cycle(_SHAPES), strict=False)
    ]
    others = [of_column[of_column["name"] == name] for name in (RARE, NO_STYLE)] if drawn else []
    others.append(table[table["grouping"] == ALL])
    for rows in others:
        for _, row in rows.iterrows():
            drawn.append(DrawnStyle(*_NAMED[str(row["name"])], row))
    return drawn


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
