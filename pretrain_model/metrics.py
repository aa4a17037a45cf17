"""How well predictions agree with ratings.

All functions take two 1-d arrays of the same length, predicted and rated, without gaps, and return a float. Both
correlations are dimensionless. A spread below 1e-9 counts as none: it is what rounding leaves of a constant.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
_NO_SPREAD = 1e-9


def mean_absolute_error(predicted: Array, rated: Array) -> float:
    """Mean of |predicted − rated|, in the unit of the ratings."""
    predicted, rated = _check(predicted, rated)
    return float(np.abs(predicted - rated).mean())


def mean_squared_error(predicted: Array, rated: Array) -> float:
    """Mean of (predicted − rated)²."""
    predicted, rated = _check(predicted, rated)
    return float(np.square(predicted - rated).mean())


def pearson_r(predicted: Array, rated: Array) -> float:
    """Pearson's correlation in [−1, 1]; nan where it is undefined, because one of the two is constant."""
    predicted, rated = _check(predicted, rated)
    if np.ptp(predicted) <= _NO_SPREAD or np.ptp(rated) <= _NO_SPREAD:
        return math.nan
    x, y = predicted - predicted.mean(), rated - rated.mean()
    return float(np.clip(x @ y / math.sqrt((x @ x) * (y @ y)), -1, 1))


def concordance(predicted: Array, rated: Array) -> float:
    """Lin's concordance correlation coefficient in [−1, 1] (Biometrics 45, 1989), with population moments.

    2 cov / (var + var + (difference of the means)²): 1 only for equality, so a shift or a wrong scale lowers it; its
    amount never exceeds Pearson's. A constant prediction has 0. nan if both are the same constant.
    """
    predicted, rated = _check(predicted, rated)
    constant = np.ptp(predicted) <= _NO_SPREAD or np.ptp(rated) <= _NO_SPREAD
    covariance = 0.0 if constant else float(np.mean((predicted - predicted.mean()) * (rated - rated.mean())))
    apart = float(predicted.var() + rated.var() + (predicted.mean() - rated.mean()) ** 2)
    return 2 * covariance / apart if apart > _NO_SPREAD**2 else math.nan


def sign_accuracy(predicted: Array, rated: Array) -> float:
    """Share of places where both are on the same side of zero; zero itself counts as positive."""
    predicted, rated = _check(predicted, rated)
    return float(((predicted >= 0) == (rated >= 0)).mean())


def quadrant_accuracy(predicted: Array, rated: Array) -> float:
    """Share of points in the right quadrant of four: both (n, 2), columns valence and arousal, both signs right."""
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
