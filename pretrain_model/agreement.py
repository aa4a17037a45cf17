"""How well predictions agree with ratings: metrics, and their bootstrap intervals over pieces.

A metric takes two 1-d arrays of the same length, predicted and rated, without gaps, and returns a float. Both
correlations are dimensionless. A spread below 1e-9 counts as zero: it comes from rounding a constant.

Functions with intervals take, for each piece, one or more pairs (predicted, rated), each (bars, 2) with columns valence
and arousal; a prediction may have their standard deviations as two more columns. A piece has several pairs when several
raters are compared. Intervals are of 95 %, by the percentile bootstrap (Efron, Annals of Statistics 7, 1979): pieces
are drawn with replacement, all bars of a piece together, since bars of one piece are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import roc_auc_score

from pipeline.annotations import DIMENSIONS
from pipeline.progress import progress_bar

from .rated_pieces import RatedPiece

Array = npt.NDArray[np.floating[Any]]
_NO_SPREAD = 1e-9
Points: TypeAlias = np.ndarray
Compared: TypeAlias = Sequence[tuple[Points, Points]]  # the pairs of one piece
Key: TypeAlias = tuple[str, str, str]  # level, dimension, metric
Measure: TypeAlias = Callable[[Sequence[Compared]], dict[Key, float]]


def mean_absolute_error(predicted: Array, rated: Array) -> float:
    """Mean of |predicted − rated|, in the unit of the ratings."""
    predicted, rated = _check(predicted, rated)
    return float(np.abs(predicted - rated).mean())


def mean_squared_error(predicted: Array, rated: Array) -> float:
    """Mean of (predicted − rated)²."""
    predicted, rated = _check(predicted, rated)
    return float(np.square(predicted - rated).mean())


def pearson_r(predicted: Array, rated: Array) -> float:
    """Pearson's correlation in [−1, 1]; nan if one of the two is constant, where it is undefined."""
    predicted, rated = _check(predicted, rated)
    if np.ptp(predicted) <= _NO_SPREAD or np.ptp(rated) <= _NO_SPREAD:
        return math.nan
    x, y = predicted - predicted.mean(), rated - rated.mean()
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1))


def concordance(predicted: Array, rated: Array) -> float:
    """Lin's concordance correlation coefficient in [−1, 1] (Biometrics 45, 1989), with population moments.

    2 cov / (var + var + (difference of the means)²): 1 only for equality, so a shift or a wrong scale lowers it; its
    absolute value never exceeds that of Pearson's r. A constant prediction has 0. nan if both are the same constant.
    """
    predicted, rated = _check(predicted, rated)
    constant = np.ptp(predicted) <= _NO_SPREAD or np.ptp(rated) <= _NO_SPREAD
    covariance = 0.0 if constant else float(np.mean((predicted - predicted.mean()) * (rated - rated.mean())))
    apart = float(predicted.var() + rated.var() + (predicted.mean() - rated.mean()) ** 2)
    return 2 * covariance / apart if apart > _NO_SPREAD**2 else math.nan


def sign_accuracy(predicted: Array, rated: Array) -> float:
    """Share of pairs of values with the same sign; zero counts as positive."""
    predicted, rated = _check(predicted, rated)
    return float(((predicted >= 0) == (rated >= 0)).mean())


def quadrant_accuracy(predicted: Array, rated: Array) -> float:
    """Share of points in the right quadrant, with both signs right. Both arrays (n, 2), columns valence and arousal."""
    if predicted.shape != rated.shape or predicted.ndim != 2 or predicted.shape[1] != 2 or not len(predicted):
        raise ValueError(f"points are (n, 2) in both, n at least 1, not {predicted.shape} and {rated.shape}")
    return float(((predicted >= 0) == (rated >= 0)).all(axis=1).mean())


