"""The tables of annotations and the songs in them, read with pandas.

A part's bars belong to the part's songs; unfinished parts are left out. Songs are identified by their md5, 32 hex
digits. Anything wrong with a folder or a file raises UserError with one line that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.annotations import (
    DESCRIPTIVE,
    DIMENSIONS,
    RECORDS,
    TEXT,
    begun_parts,
    finished_parts,
    kind_of,
    table_path,
)
from pipeline.cells import GUARDED
from pipeline.records import read_record, read_run
from pipeline.settings import UserError, command_line, first_line, one_line

from .song_curves import Song

_ROWS_AT_ONCE = 200_000  # bars in memory at a time: about 2,000 songs
_BAR_COLUMNS = ("md5", "bar_number", "start_seconds", "valence", "arousal")
_OPTIONAL_BAR_COLUMNS = ("valence_error_sd", "arousal_error_sd", "n_notes")  # tables of other origin may not have them
_SONG_COLUMNS = ("title", "artist", "duration_seconds")


@dataclass(frozen=True)
class Part:
    """The two tables of one finished part, and the number of its songs."""

    bars: Path
    songs: Path
    n_songs: int


def parts_of(folder: Path) -> tuple[list[Part], int]:
    """The finished parts of a folder of annotations, in order, and the number of parts begun but not finished."""
    annotate, verify = (
        command_line(f"process_gigamidi/{script}.py", {"output.dir": str(folder)})
        for script in ("01_annotate", "02_verify")
    )
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; set input.dir, or annotate first: {annotate}")
    read_run(folder)  # refuses tables of another format
    finished = finished_parts(folder)
    if not finished:
        raise UserError(f"{folder}: no finished part (no record in {RECORDS}/, next to the tables); run {annotate}")
    parts = []
    for part in sorted(finished):
        totals = read_record(folder, part).totals  # a part whose record is damaged may be anything
        parts.append(Part(table_path(folder, "bars", part), table_path(folder, "songs", part), totals.songs))
        for path in (parts[-1].bars, parts[-1].songs):
            if not path.is_file():  # a named pipe would be waited for
                raise UserError(
                    f"{path}: can't be read as a table of annotations: no such file; see what is wrong: {verify}"
                )
    return parts, len(begun_parts(folder) - finished)


def same_header(tables: Sequence[Path]) -> list[str]:
    """The columns that all of these tables have. Raises UserError if a table has other columns."""
    expected = _header(tables[0])
    for path in tables[1:]:
        header = _header(path)
        if header != expected:
            odd = one_line(", ".join(sorted(set(header) ^ set(expected))), 200)
            raise UserError(
                f"{path}: its columns differ from those of {tables[0].name} ({odd or 'another order'}); "
                "annotate different releases into folders of their own"
            )
    return expected


def read_songs(part: Part, optional: Sequence[str] = ()) -> pd.DataFrame:
    """A part's songs: column md5 and those of the optional columns that the table has. Missing text is ''."""
    header = _header(part.songs)
    columns = ["md5", *(column for column in optional if column in header)]
    return _read(part.songs, columns)


def read_bars(
    part: Part, columns: Sequence[str], optional: Sequence[str] = (), rows_at_once: int = _ROWS_AT_ONCE
) -> Iterator[pd.DataFrame]:
    """A part's bars, some rows at a time: the columns, and those of the optional columns that the table has.

    Raises UserError if valence or arousal is not within [−1, 1].
    """
    if optional:
        header = _header(part.bars)
        columns = [*columns, *(column for column in optional if column in header)]
    for bars in _read_in_pieces(part.bars, columns, rows_at_once):
        for dimension in DIMENSIONS:
            if dimension in bars and not np.all(np.abs(bars[dimension]) <= 1):  # not a number fails this too
                raise UserError(
                    f"{part.bars}: {dimension} is missing or outside -1 to 1 in some row; annotate it again"
                )
        yield bars


def failure_reasons(folder: Path, md5s: Sequence[str]) -> dict[str, str]:
    """Why songs could not be annotated, for those of the md5s that are in the tables of failures."""
    reasons: dict[str, str] = {}
    for path in _failures(folder):
        failures = _read(path, ["md5", "stage", "reason"])
        for row in failures[failures["md5"].isin(md5s)].itertuples():
            reasons[str(row.md5)] = f"could not be annotated: {row.reason} (stage: {row.stage})"
    return reasons


def _failures(folder: Path) -> list[Path]:
    """The tables of failures, those of unfinished parts too."""
    return sorted(path for path in (folder / "failures").glob("[!.]*.csv") if path.is_file())


