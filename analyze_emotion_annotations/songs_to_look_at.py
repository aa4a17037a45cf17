"""Songs worth a look: the most extreme, the most changing, and the most typical of each style.

The most extreme songs have the highest or lowest mean valence or arousal. The most changing ones have the largest mean
absolute difference between successive bars, valence and arousal added. The songs most typical of a style have means and
spreads of valence and arousal nearest to the averages of the style's songs, in units of their standard deviations.
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
    """A row for each song of each list, in the order of the list; a song may be in several lists.

    styles: the styles whose typical songs are listed. per_list: songs in a list. min_bars: shorter songs are left out,
    but if no song is that long, the longest are listed.

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
        db.sql(f"SELECT '{name}' AS list, * FROM candidates ORDER BY {value} {order}, md5 LIMIT {per_list}").df()
        for name, value, order in EXTREMES
    ]
    lists += [_typical(db, style, per_list) for style in styles]
    db.execute("DROP TABLE candidates")
    return pd.concat(lists, ignore_index=True).drop(columns="song")


def _typical(db: duckdb.DuckDBPyConnection, style: DrawnStyle, per_list: int) -> pd.DataFrame:
    measures = ("valence", "arousal", "valence_sd", "arousal_sd")
    distance = " + ".join(
        f"coalesce((({x} - avg({x}) OVER ()) / nullif(stddev_pop({x}) OVER (), 0)) ** 2, 0)" for x in measures
    )
    songs = db.sql(
        f"""
        SELECT * EXCLUDE (distance) FROM (
            SELECT *, {distance} AS distance
            FROM candidates SEMI JOIN (SELECT song FROM memberships WHERE g = {style.g}) USING (song)
        ) ORDER BY distance, md5 LIMIT {per_list}
        """
    ).df()
    songs.insert(0, "list", TYPICAL + str(style.row["name"]))
    return songs
