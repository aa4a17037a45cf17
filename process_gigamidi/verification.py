"""Checks that an output folder is complete: every part unchanged, and every row of the dataset in it once.

A part is checked by itself (its record, the digests of its tables, the bars of its songs) and against the dataset,
whose md5s are read again. Each problem is one line, and is repaired by making the part again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.annotations import (
    DESCRIPTIVE,
    DIMENSIONS,
    METER,
    METER_COLUMNS,
    RECORDS,
    RUN_RECORD,
    TABLES,
    finished_parts,
    is_finished,
    names,
    record_path,
    table_path,
)
from pipeline.cells import LONGEST_CELL, as_text
from pipeline.files import TEMPORARY, file_digest, is_temporary
from pipeline.progress import progress_bar
from pipeline.records import DATASET, PartRecord, Totals, digest_of, read_dataset_run, read_record
from pipeline.settings import (
    UserError,
    command_line,
    first_line,
    load_settings,
    settings_as_dict,
    settings_from,
)
from song_sources.gigamidi_source import open_source
from song_sources.song_rows import Source

from .annotation_settings import SETTINGS_FILE, AnnotationSettings

ROUNDED = 1.01e-4  # largest difference of a mean that was rounded to four decimals from the mean of rounded values


class Finding(NamedTuple):
    """A problem and its repair. remove: files to remove. again: whether 01_annotate.py must run afterwards."""

    what: str
    remove: tuple[Path, ...] = ()
    again: bool = True


@dataclass(frozen=True)
class Verification:
    """The result of a check. settings: those that the folder was made with."""

    settings: AnnotationSettings
    n_parts: int
    totals: Totals
    findings: list[Finding]

    @property
    def repairs(self) -> list[str]:
        """The commands that repair everything, one a line."""
        remove = dict.fromkeys(path for finding in self.findings for path in finding.remove)
        commands = [f"rm {shlex.quote(str(path))}" for path in remove]
        return [*commands, annotate_command(self.settings)] if any(f.again for f in self.findings) else commands


def verify(settings: AnnotationSettings) -> Verification:
    """Check every part of settings.folder. dataset.path, if set, is where the dataset is now.

    Raises UserError if the folder has no run.json, or the dataset that it was made from can't be read.
    """
    if not settings.folder.is_dir():
        raise UserError(f"output.dir: there is no folder {settings.folder}; name one that 01_annotate.py wrote")
    record = read_dataset_run(settings.folder)
    if record is None:
        raise UserError(f"output.dir: {settings.folder} has no {RUN_RECORD}, so it can't be checked")
    begun_with = settings_from(AnnotationSettings, record["settings"], str(settings.folder / RUN_RECORD))
    path = settings.dataset.path or begun_with.dataset.path
    revision = record["decides"].get("dataset.revision")
    dataset = replace(begun_with.dataset, path=path, revision=revision)
    made_with = replace(begun_with, dataset=dataset, output=replace(begun_with.output, dir=settings.output.dir))
    source = open_source(dataset, made_with.output.row_groups_per_part)
    for key, value in source.identity.items():
        if record["decides"].get(key) != value:
            raise UserError(f"{dataset.path or dataset.name}: not the dataset that the folder was made from ({key})")
    run = digest_of(record["decides"])
    findings, totals = list(_check_folder(made_with.folder, source.n_parts)), Totals()
    for part in progress_bar(range(source.n_parts), "verifying", "parts"):
        findings += _check_part(made_with.folder, part, run, source, totals)
    if record["parts"] != source.n_parts:
        findings.append(
            Finding(f"{RUN_RECORD}: it has {record['parts']:,} parts, the dataset {source.n_parts:,}", (), False)
        )
    if not findings and not totals.songs:  # which an export refuses, too
        findings.append(Finding("no song was annotated; the reasons are in failures", again=False))
    if not findings and record["totals"] != asdict(totals):
        findings.append(Finding(f"{RUN_RECORD}: the totals of all parts are missing or wrong"))
    return Verification(made_with, source.n_parts, totals, findings)


def annotate_command(settings: AnnotationSettings) -> str:
    """The command line of 01_annotate.py with these settings."""

    def leaves(values: dict, at: str = "") -> Iterator[tuple[str, object]]:
        for key, value in values.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{at}{key}.")
            else:
                yield f"{at}{key}", value

    default = dict(leaves(settings_as_dict(load_settings(AnnotationSettings, SETTINGS_FILE))))
    own = dict(leaves(settings_as_dict(settings)))
    return command_line(DATASET, {key: value for key, value in own.items() if value != default[key]})


def _check_part(folder: Path, part: int, run: str, source: Source, totals: Totals) -> Iterator[Finding]:
    """The problems of a part; adds its record's totals to `totals`."""
    path = record_path(folder, part)
    if not is_finished(folder, part):
        yield Finding(f"part {part:05d}: missing")
        return
    try:
        record = read_record(folder, part)
    except UserError:
        yield Finding(f"part {part:05d}: its record can't be read", (path,))
        return
    totals.add(record.totals)
    try:
        for what in _problems_of_part(folder, part, run, record, source):
            yield Finding(f"part {part:05d}: {what}", (path,))
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # pandas' errors are ValueErrors
        yield Finding(f"part {part:05d}: its tables can't be read ({first_line(error)})", (path,))