def failure_counts(folder: Path) -> dict[str, int]:
    """The number of songs that could not be annotated, by the first word of the reason."""
    counts: dict[str, int] = {}
    for path in _failures(folder):
        for reason in _read(path, ["reason"])["reason"]:
            word = reason.partition(":")[0].strip()
            counts[word] = counts.get(word, 0) + 1
    return counts


def _header(path: Path) -> list[str]:
    with _readable(path):
        return list(pd.read_csv(path, nrows=0, encoding_errors="replace").columns)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A whole table."""
    options = _read_options(path, columns)
    with _readable(path):
        return _texts_as_they_were(pd.read_csv(path, **options))


def _read_in_pieces(path: Path, columns: Sequence[str], rows_at_once: int) -> Iterator[pd.DataFrame]:
    """A table of any length, some rows at a time."""
    options = _read_options(path, columns)
    with _readable(path), pd.read_csv(path, chunksize=rows_at_once, **options) as pieces:
        for piece in pieces:
            yield _texts_as_they_were(piece)


def _read_options(path: Path, columns: Sequence[str]) -> dict[str, Any]:
    """The options of pandas.read_csv for a table of annotations. Raises UserError if a column is missing."""
    header = _header(path)
    missing = [column for column in columns if column not in header]
    if missing:
        raise UserError(f"{path}: column {', '.join(missing)} is missing; is this what 01_annotate.py wrote?")
    return {
        "usecols": list(columns),
        "dtype": {column: kind_of(column).pandas for column in columns},
        # "NA" and "None" may be the name of a style or of a song: only an empty cell means missing
        "keep_default_na": False,
        "na_values": [""],
        "encoding_errors": "replace",
    }


def _texts_as_they_were(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with missing texts as '' and without the apostrophe that guards some from spreadsheets."""
    rows = rows.fillna({column: "" for column in rows.columns if kind_of(column).pandas == "str"})
    texts = [column.name for column in DESCRIPTIVE if column.kind == TEXT and column.name in rows]
    return rows.assign(**{name: rows[name].str.replace(GUARDED, r"\1", regex=True) for name in texts})


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn an error of pandas in reading a table into a UserError of one line that names the file."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: the file is empty, without even a header; delete it and annotate again") from None
    except (OSError, ValueError) as error:  # a ParserError is a ValueError
        raise UserError(f"{path}: can't be read as a table of annotations: {first_line(error)}") from None


def find_songs(parts: Sequence[Part], md5s: Sequence[str], first: int) -> list[Song]:
    """The songs with these md5s, or the first songs if `md5s` is empty. Raises UserError if a song is not found."""
    wanted = [md5.lower() for md5 in dict.fromkeys(md5s)]
    songs: dict[str, Song] = {}
    for part in parts:
        missing = [md5 for md5 in wanted if md5 not in songs]
        if wanted and not missing:
            break
        songs |= {song.md5: song for song in _songs_of_part(part, missing, 0 if wanted else first - len(songs))}
        if not wanted and len(songs) >= first:
            break
    not_found = [md5 for md5 in wanted if md5 not in songs]
    if not_found:
        raise UserError(_why_missing(parts[0].songs.parent.parent, not_found))
    if not songs:
        raise UserError(f"{parts[0].songs.parent.parent}: no bar was annotated; the reasons are in its failures/")
    return [songs[md5] for md5 in wanted or songs]


def _songs_of_part(part: Part, md5s: Sequence[str], first: int) -> Iterator[Song]:
    """The songs of a part that are among the md5s or, if `md5s` is empty, those of the first songs that have bars."""
    table = read_songs(part, _SONG_COLUMNS).drop_duplicates("md5").set_index("md5")
    chosen = [md5 for md5 in table.index if md5.lower() in md5s] if md5s else list(table.index[:first])
    if not chosen:
        return
    bars = pd.concat([rows[rows["md5"].isin(chosen)] for rows in read_bars(part, _BAR_COLUMNS, _OPTIONAL_BAR_COLUMNS)])
    bars = bars.drop_duplicates(["md5", "bar_number"]).sort_values(["md5", "bar_number"])
    for md5 in chosen:
        song_bars = bars[bars["md5"] == md5]
        if len(song_bars):
            row = table.loc[md5]
            columns = {name: song_bars[name].to_numpy() for name in song_bars.columns if name != "md5"}
            duration = float(row.get("duration_seconds", np.nan))
            yield Song(md5.lower(), row.get("title", ""), row.get("artist", ""), duration, **columns)


def _why_missing(folder: Path, md5s: Sequence[str]) -> str:
    """One line that names every md5 without annotations, with the reason where it is known."""
    reasons = failure_reasons(folder, md5s)
    named = [f"{md5}: {one_line(reasons.get(md5, 'not among its songs'), 150)}" for md5 in md5s]
    return f"{folder} has no annotations of {'; '.join(named)}"
