"""Valence and arousal by group of songs: means, spreads, quartiles, quadrants and movement, with 95 % intervals.

Conventions:
- All statistics are over bars, so a long song weighs more than a short one. sd is the population's (ddof 0); change is
  the mean absolute difference between successive bars.
- Bars of a song are not independent, so the sampling unit is the song: an interval says how much a statistic would vary
  with other songs of the same kind. Each statistic is a ratio of two sums over songs, R = ΣY / ΣX, and its variance is
  k / (k − 1) · Σ(Y − R X)² / (ΣX)² for k songs (the linearised ratio estimator: W. G. Cochran, Sampling Techniques,
  3rd ed. 1977, ch. 6). Intervals use Student's t with k − 1 degrees of freedom. The interval of a quartile is that of
  the share of bars below it, read off the distribution (R. S. Woodruff, Confidence intervals for medians and other
  position measures, JASA 1952); that of a standard deviation is computed on the logarithm. One song has no interval.
- Quartiles are numpy's (linear between order statistics) of values rounded to STEP, so they are within STEP / 2 of the
  exact ones: counting on a grid keeps memory constant.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
from scipy.stats import t as student

from pipeline.annotations import DIMENSIONS

from .annotation_database import UNITS, song_ranges

QUARTILES = (("q25", 0.25), ("median", 0.5), ("q75", 0.75))
STEP = 0.001
_GRID = np.linspace(-1.0, 1.0, 2001)
_UNITS_PER_STEP = round(STEP * UNITS)
PLANE_STEP = 0.05  # side of a cell of the valence–arousal plane, for plots
PLANE_CELLS = round(2 / PLANE_STEP)

# statistic: SQL for a song's Y and X, and the unit of Y / X; …_m is the group's mean in UNITS
_RATIOS = {
    "valence_mean": ("v1", "n", UNITS),
    "arousal_mean": ("a1", "n", UNITS),
    "valence_variance": ("(v2 - 2 * valence_m * v1 + valence_m * valence_m * n)", "n", UNITS**2),
    "arousal_variance": ("(a2 - 2 * arousal_m * a1 + arousal_m * arousal_m * n)", "n", UNITS**2),
    "valence_change": ("dv", "pairs", UNITS),
    "arousal_change": ("da", "pairs", UNITS),
    **{f"share_q{i}": (f"q{i}", "n", 1) for i in (1, 2, 3, 4)},
}


@dataclass(frozen=True)
class Distributions:
    """How the bars of each of k groups are distributed.

    lines: int64 (2, k, 2001), the number of bars at each grid point of valence and of arousal.
    planes: int64 (k, PLANE_CELLS, PLANE_CELLS), the number of bars in each cell of the plane; rows are arousal.
    """

    lines: np.ndarray
    planes: np.ndarray


def group_statistics(db: duckdb.DuckDBPyConnection) -> tuple[pd.DataFrame, Distributions]:
    """A row of statistics for each group, in the order of g, and the distributions of the groups' bars.

    Columns: grouping, kind, name, n_songs, n_bars and, for each of valence and arousal, …_mean, …_sd, …_q25, …_median,
    …_q75 and …_change; share_q1 … share_q4; and for each of these …_low and …_high, its 95 % interval.
    """
    groups = db.sql("SELECT g, grouping, kind, name, n_songs FROM groups ORDER BY g").df()
    sums = db.sql(
        """
        SELECT g, sum(n)::DOUBLE AS n_bars, sum(v1) / sum(n) AS valence_m, sum(a1) / sum(n) AS arousal_m
        FROM memberships JOIN song_sums USING (song) GROUP BY g ORDER BY g
        """
    ).df()
    table = groups.assign(n_bars=sums["n_bars"].astype("int64"))
    n_songs = table["n_songs"].to_numpy()
    for name, (value, error) in _ratios(db, sums).items():
        reach = error * student_t(n_songs)
        low, high = value - reach, value + reach
        if name.endswith("variance"):
            name, value, low, high = name.replace("variance", "sd"), *_sd_with_interval(value, reach)
        else:  # with few songs an interval may reach beyond the possible values
            least, most = (-1, 1) if name.endswith("mean") else (0, 1) if name.startswith("share") else (0, 2)
            low, high = np.clip(low, least, most), np.clip(high, least, most)
        table[name], table[f"{name}_low"], table[f"{name}_high"] = value, low, high
    distributions = _distributions(db, len(table))
    quartiles = _quartiles(db, distributions, n_songs)
    return pd.concat([table, quartiles], axis=1)[_column_order()], distributions


def quantiles(counts: np.ndarray, q: Sequence[float] | np.ndarray) -> np.ndarray:
    """Quantiles of values counted on the grid, linear between order statistics; nan if `counts` is all zero.

    counts: (2001,) number of values at each grid point; q: fractions in [0, 1].
    """
    total = int(counts.sum())
    if total == 0:
        return np.full(len(q), np.nan)
    rank = np.asarray(q) * (total - 1)  # of the quantile among the sorted values, from 0
    below = np.floor(rank)
    up_to = np.cumsum(counts)
    lower = _GRID[np.searchsorted(up_to, below, side="right")]
    upper = _GRID[np.searchsorted(up_to, np.ceil(rank), side="right")]
    return lower + (rank - below) * (upper - lower)


def _column_order() -> list[str]:
    names = [
        f"{dimension}_{name}" for dimension in DIMENSIONS for name in ("mean", "sd", "q25", "median", "q75", "change")
    ]
    names += [f"share_q{i}" for i in (1, 2, 3, 4)]
    return ["grouping", "kind", "name", "n_songs", "n_bars", *(n + end for n in names for end in ("", "_low", "_high"))]


def _sd_with_interval(variance: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A standard deviation with both ends of its interval, from a variance and half its interval, (k,) each.

    The interval is computed on the logarithm, where a variance of few songs is less skewed.
    """
    sd = np.sqrt(np.maximum(variance, 0))  # rounding errors can make a variance negative
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(variance > 0, np.exp(reach / variance / 2), np.where(np.isnan(reach), np.nan, 1.0))
    return sd, sd / factor, sd * factor


