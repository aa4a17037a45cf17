"""The records of an output folder: run.json, which says what made the folder, and one record for each finished part."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .annotations import FORMAT, RUN_RECORD, TABLES, record_path, table_path
from .files import file_digest, write_json
from .settings import UserError, one_line


@dataclass
class Totals:
    """Counts of annotated songs, of their bars, and of failed songs, in total and by the first word of the reason."""

    songs: int = 0
    bars: int = 0
    failures: int = 0
    failures_by_reason: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows of the dataset: annotated and failed songs."""
        return self.songs + self.failures

    def by_reason(self) -> list[tuple[str, int]]:
        """The number of failures for each reason, the most frequent first."""
        return sorted(self.failures_by_reason.items(), key=lambda item: (-item[1], item[0]))

    def add(self, other: Totals) -> None:
        """Add the counts of another."""
        self.songs += other.songs
        self.bars += other.bars
        self.failures += other.failures
        for reason, n in other.failures_by_reason.items():
            self.failures_by_reason[reason] = self.failures_by_reason.get(reason, 0) + n


@dataclass(frozen=True)
class PartRecord:
    """The record of a finished part.

    run: digest of everything that its tables depend on, as in run.json. sha256: digest of each table, by its name in
    TABLES.
    """

    part: int
    run: str
    totals: Totals
    sha256: dict[str, str]


def digest_of(decides: Mapping[str, Any]) -> str:
    """sha256 of everything that a result depends on, as 64 hex digits; every part's record has it."""
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def finish_part(folder: Path, part: int, run: str, totals: Totals) -> PartRecord:
    """Write and return the record of a part whose tables are written. Raises OSError if that fails."""
    digests = {table: file_digest(table_path(folder, table, part)) for table in TABLES}
    record = PartRecord(part, run, totals, digests)
    write_json(record_path(folder, part), asdict(record))
    return record


def read_record(folder: Path, part: int) -> PartRecord:
    """The record of a finished part. Raises UserError if it can't be read or holds something else."""
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
        digests = {table: found["sha256"][table] for table in TABLES}
        return PartRecord(int(found["part"]), str(found["run"]), totals, digests)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        raise UserError(f"{path}: not the record of a part; remove it, and 01_annotate.py makes it again") from None


def read_run(folder: Path) -> dict[str, Any] | None:
    """run.json of a folder of annotations; None if there is none.

    It has `decides` (everything that a value depends on, by the name of its setting), `settings` and `versions`.
    Raises UserError if the file holds something else or another format.
    """
    path = folder / RUN_RECORD
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or not all(isinstance(record.get(key), dict) for key in ("decides", "settings")):
        raise UserError(f"{path}: not a record of an annotation; restore it, or take another folder")
    found = record["decides"].get("format", 1)
    if found != FORMAT:
        raise UserError(
            f"{path}: the tables here are of format {one_line(repr(found), 20)}, "
            f"this version reads and writes format {FORMAT}: "
            "annotate into another output.dir, or use the version that made them (versions in run.json)"
        )
    return record


def read_dataset_run(folder: Path) -> dict[str, Any] | None:
    """As `read_run`, for a folder that 01_annotate.py made: the record also has `parts`, their number, and `totals`.

    Raises UserError if it was made by another command.
    """
    record = read_run(folder)
    if record is None:
        return None
    complete = type(record.get("parts")) is int and isinstance(record.get("versions"), dict)
    if not complete or not isinstance(record.get("totals", 0), dict | None):
        raise UserError(
            f"{folder / RUN_RECORD}: not a record that process_gigamidi/01_annotate.py wrote; "
            "annotate into another folder with that script"
        )
    return record
