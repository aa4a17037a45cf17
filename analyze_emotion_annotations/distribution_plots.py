"""Four plots that compare styles: planes, ridgelines and quadrants of their bars, and trajectories of their songs.

The first three show how valence and arousal are distributed over the bars of each style; the last how they change from
the first bar of a song to its last.
"""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from scipy.ndimage import gaussian_filter1d

from pipeline.annotations import DIMENSIONS, QUADRANTS

from .group_statistics import STEP, Distributions
from .plot_canvas import FAINT, NARROW, WIDE, Layout, add_panel, new_figure, write_title_and_note
from .style_plot import DrawnStyle

GROUND = "cividis"  # a colour map whose lightness rises evenly for every kind of colour vision
_SMOOTHED_BY = 0.02  # standard deviation of the normal distribution that smooths a ridgeline, in valence or arousal
_FEWEST_SONGS = 10  # with fewer songs a style has no band: it would be so wide that it covers the others
_FOLDED_AT = 17  # letters of a style's name that fit beside a narrow plot
_MARKED_EVERY = 4  # every fourth point of a line has its style's symbol


def plot_planes(styles: Sequence[DrawnStyle], distributions: Distributions, dpi: int, layout: Layout = WIDE) -> Figure:
    """Draw the valence–arousal plane of each style: how its bars are spread, and where their mean is."""
    narrow = layout is NARROW
    columns = 2 if narrow else min(4, len(styles))
    rows = -(-len(styles) // columns)
    side = 1.65 if narrow else 3.0
    width, height = side * columns + 0.9, (side + 0.25) * rows + 1.5
    figure = new_figure(width, height, dpi)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(
        left=0.75 / width, right=1 - 0.2 / width, bottom=0.95 / height, top=1 - 1.0 / height, wspace=0.12, hspace=0.28
    )
    planes = [distributions.planes[style.g] for style in styles]
    reach = _reach_of_planes(planes)
    for panel, style, plane in zip(grid.flat, styles, planes, strict=False):
        share = plane / plane.sum()
        panel.imshow(
            share,
            origin="lower",
            extent=(-1, 1, -1, 1),
            cmap=GROUND,
            norm=PowerNorm(0.5, 0, share.max()),
            aspect="equal",
        )
        panel.axhline(0, color="white", linewidth=0.7, alpha=0.7)
        panel.axvline(0, color="white", linewidth=0.7, alpha=0.7)
        panel.plot(style.row["valence_mean"], style.row["arousal_mean"], "o", color="white", mec="black", markersize=8)
        panel.set(xlim=(-reach, reach), ylim=(-reach, reach))
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        panel.set_title(f"{style.name}\n{style.songs}", fontsize=layout.small, parse_math=False)
        panel.tick_params(labelsize=min(9, layout.small))
    for panel in list(grid.flat)[len(styles) :]:
        panel.set_visible(False)
    for panel in list(grid.flat)[max(0, len(styles) - columns) : len(styles)]:
        panel.tick_params(labelbottom=True)  # there is no panel below it
    figure.supxlabel("valence  (unpleasant to pleasant)", fontsize=layout.label, y=0.48 / height)
    figure.supylabel("arousal  (calm to excited)", fontsize=layout.label, x=0.13 / width)
    note = "Lighter cells hold more bars; each panel has its own scale. Circle: mean."
    write_title_and_note(figure, layout, "Where the bars of each style lie", note, 0.12 if narrow else 0.75)
    return figure


def plot_ridgelines(
    styles: Sequence[DrawnStyle], distributions: Distributions, dpi: int, layout: Layout = WIDE
) -> Figure:
    """Draw the distributions of valence and arousal over each style's bars, as ridges with their quartiles.

    The two are side by side or, if the layout is narrow, below one another.
    """
    narrow = layout is NARROW
    tall = (0.5 if narrow else 0.62) * len(styles) + 0.15
    if narrow:
        figure = new_figure(layout.width, 2 * (tall + 0.6) + 1.0, dpi)
        panels = [add_panel(figure, 1.45, 0.55 + i * (tall + 0.6), 2.6, tall) for i in (0, 1)]
    else:
        figure = new_figure(layout.width, tall + 1.75, dpi)
        panels = [add_panel(figure, left, 0.8, 4.35, tall) for left in (2.4, 7.4)]
    lines = distributions.lines[:, [style.g for style in styles]]  # (2, k, grid)
    reach = _reach_of_lines(lines)
    for panel, dimension, counts_by_style in zip(panels, DIMENSIONS, lines, strict=True):
        for i, (style, counts) in enumerate(zip(styles, counts_by_style, strict=True)):
            _draw_ridge(panel, style, dimension, counts, base=len(styles) - 1 - i)
        panel.axvline(0, color=FAINT, linewidth=1, zorder=0)
        panel.set(xlim=(-reach, reach), ylim=(-0.15, len(styles) + 0.35), yticks=[])
        meaning = "unpleasant to pleasant" if dimension == "valence" else "calm to excited"
        panel.set_xlabel(f"{dimension}  ({meaning})", fontsize=layout.label)
        panel.spines[["top", "left", "right"]].set_visible(False)
        panel.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        panel.tick_params(labelsize=layout.small)
        if narrow or panel is panels[0]:
            _name_ridges(panel, styles, layout)
    note = f"Lines: quartiles and median. Smoothed (standard deviation {_SMOOTHED_BY:g}); all ridges are equally high."
    left = 0.12 if narrow else 0.36
    write_title_and_note(figure, layout, "How the bars of each style are spread", note, left)
    return figure


def _name_ridges(panel: Axes, styles: Sequence[DrawnStyle], layout: Layout) -> None:
    """Write the styles' names beside their ridges."""
    for i, style in enumerate(styles):
        panel.annotate(
            f"{_folded(style.name, layout)}\n{style.songs}",
            (0, len(styles) - 1 - i),
            xycoords=("axes fraction", "data"),
            xytext=(-8, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=layout.small,
            parse_math=False,
        )


def _folded(name: str, layout: Layout) -> str:
    """A style's name, on several lines if the layout is narrow."""
    return fill(name, _FOLDED_AT) if layout is NARROW else name


def plot_quadrants(styles: Sequence[DrawnStyle], dpi: int, layout: Layout = WIDE) -> Figure:
    """Draw the share of each style's bars in each quadrant, as a table of coloured cells."""
    narrow = layout is NARROW
    height = 0.42 * len(styles) + 2.1
    figure = new_figure(layout.width if narrow else 10.0, height, dpi)
    left, right = (1.45, 0.1) if narrow else (3.0, 0.3)
    panel = add_panel(figure, left, 1.45, figure.get_figwidth() - left - right, height - 1.75)
    shares = np.array([[style.row[f"share_q{i}"] for i in (1, 2, 3, 4)] for style in styles], dtype=float)
    panel.imshow(shares, cmap=GROUND, norm=Normalize(0, 1), aspect="auto")
    for (y, x), share in np.ndenumerate(shares):
        panel.text(
            x, y, f"{share:.1%}", ha="center", va="center", fontsize=9 if narrow else 11,
            color="black" if share > 0.5 else "white",
        )  # fmt: skip
    if narrow:
        labels = ["\n".join((q.name, *q.words.split(" and "))) for q in QUADRANTS]
    else:
        labels = [f"{q.name}  {q.signs}\n{q.words.replace(' and', ',')}" for q in QUADRANTS]
    between = "\n" if narrow else "  "
    names = [f"{_folded(style.name, layout)}{between}({style.songs})" for style in styles]
    panel.set_xticks(range(4), labels, fontsize=layout.small)
    panel.set_yticks(range(len(styles)), names, fontsize=layout.small)
    for label in panel.get_yticklabels():
        label.set_parse_math(False)
    panel.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    panel.spines[:].set_visible(False)
    write_title_and_note(figure, layout, "Share of each style's bars in each quadrant", "", 0.12 if narrow else 0.3)
    return figure


def _draw_ridge(panel: Axes, style: DrawnStyle, dimension: str, counts: np.ndarray, base: int) -> None:
    x = np.linspace(-1, 1, len(counts))
    density = smoothed(counts)
    y = base + density / density.max() * 1.2 if density.max() > 0 else np.full(len(x), float(base))
    panel.fill_between(x, base, y, color=style.colour, alpha=0.35, linewidth=0, zorder=2 * len(panel.lines) + 1)
    panel.plot(x, y, color=style.colour, linewidth=1.4)
    for name, width in (("q25", 1.0), ("median", 2.2), ("q75", 1.0)):
        value = float(style.row[f"{dimension}_{name}"])
        panel.plot([value, value], [base, float(np.interp(value, x, y))], color=style.colour, linewidth=width)


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Counts on the grid of valence or arousal, smoothed with a normal distribution; shape and sum stay the same.

    At either end the part that would fall outside the grid is reflected back into it.
    """
    return gaussian_filter1d(counts.astype(float), _SMOOTHED_BY / STEP, mode="reflect", truncate=4)


def _reach_of_planes(planes: Sequence[np.ndarray]) -> float:
    """Half the width of the smallest plane that shows 999 in 1,000 bars of every style, rounded up to tenths."""
    centres = np.abs(np.linspace(-1, 1, 2 * planes[0].shape[0] + 1)[1::2])
    furthest = np.maximum(centres[:, None], centres[None, :])
    reach = 0.1
    for plane in planes:
        order = np.argsort(furthest, axis=None)
        within = np.cumsum(plane.ravel()[order])
        reach = max(reach, float(furthest.ravel()[order][np.searchsorted(within, 0.999 * within[-1])]))
    return min(1.0, np.ceil((reach + 0.05) * 10) / 10)


def _reach_of_lines(lines: np.ndarray) -> float:
    """Half the length of the shortest axis that shows 999 in 1,000 bars of every style, rounded up to tenths."""
    distance = np.abs(np.linspace(-1, 1, lines.shape[-1]))
    order = np.argsort(distance)
    within = np.cumsum(lines[..., order], axis=-1)
    reach = max(
        float(distance[order][np.searchsorted(line, 0.999 * line[-1])]) for line in within.reshape(-1, lines.shape[-1])
    )
    return min(1.0, np.ceil((reach + 0.05) * 10) / 10)


def plot_trajectories(
    styles: Sequence[DrawnStyle], trajectories: pd.DataFrame, dpi: int, layout: Layout = WIDE
) -> Figure:
    """Draw how far each style's songs are from their own means, with 95 % intervals, from the first bar to the last.

    trajectories: returned by group_statistics.trajectories; styles that are not in it are left out.
    """
    narrow = layout is NARROW
    drawn_styles = trajectories["g"].isin([style.g for style in styles])
    height = 6.9 + 0.19 * trajectories.loc[drawn_styles, "g"].nunique() if narrow else 7.2
    figure = new_figure(layout.width, height, dpi)
    panels = [
        add_panel(figure, 0.72, 1.05 + 2.8 * i, 3.3, 2.0)
        if narrow
        else add_panel(figure, 0.9 + 4.4 * i, 1.15, 3.3, 5.2)
        for i in (0, 1)
    ]
    n_points = int(trajectories["point"].max()) + 1
    handles: list[Line2D] = []
    labels: list[str] = []
    percent = (np.arange(n_points) + 0.5) / n_points * 100  # per cent of the song
    for panel, dimension in zip(panels, DIMENSIONS, strict=True):
        panel.axhline(0, color=FAINT, linewidth=1, zorder=0)
        for i, style in enumerate(styles):
            line = trajectories[trajectories["g"] == style.g]
            if line.empty:
                continue
            low, high = (line[f"{dimension}_movement_{end}"].to_numpy() for end in ("low", "high"))
            if line["n_songs"].iloc[0] >= _FEWEST_SONGS:
                panel.fill_between(percent, low, high, color=style.colour, alpha=0.15, linewidth=0)
            symbol = style.symbol | {"markersize": style.symbol["markersize"] * (0.5 if narrow else 0.7)}
            every = (i % _MARKED_EVERY, _MARKED_EVERY)
            (drawn,) = panel.plot(percent, line[f"{dimension}_movement"], linewidth=1.6, markevery=every, **symbol)
            if panel is panels[0]:
                handles.append(drawn)
                labels.append(f"{style.name}  ({line['n_songs'].iloc[0]:,})")
        heights = np.concatenate([line.get_ydata() for line in panel.lines])
        margin = 0.25 * max(np.ptp(heights), 0.01)  # wide bands, of few songs, are cut off rather than shown whole
        panel.set(xlim=(0, 100), ylim=(heights.min() - margin, heights.max() + margin))
        panel.set_title(f"{dimension}: difference from the song's mean", fontsize=layout.label, pad=10)
        panel.set_xlabel("per cent of the song's bars", fontsize=layout.label)
        panel.tick_params(labelsize=layout.small)
        panel.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.1, 1 - 6.35 / height) if narrow else (0.73, 0.86),
        frameon=False,
        fontsize=8 if narrow else min(10, 260 / max(len(labels), 1)),  # many styles need the whole height
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    band = f"Band: its 95 % interval, for {_FEWEST_SONGS} songs or more."
    note = f"Line: mean over songs (number of songs in brackets). {band}"
    left = 0.12 if narrow else 0.9
    write_title_and_note(figure, layout, "How a song moves from its first bar to its last", note, left)
    return figure
