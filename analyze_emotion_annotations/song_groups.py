"""The groups of songs that statistics describe and compare: styles, and classes of features such as tempo.

A *grouping* is a style column of the data set or one of the features below; a *group* is one style, or one class of a
feature. A song is in the groups of all the styles that it names. The features are

tempo                 in quarters a minute, the mean of the tempos in the data set or, without them, computed from the
                      length and times of the bars; classes between the settings' edges
note density          notes a second; classes between the settings' edges
number of tracks      classes between the settings' edges
performance           expressive if at least half of the tracks are, judged by NOMML, the median level of the metric
                      grid that a track's onsets lie on (K. J. M. Lee et al., The GigaMIDI dataset with features for
                      expressive music performance detection, TISMIR 2025); else quantized
instruments           GigaMIDI's category

Styles with few songs are combined into one group of their column, RARE.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import duckdb
import pandas as pd

from pipeline.annotations import INSTRUMENT_CATEGORY, STYLES, names
from pipeline.cells import style_names

from .analysis_settings import FeatureSettings
from .annotation_database import song_columns

ALL = "(all)"  # the grouping and the group of all songs
NO_STYLE = "(none)"
RARE = "(rare)"
UNKNOWN = "(unknown)"
FEATURES = ("tempo", "note density", "number of tracks", "performance", "instruments")
COLLECTIVE = (ALL, NO_STYLE, RARE, UNKNOWN)  # groups that are not one kind of music, so they are not compared
INSTRUMENTS = ("drums only", "all instruments, with drums", "no drums")  # GigaMIDI's categories 0, 1, 2


def gather_groups(db: duckdb.DuckDBPyConnection, min_songs: int, features: FeatureSettings) -> list[str]:
    """Make the tables groups (g, grouping, name, kind, n_songs) and memberships (song, g), for the songs with bars.

    g counts from 0, the group of all songs; kind is all, style or feature. min_songs: styles with fewer songs are
    combined as RARE. Returns the style columns of the data set.
    """
    columns = song_columns(db)
    styles = [column for column in names(STYLES) if column in columns]
    db.execute("CREATE TEMP TABLE named (song INTEGER, grouping VARCHAR, kind VARCHAR, name VARCHAR, rank INTEGER)")
    db.execute(f"INSERT INTO named SELECT song, '{ALL}', 'all', '{ALL}', 0 FROM song_sums")
    for column in styles:
        _name_styles(db, column)
    db.execute(
        f"""
        UPDATE named SET name = '{RARE}' FROM (
            SELECT grouping, name FROM named WHERE kind = 'style' AND name <> '{NO_STYLE}'
            GROUP BY grouping, name HAVING count(*) < $min_songs
        ) few WHERE named.grouping = few.grouping AND named.name = few.name
        """,
        {"min_songs": min_songs},
    )
    _name_classes(db, "tempo", _tempo(columns), features.tempo_edges, class_names(features.tempo_edges, " BPM"))
    if {"n_notes", "duration_seconds"} <= set(columns):
        density = "TRY_CAST(n_notes AS DOUBLE) / nullif(TRY_CAST(duration_seconds AS DOUBLE), 0)"
        edges = features.density_edges
        _name_classes(db, "note density", density, edges, class_names(edges, " a second"))
    if "num_tracks" in columns:
        edges = features.track_edges
        _name_classes(db, "number of tracks", "TRY_CAST(num_tracks AS DOUBLE)", edges, class_names(edges, whole=True))
    if "NOMML" in columns:
        _name_performances(db, features.expressive_from)
    if INSTRUMENT_CATEGORY in columns:
        _name_instruments(db)
    db.execute(
        f"""
        CREATE TABLE groups AS
        SELECT (row_number() OVER (ORDER BY list_position($order, grouping), rank, n_songs DESC, name) - 1)::INTEGER
               AS g, *
        FROM (
            SELECT grouping, kind, name, max(CASE name WHEN '{RARE}' THEN 1 ELSE rank END) AS rank,
                   count(DISTINCT song) AS n_songs
            FROM named GROUP BY grouping, kind, name
        )
        """,
        {"order": [ALL, *styles, *FEATURES]},
    )
    db.execute(
        """
        CREATE TABLE memberships AS
        SELECT DISTINCT song, g FROM named JOIN groups USING (grouping, name) ORDER BY song, g;
        DROP TABLE named
        """
    )
    return styles


def class_names(edges: Sequence[float], unit: str = "", whole: bool = False) -> list[str]:
    """The names of the classes: under the first edge, from each edge to the next, and from the last edge on.

    whole: the values are whole numbers, and a class is named by its first and last value, so "2 to 4" includes 4.
    """
    if not whole:
        between = [f"{low:g} to {high:g}{unit}" for low, high in pairwise(edges)]
        return [f"under {edges[0]:g}{unit}", *between, f"{edges[-1]:g}{unit} or more"]
    pairs = [(low, high - 1) for low, high in pairwise([1, *edges])]
    return [f"{low:g} to {high:g}{unit}" if low < high else f"{low:g}{unit}" for low, high in pairs] + [
        f"{edges[-1]:g}{unit} or more"
    ]


def _tempo(columns: Sequence[str]) -> str:
    """SQL for a song's tempo, rounded to a tenth, since 140 may become 139.98 when computed from rounded times."""
    from_bars = "60 * quarters / nullif(quarter_seconds, 0)"
    given = "list_avg(TRY_CAST(tempo AS DOUBLE[]))" if "tempo" in columns else "NULL"
    return f"round(coalesce({given}, {from_bars}), 1)"


