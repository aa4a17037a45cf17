"""The plot of a song: valence and arousal of its bars, over bars and over seconds, above the number of notes.

A bar keeps its value from its start to its end, so curves and bands are steps. This module doesn't import pandas or
DuckDB, so that a single file is drawn quickly.
"""

from __future__ import annotations

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
_LEFT, _WIDTH = 0.065, 0.915  # left edge and width of all panels, as shares of the figure
_CURVES_HEIGHT, _NOTES_HEIGHT, _BETWEEN = 0.26, 0.05, 0.03


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

    @property
    def plot_name(self) -> str:
        """The md5, made safe as a file name in case a data set has another text as md5."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.md5[:50]) or "_"


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
    """Draw a song over bars and over seconds: the curves from −1 to 1 with their bands, and the number of notes."""
    figure = new_figure(12.0, 9.0, dpi)
    last_bar = float(song.bar_number[-1] + 1)
    over_bars = _draw_over(figure, 0.53, song, song.bar_number, last_bar, song.n_notes, "notes in the bar")
    over_bars.set_xlabel("bar (counted from 0)", fontsize=12)
    over_bars.xaxis.set_major_locator(MaxNLocator(integer=True))
    seconds = bar_widths(song.start_seconds, song.bar_number, song.duration_seconds)
    rate = None if song.n_notes is None else song.n_notes / np.where(seconds > 0, seconds, np.nan)
    end = song.duration_seconds
    over_seconds = _draw_over(figure, 0.125, song, song.start_seconds, end, rate, "notes per second")
    over_seconds.set_xlabel("seconds", fontsize=12)
    name = " – ".join(filter(None, (one_line(song.artist, 25), one_line(song.title, 50)))) or song.md5
    figure.text(_LEFT, 0.962, name, fontsize=15, parse_math=False)
    figure.text(_LEFT, 0.926, _summary(song), fontsize=11, color=DARK)
    figure.text(_LEFT, 0.015, f"md5 {song.md5}", fontsize=10, color=DARK, parse_math=False)
    _explain(figure, song)
    return figure


def _draw_over(
    figure: Figure,
    bottom: float,
    song: Song,
    position: np.ndarray,
    end: float,
    notes: np.ndarray | None,
    notes_title: str,
) -> Axes:
    """Draw the curves over bars or seconds and, if known, the notes below; returns the lowest panel, for its label.

    bottom: lower edge of the lowest panel, as a share of the figure's height.
    """
    above = _NOTES_HEIGHT + _BETWEEN
    curves = figure.add_axes((_LEFT, bottom + above, _WIDTH, _CURVES_HEIGHT))
    _draw_curves(curves, song, position, end)
    if notes is None:
        curves.set_position((_LEFT, bottom, _WIDTH, _CURVES_HEIGHT + above))
        return curves
    curves.tick_params(labelbottom=False)
    panel = figure.add_axes((_LEFT, bottom, _WIDTH, _NOTES_HEIGHT), sharex=curves)
    x, y = steps(position, song.bar_number, end, notes)
    panel.fill_between(x, 0, y, color=GREY, linewidth=0)
    panel.set_title(notes_title, loc="left", fontsize=10, pad=3, color=DARK)
    highest = float(np.nanmax(notes, initial=0))
    panel.set(ylim=(0, highest or 1), yticks=(0, highest))
    panel.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:.2g}")
    panel.tick_params(labelsize=11)
    panel.spines[["top", "right"]].set_visible(False)
    return panel


def _draw_curves(panel: Axes, song: Song, position: np.ndarray, end: float) -> None:
    """Draw valence and arousal from −1 to 1, each with its band."""
    panel.axhline(0, color=FAINT, linewidth=1, zorder=0)
    right = 0.0
    for dimension, colour, *_ in _CURVES:
        values, sd = getattr(song, dimension), getattr(song, f"{dimension}_error_sd")
        if sd is not None:
            (x, low), (_, high) = (steps(position, song.bar_number, end, edge) for edge in band(values, sd))
            panel.fill_between(x, low, high, color=colour, alpha=_BAND, linewidth=0, zorder=1)
        x, y = steps(position, song.bar_number, end, values)
        width = 1.8 if len(position) < 200 else 1.2
        # not clipped, so that a line at −1 or 1 keeps its whole width
        panel.plot(x, y, color=colour, linewidth=width, label=dimension, clip_on=False)
        right = float(x[-1])
    panel.set(ylim=(-1, 1), xlim=(0, right or 1), yticks=(-1, -0.5, 0, 0.5, 1))
    panel.tick_params(labelsize=11)
    panel.spines[["top", "right"]].set_visible(False)


def _explain(figure: Figure, song: Song) -> None:
    """Write which curve is which, and what the bands mean."""
    lines = [
        Line2D([], [], color=colour, linewidth=2.5, label=f"{dimension} (−1 {low}, 1 {high})")
        for dimension, colour, low, high in _CURVES
    ]
    corner = (_LEFT - 0.012, 0.87)
    figure.legend(handles=lines, loc="lower left", bbox_to_anchor=corner, ncols=2, frameon=False, fontsize=12)
    if song.valence_error_sd is not None or song.arousal_error_sd is not None:
        meaning = (
            "bands: ± one standard deviation of the prediction's error, which about two bars in three stay within; "
            "cut off at −1 and 1"
        )
        figure.text(_LEFT, 0.04, meaning, fontsize=10, color=DARK)


def _summary(song: Song) -> str:
    facts = [counted(len(song.valence), "bar")]
    if np.isfinite(song.duration_seconds):
        facts.append(f"{song.duration_seconds:,.0f} seconds")
    facts += [f"mean {dimension} {signed(getattr(song, dimension).mean())}" for dimension, *_ in _CURVES]
    return "   ·   ".join(facts)


def signed(value: float) -> str:
    """A value of valence or arousal for readers: two decimals, always with a sign, as +0.21 or −0.21."""
    return f"{value:+z.2f}".replace("-", "−")
