"""The plot of a song: valence and arousal of its bars, over bars and over seconds, above the number of notes.

Bars move little within a song, so over bars each curve is drawn a second time, enlarged to the song's own range. A bar
keeps its value from its start to its end, so curves and bands are steps. This module doesn't import pandas or DuckDB,
so that a single file is drawn quickly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pipeline.settings import counted, one_line

from .plot_canvas import BLUE, DARK, FAINT, GREY, VERMILLION, new_figure

_CURVES = (("valence", BLUE, "unpleasant", "pleasant"), ("arousal", VERMILLION, "calm", "excited"))
_BAND = 0.17  # opacity that keeps both bands visible where they overlap
_HEIGHT = 11.1  # of the figure, in inches, as are the heights below
_LEFT, _WIDTH = 0.065, 0.915  # left edge and width of all panels, as shares of the figure
_WHOLE_HEIGHT, _OWN_HEIGHT, _NOTES_HEIGHT, _GAP = 2.1, 0.95, 0.45, 0.29
_SMALLEST_RANGE = 0.1  # of an enlarged curve, so that differences far below the prediction's error don't look large


@dataclass(frozen=True)
class Song:
    """A song's annotations as arrays over its n bars, in ascending order."""

    md5: str
    title: str  # "" if unknown
    artist: str  # "" if unknown
    duration_seconds: float  # nan if unknown
    bar_number: np.ndarray  # (n,) from 0 at the start of the file
    start_seconds: np.ndarray  # (n,)
    valence: np.ndarray  # (n,) in [−1, 1]
    arousal: np.ndarray  # (n,) in [−1, 1]
    valence_error_sd: np.ndarray | None = None  # (n,) standard deviation of the prediction's error; None if unknown
    arousal_error_sd: np.ndarray | None = None
    n_notes: np.ndarray | None = None  # (n,) notes that begin in the bar; None if unknown


def bar_widths(position: np.ndarray, number: np.ndarray, end: float) -> np.ndarray:
    """The width of each bar, (n,).

    position: (n,) starts of the bars in any unit, ascending; number: (n,) the bars' numbers, whose gaps are missing
    bars: a bar and the missing ones after it are equally wide; end: end of the last bar, nan if unknown (then the last
    bar is as wide as the one before).
    """
    widths = np.diff(position) / np.maximum(np.diff(number), 1)
    before = widths[-1] if len(widths) else 1.0
    return np.append(widths, end - position[-1] if end > position[-1] else before)