def _check(predicted: Array, rated: Array) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    x, y = np.asarray(predicted, dtype=np.float64), np.asarray(rated, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not len(x):
        raise ValueError(f"predicted and rated are 1-d, of one length of at least 1, not {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("predicted and rated hold a value that is not finite")
    return x, y


METRICS = {"r": pearson_r, "ccc": concordance, "mae": mean_absolute_error}
INTERVALS = {"covered_50": 0.6745, "covered_90": 1.6449}  # half widths in standard deviations of a normal distribution
THIRDS = 3
_PERCENTILES = (2.5, 97.5)


def rating_agreement(pieces: Sequence[Compared]) -> dict[Key, float]:
    """Pearson's r, Lin's concordance and mean absolute error per bar, within pieces and per piece.

    If predictions have standard deviations, also the share of bars that their intervals cover; and this share and the
    mean absolute error in each third of the bars by standard deviation, from the smallest: covered_50_third_1, …. A
    rating of NaN is none.
    """
    pairs = [pair for piece in pieces for pair in piece]
    predicted, rated = (np.concatenate([pair[k] for pair in pairs]).astype(np.float64) for k in (0, 1))
    piece_of = np.repeat(np.arange(len(pairs)), [len(pair[1]) for pair in pairs])
    found: dict[Key, float] = {}
    for k, dimension in enumerate(DIMENSIONS):
        known = ~np.isnan(rated[:, k])
        x, y, of = predicted[known, k], rated[known, k], np.cumsum(np.diff(piece_of[known], prepend=-1) > 0) - 1
        sizes = np.bincount(of)
        means = [np.bincount(of, weights=values) / sizes for values in (x, y)]
        away = (x - means[0][of], y - means[1][of])
        for level, values in {"bar": (x, y), "within": away, "piece": (means[0], means[1])}.items():
            found |= {(level, dimension, name): _or_nan(metric, *values) for name, metric in METRICS.items()}
        if predicted.shape[1] > len(DIMENSIONS) and len(x):
            sd = predicted[known, len(DIMENSIONS) + k]
            found |= {("bar", dimension, name): v for name, v in _sizes_of_errors(np.abs(x - y), sd).items()}
    return found


def curve_agreement(pieces: Sequence[Compared]) -> dict[Key, float]:
    """As `rating_agreement`, Pearson's r alone: for ratings in a unit of their own."""
    return {key: value for key, value in rating_agreement(pieces).items() if key[2] == "r"}


def _or_nan(metric: Callable[[Array, Array], float], x: Array, y: Array) -> float:
    return metric(x, y) if len(x) else math.nan


def _sizes_of_errors(errors: Array, sd: Array) -> dict[str, float]:
    """Shares of bars that intervals cover, in all bars and in thirds by sd. errors: absolute, (n,). sd: (n,)."""
    covered = {name: errors <= width * sd for name, width in INTERVALS.items()}
    found = {name: float(values.mean()) for name, values in covered.items()}
    for number, third in enumerate(np.array_split(np.argsort(sd, kind="stable"), THIRDS), 1):
        for name, values in {**covered, "mae": errors}.items():
            found[f"{name}_third_{number}"] = float(values[third].mean()) if len(third) else math.nan
    return found


def means_of_pairs(pieces: Sequence[Compared]) -> tuple[np.ndarray, np.ndarray]:
    """The means over the bars of each pair, predicted and rated, (pairs, 2) each; NaN where not rated."""
    pairs = [pair for piece in pieces for pair in piece]
    predicted, rated = (np.stack([pair[k][:, :2].mean(axis=0) for pair in pairs]) for k in (0, 1))
    return predicted, rated


def _known_means(pieces: Sequence[Compared]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Each dimension with the means of the pairs that are rated in it, predicted and rated, (pairs,) each."""
    predicted, rated = means_of_pairs(pieces)
    for k, dimension in enumerate(DIMENSIONS):
        known = ~np.isnan(rated[:, k])
        yield dimension, predicted[known, k], rated[known, k]


def quadrant_agreement(pieces: Sequence[Compared]) -> dict[Key, float]:
    """Share of clips whose mean has the right sign of valence, of arousal, and of both (the right quadrant)."""
    found = {("piece", d, "accuracy"): _or_nan(sign_accuracy, x, y) for d, x, y in _known_means(pieces)}
    predicted, rated = means_of_pairs(pieces)
    both = ~np.isnan(rated).any(axis=1)
    quadrants = quadrant_accuracy(predicted[both], rated[both]) if both.any() else math.nan
    return found | {("piece", "quadrant", "accuracy"): quadrants}


def ranking_agreement(pieces: Sequence[Compared]) -> dict[Key, float]:
    """Area under the ROC curve of clips' means against the signs of valence and arousal; nan where only one occurs.

    Unlike accuracy it does not ask where zero lies, which a model that never saw a set can't know.
    """
    return {("piece", d, "auc"): area_under_curve(x, y) for d, x, y in _known_means(pieces)}


def area_under_curve(predicted: Array, rated: Array) -> float:
    """Area under the ROC curve of predictions against the signs of ratings; nan where only one sign occurs."""
    signs = rated >= 0
    return float(roc_auc_score(signs, predicted)) if len(np.unique(signs)) > 1 else math.nan


def order_agreement(pieces: Sequence[Compared]) -> dict[Key, float]:
    """Spearman's rank correlation of the means of songs with their ratings, which may be in a unit of their own."""
    return {("piece", d, "rho"): rank_correlation(x, y) for d, x, y in _known_means(pieces)}


def point_agreement(pieces: Sequence[Compared]) -> dict[Key, float]:
    """As `order_agreement`, with Pearson's r, Lin's concordance and the mean absolute error of the means as well."""
    measured = order_agreement(pieces)
    for dimension, x, y in _known_means(pieces):
        measured |= {("piece", dimension, name): _or_nan(metric, x, y) for name, metric in METRICS.items()}
    return measured


def rank_correlation(predicted: Array, rated: Array) -> float:
    """Spearman's rank correlation; nan if one of the two is constant, or there are none."""
    return pearson_r(rankdata(predicted), rankdata(rated)) if len(rated) else math.nan


def interval(samples: Array) -> tuple[float, float]:
    """The bounds of 95 % of bootstrap samples, (n,); nan samples don't count, and both are nan if there is no other."""
    known = samples[np.isfinite(samples)]
    low, high = np.percentile(known, _PERCENTILES) if len(known) else (np.nan, np.nan)
    return float(low), float(high)


def with_intervals(measure: Measure, pieces: Sequence[Compared], resamples: int, seed: int) -> pd.DataFrame:
    """A table of every agreement with its interval: level, dimension, metric, value, low, high, n (pieces).

    The interval is the bootstrap's over pieces. One resample of the pieces serves all agreements at once, where
    `scipy.stats.bootstrap` would draw and measure anew for each.
    """
    draw = np.random.default_rng(seed)
    resampled = progress_bar(range(resamples), "measuring intervals", "resamples", after=1)
    drawn = [measure([pieces[i] for i in draw.integers(0, len(pieces), len(pieces))]) for _ in resampled]
    rows = []
    for key, value in measure(pieces).items():
        samples = np.array([sample[key] for sample in drawn])
        low, high = interval(samples)
        rows.append((*key, value, low, high, len(pieces)))
    return pd.DataFrame(rows, columns=["level", "dimension", "metric", "value", "low", "high", "n"])


def one_rater(ratings: pd.DataFrame, pieces: Sequence[RatedPiece]) -> list[Compared]:
    """Pairs of each rater's ratings of a piece and the mean of the other raters'; NaN in both where one is missing.

    ratings: columns piece, rater, bar_number, valence, arousal; NaN where a rater gave none. A piece without a bar that
    two raters rated is left out.
    """
    compared: list[Compared] = []
    for own in _by_rater(ratings, pieces):
        known = ~np.isnan(own)
        values = np.where(known, own, 0.0)
        others = _means(values.sum(axis=0) - values, known.sum(axis=0) - known)
        compared.append([_where_both(*pair) for pair in zip(own, others, strict=True)])
    return _with_ratings(compared)


def half_of_raters(ratings: pd.DataFrame, pieces: Sequence[RatedPiece], seed: int) -> list[Compared]:
    """Pairs of the mean of a random half of a piece's raters and the mean of the other half; as one_rater."""
    draw = np.random.default_rng(seed)
    compared: list[Compared] = []
    for own in _by_rater(ratings, pieces):
        halves = (own[half] for half in np.array_split(draw.permutation(len(own)), 2))
        first, second = (_means(np.nansum(half, axis=0), (~np.isnan(half)).sum(axis=0)) for half in halves)
        compared.append([_where_both(first, second)])
    return _with_ratings(compared)


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Sums over counts, NaN where there is nothing to count."""
    means: np.ndarray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return means


def _where_both(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both arrays, NaN where one of them is."""
    lacking = np.isnan(first) | np.isnan(second)
    return np.where(lacking, np.nan, first), np.where(lacking, np.nan, second)


def _with_ratings(compared: Sequence[Compared]) -> list[Compared]:
    """The pieces with a pair that is no NaN."""
    return [pairs for pairs in compared if any(not np.isnan(rated).all() for _, rated in pairs)]


def _by_rater(ratings: pd.DataFrame, pieces: Sequence[RatedPiece]) -> Iterator[np.ndarray]:
    """The ratings of each piece that has two raters or more: (raters, bars, 2), NaN where a rater gave none."""
    by_piece = dict(list(ratings.groupby("piece")))
    for piece in pieces:
        if piece.name not in by_piece:
            continue
        table = by_piece[piece.name]
        table = table[table["bar_number"].isin(piece.made.bar_number[piece.rated])]
        if table.empty:  # of a set that was prepared as points
            continue
        wide = table.pivot(index="rater", columns="bar_number")
        own = np.stack([wide[dimension].to_numpy(dtype=np.float64) for dimension in DIMENSIONS], axis=2)
        if len(own) > 1:
            yield own
