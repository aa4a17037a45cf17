"""Curves of ratings over seconds, and the ratings of bars that they make.

A curve is a table, a row a sample: `seconds` from the start of the music, and any of VALUES, NaN where there is none.
It is linear between samples. Its step is the median time from a sample with a value to the next, which valence and
arousal have each for themselves; where samples are further apart than LONGEST_GAP steps, it is not known what listeners
felt, so nothing is put between them.

A bar lasts from its bar line to the next, under the file's tempo map, the last one to the bar line after it: the edges
of the features (features.py). Its rating is the mean of the curve, an exact integral, over the time that the curve
covers; a bar of which it covers less than LEAST_COVERED has none.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
import symusic.core

from musetok_bridge.bars import Bars
from musetok_bridge.scores import seconds_at
from pipeline.annotations import DIMENSIONS

from .rated_set import RATINGS

VALUES = RATINGS[2:]  # valence, arousal, valence_sd, arousal_sd, n_raters
LEAST_COVERED = 0.5  # share of a bar
LONGEST_GAP = 1.5  # steps of the curve
MOST_LAG, LAG_STEP = 8.0, 0.25  # seconds; listeners answer 1 to 4 s late
_SLACK = 1e-6  # of a share of a bar or of a step: times are rounded
_LEAST_SAMPLES = 8  # for a correlation
_NO_SPREAD = 1e-9
_DECIMALS = 6

Array = npt.NDArray[np.float64]


def bar_edges(score: symusic.core.ScoreTick, bars: Bars) -> Array:
    """Seconds of the bar lines, (n + 1) ascending. bars: the result of `score_to_bars` for the score."""
    return np.append(bars.start_seconds, seconds_at(score, np.array([bars.end_tick])))


def rate_bars(curve: pd.DataFrame, bar_number: npt.NDArray[np.integer], edges: Array, lag: float = 0.0) -> pd.DataFrame:
    """The ratings of bars: bar_number and VALUES, a row a bar that has valence or arousal.

    bar_number: (n). edges: (n + 1), as of `bar_edges`. lag: seconds by which listeners answer late; the curve is moved
    earlier by that.
    """
    seconds = curve["seconds"].to_numpy(dtype=float) - lag
    table = pd.DataFrame({"bar_number": bar_number})
    for column in VALUES:
        known = column in curve
        table[column] = means_over(seconds, curve[column].to_numpy(dtype=float), edges) if known else math.nan
    return _without_unrated(table)


def whole_piece(curve: pd.DataFrame) -> pd.DataFrame:
    """The mean of a curve over all the time that it covers: a row of VALUES, none if it covers no time.

    The spread of raters at single moments is not that of their means, so both sds are NaN.
    """
    seconds = curve["seconds"].to_numpy(dtype=float)
    edges = np.array([seconds.min(), seconds.max()]) if len(seconds) else np.zeros(2)
    found = {
        column: means_over(seconds, curve[column].to_numpy(dtype=float), edges, least_covered=0.0)
        for column in (*DIMENSIONS, "n_raters")
        if column in curve
    }
    return _without_unrated(pd.DataFrame(found).reindex(columns=[*VALUES]))


def _without_unrated(table: pd.DataFrame) -> pd.DataFrame:
    table = table[table[[*DIMENSIONS]].notna().any(axis=1)].reset_index(drop=True)
    for dimension in DIMENSIONS:
        table.loc[table[dimension].isna(), f"{dimension}_sd"] = math.nan
    table["n_raters"] = table["n_raters"].round()
    return table.round(_DECIMALS)


def means_over(seconds: Array, values: Array, edges: Array, least_covered: float = LEAST_COVERED) -> Array:
    """The mean of a curve over each of the times between edges, (n), NaN where it covers less than a share of it.

    seconds: (samples), in any order. values: (samples), NaN where there is none. edges: (n + 1), ascending.
    """
    seconds, values, step = _samples(seconds, values)
    if len(seconds) < 2:
        return np.full(len(edges) - 1, math.nan)
    lengths = np.diff(seconds)
    known = lengths <= step * (LONGEST_GAP + _SLACK)
    covered = np.where(known, lengths, 0.0)
    areas = covered * (values[1:] + values[:-1]) / 2
    at = np.clip(edges, seconds[0], seconds[-1])
    segment = np.clip(np.searchsorted(seconds, at, "right") - 1, 0, len(lengths) - 1)
    into = np.where(known[segment], at - seconds[segment], 0.0)
    slope = np.diff(values) / lengths
    time_before = np.append(0.0, np.cumsum(covered))[segment] + into
    area_before = np.append(0.0, np.cumsum(areas))[segment] + into * (values[segment] + slope[segment] * into / 2)
    time, area = np.diff(time_before), np.diff(area_before)
    enough = (time > 0) & (time >= np.diff(edges) * (least_covered - _SLACK))
    return np.where(enough, area / np.where(enough, time, 1.0), math.nan)


def _samples(seconds: Array, values: Array) -> tuple[Array, Array, float]:
    """The samples with a value, in order of time and one a time (the mean of several), and their step."""
    known = np.isfinite(seconds) & np.isfinite(values)
    at, which, count = np.unique(seconds[known], return_inverse=True, return_counts=True)
    step = float(np.median(np.diff(at))) if len(at) > 1 else 0.0
    return at, np.bincount(which, weights=values[known], minlength=len(at)) / np.maximum(count, 1), step


def value_at(edges: Array, values: Array, seconds: Array) -> Array:
    """The values of bars at some times, a step function: NaN outside. edges: (n + 1). values: (n)."""
    bar = np.searchsorted(edges, seconds, "right") - 1
    inside = (bar >= 0) & (bar < len(values))
    return np.where(inside, np.asarray(values, dtype=float)[np.clip(bar, 0, len(values) - 1)], math.nan)


def best_lag(
    seconds: Array, rated: Array, edges: Array, predicted: Array, most: float = MOST_LAG, step: float = LAG_STEP
) -> tuple[float, float]:
    """By how many seconds a rated curve follows a prediction, and Pearson's r at that lag, the highest.

    seconds, rated: (samples), evenly spaced, NaN where there is none. edges: (n + 1) and predicted: (n), of bars. Lags
    go from 0 to `most`; of equals the smallest counts. A lag needs half of the samples with a value. NaN, NaN if one of
    the two is constant or too short at every lag.
    """
    known = np.isfinite(rated)
    seconds, rated = seconds[known], rated[known]
    found = (math.nan, math.nan)
    for lag in np.arange(0.0, most + step / 2, step):
        heard = value_at(edges, predicted, seconds - lag)
        both = np.isfinite(heard)
        if both.sum() < max(_LEAST_SAMPLES, len(rated) / 2):
            continue
        r = _correlation(heard[both], rated[both])
        if r > found[1] + _NO_SPREAD or (math.isnan(found[1]) and not math.isnan(r)):
            found = float(lag), r
    return found


def _correlation(x: Array, y: Array) -> float:
    """Pearson's r, NaN if one of the two is constant. Here, since that of agreement.py comes with torch."""
    if np.ptp(x) <= _NO_SPREAD or np.ptp(y) <= _NO_SPREAD:
        return math.nan
    return float(np.clip(np.corrcoef(x, y)[0, 1], -1, 1))
