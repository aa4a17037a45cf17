"""Annotations of any number of songs as a DuckDB database on disk, so that statistics keep within a given memory.

Its tables are filled from the CSV parts, about a hundred megabytes at a time:

songs       song (0, 1, … in the order of the parts), part, md5, and the columns of the songs tables
bars        song, bar_index (0, 1, … within the song), v, a: valence and arousal in units of 1 / UNITS
song_sums   a row for each song with bars: n, the number of bars; v1, v2, a1, a2, sums and sums of squares of v and a;
            q1 … q4, the number of bars in each quadrant; pairs, the number of successive bars, and dv, da, the sums of
            their absolute differences; quarters and quarter_seconds, the length in quarter notes and in seconds
            of all bars whose next bar is there too
meters      meter as notated, the meter barred_as, song, n_bars
groups, memberships   made by song_groups

Sums are sums of whole numbers, so they don't depend on the order in which bars are added. A file that occurs several
times in the annotations counts once.
"""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import duckdb

from pipeline.annotations import (
    DESCRIPTIVE,
    KINDS,
    METER_COLUMNS,
    QUADRANTS,
    SONGS,
    TEXT,
    Column,
    kind_of,
)
from pipeline.cells import GUARDED
from pipeline.progress import progress_bar
from pipeline.settings import UserError, counted, first_line, note

from .annotation_tables import Part, same_header

UNITS = 10_000  # stored units per 1 of valence or arousal, which have four decimals
BYTES_AT_ONCE = 128_000_000  # of CSV
SONGS_AT_ONCE = 50_000
_TABLES = """
CREATE TABLE bars (song INTEGER, bar_index INTEGER, v SMALLINT, a SMALLINT);
CREATE TABLE song_sums (
    song INTEGER, n BIGINT, pairs BIGINT, v1 BIGINT, v2 BIGINT, a1 BIGINT, a2 BIGINT,
    q1 BIGINT, q2 BIGINT, q3 BIGINT, q4 BIGINT, dv BIGINT, da BIGINT, quarters DOUBLE, quarter_seconds DOUBLE
);
CREATE TABLE meters (meter VARCHAR, barred_as VARCHAR, song INTEGER, n_bars BIGINT);
"""
# the bars of each song in the part that the song belongs to, each once, with their neighbours
_INDEXED_BARS = """
CREATE OR REPLACE TEMP TABLE indexed_bars AS
SELECT *, row_number() OVER song_bars - 1 AS bar_index,
       lag(v) OVER song_bars AS v_before, lag(a) OVER song_bars AS a_before,
       bar_number = lag(bar_number) OVER song_bars + 1 AS follows,
       CASE WHEN lead(bar_number) OVER song_bars = bar_number + 1
            THEN lead(seconds) OVER song_bars - seconds END AS takes
FROM (
    SELECT song, bar_number, any_value(v) AS v, any_value(a) AS a, any_value(seconds) AS seconds,
           any_value(meter) AS meter, any_value(barred_as) AS barred_as
    FROM batch WHERE part = own_part GROUP BY song, bar_number
)
WINDOW song_bars AS (PARTITION BY song ORDER BY bar_number)
"""
_METER = "coalesce(nullif(barred_as, ''), meter)"  # the one whose length the bar has
_QUARTERS = (
    f"4.0 * TRY_CAST(split_part({_METER}, '/', 1) AS DOUBLE) / "
    f"nullif(TRY_CAST(split_part({_METER}, '/', 2) AS DOUBLE), 0)"
)
_QUADRANTS = ", ".join(
    f"count(*) FILTER (v {'>=' if q.pleasant else '<'} 0 AND a {'>=' if q.excited else '<'} 0)" for q in QUADRANTS
)
_SUMS = f"""
INSERT INTO song_sums
SELECT song, count(*), count(*) FILTER (follows), sum(v), sum(v::BIGINT * v), sum(a), sum(a::BIGINT * a),
       {_QUADRANTS},
       coalesce(sum(abs(v - v_before)) FILTER (follows), 0), coalesce(sum(abs(a - a_before)) FILTER (follows), 0),
       sum({_QUARTERS}) FILTER (takes > 0), sum(takes) FILTER (takes > 0)
FROM indexed_bars GROUP BY song
"""


