"""Valence and arousal of a song's bars, over bars and over seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from musetok_bridge.settings import UserError

from .annotation_tables import Part, failure_reasons, read_bars, read_songs
from .figures import BLUE, FAINT, VERMILLION, new_figure, one_line

_BAR_COLUMNS = ("md5", "bar_number", "valence", "arousal", "start_seconds")
_SONG_COLUMNS = ("title", "artist", "duration_seconds")
_CURVES = (("valence", BLUE), ("arousal", VERMILLION))


@dataclass(frozen=True)
class Song:
    """A song's annotations, a structure of arrays over its n bars in ascending order."""

    md5: str
    title: str  # "" if unknown
    artist: str  # "" if unknown
    duration_seconds: float  # nan if unknown
    bar_number: np.ndarray  # (n,) from 0 at the start of the file
    start_seconds: np.ndarray  # (n,)
    valence: np.ndarray  # (n,) in [−1, 1]
    arousal: np.ndarray  # (n,) in [−1, 1]

    @property
    def picture_name(self) -> str:
        """The md5; should a data set have something else there, still a name that stays in its folder."""
        return "".join(letter if letter.isalnum() else "_" for letter in self.md5[:64])


def find_songs(parts: Sequence[Part], md5s: Sequence[str], first: int) -> list[Song]:
    """The songs of the given md5s, or the first songs if none is given. UserError if a given one is not there."""
    wanted = [md5.lower() for md5 in dict.fromkeys(md5s)]
    songs: dict[str, Song] = {}
    for part in parts:
        missing = [md5 for md5 in wanted if md5 not in songs]
        if wanted and not missing:
            break
        songs |= {song.md5: song for song in _songs_of_part(part, missing, 0 if wanted else first - len(songs))}
        if not wanted and len(songs) >= first:
            break
    lacking = [md5 for md5 in wanted if md5 not in songs]
    if lacking:
        raise UserError(_why_lacking(parts[0].songs.parent.parent, lacking))
    if not songs:
        raise UserError(f"{parts[0].songs.parent.parent}: no bar was annotated; the reasons stand in its failures/")
    return [songs[md5] for md5 in wanted or songs]


def steps(position: np.ndarray, number: np.ndarray, end: float, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The corners of a curve that keeps a value from a bar's start to its end, broken (nan) where bars are missing.

    position: (n,) starts of the bars in any unit, ascending; number: (n,) the bars' numbers, to tell missing ones;
    end: where the last bar ends, nan if unknown (then it is as long as the one before); values: (n,).
    Returns x and y of equal length.
    """
    skipped = np.diff(number)
    widths = np.diff(position) / np.maximum(skipped, 1)
    last = widths[-1] if len(widths) else 1.0
    width = np.append(widths, end - position[-1] if end > position[-1] else last)
    x = np.stack([position, position + width, position + width], axis=1)
    y = np.stack([values, values, np.where(np.append(skipped, 1) > 1, np.nan, values)], axis=1)
    return x.ravel(), y.ravel()


def plot_song(song: Song, dpi: int) -> Figure:
    """Draw a song: a panel over bars, a panel over seconds, each from −1 to 1."""
    figure = new_figure(12.0, 7.0, dpi)
    over_bars = figure.add_axes((0.07, 0.54, 0.91, 0.31))
    over_seconds = figure.add_axes((0.07, 0.115, 0.91, 0.31))
    _draw_curves(over_bars, song, song.bar_number, float(song.bar_number[-1] + 1))
    _draw_curves(over_seconds, song, song.start_seconds, song.duration_seconds)
    over_bars.set_xlabel("bar (counted from 0)", fontsize=12)
    over_bars.xaxis.set_major_locator(MaxNLocator(integer=True))
    over_seconds.set_xlabel("seconds", fontsize=12)
    handles, labels = over_bars.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="upper right", bbox_to_anchor=(0.985, 0.925), ncols=2, frameon=False, fontsize=12
    )
    name = " – ".join(filter(None, (one_line(song.artist, 25), one_line(song.title, 50)))) or song.md5
    figure.text(0.07, 0.94, name, fontsize=15, parse_math=False)
    figure.text(0.07, 0.885, _summary(song), fontsize=11, color="#404040")
    figure.text(0.07, 0.02, f"md5 {song.md5}", fontsize=10, color="#404040", parse_math=False)
    return figure


def _draw_curves(panel: Axes, song: Song, position: np.ndarray, end: float) -> None:
    panel.axhline(0, color=FAINT, linewidth=1, zorder=0)
    right = 0.0
    for affect, colour in _CURVES:
        x, y = steps(position, song.bar_number, end, getattr(song, affect))
        width = 1.8 if len(position) < 200 else 1.2
        panel.plot(x, y, color=colour, linewidth=width, label=affect, clip_on=False)  # all of the line at −1 and 1
        right = float(x[-1])
    panel.set(ylim=(-1, 1), xlim=(0, right), yticks=(-1, -0.5, 0, 0.5, 1))
    panel.tick_params(labelsize=11)
    panel.spines[["top", "right"]].set_visible(False)


def _summary(song: Song) -> str:
    facts = [f"{len(song.valence):,} bar{'s'[: len(song.valence) != 1]}"]
    if np.isfinite(song.duration_seconds):
        facts.append(f"{song.duration_seconds:,.0f} seconds")
    facts += [f"mean {affect} {getattr(song, affect).mean():+z.2f}" for affect, _ in _CURVES]
    return "   ·   ".join(facts)


def _songs_of_part(part: Part, md5s: Sequence[str], first: int) -> Iterator[Song]:
    """The songs of a part that are among the md5s and, if none are given, the first that have bars."""
    table = read_songs(part, _SONG_COLUMNS).drop_duplicates("md5").set_index("md5")
    chosen = [md5 for md5 in table.index if md5.lower() in md5s] if md5s else list(table.index[:first])
    if not chosen:
        return
    bars = pd.concat([rows[rows["md5"].isin(chosen)] for rows in read_bars(part, _BAR_COLUMNS)])
    bars = bars.drop_duplicates(["md5", "bar_number"]).sort_values(["md5", "bar_number"])
    for md5 in chosen:
        its = bars[bars["md5"] == md5]
        if len(its):
            row = table.loc[md5]
            columns = {name: its[name].to_numpy() for name in _BAR_COLUMNS[1:]}
            duration = float(row.get("duration_seconds", np.nan))
            yield Song(md5.lower(), row.get("title", ""), row.get("artist", ""), duration, **columns)


def _why_lacking(folder: Path, md5s: Sequence[str]) -> str:
    """One line that names every md5 that has no annotations and, where it is known, the reason."""
    reasons = failure_reasons(folder, md5s)
    named = [f"{md5}: {one_line(reasons.get(md5, 'not among its songs'), 150)}" for md5 in md5s]
    return f"{folder} has no annotations of {'; '.join(named)}"