def student_t(n_songs: np.ndarray) -> np.ndarray:
    """Student's t of the 95 % interval for these numbers of songs, (k,); nan for one song."""
    return np.where(n_songs > 1, student.ppf(0.975, np.maximum(n_songs - 1, 1)), np.nan)


def _ratios(db: duckdb.DuckDBPyConnection, sums: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each statistic of _RATIOS and its standard error, (k,) each."""
    db.register("means", sums)
    songs = "FROM memberships JOIN song_sums USING (song) JOIN means USING (g)"
    columns = [f"sum({y})::DOUBLE / nullif(sum({x}), 0) AS {name}" for name, (y, x, _) in _RATIOS.items()]
    ratios = db.sql(f"SELECT g, {', '.join(columns)} {songs} GROUP BY g ORDER BY g").df()
    db.register("ratios", ratios)
    columns = [
        f"sqrt(sum(({y} - ratios.{name} * {x}) ** 2) * count(*) / nullif(count(*) - 1, 0)) / nullif(sum({x}), 0) "
        f"AS {name}"
        for name, (y, x, _) in _RATIOS.items()
    ]
    errors = db.sql(f"SELECT g, {', '.join(columns)} {songs} JOIN ratios USING (g) GROUP BY g ORDER BY g").df()
    db.unregister("means")
    db.unregister("ratios")
    return {
        name: (ratios[name].to_numpy(float) / unit, errors[name].to_numpy(float) / unit)
        for name, (_, _, unit) in _RATIOS.items()
    }


def _distributions(db: duckdb.DuckDBPyConnection, n_groups: int) -> Distributions:
    """Count the bars of all groups, reading the bars once."""
    last = PLANE_CELLS - 1
    cell = round(PLANE_STEP * UNITS)
    counted = db.sql(
        f"""
        SELECT g, vg, ag, vp, ap, count(*) AS n FROM (
            SELECT g, (v + {UNITS + _UNITS_PER_STEP // 2}) // {_UNITS_PER_STEP} AS vg,
                   (a + {UNITS + _UNITS_PER_STEP // 2}) // {_UNITS_PER_STEP} AS ag,
                   least((v + {UNITS}) // {cell}, {last}) AS vp, least((a + {UNITS}) // {cell}, {last}) AS ap
            FROM bars JOIN memberships USING (song)
        ) GROUP BY GROUPING SETS ((g, vg), (g, ag), (g, vp, ap))
        """
    ).fetchnumpy()
    lines = np.zeros((2, n_groups, len(_GRID)), dtype=np.int64)
    planes = np.zeros((n_groups, PLANE_CELLS, PLANE_CELLS), dtype=np.int64)
    known = {name: ~np.ma.getmaskarray(counted[name]) for name in ("vg", "ag", "vp")}
    for line, name in zip(lines, ("vg", "ag"), strict=True):
        rows = known[name]
        line[counted["g"][rows], counted[name][rows]] = counted["n"][rows]
    rows = known["vp"]
    planes[counted["g"][rows], counted["ap"][rows], counted["vp"][rows]] = counted["n"][rows]
    return Distributions(lines, planes)


def _quartiles(db: duckdb.DuckDBPyConnection, distributions: Distributions, n_songs: np.ndarray) -> pd.DataFrame:
    """The quartiles of each group and their intervals, as columns."""
    columns: dict[str, np.ndarray] = {}
    for dimension, line in zip(DIMENSIONS, distributions.lines, strict=True):
        values = np.stack([quantiles(counts, [q for _, q in QUARTILES]) for counts in line])  # (k, 3)
        columns |= {f"{dimension}_{name}": column for (name, _), column in zip(QUARTILES, values.T, strict=True)}
    errors = _errors_of_shares(db, columns)
    for dimension, line in zip(DIMENSIONS, distributions.lines, strict=True):
        for name, q in QUARTILES:
            key = f"{dimension}_{name}"
            reach = errors[key] * student_t(n_songs)  # (k,)
            for end, share in (("low", q - reach), ("high", q + reach)):
                columns[f"{key}_{end}"] = np.array(
                    [
                        np.nan if np.isnan(s) else quantiles(counts, [min(max(s, 0.0), 1.0)])[0]
                        for counts, s in zip(line, share, strict=True)
                    ]
                )
    return pd.DataFrame(columns)


def _errors_of_shares(db: duckdb.DuckDBPyConnection, quartiles: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Standard error of the share of a group's bars at or below each of its quartiles, (k,) each."""
    thresholds = pd.DataFrame({key: np.rint(values * UNITS) for key, values in quartiles.items()})
    thresholds.insert(0, "g", np.arange(len(thresholds)))
    db.register("thresholds", thresholds)
    below = [f"count(*) FILTER ({key[0]} <= {key}) AS {key}" for key in quartiles]
    moments = [
        f"sum({key} * {key}) AS {key}_yy, sum({key} * n) AS {key}_yx, sum({key}) AS {key}_y" for key in quartiles
    ]
    total: pd.DataFrame | None = None
    for some_songs in song_ranges(db):
        some = db.sql(
            f"""
            SELECT g, count(*) AS k, sum(n) AS x, sum(n * n) AS xx, {", ".join(moments)} FROM (
                SELECT g, song, count(*) AS n, {", ".join(below)}
                FROM (SELECT * FROM bars WHERE {some_songs})
                JOIN memberships USING (song) JOIN thresholds USING (g) GROUP BY g, song
            ) GROUP BY g
            """
        ).df()
        some = some.set_index("g").astype(float).reindex(range(len(thresholds)), fill_value=0.0)
        total = some if total is None else total + some
    db.unregister("thresholds")
    if total is None:
        raise ValueError("the database has no song with bars")
    k, x = total["k"].to_numpy(), total["x"].to_numpy()
    errors = {}
    for key in quartiles:
        ratio = total[f"{key}_y"].to_numpy() / x
        squares = total[f"{key}_yy"] - 2 * ratio * total[f"{key}_yx"] + ratio**2 * total["xx"]
        with np.errstate(divide="ignore", invalid="ignore"):
            errors[key] = np.sqrt(np.maximum(squares.to_numpy(), 0) * k / (k - 1)) / x
    return errors


def trajectories(db: duckdb.DuckDBPyConnection, points: int, min_bars: int) -> pd.DataFrame:
    """The mean trajectory of each group's songs, a row for each group and point.

    Songs of fewer than min_bars bars are left out, and so are groups that have no other songs.

    Columns: g, point (0 … points − 1), n_songs and, for each of valence and arousal, …_mean, …_movement (difference
    from the song's own mean), …_movement_low and …_movement_high.
    """
    sums = ", ".join(
        f"sum({x}) AS {x}_1, sum({x} - {x}_own) AS {x}_d1, sum(({x} - {x}_own) ** 2) AS {x}_d2" for x in "va"
    )
    tables = [
        db.sql(
            f"""
            SELECT g, point, count(*) AS n_songs, {sums} FROM (
                SELECT song, point, v / {UNITS} AS v, a / {UNITS} AS a, v_own, a_own FROM (
                    SELECT song, point, ((2 * point + 1) * n) // {2 * points} AS bar_index,
                           v1 / n / {UNITS} AS v_own, a1 / n / {UNITS} AS a_own
                    FROM song_sums, (SELECT unnest(range({points})) AS point)
                    WHERE n >= {min_bars} AND {some_songs}
                ) JOIN bars USING (song, bar_index)
            ) JOIN memberships USING (song) GROUP BY g, point
            """
        ).df()
        for some_songs in song_ranges(db)
    ]
    total = pd.concat(tables).groupby(["g", "point"], as_index=False).sum()
    k = total["n_songs"].to_numpy(float)
    table = total[["g", "point", "n_songs"]].copy()
    for dimension, x in zip(DIMENSIONS, "va", strict=True):
        table[f"{dimension}_mean"] = total[f"{x}_1"] / k
        movement = (total[f"{x}_d1"] / k).to_numpy()
        variance = np.maximum(total[f"{x}_d2"].to_numpy() - k * movement**2, 0) / np.maximum(k - 1, 1)
        reach = np.sqrt(variance / k) * student_t(k)
        table[f"{dimension}_movement"] = movement
        table[f"{dimension}_movement_low"] = movement - reach
        table[f"{dimension}_movement_high"] = movement + reach
    return table
