"""Annotated songs as lines of text: a table of one song's bars, a row for each of several songs, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from musetok_bridge.bars import Bars
from pipeline.annotations import BARS, COUNT, SONGS, Column, Kind
from pipeline.settings import counted, one_line
from process_gigamidi.part_files import bar_values, song_values
from process_gigamidi.prediction import Annotated, Failed

MOST_ROWS = 40  # of a song's table, so that it fits on a screen; --bars prints more
MOST_METERS = 3  # named in a line
LONGEST_NAME = 40
_BARS_HEADER = ("bar", "seconds", "meter", "notes", "valence", "arousal")
_SD = "± is one standard deviation of the prediction's error"


class WrittenFile(NamedTuple):
    """A file that was made of a song. kind: curves or midi."""

    kind: str
    path: Path


class JsonSongs:
    """Makes a line of JSON for each song.

    It has `file`, the song's name, the columns of `songs`, `curves` and `midi` with the paths of what was made of it,
    and `bars`, a list with the columns of `bars`. Letters are escaped, so that it is the same in any encoding.
    """

    def lines(self, song: Annotated, files: Sequence[WrittenFile]) -> list[str]:
        """The line of the next song. files: what was made of it."""
        bars = bar_values(song.row.md5, song.bars, song.predicted)
        columns = BARS[1:]  # all but the md5
        rows = [_as_json(columns, row) for row in zip(*(bars[column.name] for column in columns), strict=True)]
        values = song_values(song.row.md5, song.bars, song.predicted)
        facts = _as_json(SONGS, [values[column.name] for column in SONGS])
        paths = {kind: [str(f.path) for f in files if f.kind == kind] for kind in dict.fromkeys(f.kind for f in files)}
        return [json.dumps({"file": song.row.name, **facts, **paths, "bars": rows})]

    def failed(self, song: Failed) -> list[str]:
        """The line of a song that can't be annotated: its name, and the columns of `failures`."""
        why = {"file": song.row.name, "md5": song.row.md5, "stage": song.stage, "reason": song.reason}
        return [json.dumps(why)]

    def end(self) -> list[str]:
        """No lines."""
        return []


def _as_json(columns: Sequence[Column], row: Iterable[Any]) -> dict[str, Any]:
    """A row as a JSON object; real numbers have as many decimals as in CSV."""
    return {column.name: _json_value(column.kind, value) for column, value in zip(columns, row, strict=True)}


def _json_value(kind: Kind, value: Any) -> Any:
    if kind.decimals is not None:
        return round(float(value), kind.decimals) + 0.0  # no minus before a zero
    return int(value) if kind == COUNT else value


class PrintedSongs:
    """Makes the lines of songs that are annotated one after another.

    names: the names of all songs. every_bar: make a table of every bar for every song.
    """

    def __init__(self, names: Sequence[str], every_bar: bool):
        self._every_bar = every_bar
        self._as_rows = len(names) > 1 and not every_bar
        self._width = max((len(shown(name)) for name in names), default=0)
        self._begun = False

    def lines(self, song: Annotated, files: Sequence[WrittenFile] = ()) -> list[str]:
        """The lines of the next song. files: what was made of it, which is said at the end of all."""
        first, self._begun = not self._begun, True
        if self._as_rows:
            return [self._header()] * first + [self._row(song)]
        return [*[""] * (not first), *heading(song), "", *bar_table(song, self._every_bar)]

    def failed(self, song: Failed) -> list[str]:
        """No lines: errors are printed elsewhere."""
        return []

    def end(self) -> list[str]:
        """Lines that explain the numbers above them; none if there was no song."""
        if not self._begun:
            return []
        return ["", f"Means over the bars; {_SD}." if self._as_rows else f"Bars are counted from 0; {_SD}."]

    def _header(self) -> str:
        return self._line("song", "bars", "seconds", "valence", "arousal", "meter")

    def _row(self, song: Annotated) -> str:
        bars, seconds = song.bars, song.bars.duration_seconds
        ratings = _ratings(song.predicted.mean(axis=0))
        return self._line(shown(song.row.name), str(len(bars)), f"{seconds:.1f}", *ratings, _meters(bars))

    def _line(self, name: str, n_bars: str, seconds: str, valence: str, arousal: str, meters: str) -> str:
        return f"{name:{self._width}}  {n_bars:>5}  {seconds:>8}  {valence:>12}  {arousal:>12}  {meters}"