@contextmanager
def annotation_database(parts: Sequence[Part], folder: Path, memory_mb: int) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of finished parts, in a temporary folder below `folder` that is removed when the block ends.

    memory_mb: the most memory DuckDB may use, in 10^6 bytes. Raises UserError, naming the file, if a table can't be
    read, if a bar belongs to no song or is out of range, or if there are no bars.
    """
    for path in (folder.absolute(), parts[0].songs.absolute()):
        if "\\" in str(path) or "?" in str(path):  # DuckDB takes them for a slash and for the end of a path
            raise UserError(f"{path}: a path with a backslash or question mark can't be used here; rename the folder")
    songs_header = same_header([part.songs for part in parts])
    bars_header = same_header([part.bars for part in parts])
    for header, needed, path in (
        (songs_header, ("md5",), parts[0].songs),
        (bars_header, ("md5", "bar_number", "valence", "arousal"), parts[0].bars),
    ):
        if missing := [column for column in needed if column not in header]:
            raise UserError(f"{path}: column {', '.join(missing)} is missing; is this what 01_annotate.py wrote?")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".database-", dir=folder) as own_folder,
            closing(duckdb.connect(Path(own_folder) / "annotations.duckdb")) as db,
        ):
            db.execute(f"SET memory_limit = '{memory_mb}MB'")
            db.execute("SET temp_directory = ?", [own_folder])
            db.execute("SET preserve_insertion_order = false")
            db.execute("SET enable_progress_bar = false")
            db.execute(_TABLES)
            with closing(progress_bar(list(_batches(parts)), "reading songs and bars", "batches")) as batches:
                _load_songs(db, parts, songs_header)
                for batch in batches:
                    _load_bars(db, batch, bars_header)
            db.execute("DROP TABLE IF EXISTS batch; DROP TABLE IF EXISTS indexed_bars")
            if not db.sql("SELECT 1 FROM bars LIMIT 1").fetchall():
                annotations = parts[0].bars.parent.parent
                raise UserError(f"{annotations}: no bar was annotated; the reasons are in {annotations / 'failures'}")
            yield db
    except duckdb.Error as error:  # of what follows here, too: a full disk, for instance
        raise UserError(f"{folder}: the statistics can't be computed in this folder ({first_line(error)})") from None


def song_columns(db: duckdb.DuckDBPyConnection) -> list[str]:
    """The names of the columns of the table songs."""
    return [name for name, *_ in db.sql("DESCRIBE songs").fetchall()]


def song_ranges(db: duckdb.DuckDBPyConnection) -> list[str]:
    """SQL conditions on the column song that split the songs with bars into ranges; each song meets exactly one."""
    ((n_songs,),) = db.sql("SELECT max(song) + 1 FROM song_sums").fetchall()
    return [f"song >= {first} AND song < {first + SONGS_AT_ONCE}" for first in range(0, n_songs, SONGS_AT_ONCE)]


def _load_songs(db: duckdb.DuckDBPyConnection, parts: Sequence[Part], header: Sequence[str]) -> None:
    files = [str(part.songs) for part in parts]
    known = [column for column in (*SONGS, *DESCRIPTIVE) if column.name in header]  # another may be a name used here
    with _readable(parts[0].songs.parent):
        db.execute(
            "CREATE TABLE part_files AS SELECT unnest($paths) AS path, unnest(range(len($paths))) AS part",
            {"paths": files},
        )
        db.execute(
            f"""
            CREATE TABLE songs AS
            SELECT (row_number() OVER (ORDER BY part, md5) - 1)::INTEGER AS song, * FROM (
                SELECT part::INTEGER AS part, {", ".join(map(_as_it_was, known))}
                FROM {_csv(header)} s JOIN part_files ON path = source
                QUALIFY row_number() OVER (PARTITION BY md5 ORDER BY part) = 1
            )
            """,
            {"files": list(map(glob.escape, files))},  # DuckDB takes *, ? and [ in a path for a pattern
        )


def _as_it_was(column: Column) -> str:
    """SQL for a column of songs, its texts without the apostrophe that guards them from spreadsheets."""
    if column.kind != TEXT:
        return f's."{column.name}"'
    pattern = GUARDED.replace("'", "''")
    return f"regexp_replace(s.\"{column.name}\", '{pattern}', '\\1') AS \"{column.name}\""


def _load_bars(db: duckdb.DuckDBPyConnection, parts: Sequence[tuple[int, Part]], header: Sequence[str]) -> None:
    """Read the bars of some parts into bars, song_sums and meters."""
    paths = [str(part.bars) for _, part in parts]
    seconds = "start_seconds" if "start_seconds" in header else "NULL::DOUBLE"
    meter, barred_as = (name if name in header else "NULL::VARCHAR" for name in METER_COLUMNS)
    numbers = [number for number, _ in parts]
    with _readable(parts[0][1].bars.parent):
        db.execute(
            f"""
            CREATE OR REPLACE TEMP TABLE batch AS
            SELECT p.part AS own_part, s.part, s.song, b.md5, b.source, b.bar_number, {seconds} AS seconds,
                   {meter} AS meter, {barred_as} AS barred_as,
                   coalesce(abs(b.valence) <= 1 AND abs(b.arousal) <= 1, false) AS in_range,
                   TRY_CAST(round(b.valence * {UNITS}) AS SMALLINT) AS v,
                   TRY_CAST(round(b.arousal * {UNITS}) AS SMALLINT) AS a
            FROM {_csv(header)} b
            JOIN (SELECT unnest($paths) AS path, unnest($numbers) AS part) p ON p.path = b.source
            LEFT JOIN songs s ON s.md5 = b.md5
            """,
            {"files": list(map(glob.escape, paths)), "paths": paths, "numbers": numbers},
        )
    _refuse(db, "NOT in_range", "valence or arousal is missing or outside -1 to 1 in a bar of {md5}; annotate it again")
    _refuse(db, "song IS NULL", "there are bars of {md5}, a song that is in no songs table; annotate again")
    _leave_out_mixed_songs(db)
    db.execute(_INDEXED_BARS)
    db.execute(_SUMS)
    db.execute("INSERT INTO bars SELECT song, bar_index, v, a FROM indexed_bars ORDER BY song, bar_index")
    db.execute("INSERT INTO meters SELECT meter, barred_as, song, count(*) FROM indexed_bars GROUP BY ALL")


def _leave_out_mixed_songs(db: duckdb.DuckDBPyConnection) -> None:
    """Leave out the bars of different songs that have one md5, which would be mixed; a note says how many."""
    mixed = """SELECT DISTINCT song FROM batch WHERE part = own_part GROUP BY song, bar_number
               HAVING min(v) <> max(v) OR min(a) <> max(a)"""
    ((n,),) = db.sql(f"SELECT count(*) FROM ({mixed})").fetchall()
    if n:
        note(f"{counted(n, 'md5')} left out, each of several songs with different bars: it is not that of their bytes")
        db.execute(f"DELETE FROM batch WHERE song IN ({mixed})")


def _refuse(db: duckdb.DuckDBPyConnection, condition: str, problem: str) -> None:
    bad_bars = db.sql(f"SELECT source, md5 FROM batch WHERE {condition} ORDER BY source, md5 LIMIT 1").fetchall()
    for source, md5 in bad_bars:
        raise UserError(f"{source}: {problem.format(md5=md5)}")


def _batches(parts: Sequence[Part]) -> Iterator[list[tuple[int, Part]]]:
    """The parts with their numbers, in batches of at least BYTES_AT_ONCE except for the last."""
    batch: list[tuple[int, Part]] = []
    size = 0
    for number, part in enumerate(parts):
        batch.append((number, part))
        size += part.bars.stat().st_size
        if size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _csv(header: Sequence[str]) -> str:
    """SQL that reads the tables named by the parameter $files, which have this header; column source is the path."""
    # A column that the contract doesn't name gets a name that no query uses: its own may be that of another, or SQL.
    columns = [name if name in KINDS else f"unknown_{i}" for i, name in enumerate(header)]
    types = ", ".join(f"'{name}': '{kind_of(name).duckdb}'" for name in columns)
    return (
        f"read_csv($files, auto_detect = false, header = true, delim = ',', quote = '\"', escape = '\"', "
        f"columns = {{{types}}}, filename = 'source')"
    )


@contextmanager
def _readable(folder: Path) -> Iterator[None]:
    """Turn an error of DuckDB in reading a table into a UserError of one line."""
    try:
        yield
    except duckdb.Error as error:
        raise UserError(f"{folder}: can't be read as tables of annotations: {first_line(error)}") from None
