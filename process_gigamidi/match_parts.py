"""The parts of a matching: one table and one record each, and matched/run.json, which says what made them.

    matched/run.json                what decides about the matches, and at the end their counts
    matched/parts/part-00000.csv    MATCHES: a row for each song and each rating that it belongs to
    matched/parts/part-00000.json   the record that finishes the part

and the same two files for every other part. The parts are shared out by the locks of pipeline/parts.py.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline import parts
from pipeline.annotations import RECORDS, RUN_RECORD, TEXT, record_path
from pipeline.cells import cell
from pipeline.files import atomic_write, file_digest, provenance, remove_abandoned, write_json
from pipeline.json_files import read_json
from pipeline.parts import cannot_write
from pipeline.settings import GO_ON, UserError, first_line, one_line
from pretrain_model.rated_set import MATCH

from .match_settings import RatingMatchSettings

FORMAT = 1  # of the parts' tables
# row: of the wanted table. score: GigaMIDI's, of its own match. tempo_ratio: the file's tempo over the wanted one, in
# [2/3, 4/3) after halving or doubling it. reason: why the song failed; empty if it did not
MATCHES = ("set", "row", "md5", "matched_by", "score", "tempo_ratio", "n_bars", "reason")


class MatchedSong(NamedTuple):
    """A row of MATCHES. tempo_ratio, score: None if not known. n_bars: None if the song failed."""

    set: str
    row: str
    md5: str
    matched_by: str
    score: float | None
    tempo_ratio: float | None
    n_bars: int | None
    reason: str


@dataclass(frozen=True)
class MatchedPart:
    """The record of a finished part. rows: songs looked at. songs: those that matched. run: digest of what decides."""

    part: int
    run: str
    rows: int
    songs: int
    sha256: str


def part_table(folder: Path, part: int) -> Path:
    """The path of a part's table."""
    return folder / RECORDS / f"part-{part:05d}.csv"


def finish_part(folder: Path, part: int, run: str, rows: int, matches: Sequence[MatchedSong]) -> MatchedPart:
    """Write a part's table and then its record, which finishes it. Raises UserError if the folder fails."""
    path = part_table(folder, part)
    try:
        remove_abandoned(path)
        remove_abandoned(record_path(folder, part))
        write_matches(path, matches)
        record = MatchedPart(part, run, rows, len({match.md5 for match in matches}), file_digest(path))
        write_json(record_path(folder, part), asdict(record))
    except OSError as error:
        raise cannot_write(folder, error, "ratings.dir") from error
    return record


def write_matches(path: Path, matches: Iterable[Sequence[Any]]) -> None:
    """Write a table of matches, whole or not at all. Raises OSError if that fails."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8", errors="replace", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(MATCHES)
        for match in map(MatchedSong._make, matches):
            numbers = (_number(match.score, 4), _number(match.tempo_ratio, 4), _number(match.n_bars, 0))
            md5, reason = cell(TEXT, match.md5), cell(TEXT, match.reason)
            table.writerow([match.set, match.row, md5, match.matched_by, *numbers, reason])


def _number(value: float | None, decimals: int) -> str:
    """A number as a cell; None and NaN as an empty one."""
    return "" if value is None or math.isnan(value) else f"{value:z.{decimals}f}"


def read_part(folder: Path, part: int, run: str) -> MatchedPart:
    """The record of a finished part. Raises UserError if it, or the part's table, is not what this run would write."""
    path = record_path(folder, part)
    try:
        found = MatchedPart(**read_json(path))
        counts = (found.part, found.rows, found.songs)
        if not all(type(count) is int and count >= 0 for count in counts) or (found.part, found.run) != (part, run):
            raise ValueError("it belongs to another run")
        if file_digest(part_table(folder, part)) != found.sha256:
            raise ValueError(f"{part_table(folder, part).name} was changed")
    except (OSError, TypeError, ValueError) as error:
        why = first_line(error) if isinstance(error, ValueError) else "it or its table can't be read"
        raise UserError(f"{path}: not a finished part ({one_line(why, 100)}); remove it and run again") from None
    return found


def read_matches(folder: Path, parts: Iterable[int]) -> pd.DataFrame:
    """The tables of parts, all together; score, tempo_ratio and n_bars are NaN where they are empty."""
    texts = dict.fromkeys(("set", "row", "md5", "matched_by", "reason"), str)
    empty = {name: [""] for name in ("score", "tempo_ratio", "n_bars")}
    paths = [part_table(folder, part) for part in sorted(parts)]
    tables = [pd.read_csv(path, dtype=texts, na_values=empty, keep_default_na=False) for path in paths]
    some = [table for table in tables if len(table)]
    table = pd.concat(some, ignore_index=True) if some else pd.DataFrame(columns=list(MATCHES))
    return table.astype(dict.fromkeys(("score", "tempo_ratio", "n_bars"), float))


def begin_or_continue(settings: RatingMatchSettings, decides: Mapping[str, Any], n_parts: int) -> None:
    """As `parts.begin_or_continue`, for a matching."""
    folder = settings.matched
    parts.begin_or_continue(
        folder,
        decides,
        lambda: begun(folder),
        lambda: provenance(settings, MATCH, decides=dict(decides), parts=n_parts, sets=None),
        setting="ratings.dir",
        instead=f"remove {folder} to match again; latents are kept",
    )


def begun(folder: Path) -> dict[str, Any] | None:
    """What decided when the matching in a folder was begun; None if it was not. Raises UserError if it is damaged."""
    wrong = f"{folder / RUN_RECORD}: not a record that {MATCH} wrote; remove {folder} to match again"
    record = parts.begun_record(folder, MATCH, UserError(wrong))
    return record and dict(record["decides"])


def write_counts(settings: RatingMatchSettings, sets: Mapping[str, Any]) -> None:
    """Write the counts of every set into run.json. Raises UserError if that fails."""
    path = settings.matched / RUN_RECORD
    try:
        record = read_json(path)
        if record.get("sets") != sets:
            write_json(path, record | {"sets": dict(sets)})
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: can't be written to ({first_line(error)}); {GO_ON}") from None