def heading(song: Annotated) -> list[str]:
    """Lines with a song's name, length and means, and the number of its notes that are in no bar."""
    bars, seconds = song.bars, song.bars.duration_seconds
    valence, arousal, *_ = song.predicted.mean(axis=0)
    n_bars = counted(len(bars), "bar")
    means = f"mean valence {valence:+z.2f}, mean arousal {arousal:+z.2f}"
    facts = f"{shown(song.row.name)}: {_meters(bars)}, {n_bars}, {seconds:,.1f} seconds, {means}"
    left_out = [f"{n:,} {why.replace('_', ' ')}" for why, n in bars.left_out.items() if n]
    return [facts, *([f"notes left out: {', '.join(left_out)}"] if left_out else [])]


def bar_table(song: Annotated, every_bar: bool) -> list[str]:
    """A song's bars as a table; in a long song a row summarises 2, 4, 8 … bars, unless every_bar is true."""
    bars = song.bars
    per_row = 1 if every_bar else bars_per_row(len(bars))
    first = np.arange(0, len(bars), per_row)
    last = np.minimum(first + per_row, len(bars)) - 1
    means = np.add.reduceat(song.predicted, first) / (last - first + 1)[:, None]  # (rows, 4)
    table = [_BARS_HEADER]
    for a, b, mean in zip(first.tolist(), last.tolist(), means, strict=True):
        numbers = str(bars.bar_number[a]) + (f"–{bars.bar_number[b]}" if b > a else "")
        n_notes = str(bars.n_notes[a : b + 1].sum())
        meters = _meters(bars, slice(a, b + 1))
        table.append((numbers, f"{bars.start_seconds[a]:z.1f}", meters, n_notes, *_ratings(mean)))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    if per_row > 1:
        lines += [
            "",
            f"A row is {per_row} bars: their means and all their notes; --bars prints every bar.",
        ]
    return lines


def bars_per_row(n_bars: int) -> int:
    """The number of bars that a row summarises: the least power of two that makes at most MOST_ROWS rows."""
    per_row = 1
    while per_row * MOST_ROWS < n_bars:
        per_row *= 2
    return per_row


def shown(name: str) -> str:
    """A file's name fit to print: one line without control characters, shortened to its end if it is long."""
    printable = one_line(name, len(name))
    return printable if len(printable) <= LONGEST_NAME else "…" + printable[1 - LONGEST_NAME :]


def _meters(bars: Bars, some: slice = slice(None)) -> str:
    """The meters of some bars in order of appearance, each once, at most MOST_METERS of them.

    A meter that is barred anew is given with the one whose length its bars have.
    """
    pairs = dict.fromkeys(zip(bars.meter[some], bars.barred_as[some], strict=True))
    distinct = [meter if meter == barred_as else f"{meter} (as {barred_as})" for meter, barred_as in pairs]
    more = len(distinct) - MOST_METERS
    return " ".join(distinct) if more <= 0 else f"{' '.join(distinct[:MOST_METERS])} +{more}"


def _ratings(predicted: np.ndarray) -> tuple[str, str]:
    """Valence and arousal as text, each with its standard deviation. predicted: (4,), the columns PREDICTED."""
    valence, arousal, valence_error_sd, arousal_error_sd = predicted
    return f"{valence:+z.2f} ± {valence_error_sd:.2f}", f"{arousal:+z.2f} ± {arousal_error_sd:.2f}"
