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
tables, their readers (pandas, DuckDB, Arrow), the published data set, docs/reference.md and the data card all use these
definitions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

DIMENSIONS = ("valence", "arousal")
# version of the tables; 5 had no barred_as, 4 had texts of any length, unguarded, and didn't count endless notes and
# clamped bytes, 3 had no columns of drum notes and instruments, in 2 valence_error_sd was called valence_sd, 1 had none
# of tracks and tempo
FORMAT = 6
RUN_RECORD = "run.json"
RECORDS = "parts"  # folder of the parts' records
MIDI_SUFFIXES = (".mid", ".midi", ".kar", ".rmi")  # the title of a song from a folder of MIDI files ends in one of them


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
COPIED_COUNT = Kind("int32")  # analysed as text, since cells may be empty
COPIED_COUNTS = Kind("int64", is_list=True)


_MOST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Column:
    """A column of a table.

    unit: of a number; for other columns their form. least, most: the range of a number, both ends included; None if
    there is no bound. listed_column: the column of published bars that a published list holds.
    """

    name: str
    kind: Kind
    unit: str
    meaning: str
    listed_column: str | None = None
    least: int | None = None
    most: int | None = None

    @property
    def unit_and_range(self) -> str:
        """Unit and range in words, for documents."""
        bounds = f"{self.least} or more" if self.most is None else f"{self.least} to {self.most}"
        return ", ".join(filter(None, (self.unit, "" if self.least is None else bounds.replace("-", "−"))))

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Whether each number (n) may be in this column: finite, in its range, and whole if it counts; bool (n)."""
        holds = np.isfinite(values) & (values >= (-_MOST_INT32 - 1 if self.least is None else self.least))
        if self.kind.arrow == "int32":
            return holds & (values <= _MOST_INT32) & (values == np.floor(values))
        return holds if self.most is None else holds & (values <= self.most)


MD5 = Column("md5", TEXT, "32 hex digits", "the MIDI file, by the md5 of its bytes")
BARS = (
    MD5,
    Column(
        "bar_number",
        COUNT,
        "",
        "0 is the bar at tick 0; bars before the first pitched note, or of drums alone the first note, have no row",
        least=0,
    ),
    Column("valence", RATING, "", "from unpleasant to pleasant", least=-1, most=1),
    Column("arousal", RATING, "", "from calm to excited", least=-1, most=1),
    Column("start_tick", COUNT, "ticks", "where the bar begins, in the file's own resolution", least=0),
    Column("start_seconds", SECONDS, "seconds", "the same under the file's tempo map, three decimals", least=0),
    Column("meter", TEXT, "such as 3/4", "the bar's meter as notated"),
    Column(
        "barred_as",
        TEXT,
        "such as 4/4",
        "the meter whose length the bar has: `meter`, or 4/4 where that is too short, too long or too odd for a bar",
    ),
    Column(
        "n_notes",
        COUNT,
        "notes",
        "notes that begin in the bar and have words: at most 42, none of drums, each pitch and onset once; with 0 the "
        "bar is predicted from those around it",
        least=0,
    ),
    Column("n_drum_notes", COUNT, "notes", "drum notes that begin in the bar", least=0),
    Column("valence_error_sd", RATING, "", "expected standard deviation of the error of valence", least=0),
    Column("arousal_error_sd", RATING, "", "expected standard deviation of the error of arousal", least=0),
)
RANKS = tuple(
    Column(
        f"{dimension}_rank",
        Kind("float32"),
        "",
        f"share of the data set's bars, of all splits, whose {dimension} is lower; equal ones count half; below 1",
        least=0,
        most=1,
    )
    for dimension in DIMENSIONS
)
PUBLISHED_BARS = (*BARS, *RANKS)
METER = r"[0-9]{1,3}/[0-9]{1,10}"  # the form of a meter
METER_COLUMNS = ("meter", "barred_as")  # columns of this form
LEFT_OUT = "left_out_"  # prefix of the columns that count the notes left out of all bars, one column a reason
SONGS = (
    MD5,
    Column("n_bars", COUNT, "bars", "number of bars, the length of every list over bars", least=1),
    Column("n_notes", COUNT, "notes", "notes in all bars", least=0),
    Column("n_drum_notes", COUNT, "notes", "drum notes in all bars; those outside the bars don't count", least=0),
    Column("n_instruments", COUNT, "", "General MIDI programs that play, and one for the drums", least=1),
    Column("duration_seconds", SECONDS, "seconds", "where the last note stops sounding, three decimals", least=0),
    Column("valence_mean", RATING, "", "mean of valence over the bars", least=-1, most=1),
    Column("valence_sd", RATING, "", "standard deviation of valence over the bars (ddof 0)", least=0, most=1),
    Column("arousal_mean", RATING, "", "mean of arousal over the bars", least=-1, most=1),
    Column("arousal_sd", RATING, "", "standard deviation of arousal over the bars (ddof 0)", least=0, most=1),
    Column(
        f"{LEFT_OUT}drums", COUNT, "notes", "notes of drum tracks, which have no words, in the bars or outside", least=0
    ),
    Column(f"{LEFT_OUT}zero_length", COUNT, "notes", "notes without a length", least=0),
    Column(f"{LEFT_OUT}out_of_range", COUNT, "notes", "notes outside the piano's range", least=0),
    Column(f"{LEFT_OUT}merged", COUNT, "notes", "notes that double one of the same pitch and onset", least=0),
    Column(f"{LEFT_OUT}thinned", COUNT, "notes", "inner notes removed from bars that were too long to read", least=0),
    Column(f"{LEFT_OUT}endless", COUNT, "notes", "notes of any track that begin and never end", least=0),
    Column(
        "n_clamped", COUNT, "bytes", "data bytes of the file over 127, which MIDI does not have, read as 127", least=0
    ),
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
    """The columns of the published songs: SONGS, then those of PUBLISHED_BARS as lists, then the descriptive columns.

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
        for column in PUBLISHED_BARS[1:]
    )
    return (*SONGS, *lists, *descriptive_columns(described))


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
