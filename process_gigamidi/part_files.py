"""Writes the three tables of one part of the dataset.

Each file is written under a temporary name and then moved to its place: bars, failures, songs, and last the record,
which finishes the part; its files never change after that. pipeline/annotations.py defines the columns and how a value
is written, so a table's bytes depend on the values only.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from musetok_bridge.bars import Bars
from pipeline.annotations import (
    BARS,
    FAILURES,
    LEFT_OUT,
    SONGS,
    TABLES,
    descriptive_columns,
    names,
    record_path,
    table_path,
)
from pipeline.cells import cell, written
from pipeline.files import atomic_write, remove_abandoned
from pipeline.parts import cannot_write
from pipeline.records import PartRecord, Totals, finish_part

from .prediction import Annotated, Failed


def bar_values(md5: str, bars: Bars, predicted: np.ndarray) -> dict[str, Sequence[Any] | np.ndarray]:
    """The values of every column of BARS for a song of n bars. predicted: (n, 4), with the columns head.PREDICTED."""
    valence, arousal, valence_error_sd, arousal_error_sd = predicted.T
    return {
        "md5": [md5] * len(bars),
        "bar_number": bars.bar_number,
        "valence": valence,
        "arousal": arousal,
        "start_tick": bars.start_tick,
        "start_seconds": bars.start_seconds,
        "meter": bars.meter,
        "barred_as": bars.barred_as,
        "n_notes": bars.n_notes,
        "n_drum_notes": bars.n_drum_notes,
        "valence_error_sd": valence_error_sd,
        "arousal_error_sd": arousal_error_sd,
    }


def song_values(md5: str, bars: Bars, predicted: np.ndarray) -> dict[str, Any]:
    """The value of every column of SONGS for a song. predicted: (n, 4), with the columns head.PREDICTED."""
    mean, sd = predicted.mean(axis=0, dtype=np.float64), predicted.std(axis=0, dtype=np.float64)  # ddof 0
    return {
        "md5": md5,
        "n_bars": len(bars),
        "n_notes": int(bars.n_notes.sum()),
        "n_drum_notes": int(bars.n_drum_notes.sum()),
        "n_instruments": bars.n_instruments,
        "duration_seconds": bars.duration_seconds,
        "valence_mean": mean[0],
        "valence_sd": sd[0],
        "arousal_mean": mean[1],
        "arousal_sd": sd[1],
        **{f"{LEFT_OUT}{reason}": n for reason, n in bars.left_out.items()},
        "n_clamped": bars.n_clamped,
    }


class PartTables:
    """The three tables of a part, open for writing. described: names of the descriptive columns that the source has."""

    def __init__(self, files: Mapping[str, TextIO], described: Sequence[str]):
        self.totals = Totals()
        self._descriptive = descriptive_columns(described)
        self._bars = files["bars"]
        self._csv = {table: csv.writer(file, lineterminator="\n") for table, file in files.items()}
        self._csv["bars"].writerow(names(BARS))
        self._csv["songs"].writerow(names((*SONGS, *self._descriptive)))
        self._csv["failures"].writerow(names(FAILURES))

    def add(self, song: Annotated | Failed) -> None:
        """Write the rows of a song: bars and songs if it was annotated, else failures."""
        if isinstance(song, Failed):
            reason = song.reason + (f" ({song.row.name})" if song.row.name else "")
            self.add_failure(song.row.md5, song.stage, reason)
        else:
            self.add_song(song.row.md5, song.bars, song.predicted, song.row.described)
            self.totals.add(Totals(emptied=song.row.n_emptied))
        self.totals.add(Totals(other_bytes=int(song.row.has_other_bytes)))

    def add_song(self, md5: str, bars: Bars, predicted: np.ndarray, described: Mapping[str, Any]) -> None:
        """Write a row for each bar and one for the song. predicted: (n, 4), with the columns head.PREDICTED."""
        values = bar_values(md5, bars, predicted)
        fields = [written(column.kind, values[column.name]) for column in BARS]
        # Rows of bars are joined here, three times as fast as by the csv module: nine rows in ten are bars.
        self._bars.writelines(f"{','.join(row)}\n" for row in zip(*fields, strict=True))
        song = song_values(md5, bars, predicted)
        row = [cell(column.kind, song[column.name]) for column in SONGS]
        self._csv["songs"].writerow(row + [cell(c.kind, described.get(c.name)) for c in self._descriptive])
        self.totals.add(Totals(songs=1, bars=len(bars)))

    def add_failure(self, md5: str, stage: str, reason: str) -> None:
        """Write a row for a song that could not be annotated."""
        values = {"md5": md5, "stage": stage, "reason": reason}
        self._csv["failures"].writerow([cell(column.kind, values[column.name]) for column in FAILURES])
        self.totals.add(Totals(failures=1, failures_by_reason={reason.partition(":")[0]: 1}))


@contextmanager
def part_tables(folder: Path, part: int, described: Sequence[str]) -> Iterator[PartTables]:
    """As `new_tables`, after removing what a killed run left of the part. Raises UserError if the folder fails."""
    try:
        remove_unfinished(folder, part)
        with new_tables(folder, part, described) as tables:
            yield tables
    except OSError as error:
        raise cannot_write(folder, error) from error


def remove_unfinished(folder: Path, part: int) -> None:
    """Remove what a killed process left of a part. Raises OSError if that fails."""
    for path in (*(table_path(folder, table, part) for table in TABLES), record_path(folder, part)):
        remove_abandoned(path)


@contextmanager
def new_tables(folder: Path, part: int, described: Sequence[str]) -> Iterator[PartTables]:
    """Tables to fill; they are moved to their places if the block ends without an error, and removed otherwise.

    Raises OSError if they can't be written.
    """
    last_first = [*TABLES][::-1]  # the file that is opened last is moved first
    with ExitStack() as places, ExitStack() as files:
        temporary = {table: places.enter_context(atomic_write(table_path(folder, table, part))) for table in last_first}
        opened = {
            table: files.enter_context(path.open("w", encoding="utf-8", errors="replace", newline=""))
            for table, path in temporary.items()
        }
        yield PartTables(opened, described)
        for file in opened.values():
            file.flush()
            os.fsync(file.fileno())


def complete_part(folder: Path, part: int, run: str, totals: Totals) -> PartRecord:
    """As `finish_part`. Raises UserError if the folder can't be written to."""
    try:
        return finish_part(folder, part, run, totals)
    except OSError as error:
        raise cannot_write(folder, error) from error