def steps(position: np.ndarray, number: np.ndarray, end: float, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a curve that keeps each bar's value from its start to its end, with gaps (nan) for missing bars.

    position, number, end: as for `bar_widths`; values: (n,). Returns x and y of equal length.
    """
    ends = position + bar_widths(position, number, end)
    x = np.stack([position, ends, ends], axis=1)
    missing_follow = np.append(np.diff(number) > 1, False)
    y = np.stack([values, values, np.where(missing_follow, np.nan, values)], axis=1)
    return x.ravel(), y.ravel()


def band(values: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One standard deviation below and above the values, (n,) each, within [−1, 1]; nan where sd is nan."""
    sd = np.where(sd >= 0, sd, np.nan)
    return np.maximum(values - sd, -1), np.minimum(values + sd, 1)


def plot_song(song: Song, dpi: int) -> Figure:
    """Draw a song over bars and over seconds: the curves from −1 to 1 with their bands, and the number of notes.

    Over bars each curve is also drawn in the song's own range, with its mean.
    """
    figure = new_figure(12.0, _HEIGHT, dpi)
    bars = _Timeline(
        "bar (counted from 0)", song.bar_number, float(song.bar_number[-1] + 1), "notes in the bar", song.n_notes
    )
    over_bars = _draw_over(figure, 1.15, song, bars, _CURVES)
    over_bars.xaxis.set_major_locator(MaxNLocator(integer=True))
    widths = bar_widths(song.start_seconds, song.bar_number, song.duration_seconds)
    rate = None if song.n_notes is None else song.n_notes / np.where(widths > 0, widths, np.nan)
    seconds = _Timeline("seconds", song.start_seconds, song.duration_seconds, "notes per second", rate)
    _draw_over(figure, 7.1, song, seconds)
    name = " – ".join(filter(None, (one_line(song.artist, 25), one_line(song.title, 50)))) or song.md5
    figure.text(_LEFT, _up(0.36), name, fontsize=15, parse_math=False)
    figure.text(_LEFT, _up(0.64), _summary(song), fontsize=11, color=DARK)
    figure.text(_LEFT, _up(10.98), f"md5 {song.md5}", fontsize=10, color=DARK, parse_math=False)
    _explain(figure, song)
    return figure


@dataclass(frozen=True)
class _Timeline:
    """What a song is drawn over, bars or seconds. position, end: as for `bar_widths`. notes: (n,), None if unknown."""

    label: str
    position: np.ndarray
    end: float
    notes_title: str
    notes: np.ndarray | None


def _up(inches: float) -> float:
    """A distance from the top of the figure as a share of its height, from the bottom."""
    return 1 - inches / _HEIGHT


def _draw_over(
    figure: Figure, top: float, song: Song, timeline: _Timeline, enlarged: Sequence[tuple[str, ...]] = ()
) -> Axes:
    """Draw the curves, then those to be enlarged, then the notes, if known; returns the lowest panel.

    top: upper edge of the highest panel, in inches from the top of the figure.
    """
    notes = [] if timeline.notes is None else [_NOTES_HEIGHT]
    spare = _NOTES_HEIGHT + _GAP if timeline.notes is None else 0
    panels: list[Axes] = []
    for height in (_WHOLE_HEIGHT + spare, *[_OWN_HEIGHT] * len(enlarged), *notes):
        box = (_LEFT, _up(top + height), _WIDTH, height / _HEIGHT)
        panels.append(figure.add_axes(box, sharex=panels[0] if panels else None))
        panels[-1].tick_params(labelsize=11, labelbottom=False)
        panels[-1].spines[["top", "right"]].set_visible(False)
        top += height + _GAP
    _draw_curves(panels[0], song, timeline)
    for panel, (dimension, colour, *_) in zip(panels[1:], enlarged, strict=False):
        _draw_enlarged(panel, song, timeline, dimension, colour)
    if timeline.notes is not None:
        _draw_notes(panels[-1], song, timeline, timeline.notes)
    panels[-1].tick_params(labelbottom=True)
    panels[-1].set_xlabel(timeline.label, fontsize=12)
    return panels[-1]


def _draw_curves(panel: Axes, song: Song, timeline: _Timeline) -> None:
    """Draw valence and arousal from −1 to 1, each with its band."""
    panel.axhline(0, color=FAINT, linewidth=1, zorder=0)
    right = 0.0
    for dimension, colour, *_ in _CURVES:
        values, sd = getattr(song, dimension), getattr(song, f"{dimension}_error_sd")
        if sd is not None:
            (x, low), (_, high) = (_steps_of(song, timeline, edge) for edge in band(values, sd))
            panel.fill_between(x, low, high, color=colour, alpha=_BAND, linewidth=0, zorder=1)
        right = _draw_curve(panel, song, timeline, dimension, colour)
    panel.set(ylim=(-1, 1), xlim=(0, right or 1), yticks=(-1, -0.5, 0, 0.5, 1))


def _draw_enlarged(panel: Axes, song: Song, timeline: _Timeline, dimension: str, colour: str) -> None:
    """Draw one curve in the range of its own values, and its mean; both dimensions of a song have the same scale."""
    values = getattr(song, dimension)
    mean, low, high = values.mean(), values.min(), values.max()
    ranges = [np.ptp(getattr(song, name)) for name, *_ in _CURVES]
    half = 0.55 * max(*ranges, _SMALLEST_RANGE)
    middle = (low + high) / 2
    panel.axhline(mean, color=DARK, linewidth=1, linestyle=(0, (5, 4)), zorder=0, label="mean")
    _draw_curve(panel, song, timeline, dimension, colour)
    panel.set_ylim(middle - half, middle + half)
    panel.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    meaning = f"{dimension} enlarged: from {signed(low)} to {signed(high)}; dashed: its mean, {signed(mean)}"
    panel.set_title(meaning, loc="left", fontsize=10, pad=4, color=DARK)


def _draw_curve(panel: Axes, song: Song, timeline: _Timeline, dimension: str, colour: str) -> float:
    """Draw the curve of a dimension; returns the position of its end."""
    x, y = _steps_of(song, timeline, getattr(song, dimension))
    width = 1.8 if len(timeline.position) < 200 else 1.2
    # not clipped, so that a line at the edge keeps its whole width
    panel.plot(x, y, color=colour, linewidth=width, label=dimension, clip_on=False)
    return float(x[-1])


def _draw_notes(panel: Axes, song: Song, timeline: _Timeline, notes: np.ndarray) -> None:
    x, y = _steps_of(song, timeline, notes)
    panel.fill_between(x, 0, y, color=GREY, linewidth=0)
    panel.set_title(timeline.notes_title, loc="left", fontsize=10, pad=3, color=DARK)
    highest = float(np.nanmax(notes, initial=0))
    panel.set(ylim=(0, highest or 1), yticks=(0, highest))
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:.2g}")


def _steps_of(song: Song, timeline: _Timeline, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return steps(timeline.position, song.bar_number, timeline.end, values)


def _explain(figure: Figure, song: Song) -> None:
    """Write which curve is which, and what the bands mean."""
    lines = [
        Line2D([], [], color=colour, linewidth=2.5, label=f"{dimension} (−1 {low}, 1 {high})")
        for dimension, colour, low, high in _CURVES
    ]
    corner = (_LEFT - 0.012, _up(1.12))
    figure.legend(handles=lines, loc="lower left", bbox_to_anchor=corner, ncols=2, frameon=False, fontsize=12)
    if song.valence_error_sd is not None or song.arousal_error_sd is not None:
        meaning = (
            "bands: ± one standard deviation of the prediction's error, which about two bars in three stay within; "
            "cut off at −1 and 1"
        )
        figure.text(_LEFT, _up(10.72), meaning, fontsize=10, color=DARK)


def _summary(song: Song) -> str:
    facts = [counted(len(song.valence), "bar")]
    if np.isfinite(song.duration_seconds):
        facts.append(f"{song.duration_seconds:,.0f} seconds")
    facts += [f"mean {dimension} {signed(getattr(song, dimension).mean())}" for dimension, *_ in _CURVES]
    return "   ·   ".join(facts)


def signed(value: float) -> str:
    """A value of valence or arousal for readers: two decimals, always with a sign, as +0.21 or −0.21."""
    return f"{value:+z.2f}".replace("-", "−")
