"""The pictures of an analysis, each with what it shows in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from matplotlib.figure import Figure

from .analysis import Analysis
from .style_pictures import plot_courses, plot_planes, plot_quadrants, plot_ridgelines
from .style_plot import plot_styles


class DrawnPicture(NamedTuple):
    """A figure, the name of its files, and what it shows, for a caption and for who can't see it."""

    name: str
    figure: Figure
    caption: str


def pictures_of(found: Analysis, dpi: int) -> Iterator[DrawnPicture]:
    """Draw the pictures one by one."""
    styles = found.styles
    yield DrawnPicture(
        "styles",
        plot_styles(styles, found.column, dpi),
        "The valence–arousal plane with each style's mean over bars and a cross from its lower to its upper quartile.",
    )
    yield DrawnPicture(
        "planes",
        plot_planes(styles, found.distributions, dpi),
        "Where the bars of each style lie in the valence–arousal plane; the circle is their mean.",
    )
    yield DrawnPicture(
        "ridgelines",
        plot_ridgelines(styles, found.distributions, dpi),
        "How valence and arousal of each style's bars are spread, with their quartiles.",
    )
    yield DrawnPicture(
        "quadrants", plot_quadrants(styles, dpi), "The share of each style's bars in each quadrant of the plane."
    )
    if len(found.courses):
        yield DrawnPicture(
            "courses",
            plot_courses(styles, found.courses, dpi),
            "How songs of each style move away from their own mean between the first bar and the last, as a mean over "
            "songs with its 95 % interval.",
        )
