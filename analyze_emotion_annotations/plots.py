"""The plots of an analysis, each with what it shows in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from matplotlib.figure import Figure

from .analysis import Analysis
from .distribution_plots import plot_planes, plot_quadrants, plot_ridgelines, plot_trajectories
from .style_plot import plot_styles


class Plot(NamedTuple):
    """A figure, the name of its files, and what it shows, for a caption and for who can't see it."""

    name: str
    figure: Figure
    caption: str


def plots_of(found: Analysis, dpi: int) -> Iterator[Plot]:
    """Draw the plots one by one."""
    styles = found.styles
    yield Plot(
        "styles",
        plot_styles(styles, found.column, dpi),
        "The valence–arousal plane with each style's mean over bars and a cross from its lower to its upper quartile.",
    )
    yield Plot(
        "planes",
        plot_planes(styles, found.distributions, dpi),
        "Where the bars of each style lie in the valence–arousal plane; the circle is their mean.",
    )
    yield Plot(
        "ridgelines",
        plot_ridgelines(styles, found.distributions, dpi),
        "How valence and arousal of each style's bars are spread, with their quartiles.",
    )
    yield Plot(
        "quadrants", plot_quadrants(styles, dpi), "The share of each style's bars in each quadrant of the plane."
    )
    if len(found.trajectories):
        yield Plot(
            "trajectories",
            plot_trajectories(styles, found.trajectories, dpi),
            "How songs of each style move away from their own mean between the first bar and the last, as a mean over "
            "songs with its 95 % interval.",
        )