def _name_styles(db: duckdb.DuckDBPyConnection, column: str) -> None:
    cells = db.sql(f"SELECT DISTINCT coalesce(\"{column}\", '') AS cell FROM songs").fetchall()
    styles = pd.DataFrame(
        [(cell, name) for (cell,) in cells for name in style_names(cell) or [NO_STYLE]], columns=["cell", "name"]
    )
    db.register("names_of_cells", styles)
    db.execute(
        f"""
        INSERT INTO named
        SELECT song, '{column}', 'style', name, CASE name WHEN '{NO_STYLE}' THEN 2 ELSE 0 END
        FROM songs SEMI JOIN song_sums USING (song) JOIN names_of_cells ON cell = coalesce("{column}", '')
        """
    )
    db.unregister("names_of_cells")


def _name_classes(
    db: duckdb.DuckDBPyConnection, grouping: str, number: str, edges: Sequence[float], class_names: Sequence[str]
) -> None:
    cases = " ".join(f"WHEN x < {edge} THEN {i}" for i, edge in enumerate(edges))
    db.execute(
        f"""
        INSERT INTO named
        SELECT song, $grouping, 'feature', coalesce($names[class_index + 1], '{UNKNOWN}'),
               coalesce(class_index, {len(class_names)})
        FROM (
            SELECT song, CASE WHEN x IS NULL THEN NULL {cases} ELSE {len(edges)} END AS class_index
            FROM (SELECT song, {number} AS x FROM songs JOIN song_sums USING (song))
        )
        """,
        {"grouping": grouping, "names": list(class_names)},
    )


def _name_performances(db: duckdb.DuckDBPyConnection, expressive_from: float) -> None:
    db.execute(
        f"""
        INSERT INTO named
        SELECT song, 'performance', 'feature',
               CASE WHEN share IS NULL THEN '{UNKNOWN}' WHEN share >= 0.5 THEN 'expressive' ELSE 'quantized' END,
               CASE WHEN share IS NULL THEN 99 WHEN share >= 0.5 THEN 1 ELSE 0 END
        FROM (
            SELECT song, list_avg(list_transform(levels, lambda level: (level >= $least)::INTEGER)) AS share
            FROM (SELECT song, TRY_CAST("NOMML" AS DOUBLE[]) AS levels FROM songs SEMI JOIN song_sums USING (song))
        )
        """,
        {"least": expressive_from},
    )


def _name_instruments(db: duckdb.DuckDBPyConnection) -> None:
    db.execute(
        f"""
        INSERT INTO named
        SELECT song, 'instruments', 'feature', coalesce($names[class_index + 1], '{UNKNOWN}'), coalesce(class_index, 99)
        FROM (
            SELECT song, TRY_CAST("{INSTRUMENT_CATEGORY}" AS INTEGER) AS class_index
            FROM songs SEMI JOIN song_sums USING (song)
        )
        """,
        {"names": list(INSTRUMENTS)},
    )
