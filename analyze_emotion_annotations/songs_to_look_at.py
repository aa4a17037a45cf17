"""Songs worth a look: the most extreme, the most changing, and the most typical of each style.

Extreme are the songs with the highest and lowest mean valence and arousal; most changing those with the largest mean
absolute difference between successive bars, valence's and arousal's added; most typical of a style those whose mean
and spread of valence and arousal, in standard deviations of the style's songs, are nearest to the style's means.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import pandas as pd

from .annotation_database import UNITS, song_columns
from .style_plot import DrawnStyle

EXTREMES = (
    ("highest valence", "valence", "DESC"),
    ("lowest valence", "valence", "ASC"),
    ("highest arousal", "arousal", "DESC"),
    ("lowest arousal", "arousal", "ASC"),
    ("changes most", "valence_change + arousal_change", "DESC"),
)
TYPICAL = "typical of "


def songs_to_look_at(
    db: duckdb.DuckDBPyConnection, styles: Sequence[DrawnStyle], style_column: str, per_list: int, min_bars: int
) -> pd.DataFrame:
    """A row for each song of each list, the first of a list first; a song may stand in several lists.

    styles: each has a list of typical songs. per_list: songs in a list. min_bars: shorter songs are in no list, unless
    no song is that long.

    Columns: list, md5, part, title, artist, style, n_bars, valence, arousal (means), valence_sd, arousal_sd (over the
    song's bars), valence_change, arousal_change.
    """
    columns = song_columns(db)
    described = [
        f"coalesce(\"{column}\", '') AS {name}" if column in columns else f"'' AS {name}"
        for column, name in (("title", "title"), ("artist", "artist"), (style_column, "style"))
    ]
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE candidates AS
        WITH known AS (
            SELECT song, n AS n_bars, v1 / n / {UNITS} AS valence, a1 / n / {UNITS} AS arousal,
                   sqrt(greatest(v2 / n - (v1 / n) ** 2, 0)) / {UNITS} AS valence_sd,
                   sqrt(greatest(a2 / n - (a1 / n) ** 2, 0)) / {UNITS} AS arousal_sd,
                   coalesce(dv / nullif(pairs, 0), 0) / {UNITS} AS valence_change,
                   coalesce(da / nullif(pairs, 0), 0) / {UNITS} AS arousal_change
            FROM song_sums
        )
        SELECT song, md5, part, {", ".join(described)}, known.* EXCLUDE (song) FROM known JOIN songs USING (song)
        WHERE known.n_bars >= least({min_bars}, (SELECT max(n_bars) FROM known))
        """
    )
    lists = [
        db.sql(f"SELECT '{name}' AS list, * FROM candidates ORDER BY {value} {way}, md5 LIMIT {per_list}").df()
        for name, value, way in EXTREMES
    ]
    lists += [_typical(db, style, per_list) for style in styles]
    db.execute("DROP TABLE candidates")
    return pd.concat(lists, ignore_index=True).drop(columns="song")


def _typical(db: duckdb.DuckDBPyConnection, style: DrawnStyle, per_list: int) -> pd.DataFrame:
    measures = ("valence", "arousal", "valence_sd", "arousal_sd")
    distance = " + ".join(
        f"coalesce((({x} - avg({x}) OVER ()) / nullif(stddev_pop({x}) OVER (), 0)) ** 2, 0)" for x in measures
    )
    found = db.sql(
        f"""
        SELECT * EXCLUDE (distance) FROM (
            SELECT *, {distance} AS distance
            FROM candidates SEMI JOIN (SELECT song FROM memberships WHERE g = {style.g}) USING (song)
        ) ORDER BY distance, md5 LIMIT {per_list}
        """
    ).df()
    found.insert(0, "list", TYPICAL + str(style.row["name"]))
    return found
