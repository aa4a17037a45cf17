"""The records of an output folder: run.json, which says what made the folder, and one record for each finished part."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .annotations import FORMAT, RUN_RECORD, TABLES, record_path, table_path
from .files import file_digest, write_json
from .json_files import read_json
from .settings import UserError, first_line, one_line

EXPORT_RECORD = "export.json"  # marks a folder as an export and lists its files
DATASET, OWN_MUSIC = "process_gigamidi/01_annotate.py", "annotate_own_music/01_annotate_file.py"
STATISTICS = "analyze_emotion_annotations/01_statistics.py"
EXPORT = "publish_annotations/01_export.py"
# what records without `written_by`, of earlier versions, have that others lack
_KNOWN_BY = {
    "parts": DATASET,
    "own_files": OWN_MUSIC,
    "head_digest": "pretrain_model/03_train.py",
    "encoder_file_digest": "musetok_bridge/02_train_tokenizer.py",
}
MAX_COUNT = 10**12  # of anything in a record; no data set of music has as many bars
MAX_LETTERS = 1_000  # of a text that decides a value: most are digests, the longest are names of a dataset
MAX_PATH = 4_096
_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what a terminal or an editor may read as more than a letter
_NO_RUN = "not a record of an annotation"
_RESTORE = "restore it, or take another folder"


class RecordError(UserError):
    """A record that can't be used: damaged, or of something else than the command reads."""

    exit_code = 2


@dataclass
class Totals:
    """Counts of annotated songs, of their bars, and of failed songs, in total and by the first word of the reason.

    other_bytes: songs whose md5 in the dataset is not that of their bytes. emptied: values from the dataset that did
    not fit their columns, whose cells are empty.
    """

    songs: int = 0
    bars: int = 0
    failures: int = 0
    other_bytes: int = 0
    emptied: int = 0
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
        self.other_bytes += other.other_bytes
        self.emptied += other.emptied
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
    """The record of a finished part. Raises RecordError if it can't be read or holds something else."""
    path = record_path(folder, part)
    try:
        found = read_json(path)
        totals = _totals(found["totals"])
        digests = {table: found["sha256"][table] for table in TABLES}
        if not all(_is_digest(digest) for digest in (found["run"], *digests.values())):
            raise ValueError("a digest is not 64 hex digits")
        return PartRecord(_count(found["part"]), found["run"], totals, digests)
    except OSError as error:
        why = error.strerror or str(error)
    except ValueError as error:
        why = first_line(error)
    except (KeyError, TypeError, AttributeError):
        why = "a key is missing or holds something else"
    raise RecordError(f"{path}: not the record of a part ({why}); remove it, and 01_annotate.py makes it again")


def writer_of(record: Any) -> str | None:
    """The script that wrote a record of a folder, by its path in the project; None if the record doesn't show it."""
    if not isinstance(record, dict):
        return None
    if isinstance(named := record.get("written_by"), str):
        return one_line(named, 80)
    if "annotations_run_sha256" in record:  # it has `parts` too
        return STATISTICS
    return next((script for key, script in _KNOWN_BY.items() if key in record), None)


def writer_in(folder: Path) -> str | None:
    """The script that wrote a folder; None if the folder doesn't show it."""
    with suppress(OSError, ValueError):
        return writer_of(read_json(folder / RUN_RECORD))
    return EXPORT if (folder / EXPORT_RECORD).is_file() else None


def _check_writer(path: Path, writer: str | None, scripts: tuple[str, ...]) -> None:
    """Raise RecordError if a record was written by a script that isn't one of those whose folders are read."""
    if writer is not None and writer not in scripts:
        read = " or ".join(scripts)
        raise RecordError(f"{path}: written by {writer}; this reads what {read} writes: give a folder of that")


