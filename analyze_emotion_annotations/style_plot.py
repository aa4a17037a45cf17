"""The valence–arousal plane with the mean of every style and a cross from the lower to the upper quartile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from musetok_bridge.settings import UserError

from .figures import (
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
    one_line,
)
from .label_placing import place_labels
from .style_statistics import NO_STYLE, OVERALL, StyleKey, Tally, quantiles

# 6 colours and 11 shapes in step give 66 different pairs, and neighbours differ in both; black and grey have a meaning
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE)
_SHAPES = "osD^vP<X>ph"
_QUADRANTS = ((1, 1, "Q1  V+ A+"), (-1, 1, "Q2  V− A+"), (-1, -1, "Q3  V− A−"), (1, -1, "Q4  V+ A−"))


@dataclass(frozen=True)
class DrawnStyle:
    """One cross of the plot."""

    name: str
    colour: str
    shape: str
    tally: Tally

    @property
    def mean(self) -> np.ndarray:
        """Mean valence and arousal, (2,)."""
        return self.tally.sums / self.tally.n_bars

    @property
    def quartiles(self) -> np.ndarray:
        """Lower and upper quartile, (2, 2): row 0 valence, row 1 arousal."""
        return np.stack([quantiles(counts, (0.25, 0.75)) for counts in self.tally.histogram])


def choose_column(tallies: dict[StyleKey, Tally], wanted: str | None) -> str:
    """The style column to draw: the wanted one, else the first that names a style, else that of the overall row."""
    columns = list(dict.fromkeys(column for column, _ in tallies))
    if wanted is None:
        named = [column for column, style in tallies if style != NO_STYLE and column != OVERALL[0]]
        return named[0] if named else OVERALL[0]
    if wanted not in columns:
        known = ", ".join(columns[1:]) or "none"
        raise UserError(f"style_plot.column: the annotations have no column {wanted}; their style columns: {known}")
    return wanted


def styles_to_draw(tallies: dict[StyleKey, Tally], column: str, min_songs: int, max_styles: int) -> list[DrawnStyle]:
    """The styles of a column that have bars, most songs first; then 'other' for small ones, no style, and all songs."""
    styles = {style: tally for (at, style), tally in tallies.items() if at == column and tally.n_bars}
    without_style = styles.pop(NO_STYLE, None)
    overall = tallies[OVERALL]
    if column == OVERALL[0]:
        styles = {}
    ranked = sorted(styles, key=lambda style: (-styles[style].n_songs, style))
    named = [style for style in ranked if styles[style].n_songs >= min_songs][:max_styles]
    small = [styles[style] for style in ranked if style not in named]
    drawn = [
        DrawnStyle(one_line(style, 28), _COLOURS[i % len(_COLOURS)], _SHAPES[i % len(_SHAPES)], styles[style])
        for i, style in enumerate(named)
    ]
    if small:
        together = sum(small[1:], start=small[0])
        drawn.append(DrawnStyle(f"other: {len(small)} style{'s'[: len(small) > 1]}", GREY, "o", together))
    if without_style and styles:
        drawn.append(DrawnStyle("no style given", GREY, "s", without_style))
    return [*drawn, DrawnStyle("all songs", BLACK, "*", overall)]


def plot_styles(styles: Sequence[DrawnStyle], column: str, dpi: int) -> Figure:
    """Draw the plane, and beside it the list of styles, from high to low arousal as they stand in the plane."""
    figure = new_figure(12.0, 8.0, dpi)
    plane = figure.add_axes((0.075, 0.11, 0.56, 0.80))
    _draw_plane(plane, _reach(styles))
    for style in styles:
        _draw_cross(plane, style)
    means = np.stack([style.mean for style in styles])
    with boxes_for_missing_letters():
        place_labels(plane, means, [one_line(style.name, 20) for style in styles], size=10)
    by_arousal = sorted(styles, key=lambda style: -style.mean[1])
    handles = [Line2D([], [], linewidth=1.5, **_symbol(style)) for style in by_arousal]
    labels = [f"{style.name}  ({_songs(style.tally.n_songs)})" for style in by_arousal]
    legend = figure.legend(handles, labels, loc="upper left", bbox_to_anchor=(0.65, 0.92), frameon=False, fontsize=11)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a style's name is not ours: "$" is a dollar
    title = "all songs" if column == OVERALL[0] else f"by style ({column})"
    figure.text(0.075, 0.945, f"Valence and arousal of bars, {title}", fontsize=14, parse_math=False)
    note = "Symbol: mean over bars. Cross: lower to upper quartile. A song with several styles counts in each."
    figure.text(0.075, 0.025, note, fontsize=10, color="#404040")
    return figure


def _songs(count: int) -> str:
    return f"{count:,} song{'s'[: count != 1]}"


def _reach(styles: Sequence[DrawnStyle]) -> float:
    """Half the width of the plane: all crosses and some room for the quadrants' names, at most the whole plane."""
    furthest = max(float(np.abs([*style.quartiles.ravel(), *style.mean]).max()) for style in styles)
    return min(1.0, np.ceil(furthest * 1.1 * 10 + 1e-9) / 10)


def _draw_plane(plane: Axes, reach: float) -> None:
    plane.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    plane.set_xlabel("valence  (negative to positive)", fontsize=12)
    plane.set_ylabel("arousal  (calm to excited)", fontsize=12)
    plane.axhline(0, color=FAINT, linewidth=1, zorder=0)
    plane.axvline(0, color=FAINT, linewidth=1, zorder=0)
    for x, y, name in _QUADRANTS:
        corner = plane.text(0.5 + 0.485 * x, 0.5 + 0.485 * y, name, transform=plane.transAxes, fontsize=12, zorder=0)
        corner.set(ha="right" if x > 0 else "left", va="top" if y > 0 else "bottom", color="#606060")


def _draw_cross(plane: Axes, style: DrawnStyle) -> None:
    (x, y), ((left, right), (low, high)) = style.mean, style.quartiles
    plane.plot([left, right], [y, y], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot([x, x], [low, high], color=style.colour, linewidth=1.5, alpha=0.5, zorder=2)
    plane.plot(x, y, **_symbol(style), zorder=3)


def _symbol(style: DrawnStyle) -> dict[str, Any]:
    size = {"*": 15, "P": 11, "X": 11}.get(style.shape, 10)
    return {"color": style.colour, "marker": style.shape, "markersize": size, "markeredgecolor": "white"}
