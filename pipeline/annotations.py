"""The contract of an output folder: its tables and their columns, where parts lie, and when a part is finished.

A folder of annotations holds

    run.json                   what made it: settings, versions, and everything that the values depend on
    bars/part-00000.csv        a row for each bar
    songs/part-00000.csv       a row for each song
    failures/part-00000.csv    a row for each song that could not be annotated
    parts/part-00000.json      the record that finishes the part: counts, and the digests of its tables

and the same files for every other part. A part is finished when its record exists; a table without a record belongs to
a run that is still working or was stopped.

Every column is defined here once: its name, how it is written and read, its unit and its meaning. The writer of the
tables, their readers (pandas, DuckDB, Arrow), the published data set, docs/columns.md and the data card all use these
definitions.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DIMENSIONS = ("valence", "arousal")
# version of the tables; 3 had no columns of drum notes and instruments, in 2 valence_error_sd was called valence_sd,
# and 1 had no columns of tracks and tempo
FORMAT = 4
RUN_RECORD = "run.json"
RECORDS = "parts"  # folder of the parts' records


class Quadrant(NamedTuple):
    """A quarter of the valence–arousal plane: the signs of both dimensions."""

    name: str
    pleasant: bool
    excited: bool

    @property
    def signs(self) -> str:
        """The signs in short, such as V+ A−."""
        return f"V{'−+'[self.pleasant]} A{'−+'[self.excited]}"

    @property
    def words(self) -> str:
        """The signs in words, such as "pleasant and calm"."""
        return f"{'pleasant' if self.pleasant else 'unpleasant'} and {'excited' if self.excited else 'calm'}"


# The quadrants of the circumplex model (J. A. Russell, 1980), numbered as in EMOPIA; zero counts as positive.
QUADRANTS = (
    Quadrant("Q1", True, True),
    Quadrant("Q2", False, True),
    Quadrant("Q3", False, False),
    Quadrant("Q4", True, False),
)


@dataclass(frozen=True)
class Kind:
    """How the values of a column are written and read.

    arrow: the type in the published tables; for a list, the type of its members. duckdb, pandas: the types that a CSV
    cell is read as; lists, which are JSON in CSV, and columns copied from the source are read as text. decimals: the
    decimals of a real number in CSV.
    """

    arrow: str
    duckdb: str = "VARCHAR"
    pandas: str = "str"
    decimals: int | None = None
    is_list: bool = False

    @property
    def words(self) -> str:
        """The published type in words, for documents."""
        return f"list of {self.arrow}" if self.is_list else self.arrow


TEXT = Kind("string")
COUNT = Kind("int32", "BIGINT", "int64")
# float32 keeps four decimals of a rating; of seconds it would lose the third decimal after about two hours
RATING = Kind("float32", "DOUBLE", "float64", decimals=4)
SECONDS = Kind("float64", "DOUBLE", "float64", decimals=3)
TEXTS = Kind("string", is_list=True)
COPIED_COUNT = Kind("int32")  # read as text: a source column with gaps often holds floats, 2.0 for 2
COPIED_COUNTS = Kind("int64", is_list=True)


@dataclass(frozen=True)
class Column:
    """A column of a table. unit: unit and range. listed_column: the column of bars that a published list holds."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    listed_column: str | None = None


