"""How far apart the groups of a grouping are: effect sizes for every pair of groups, from the means of their songs.

The unit is the song, since bars of a song are not independent. The effect is Hedges' g: the difference between the two
groups' means over songs, in units of their pooled standard deviation, corrected for small samples; its interval is that
of L. V. Hedges and I. Olkin (Statistical methods for meta-analysis, 1985, ch. 5). p is the p value of Welch's test of
the difference, and p_holm the same after S. Holm's correction (A simple sequentially rejective multiple test procedure,
1979) for all comparisons of the table. Songs that are in both groups of a pair are left out of their comparison.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pandas as pd
from scipy.stats import ttest_ind_from_stats

from pipeline.annotations import DIMENSIONS

from .annotation_database import UNITS
from .song_groups import COLLECTIVE

_ROUNDING = 1e-6  # differences below this come from rounding of the sums, not from the music


def comparisons(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """A row for every pair of groups of a grouping and each dimension, the largest effects of a grouping first.

    Columns: grouping, kind, group_a, group_b, dimension, songs_a, songs_b, difference (a − b, between the means
    over songs), effect, effect_low, effect_high, p, p_holm. Groups of one song and COLLECTIVE groups are not compared.
    If neither group varies, effect is nan, and p is 1 for equal groups and 0 for different ones.
    """
    pairs = _pairs(db)
    table = pd.concat([_compare(pairs, dimension) for dimension in DIMENSIONS], ignore_index=True)
    table["p_holm"] = holm(table["p"].to_numpy())
    table["size"] = table["effect"].abs()
    order = {grouping: i for i, grouping in enumerate(dict.fromkeys(pairs["grouping"]))}
    table["grouping_rank"] = table["grouping"].map(order)
    table = table.sort_values(
        ["grouping_rank", "dimension", "size", "group_a", "group_b"], ascending=[True, False, False, True, True]
    )
    return table.drop(columns=["size", "grouping_rank"]).reset_index(drop=True)


def holm(p: np.ndarray) -> np.ndarray:
    """p values (m,) after Holm's step-down correction for m comparisons."""
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    corrected = np.empty(len(p))
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def _pairs(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The pairs of groups to compare, with number, sums and sums of squares of the songs in only one of the two."""
    sums = "count(*) AS k, " + ", ".join(
        f"sum({dimension}) AS {dimension}_1, sum({dimension} * {dimension}) AS {dimension}_2"
        for dimension in DIMENSIONS
    )
    db.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE means_of_songs AS
        SELECT grouping, g, song, v1 / n / {UNITS} AS valence, a1 / n / {UNITS} AS arousal
        FROM memberships JOIN groups USING (g) JOIN song_sums USING (song)
        WHERE NOT list_contains($collective, name)
        """,
        {"collective": list(COLLECTIVE)},
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
    with np.errstate(divide="ignore", invalid="ignore"):  # equal songs have a standard deviation of 0
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