def read_run(folder: Path, scripts: tuple[str, ...] = (DATASET, OWN_MUSIC)) -> dict[str, Any] | None:
    """run.json of a folder of annotations; None if there is none. scripts: those whose folders are read.

    It has `decides` (everything that a value depends on, by the name of its setting: numbers and texts of one line),
    `settings` and `versions`. Raises RecordError if the file holds something else or another format.
    """
    path = folder / RUN_RECORD
    try:
        record = read_json(path)
    except FileNotFoundError:
        if (folder / EXPORT_RECORD).is_file():
            _check_writer(folder / EXPORT_RECORD, EXPORT, scripts)
        return None
    except OSError as error:
        raise RecordError(f"{path}: can't be read ({error.strerror or error})") from error
    except ValueError as error:
        raise RecordError(f"{path}: {_NO_RUN} ({first_line(error)}); {_RESTORE}") from None
    _check_writer(path, writer_of(record), scripts)
    if not isinstance(record, dict) or not all(isinstance(record.get(key), dict) for key in ("decides", "settings")):
        raise RecordError(f"{path}: {_NO_RUN}; {_RESTORE}")
    found = record["decides"].get("format", 1)
    if found != FORMAT or isinstance(found, bool):
        raise RecordError(
            f"{path}: the tables here are of format {one_line(repr(found), 20)}, "
            f"this version reads and writes format {FORMAT}: "
            "annotate into another output.dir, or use the version that made them (versions in run.json)"
        )
    if not all(_is_short(key) and _decides(value) for key, value in record["decides"].items()):
        raise RecordError(f"{path}: {_NO_RUN} (decides holds more than numbers and texts of one line); {_RESTORE}")
    if not _are_settings(record["settings"]):
        raise RecordError(f"{path}: {_NO_RUN} (a setting's name or text is too long); {_RESTORE}")
    return record


def read_dataset_run(folder: Path) -> dict[str, Any] | None:
    """As `read_run`, for a folder that 01_annotate.py made: the record also has `parts`, their number, and `totals`.

    Raises RecordError if it was made by another command.
    """
    record = read_run(folder, (DATASET,))
    if record is None:
        return None
    path, versions = folder / RUN_RECORD, record.get("versions")
    if "parts" not in record or not isinstance(versions, dict):
        raise RecordError(
            f"{path}: not a record that process_gigamidi/01_annotate.py wrote; "
            "annotate into another folder with that script"
        )
    if not all(_is_short(text) for pair in versions.items() for text in pair):
        raise RecordError(f"{path}: {_NO_RUN} (versions holds more than texts of one line); {_RESTORE}")
    try:
        _count(record["parts"])
        if record.setdefault("totals", None) is not None:
            _totals(record["totals"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RecordError(f"{path}: {_NO_RUN} (parts or totals are not counts); {_RESTORE}") from None
    return record


def _totals(counts: Any) -> Totals:
    """Totals from JSON. Raises ValueError, KeyError, TypeError or AttributeError if it holds something else."""
    by_reason = {reason: _count(n) for reason, n in counts["failures_by_reason"].items()}
    simple = ("songs", "bars", "failures", "other_bytes", "emptied")
    totals = Totals(**{name: _count(counts[name]) for name in simple}, failures_by_reason=by_reason)
    if not all(map(_is_short, by_reason)):
        raise ValueError("a reason is not a text of one line")
    if sum(by_reason.values()) != totals.failures:
        raise ValueError("the failures by reason are not all failures")
    return totals


def _count(value: Any) -> int:
    """A number of things. Raises ValueError if it is none."""
    if type(value) is not int or not 0 <= value <= MAX_COUNT:  # true and false are whole numbers too
        raise ValueError("a count is not a whole number from 0 to 1,000,000,000,000")
    return value


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_LETTERS and not _BREAKS.search(value)


def _are_settings(value: Any) -> bool:
    """Whether names are short and texts no longer than the longest path; a path may have a line break."""
    if isinstance(value, dict):
        return all(_is_short(key) and _are_settings(member) for key, member in value.items())
    if isinstance(value, list):
        return all(map(_are_settings, value))
    return not isinstance(value, str) or len(value) <= MAX_PATH


def _decides(value: Any) -> bool:
    """Whether this is a value of `decides`: one number, one text of one line, true, false or null."""
    return value is None or isinstance(value, int | float) or _is_short(value)