def _problems_of_part(folder: Path, part: int, run: str, record: PartRecord, source: Source) -> Iterator[str]:
    if (record.run, record.part) != (run, part):
        yield "made with other settings, weights or data than run.json says"
    tables = {}
    for table in TABLES:
        path = table_path(folder, table, part)
        if not path.is_file():
            yield f"{table} missing"
        elif file_digest(path) != record.sha256[table]:
            yield f"{table} changed since they were written"
        else:
            tables[table] = pd.read_csv(path, dtype={"md5": str}, keep_default_na=False)
    if len(tables) == len(TABLES):
        yield from _check_tables(tables["bars"], tables["songs"], tables["failures"], record.totals)
        yield from _check_rows(tables["songs"]["md5"], tables["failures"]["md5"], source.md5s(part))


def _check_tables(bars: pd.DataFrame, songs: pd.DataFrame, failures: pd.DataFrame, totals: Totals) -> Iterator[str]:
    """Problems of a part's tables, each by itself and compared with the others."""
    for name, table in {"bars": bars, "songs": songs, "failures": failures}.items():
        columns = names(TABLES[name])
        if tuple(table.columns[: len(columns)]) != columns:
            yield f"{name}: the columns are not {', '.join(columns)}"
            return
    if (len(songs), len(bars), len(failures)) != (totals.songs, totals.bars, totals.failures):
        yield "the number of rows in its tables is not that in its record"
    for name, table in {"bars": bars, "songs": songs}.items():
        yield from _impossible_cells(name, table)
    n_bars = _whole_numbers(songs["n_bars"], len(bars))
    # the sum first: what n_bars claim may not fit into any memory
    if n_bars.sum() != len(bars) or not np.array_equal(np.repeat(songs["md5"].to_numpy(), n_bars), bars["md5"]):
        yield "the rows of bars don't follow those of songs, song by song"
        return
    for what, holds in _facts_of_bars(bars, songs, n_bars):
        if not holds.all():
            yield f"{what}, but not in {bars['md5'].iloc[int(np.argmin(holds))]}"