MD5 = Column("md5", TEXT, "32 hex digits", "the MIDI file, by the md5 of its bytes")
BARS = (
    MD5,
    Column("bar_number", COUNT, "0 or more", "0 is the bar at tick 0; bars before the first pitched note have no row"),
    Column("valence", RATING, "−1 to 1", "from unpleasant to pleasant"),
    Column("arousal", RATING, "−1 to 1", "from calm to excited"),
    Column("start_tick", COUNT, "ticks, 0 or more", "where the bar begins, in the file's own resolution"),
    Column("start_seconds", SECONDS, "seconds, 0 or more", "the same under the file's tempo map, three decimals"),
    Column("meter", TEXT, "such as 3/4", "the bar's meter as notated"),
    Column(
        "n_notes",
        COUNT,
        "notes, 0 or more",
        "notes that begin in the bar; with 0, predicted from the bars around it",
    ),
    Column("n_drum_notes", COUNT, "notes, 0 or more", "drum notes that begin in the bar"),
    Column("valence_error_sd", RATING, "0 or more", "expected standard deviation of the error of valence"),
    Column("arousal_error_sd", RATING, "0 or more", "expected standard deviation of the error of arousal"),
)
LEFT_OUT = "left_out_"  # prefix of the columns that count the notes left out of all bars, one column a reason
SONGS = (
    MD5,
    Column("n_bars", COUNT, "bars, 1 or more", "number of bars, the length of every list over bars"),
    Column("n_notes", COUNT, "notes, 0 or more", "notes in all bars"),
    Column(
        "n_drum_notes",
        COUNT,
        "notes, 0 or more",
        "drum notes in all bars; those outside the bars don't count",
    ),
    Column("n_instruments", COUNT, "1 or more", "General MIDI programs that play, and one for the drums"),
    Column("duration_seconds", SECONDS, "seconds, 0 or more", "where the last note stops sounding, three decimals"),
    Column("valence_mean", RATING, "−1 to 1", "mean of valence over the bars"),
    Column("valence_sd", RATING, "0 to 1", "standard deviation of valence over the bars (ddof 0)"),
    Column("arousal_mean", RATING, "−1 to 1", "mean of arousal over the bars"),
    Column("arousal_sd", RATING, "0 to 1", "standard deviation of arousal over the bars (ddof 0)"),
    Column(
        f"{LEFT_OUT}drums",
        COUNT,
        "notes, 0 or more",
        "notes of drum tracks, which have no words, in the bars or outside",
    ),
    Column(f"{LEFT_OUT}zero_length", COUNT, "notes, 0 or more", "notes without a length"),
    Column(f"{LEFT_OUT}out_of_range", COUNT, "notes, 0 or more", "notes outside the piano's range"),
    Column(f"{LEFT_OUT}merged", COUNT, "notes, 0 or more", "notes that double one of the same pitch and onset"),
    Column(f"{LEFT_OUT}thinned", COUNT, "notes, 0 or more", "inner notes removed from bars that were too long to read"),
)
FAILURES = (
    MD5,
    Column("stage", TEXT, "read, parse, convert or predict", "where the song failed"),
    Column("reason", TEXT, "one line", "why: one word for the kind of failure, a colon, and the details"),
)
TABLES = {"bars": BARS, "failures": FAILURES, "songs": SONGS}  # in the order in which a part's are finished

# Columns that describe songs, copied from the data set if its release has them.
CURATED_STYLES = "music_styles_curated"
STYLES = (
    Column(CURATED_STYLES, TEXTS, "", "GigaMIDI's style tags, curated"),
    Column("music_style_scraped", TEXT, "", "GigaMIDI's style tags, scraped"),
    Column("music_style_audio_text_Discogs", TEXTS, "", "GigaMIDI's style tags, matched with Discogs"),
    Column("music_style_audio_text_Lastfm", TEXTS, "", "GigaMIDI's style tags, matched with Last.fm"),
    Column("music_style_audio_text_Tagtraum", TEXTS, "", "GigaMIDI's style tags, matched with Tagtraum"),
)
INSTRUMENT_CATEGORY = "instrument_category__drums-only__0__all-instruments-with-drums__1_no-drums__2"
DESCRIPTIVE = (
    *STYLES,
    Column("title", TEXT, "", "as in the source; for a folder of MIDI files the path within it"),
    Column("artist", TEXT, "", "as in the source"),
    Column("num_tracks", COPIED_COUNT, "tracks", "as in GigaMIDI"),
    Column("tempo", TEXT, "", "as GigaMIDI writes it"),
    Column("NOMML", COPIED_COUNTS, "a number for each track", "GigaMIDI's note onset median metric level"),
    Column(INSTRUMENT_CATEGORY, COPIED_COUNT, "0, 1 or 2", "as in GigaMIDI; its values are in its name"),
)
KINDS = {column.name: column.kind for column in (*BARS, *SONGS, *FAILURES, *DESCRIPTIVE)}

_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # a line break or a null in a title breaks some readers of CSV
_WRITTEN_UP_TO = 2  # the texts of smaller numbers are kept; larger ones are rare


def names(columns: Iterable[Column]) -> tuple[str, ...]:
    """The names of the given columns."""
    return tuple(column.name for column in columns)


def kind_of(column: str) -> Kind:
    """How a column is written and read; a column outside the contract is text."""
    return KINDS.get(column, TEXT)


