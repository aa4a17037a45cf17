"""How far apart the groups of a grouping are: effect sizes between every two, in songs' means.

The unit is the song, since bars of a song are not independent. The effect is Hedges' g: the difference of the two
groups' means of songs, in units of their pooled standard deviation, corrected for small samples; its interval is that
of L. V. Hedges and I. Olkin (Statistical methods for meta-analysis, 1985, ch. 5). p is Welch's test of the difference,
and p_holm that after S. Holm's correction (A simple sequentially rejective multiple test procedure, 1979) for all
comparisons of the table. Songs that are in both groups are left out of the comparison of the two.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
from scipy.stats import ttest_ind_from_stats

from pipeline.annotations import DIMENSIONS

from .annotation_database import UNITS
from .song_groups import APART

_ROUNDING = 1e-6  # differences below it come from the sums' last digits, not from music


def comparisons(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every two groups of a grouping, largest effects first within it.

    Columns: grouping, kind, group_a, group_b, dimension, songs_a, songs_b, difference (a − b, of the means of songs),
    effect, effect_low, effect_high, p, p_holm. Groups of one song, and those that are not one kind of music (rare
    styles, none), are not compared. Where all songs of both have one value, effect is nan, and p 1 or 0.
    """
    pairs = _pairs(db)
    found = pd.concat([_compare(pairs, dimension) for dimension in DIMENSIONS], ignore_index=True)
    found["p_holm"] = holm(found["p"].to_numpy())
    found["size"] = found["effect"].abs()
    order = {grouping: i for i, grouping in enumerate(dict.fromkeys(pairs["grouping"]))}
    found["place"] = found["grouping"].map(order)
    found = found.sort_values(
        ["place", "dimension", "size", "group_a", "group_b"], ascending=[True, False, False, True, True]
    )
    return found.drop(columns=["size", "place"]).reset_index(drop=True)


def holm(p: np.ndarray) -> np.ndarray:
    """p values (m,) corrected for m comparisons, by Holm's steps."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _pairs(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Every two groups that are compared, with the number, sums and sums of squares of the songs of one alone."""
    sums = "count(*) AS k, " + ", ".join(
        f"sum({dimension}) AS {dimension}_1, sum({dimension} * {dimension}) AS {dimension}_2"
        for dimension in DIMENSIONS
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE means_of_songs AS
        SELECT grouping, g, song, v1 / n / {UNITS} AS valence, a1 / n / {UNITS} AS arousal
        FROM memberships JOIN groups USING (g) JOIN song_sums USING (song)
        WHERE NOT list_contains($apart, name)
        """,
        {"apart": list(APART)},
    )
    names = ["k", *(f"{dimension}_{i}" for dimension in DIMENSIONS for i in (1, 2))]
    own = [f"{side}.{name} - coalesce(shared.{name}, 0) AS {name}_{side}" for side in "ab" for name in names]
    pairs = db.sql(
        f"""
        WITH own AS (SELECT grouping, g, {sums} FROM means_of_songs GROUP BY grouping, g),
             shared AS (
                 SELECT a, b, {sums} FROM (
                     SELECT one.g AS a, other.g AS b, one.valence, one.arousal
                     FROM means_of_songs one JOIN means_of_songs other
                     ON one.song = other.song AND one.grouping = other.grouping AND one.g < other.g
                 ) GROUP BY a, b
             )
        SELECT a.grouping, ga.kind, ga.name AS group_a, gb.name AS group_b, {", ".join(own)}
        FROM own a JOIN own b ON a.grouping = b.grouping AND a.g < b.g
        JOIN groups ga ON ga.g = a.g JOIN groups gb ON gb.g = b.g
        LEFT JOIN shared ON shared.a = a.g AND shared.b = b.g
        ORDER BY a.g, b.g
        """
    ).df()
    db.execute("DROP TABLE means_of_songs")
    return pairs[(pairs["k_a"] > 1) & (pairs["k_b"] > 1)].reset_index(drop=True)


def _compare(pairs: pd.DataFrame, dimension: str) -> pd.DataFrame:
    k = {side: pairs[f"k_{side}"].to_numpy(float) for side in "ab"}
    mean = {side: pairs[f"{dimension}_1_{side}"].to_numpy(float) / k[side] for side in "ab"}
    variance = {
        side: np.maximum(pairs[f"{dimension}_2_{side}"].to_numpy(float) - k[side] * mean[side] ** 2, 0) / (k[side] - 1)
        for side in "ab"
    }
    for values in variance.values():
        values[values < _ROUNDING**2] = 0
    difference = mean["a"] - mean["b"]
    difference[np.abs(difference) < _ROUNDING] = 0
    freedom = k["a"] + k["b"] - 2
    pooled = np.sqrt(((k["a"] - 1) * variance["a"] + (k["b"] - 1) * variance["b"]) / freedom)
    with np.errstate(divide="ignore", invalid="ignore"):  # songs that are all alike differ by no standard deviation
        effect = difference / np.where(pooled > 0, pooled, np.nan) * (1 - 3 / (4 * freedom - 1))
        error = np.sqrt((k["a"] + k["b"]) / (k["a"] * k["b"]) + effect**2 / (2 * (k["a"] + k["b"])))
        p = ttest_ind_from_stats(
            difference, np.sqrt(variance["a"]), k["a"], 0.0, np.sqrt(variance["b"]), k["b"], equal_var=False
        ).pvalue
    p = np.where(np.isnan(p), np.where(difference == 0, 1.0, 0.0), p)
    return pd.DataFrame(
        {
            **{name: pairs[name] for name in ("grouping", "kind", "group_a", "group_b")},
            "dimension": dimension,
            "songs_a": pairs["k_a"].astype("int64"),
            "songs_b": pairs["k_b"].astype("int64"),
            "difference": difference,
            "effect": effect,
            "effect_low": effect - 1.96 * error,
            "effect_high": effect + 1.96 * error,
            "p": p,
        }
    )
