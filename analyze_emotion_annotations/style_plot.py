"""The plane of styles, the choice of the styles that are drawn, and the placing of labels.

The plane shows valence and arousal with the mean of every style and a cross from its lower to its upper quartile.
Which styles are drawn, and each one's colour and symbol, are decided here for all plots. Labels are placed so that none
covers another or a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pipeline.annotations import DIMENSIONS, QUADRANTS
from pipeline.settings import UserError, counted, one_line

from .plot_canvas import (
    BLACK,
    BLUE,
    DARK,
    FAINT,
    GREEN,
    GREY,
    NARROW,
    ORANGE,
    PURPLE,
    SKY_BLUE,
    VERMILLION,
    WIDE,
    Layout,
    add_panel,
    boxes_for_missing_letters,
    new_figure,
    write_title_and_note,
)
from .song_groups import ALL, NO_STYLE, RARE

# 6 colours and 11 shapes, each cycled, make 66 pairs, and neighbours differ in both; black and grey are used by _NAMED
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE)
_LONGEST_NAME = 24  # characters that fit next to every plot
_SHAPES = "osD^vP<X>ph"
_NAMED = {RARE: ("rare styles", GREY, "o"), NO_STYLE: ("no style given", GREY, "s"), ALL: ("all songs", BLACK, "*")}
_DISTANCES = (12, 22, 34, 48, 64, 82, 102, 124, 148)  # from a point to the middle of its label, in points of type
# from degrees, diagonals first: the lines of the cross are horizontal and vertical
_DIRECTIONS = np.deg2rad([base + turn for turn in (0, 15, -15, 30, -30, 45) for base in (45, 135, 315, 225)])
_MARKER = 7  # points of type kept free on every side of a point
_HALO = [patheffects.withStroke(linewidth=2.5, foreground="white", alpha=0.85)]


def plot_styles(styles: Sequence[DrawnStyle], column: str, dpi: int, layout: Layout = WIDE) -> Figure:
    """Draw the plane and a legend of the styles from high to low arousal, their order in the plane.

    The legend is to the right of the plane, or below it if the layout is narrow.
    """
    narrow = layout is NARROW
    height = 5.5 + 0.19 * len(styles) if narrow else 8.0
    figure = new_figure(layout.width, height, dpi)
    plane = add_panel(figure, 0.72, 0.75, 3.35, 3.35) if narrow else add_panel(figure, 0.9, 0.72, 6.72, 6.4)
    _draw_plane(plane, _reach(styles), layout)
    for style in styles:
        _draw_cross(plane, style)
    means = np.stack([_mean(style) for style in styles])
    with boxes_for_missing_letters():
        place_labels(plane, means, [one_line(style.name, 20) for style in styles], layout.small)
    by_arousal = sorted(styles, key=lambda style: -_mean(style)[1])
    handles = [Line2D([], [], linewidth=1.5, **style.symbol) for style in by_arousal]
    labels = [f"{style.name}  ({style.songs})" for style in by_arousal]
    # many styles need the whole height
    size, corner = (8.0, (0.02, 1 - 4.6 / height)) if narrow else (min(11, 300 / len(labels)), (0.65, 0.92))
    legend = figure.legend(handles, labels, loc="upper left", bbox_to_anchor=corner, frameon=False, fontsize=size)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names come from the data set: "$" is a dollar, not a formula
    title = "all songs" if column == ALL else f"by style ({column})"
    note = "Symbol: mean over bars. Cross: lower to upper quartile. A song with several styles counts in each."
    left = 0.12 if narrow else 0.9
    write_title_and_note(figure, layout, f"Valence and arousal of bars, {title}", note, left)
    return figure


def _mean(style: DrawnStyle) -> np.ndarray:
    """Mean valence and arousal, (2,)."""
    return style.row[[f"{dimension}_mean" for dimension in DIMENSIONS]].to_numpy(float)


def _quartiles(style: DrawnStyle) -> np.ndarray:
    """Lower and upper quartile, (2, 2): row 0 valence, row 1 arousal."""
    return np.array([[style.row[f"{dimension}_{q}"] for q in ("q25", "q75")] for dimension in DIMENSIONS], dtype=float)


def _reach(styles: Sequence[DrawnStyle]) -> float:
    """Half the width of the plane that holds all crosses and some room for the quadrants' names, at most 1."""
    furthest = max(float(np.abs([*_quartiles(style).ravel(), *_mean(style)]).max()) for style in styles)
    return min(1.0, np.ceil(furthest * 1.1 * 10 + 1e-9) / 10)