def descriptive_columns(described: Sequence[str]) -> tuple[Column, ...]:
    """The descriptive columns that songs have, which follow SONGS in a table. described: their names."""
    return tuple(column for column in DESCRIPTIVE if column.name in described)


def published_songs(described: Sequence[str]) -> tuple[Column, ...]:
    """The columns of the published songs: SONGS, then each column of BARS as a list, then the descriptive columns.

    A list whose name is also that of another column gets the prefix `bar_`.
    """
    taken = names((*SONGS, *DESCRIPTIVE))
    lists = (
        replace(
            column,
            name=f"bar_{column.name}" if column.name in taken else column.name,
            kind=replace(column.kind, is_list=True),
            meaning=f"for each bar: {column.meaning}",
            listed_column=column.name,
        )
        for column in BARS[1:]
    )
    return (*SONGS, *lists, *descriptive_columns(described))


def written(kind: Kind, values: Iterable[Any]) -> list[str]:
    """The values of a column as CSV fields; equal texts are converted only once."""
    if isinstance(values, np.ndarray):
        if kind == RATING:
            return four_decimals(values)
        values = values.tolist()
        if kind == COUNT:
            return list(map(str, values))
    if kind.decimals is not None:
        return [cell(kind, value) for value in values]
    fields: dict[Any, str] = {}
    return [
        fields[value] if value in fields else fields.setdefault(value, csv_field(as_text(value))) for value in values
    ]


def cell(kind: Kind, value: Any) -> str:
    """One value as the text of a cell: no minus sign before a zero, None and NaN as an empty text."""
    if kind.decimals is not None and value is not None and value == value:
        return f"{value:z.{kind.decimals}f}"
    return as_text(value)


def four_decimals(values: np.ndarray) -> list[str]:
    """Numbers (n,) as texts with four decimals; no minus sign before a zero."""
    if not (np.abs(values) < _WRITTEN_UP_TO).all():
        return [f"{value:z.4f}" for value in values.tolist()]
    parts = np.rint(values.astype(np.float64) * 10_000).astype(np.int64)
    return _texts_of_four_decimals()[parts + _WRITTEN_UP_TO * 10_000].tolist()


@cache  # made when something is first written: most programs that import the contract only read
def _texts_of_four_decimals() -> np.ndarray:
    end = _WRITTEN_UP_TO * 10_000
    return np.array([f"{part / 10_000:z.4f}" for part in range(-end, end + 1)], dtype=object)


def csv_field(text: str) -> str:
    """A text as a field of a CSV row, quoted where necessary."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow([text, ""])
    return row.getvalue()[:-1]


def as_text(value: Any) -> str:
    """A value as text on one line: a list as JSON, None or NaN as an empty text."""
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return _CONTROL.sub(" ", str(value))


def members(text: str) -> list[Any]:
    """The members of the JSON list that a cell holds; a cell that holds no list is its own only member."""
    if text.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):  # not JSON: a style that happens to begin with a bracket
            found = json.loads(text)
            if isinstance(found, list):
                return found
    return [text]


def style_names(text: str) -> list[str]:
    """The styles named in a cell of a style column, each once."""
    stripped = (member.strip() for member in members(text) if isinstance(member, str))
    return list(dict.fromkeys(name for name in stripped if name))


def table_path(folder: Path, table: str, part: int) -> Path:
    """The path of a part's table. table: one of TABLES."""
    return folder / table / f"part-{part:05d}.csv"


def record_path(folder: Path, part: int) -> Path:
    """The path of a part's record."""
    return folder / RECORDS / f"part-{part:05d}.json"


def is_finished(folder: Path, part: int) -> bool:
    """Whether any run has finished the part: its record exists."""
    return record_path(folder, part).exists()


def finished_parts(folder: Path) -> set[int]:
    """The numbers of the finished parts."""
    return _numbers(folder / RECORDS, ".json")


def begun_parts(folder: Path) -> set[int]:
    """The numbers of the parts that have a table, finished or not."""
    return set().union(*(_numbers(folder / table, ".csv") for table in TABLES))


def _numbers(folder: Path, suffix: str) -> set[int]:
    found = (re.fullmatch(rf"part-(\d{{5,}}){re.escape(suffix)}", path.name) for path in folder.glob("part-*"))
    return {int(name[1]) for name in found if name}
