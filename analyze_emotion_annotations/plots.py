"""All plots of an analysis: each figure with its file name and caption, for the statistics and the report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from matplotlib.figure import Figure

from .analysis import Analysis
from .distribution_plots import plot_planes, plot_quadrants, plot_ridgelines, plot_trajectories
from .plot_canvas import WIDE, Layout
from .style_plot import plot_styles

NAMES = ("styles", "planes", "ridgelines", "quadrants", "trajectories")


class Plot(NamedTuple):
    """A figure, the name of its files without suffix, and a caption, which also serves those who can't see the plot."""

    name: str
    figure: Figure
    caption: str


def plots_of(analysis: Analysis, dpi: int, layout: Layout = WIDE) -> Iterator[Plot]:
    """Draw the plots, one at a time."""
    styles = analysis.styles
    yield Plot(
        "styles",
        plot_styles(styles, analysis.column, dpi, layout),
        "The valence–arousal plane with each style's mean over bars and a cross from its lower to its upper quartile.",
    )
    yield Plot(
        "planes",
        plot_planes(styles, analysis.distributions, dpi, layout),
        "Where the bars of each style lie in the valence–arousal plane; the circle is their mean.",
    )
    yield Plot(
        "ridgelines",
        plot_ridgelines(styles, analysis.distributions, dpi, layout),
        "How valence and arousal of each style's bars are spread, with their quartiles.",
    )
    yield Plot(
        "quadrants",
        plot_quadrants(styles, dpi, layout),
        "The share of each style's bars in each quadrant of the plane.",
    )
    if len(analysis.trajectories):
        yield Plot(
            "trajectories",
            plot_trajectories(styles, analysis.trajectories, dpi, layout),
            "How far songs of each style are from their own mean, from the first bar to the last: the mean over songs "
            "with its 95 % interval.",
        )