def _impossible_cells(name: str, table: pd.DataFrame) -> Iterator[str]:
    """Columns with a cell that the contract does not have. name: of the table."""
    for column in (*TABLES[name], *DESCRIPTIVE):
        if column.name not in table:
            continue
        cells = table[column.name]
        if column.kind.arrow in ("int32", "float32", "float64") and not column.kind.is_list:
            given = cells.astype(str) != "" if column in DESCRIPTIVE else np.ones(len(cells), bool)
            holds = column.holds(pd.to_numeric(cells, errors="coerce").to_numpy(float)) | ~given
        else:
            rows, texts = pd.factorize(cells.astype(str))  # few are different: each is looked at once
            is_meter = column.name in METER_COLUMNS
            fits = [bool(re.fullmatch(METER, text)) if is_meter else len(text) <= LONGEST_CELL for text in texts]
            holds = np.array(fits, bool)[rows]
        if not holds.all():
            yield f"{name}: {column.name} has a cell that can't be, in {table['md5'][int(np.argmin(holds))]}"


def _whole_numbers(cells: pd.Series, most: int) -> np.ndarray:
    """The cells as whole numbers from 1 to `most`. Raises ValueError if one holds anything else."""
    values = pd.to_numeric(cells, errors="coerce").to_numpy(float)
    if not ((values >= 1) & (values <= most) & (values == np.floor(values))).all():  # not a number fails this too
        raise ValueError(f"a cell of {cells.name} is not a whole number from 1 to {most:,}")
    return values.astype(np.int64)


def _facts_of_bars(bars: pd.DataFrame, songs: pd.DataFrame, n_bars: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What must be true of every bar, in words, and for each bar whether it is. Bars are in the order of the songs."""
    song = np.repeat(np.arange(len(songs)), n_bars)
    continues = np.append(False, song[1:] == song[:-1]) if len(song) else np.zeros(0, bool)
    numbers, ticks, seconds = (bars[name].to_numpy() for name in ("bar_number", "start_tick", "start_seconds"))
    yield "bars follow each other", ~continues | (np.diff(numbers, prepend=0) == 1)
    yield "bars begin at no earlier tick than those before", ~continues | (np.diff(ticks, prepend=0) >= 0)
    yield "bars begin no earlier than those before", ~continues | (np.diff(seconds, prepend=0.0) >= 0)
    for name in DIMENSIONS:
        values = pd.to_numeric(bars[name], errors="coerce").to_numpy(float)
        mean = np.bincount(song, values, len(songs)) / n_bars
        yield f"{name}_mean is the mean", (np.abs(mean - songs[f"{name}_mean"].to_numpy()) <= ROUNDED)[song]
    for column, what in (("n_notes", "notes"), ("n_drum_notes", "drum notes")):
        notes = np.bincount(song, bars[column], len(songs))
        yield f"the bars have the song's {what}", (notes == songs[column].to_numpy())[song]


def _check_rows(songs: Iterable[str], failures: Iterable[str], rows: Sequence[str]) -> Iterator[str]:
    """Problems of the rows: each row of the dataset must be in songs or in failures, once, in the dataset's order."""
    songs, failures = iter(songs), iter(failures)
    song, failure = next(songs, None), next(failures, None)
    for row in map(as_text, rows):
        if row == song:
            song = next(songs, None)
        elif row == failure:
            failure = next(failures, None)
        else:
            yield f"{row or 'a row without md5'} of the dataset is missing from songs and failures, or out of order"
            return
    for left in (song, failure):
        if left is not None:
            yield f"{left or 'a row without md5'} is here more often than in the dataset"


def _check_folder(folder: Path, n_parts: int) -> Iterator[Finding]:
    """Files in the folder that belong to no part of the dataset."""
    for part in sorted(finished_parts(folder)):
        if part >= n_parts:
            paths = (record_path(folder, part), *(table_path(folder, table, part) for table in TABLES))
            yield Finding(f"part {part:05d}: the dataset has no such part", paths, again=False)
    leftovers = (path for at in (".", RECORDS, *TABLES) for path in (folder / at).glob(f".*{TEMPORARY}"))
    for path in sorted(filter(is_temporary, leftovers)):
        yield Finding(f"{path}: left by a run that was stopped, unless one is running now", (path,), again=False)
