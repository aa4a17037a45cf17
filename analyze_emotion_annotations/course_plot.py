"""How a typical song of each style moves from its first bar to its last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .drawn_styles import DrawnStyle
from .figures import FAINT, new_figure
from .group_statistics import AFFECTS

_DARK = "#404040"
_FEWEST_SONGS = 10  # that have a band: of fewer it would cover all others
_MARKED_EVERY = 4  # points of a line have its style's symbol


def plot_courses(styles: Sequence[DrawnStyle], courses: pd.DataFrame, dpi: int) -> Figure:
    """Draw each style's movement away from the songs' own means, with its 95 % interval, over the course of a song.

    courses: as song_courses.courses gives them; styles that are not in it are left out.
    """
    figure = new_figure(12.0, 7.2, dpi)
    panels = [figure.add_axes((left, 0.12, 0.3, 0.72)) for left in (0.065, 0.42)]
    n_points = int(courses["point"].max()) + 1
    handles: list[Line2D] = []
    labels: list[str] = []
    at = (np.arange(n_points) + 0.5) / n_points * 100  # per cent of the song
    for panel, affect in zip(panels, AFFECTS, strict=True):
        panel.axhline(0, color=FAINT, linewidth=1, zorder=0)
        for i, style in enumerate(styles):
            line = courses[courses["g"] == style.g]
            if line.empty:
                continue
            low, high = (line[f"{affect}_movement_{end}"].to_numpy() for end in ("low", "high"))
            if line["n_songs"].iloc[0] >= _FEWEST_SONGS:
                panel.fill_between(at, low, high, color=style.colour, alpha=0.15, linewidth=0)
            symbol = style.symbol | {"markersize": style.symbol["markersize"] * 0.7}
            every = (i % _MARKED_EVERY, _MARKED_EVERY)
            (drawn,) = panel.plot(at, line[f"{affect}_movement"], linewidth=1.6, markevery=every, **symbol)
            if panel is panels[0]:
                handles.append(drawn)
                labels.append(f"{style.name}  ({line['n_songs'].iloc[0]:,})")
        heights = np.concatenate([line.get_ydata() for line in panel.lines])
        margin = 0.25 * max(np.ptp(heights), 0.01)  # of the bands what is near the lines: few songs have wide ones
        panel.set(xlim=(0, 100), ylim=(heights.min() - margin, heights.max() + margin))
        panel.set_title(f"{affect}, beside the song's own mean", fontsize=12)
        panel.set_xlabel("per cent of the song's bars", fontsize=12)
        panel.tick_params(labelsize=11)
        panel.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.73, 0.86),
        frameon=False,
        fontsize=min(10, 260 / max(len(labels), 1)),  # many styles need the whole height
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    figure.text(0.065, 0.93, "How a song moves from its first bar to its last", fontsize=14)
    band = f"Band: 95 % interval of that mean, from {_FEWEST_SONGS} songs on."
    note = f"Line: mean over songs (their number in brackets). {band}"
    figure.text(0.065, 0.02, note, fontsize=10, color=_DARK)
    return figure
