"""How songs move from their first bar to their last, as a mean over the songs of each group.

A song of n bars is looked at at m points, the i-th of which is its bar ⌊(i + 1/2) n / m⌋, so that long and short songs
weigh alike. At each point: the mean of the songs' values, and of how far they are there from their own mean, with that
movement's 95 % interval over songs.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd

from .annotation_database import UNITS, song_ranges
from .group_statistics import AFFECTS, t_of_songs


def courses(db: duckdb.DuckDBPyConnection, points: int, min_bars: int) -> pd.DataFrame:
    """A row for each group and point. Songs of fewer than min_bars bars are left out, and groups without another song.

    Columns: g, point (0 … points − 1), n_songs and, for each of valence and arousal, …_mean, and …_movement with
    …_movement_low and …_movement_high.
    """
    sums = ", ".join(
        f"sum({x}) AS {x}_1, sum({x} - {x}_own) AS {x}_d1, sum(({x} - {x}_own) ** 2) AS {x}_d2" for x in "va"
    )
    found = [
        db.sql(
            f"""
            SELECT g, point, count(*) AS n_songs, {sums} FROM (
                SELECT song, point, v / {UNITS} AS v, a / {UNITS} AS a, v_own, a_own FROM (
                    SELECT song, point, ((2 * point + 1) * n) // {2 * points} AS place,
                           v1 / n / {UNITS} AS v_own, a1 / n / {UNITS} AS a_own
                    FROM song_sums, (SELECT unnest(range({points})) AS point)
                    WHERE n >= {min_bars} AND {some_songs}
                ) JOIN bars USING (song, place)
            ) JOIN memberships USING (song) GROUP BY g, point
            """
        ).df()
        for some_songs in song_ranges(db)
    ]
    total = pd.concat(found).groupby(["g", "point"], as_index=False).sum()
    k = total["n_songs"].to_numpy(float)
    table = total[["g", "point", "n_songs"]].copy()
    for affect, x in zip(AFFECTS, "va", strict=True):
        table[f"{affect}_mean"] = total[f"{x}_1"] / k
        movement = (total[f"{x}_d1"] / k).to_numpy()
        variance = np.maximum(total[f"{x}_d2"].to_numpy() - k * movement**2, 0) / np.maximum(k - 1, 1)
        reach = np.sqrt(variance / k) * t_of_songs(k)
        table[f"{affect}_movement"] = movement
        table[f"{affect}_movement_low"] = movement - reach
        table[f"{affect}_movement_high"] = movement + reach
    return table