def _draw_plane(plane: Axes, reach: float, layout: Layout) -> None:
    plane.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    plane.set_xlabel("valence  (unpleasant to pleasant)", fontsize=layout.label)
    plane.set_ylabel("arousal  (calm to excited)", fontsize=layout.label)
    plane.tick_params(labelsize=layout.small)
    plane.axhline(0, color=FAINT, linewidth=1, zorder=0)
    plane.axvline(0, color=FAINT, linewidth=1, zorder=0)
    for q in QUADRANTS:
        position = (0.985 if q.pleasant else 0.015, 0.985 if q.excited else 0.015)
        corner = plane.text(
            *position, f"{q.name}  {q.signs}", transform=plane.transAxes, fontsize=layout.label, zorder=0
        )
        corner.set(ha="right" if q.pleasant else "left", va="top" if q.excited else "bottom", color="#606060")


def _draw_cross(plane: Axes, style: DrawnStyle) -> None:
    (x, y), ((left, right), (low, high)) = _mean(style), _quartiles(style)
    plane.plot([left, right], [y, y], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot([x, x], [low, high], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot(x, y, **style.symbol, zorder=3)


@dataclass(frozen=True)
class DrawnStyle:
    """A group of songs as it is drawn. row: its row of the table of statistics, whose index is the group's g."""

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
        """The number of its songs, as text with the unit."""
        return counted(self.row["n_songs"], "song")

    @property
    def symbol(self) -> dict[str, Any]:
        """Arguments of matplotlib that draw its marker."""
        size = {"*": 15, "P": 11, "X": 11}.get(self.shape, 10)
        return {"color": self.colour, "marker": self.shape, "markersize": size, "markeredgecolor": "white"}


def choose_column(table: pd.DataFrame, wanted: str | None) -> str:
    """The style column to draw: `wanted`, or if it is None the first that names a style, or ALL if none does."""
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
    """The styles to draw: at most `most` of a column, most songs first, then rare ones, no style, and all songs.

    table: returned by group_statistics.
    """
    in_column = table[(table["grouping"] == column) & (column != ALL)]
    apart = in_column["name"].isin(_NAMED)
    named = in_column[~apart].sort_values(["n_songs", "name"], ascending=[False, True])[:most]
    drawn = [
        DrawnStyle(one_line(str(row["name"]), _LONGEST_NAME), colour, shape, row)
        for (_, row), colour, shape in zip(named.iterrows(), cycle(_COLOURS), cycle(_SHAPES), strict=False)
    ]
    others = [in_column[in_column["name"] == name] for name in (RARE, NO_STYLE)] if drawn else []
    others.append(table[table["grouping"] == ALL])
    for rows in others:
        for _, row in rows.iterrows():
            drawn.append(DrawnStyle(*_NAMED[str(row["name"])], row))
    return drawn


def place_labels(axes: Axes, points: np.ndarray, names: Sequence[str], size: float) -> None:
    """Write each name at the nearest free position around its point, with a thin line to the point.

    points: (n, 2) in data units, once the limits of the axes are set; size: of the type, in points. A name without a
    free position is left out; the legend has it. Libraries such as adjustText move labels apart step by step and draw
    those that still overlap; here no two ever do.
    """
    renderer = cast(FigureCanvasAgg, axes.figure.canvas).get_renderer()
    pixels_a_point = renderer.points_to_pixels(1.0)
    centres = axes.transData.transform(points) / pixels_a_point  # (n, 2) in points of type
    frame = np.asarray(axes.get_window_extent(renderer).get_points()) / pixels_a_point  # lower left, upper right
    taken = [np.stack([point - _MARKER, point + _MARKER]) for point in centres]
    for i, (point, name) in enumerate(zip(centres, names, strict=True)):
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
            arrowprops={"arrowstyle": "-", "color": DARK, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 4},
        )
        text.set(parse_math=False, path_effects=_HALO)


def _free_offset(
    point: np.ndarray, half: np.ndarray, taken: Sequence[np.ndarray], frame: np.ndarray
) -> np.ndarray | None:
    """Offset from a point to the middle of its label, (2,) in points of type; None if no position is free.

    half: (2,) half the label's width and height; taken: boxes that it must not overlap; frame: corners of the axes.
    """
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
