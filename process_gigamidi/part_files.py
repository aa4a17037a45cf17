"""The tables of one part of the dataset, as three CSV files, and the record that completes it.

Part k has bars/part-0000k.csv, songs/part-0000k.csv, failures/part-0000k.csv and parts/part-0000k.json. Each file is
written beside its place and moved there whole: first bars, then failures, then songs, then the record, which holds the
counts and the tables' digests. A part is done when its record stands; then nothing touches it again.

Valence and arousal have 4 decimals, seconds 3, so that a table's bytes depend only on the values.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from musetok_bridge.bars import Bars
from musetok_bridge.scores import WHY_LEFT_OUT
from pipeline.files import file_digest, write_json, written_whole
from pipeline.settings import UserError

from .annotation_settings import GO_ON
from .conversion import Failure

if TYPE_CHECKING:
    from .prediction import Outcome

KINDS = ("bars", "failures", "songs")  # of tables, in the order in which they come to their places
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
RECORDS = "parts"  # the folder of the records

_WRITTEN_UP_TO = 2  # larger numbers are rare
_FOUR_DECIMALS = np.array(
    [f"{part / 10_000:z.4f}" for part in range(-_WRITTEN_UP_TO * 10_000, _WRITTEN_UP_TO * 10_000 + 1)], dtype=object
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # a line break or a null in a title would be trouble for readers of CSV


@dataclass
class Totals:
    """Counts of songs annotated, of their bars, and of songs that failed, all and by the first word of the reason."""

    songs: int = 0
    bars: int = 0
    failures: int = 0
    failures_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows of the dataset that is."""
        return self.songs + self.failures

    def add(self, other: Totals) -> None:
        """Count the other's songs, bars and failures too."""
        self.songs += other.songs
        self.bars += other.bars
        self.failures += other.failures
        for reason, n in other.failures_by_reason.items():
            self.failures_by_reason[reason] = self.failures_by_reason.get(reason, 0) + n


@dataclass(frozen=True)
class PartRecord:
    """What is written of a part that is done.

    run: digest of all that its tables follow from, as in run.json. sha256: of each of its tables, by KINDS.
    """

    part: int
    run: str
    totals: Totals
    sha256: dict[str, str]


class PartTables:
    """The three tables of a part while they grow."""

    def __init__(self, files: Mapping[str, TextIO], described_columns: Sequence[str]):
        self.described_columns = described_columns
        self.totals = Totals()
        self._bars = files["bars"]
        self._csv = {kind: csv.writer(file, lineterminator="\n") for kind, file in files.items()}
        self._csv["bars"].writerow(BARS_COLUMNS)
        self._csv["songs"].writerow((*SONGS_COLUMNS, *described_columns))
        self._csv["failures"].writerow(FAILURES_COLUMNS)

    def add(self, outcome: Outcome) -> None:
        """The rows of a song, whatever became of it."""
        row, converted, predicted = outcome
        if isinstance(converted, Failure):
            reason = converted.reason + (f" ({row.called})" if row.called else "")
            self.add_failure(row.md5, converted.stage, reason)
        else:
            self.add_song(row.md5, converted.bars, converted.duration_seconds, predicted, row.described)

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
        self._bars.writelines(  # three times as fast as the csv module, and nine rows in ten are bars
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
        self.totals.add(Totals(failures=1, failures_by_reason={reason.partition(":")[0]: 1}))


@contextmanager
def part_tables(folder: Path, part: int, described_columns: Sequence[str]) -> Iterator[PartTables]:
    """As `new_tables`, when what a run that was killed had begun is removed. Raises UserError if that can't be done."""
    try:
        _remove_leftovers(folder, part)
        with new_tables(folder, part, described_columns) as tables:
            yield tables
    except OSError as error:
        raise cannot_write(folder, error) from error


@contextmanager
def new_tables(folder: Path, part: int, described_columns: Sequence[str]) -> Iterator[PartTables]:
    """Tables to fill, which come to their places when the block ends without an error, and else leave nothing behind.

    Raises OSError if they can't be written.
    """
    with ExitStack() as places, ExitStack() as files:
        beside = {kind: places.enter_context(written_whole(table_path(folder, kind, part))) for kind in KINDS[::-1]}
        opened = {
            kind: files.enter_context(path.open("w", encoding="utf-8", errors="replace", newline=""))
            for kind, path in beside.items()
        }
        yield PartTables(opened, described_columns)
        for file in opened.values():
            file.flush()
            os.fsync(file.fileno())


def cannot_write(folder: Path, error: OSError) -> UserError:
    """The UserError for a folder that can't be written to."""
    return UserError(f"output.dir: {folder} can't be written to ({error.strerror or error}); {GO_ON}")


def complete_part(folder: Path, part: int, run: str, totals: Totals) -> PartRecord:
    """Write the record of a part whose tables are in their places. Raises UserError if that can't be done."""
    try:
        record = PartRecord(part, run, totals, {kind: file_digest(table_path(folder, kind, part)) for kind in KINDS})
        write_json(record_path(folder, part), asdict(record))
    except OSError as error:
        raise cannot_write(folder, error) from error
    return record


def read_record(folder: Path, part: int) -> PartRecord:
    """The record of a part that is done. Raises UserError if it can't be read or holds something else."""
    path = record_path(folder, part)
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        counts = found["totals"]
        totals = Totals(
            int(counts["songs"]),
            int(counts["bars"]),
            int(counts["failures"]),
            {str(reason): int(n) for reason, n in counts["failures_by_reason"].items()},
        )
        return PartRecord(int(found["part"]), str(found["run"]), totals, {k: found["sha256"][k] for k in KINDS})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{path}: not the record of a part; remove it, and 01_annotate.py makes it again") from None


def table_path(folder: Path, kind: str, part: int) -> Path:
    """Where a table of a part stands. kind: bars, songs or failures."""
    return folder / kind / f"part-{part:05d}.csv"


def record_path(folder: Path, part: int) -> Path:
    """Where the record of a part stands."""
    return folder / RECORDS / f"part-{part:05d}.json"


def parts_done(folder: Path) -> set[int]:
    """The numbers of the parts that are done."""
    names = (re.fullmatch(r"part-(\d{5,})\.json", path.name) for path in (folder / RECORDS).glob("part-*.json"))
    return {int(name[1]) for name in names if name}


def _remove_leftovers(folder: Path, part: int) -> None:
    """Remove what a run that was killed had begun of a part."""
    for path in (*(table_path(folder, kind, part) for kind in KINDS), record_path(folder, part)):
        for leftover in path.parent.glob(f".{path.name}.*.partial"):
            leftover.unlink(missing_ok=True)


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
