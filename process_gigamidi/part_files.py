"""The tables of one part of the dataset: bars, songs and failures, as three CSV files.

Part k of the output holds the rows k * songs_per_part up to (k + 1) * songs_per_part of the dataset, in their order:
bars/part-00000.csv, songs/part-00000.csv, failures/part-00000.csv and so on. Each file is written beside its place and
moved there whole: first bars, then failures, then songs. A part is done when all three stand, so the move of
the songs file is what completes it.

Valence and arousal have 4 decimals, seconds 3, so that a table's bytes depend only on the values.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from musetok_bridge.bars import Bars
from musetok_bridge.provenance import written_whole
from musetok_bridge.scores import WHY_LEFT_OUT
from musetok_bridge.settings import UserError

from .annotation_settings import GO_ON

ORDER_OF_MOVES = ("bars", "failures", "songs")
BARS_COLUMNS = (
    "md5",
    "bar_number",
    "valence",
    "arousal",
    "start_tick",
    "start_seconds",
    "meter",
    "n_notes",
    "valence_sd",
    "arousal_sd",
)
SONGS_COLUMNS = (
    "md5",
    "n_bars",
    "n_notes",
    "duration_seconds",
    "valence_mean",
    "valence_sd",
    "arousal_mean",
    "arousal_sd",
    *(f"left_out_{why}" for why in WHY_LEFT_OUT),
)
FAILURES_COLUMNS = ("md5", "stage", "reason")

_WRITTEN_UP_TO = 2  # larger numbers are rare
_FOUR_DECIMALS = np.array(
    [f"{part / 10_000:z.4f}" for part in range(-_WRITTEN_UP_TO * 10_000, _WRITTEN_UP_TO * 10_000 + 1)], dtype=object
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # a line break or a null in a title would be trouble for readers of CSV


@dataclass
class Totals:
    """Counts of songs annotated, of their bars, and of songs that failed."""

    songs: int = 0
    bars: int = 0
    failures: int = 0

    def add(self, other: Totals) -> None:
        """Count the other's songs, bars and failures too."""
        self.songs += other.songs
        self.bars += other.bars
        self.failures += other.failures

    def since(self, before: Totals) -> Totals:
        """What has come on top of `before`."""
        return Totals(self.songs - before.songs, self.bars - before.bars, self.failures - before.failures)


class PartTables:
    """The three tables of a part while they grow."""

    def __init__(self, described_columns: Sequence[str]):
        self.described_columns = described_columns
        self.totals = Totals()
        self._text = {kind: io.StringIO() for kind in ORDER_OF_MOVES}
        self._csv = {kind: csv.writer(text, lineterminator="\n") for kind, text in self._text.items()}
        self._csv["bars"].writerow(BARS_COLUMNS)
        self._csv["songs"].writerow((*SONGS_COLUMNS, *described_columns))
        self._csv["failures"].writerow(FAILURES_COLUMNS)

    def add_song(
        self, md5: str, bars: Bars, duration_seconds: float, predicted: np.ndarray, described: Mapping[str, Any]
    ) -> None:
        """A row for each bar and one for the song. predicted: (n, 4), the columns PREDICTED of a head."""
        md5 = as_text(md5)
        rows = zip(
            bars.bar_number.tolist(),
            *four_decimals(predicted),
            bars.start_tick.tolist(),
            bars.start_seconds.tolist(),
            bars.meter,
            bars.n_notes.tolist(),
            strict=True,
        )
        name = csv_field(md5)
        self._text["bars"].writelines(  # three times as fast as the csv module, and nine rows in ten are bars
            f"{name},{number},{valence},{arousal},{tick},{seconds:z.3f},{meter},{n_notes},{valence_sd},{arousal_sd}\n"
            for number, valence, arousal, valence_sd, arousal_sd, tick, seconds, meter, n_notes in rows
        )
        mean, sd = predicted.mean(axis=0, dtype=np.float64), predicted.std(axis=0, dtype=np.float64)  # ddof 0
        statistics = [f"{value:z.4f}" for value in (mean[0], sd[0], mean[1], sd[1])]
        tags = [as_text(described.get(column)) for column in self.described_columns]
        counts = (len(bars), int(bars.n_notes.sum()), f"{duration_seconds:z.3f}")
        left_out = [bars.left_out[why] for why in WHY_LEFT_OUT]
        self._csv["songs"].writerow((md5, *counts, *statistics, *left_out, *tags))
        self.totals.add(Totals(songs=1, bars=len(bars)))

    def add_failure(self, md5: str, stage: str, reason: str) -> None:
        """A row for a song that has no annotation."""
        self._csv["failures"].writerow((as_text(md5), stage, as_text(reason)))
        self.totals.add(Totals(failures=1))

    def write(self, folder: Path, part: int) -> None:
        """Write the three files and move them to their places. Raises UserError if that can't be done."""
        try:
            for kind in ORDER_OF_MOVES:
                path = part_path(folder, kind, part)
                for leftover in path.parent.glob(f".{path.name}.*.partial"):  # of a run that was killed
                    leftover.unlink(missing_ok=True)
                with written_whole(path) as beside:
                    beside.write_text(self._text[kind].getvalue(), encoding="utf-8", errors="replace", newline="")
        except OSError as error:
            raise UserError(f"output.dir: {folder} can't be written to ({error.strerror or error}); {GO_ON}") from error


def part_path(folder: Path, kind: str, part: int) -> Path:
    """Where a table of a part stands. kind: bars, songs or failures."""
    return folder / kind / f"part-{part:05d}.csv"


def parts_done(folder: Path) -> set[int]:
    """The numbers of the parts whose three files all stand."""
    found = [
        {int(path.stem.removeprefix("part-")) for path in (folder / kind).glob("part-*.csv") if path.stem[5:].isdigit()}
        for kind in ORDER_OF_MOVES
    ]
    return set.intersection(*found)


def count_part(folder: Path, part: int) -> Totals:
    """The totals of a part that is done, from its songs and failures. Raises UserError if a table can't be read."""
    try:
        bars = pd.read_csv(part_path(folder, "songs", part), usecols=["n_bars"], dtype="int64")["n_bars"]
        failures = pd.read_csv(part_path(folder, "failures", part), usecols=["stage"])
    except (OSError, ValueError):  # pandas' own errors are ValueErrors
        name = part_path(folder, "songs", part).name
        raise UserError(f"{folder}: {name} is not whole; remove it, and the same command makes it again") from None
    return Totals(songs=len(bars), bars=int(bars.sum()), failures=len(failures))


def four_decimals(values: np.ndarray) -> list[list[str]]:
    """Columns of numbers (n, k) as texts with four decimals, k lists of n; no minus sign before a zero."""
    if not (np.abs(values) < _WRITTEN_UP_TO).all():
        return [[f"{value:z.4f}" for value in column] for column in values.T.tolist()]
    parts = np.rint(values.T.astype(np.float64) * 10_000).astype(np.int64)
    return _FOUR_DECIMALS[parts + _WRITTEN_UP_TO * 10_000].tolist()


def csv_field(text: str) -> str:
    """A text as a field of a CSV row, in quotes where it needs them."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow([text, ""])
    return row.getvalue()[:-1]


def as_text(value: Any) -> str:
    """A value of a descriptive column: a list as JSON, text as it is but in one line, nothing as an empty text."""
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROL.sub(" ", str(value))
