"""Estimates of how ratings, signs and ranks follow a predicted level: slope, offset, and how sure the slope is.

All arrays are over n pieces, one dimension at a time. `trust` is the part of the square of a slope that is beyond
CHANCE, from 0 to 1; a slope below 0 has none.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, nnls
from scipy.special import expit
from sklearn.linear_model import Ridge

from .folds import folds_by_group

SIGN_SLOPE = 10.0  # logits of a quadrant's sign for a rating of 1; 6 gives nearly the same agreement
PAIRS = 10  # of each piece in a set of ranks with others, drawn by chance
CHANCE = 2.0  # standard errors of a slope, which noise exceeds once in forty sets
_LARGEST_SLOPE = 2.0  # of signs and ranks, against those of EMOPIA; more would be certainty
_PRIOR = 0.25  # of the square of a slope of signs and ranks, so that it is finite
_LEAST_KNOWN = 20  # pieces whose raters' errors must be known to learn from them
_LEAST_NOISE = 0.1  # of the whole: a piece whose raters agree fully is not known to be without error
_PENALTIES = (30.0, 100.0, 300.0, 1000.0, 3000.0)  # of a regression on one set alone, in pieces
_FOLDS = 5


def trust(slope: float, variance: float) -> float:
    """How much of the square of a slope is beyond chance. variance: that of its estimate."""
    return max(0.0, 1 - CHANCE**2 * variance / slope**2) if slope > 0 else 0.0


def of_numbers(level: np.ndarray, rated: np.ndarray, weight: np.ndarray, errors: np.ndarray) -> tuple[float, ...]:
    """Slope, offset, trust, noise and noise of raters of ratings, by weighted least squares.

    errors: standard errors of the raters' means, NaN where not known. The noise of a piece is the first of the two, and
    the second times the square of its error.
    """
    share = weight / weight.sum()
    away = level - share @ level
    spread = share @ np.square(away)
    if spread <= 1e-12:
        return (0.0,) * 5
    slope = float(share @ (away * rated) / spread)
    offset = float(share @ (rated - slope * level))
    squares = np.square(rated - offset - slope * level)
    noise = float(share @ squares)
    n = 1 / np.square(share).sum()
    sure = trust(slope, noise / (max(n - 2, 1) * spread))
    known = np.isfinite(errors)
    if known.sum() < _LEAST_KNOWN or np.ptp(errors[known]) <= 0:
        return slope, offset, sure, noise, 0.0
    parts = np.stack([np.ones(known.sum()), np.square(errors[known])], axis=1)
    (steady, of_raters), _ = nnls(parts * np.sqrt(share[known])[:, None], squares[known] * np.sqrt(share[known]))
    return slope, offset, sure, max(float(steady), _LEAST_NOISE * noise), float(of_raters)


def of_signs(level: np.ndarray, signs: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Slope, offset and trust of signs, 0 or 1."""
    x = np.stack([SIGN_SLOPE * level, np.ones(len(level))], axis=1)
    w, variance = _logistic(x, 2 * signs - 1, weight * len(weight) / weight.sum())
    slope = float(w[0])
    return slope, float(-w[1] / (SIGN_SLOPE * slope)) if slope > 0 else 0.0, trust(slope, variance)


def of_ranks(level: np.ndarray, ranks: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Slope, offset (0: ranks have none) and trust of ranks."""
    first, second = drawn_pairs(ranks)
    shares = np.sqrt(weight[first] * weight[second])
    x = SIGN_SLOPE * (level[first] - level[second])[:, None]
    w, variance = _logistic(x, np.ones(len(first)), shares * len(level) / max(shares.sum(), 1e-12))
    return float(w[0]), 0.0, trust(float(w[0]), variance)


def drawn_pairs(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pairs of pieces, the first of which ranks higher: PAIRS for each, always the same ones."""
    draw = np.random.default_rng(0)
    first = np.repeat(np.arange(len(ranks)), PAIRS)
    second = draw.integers(0, len(ranks), len(first))
    higher, lower = np.where(ranks[first] > ranks[second], (first, second), (second, first))
    differ = ranks[first] != ranks[second]
    return higher[differ], lower[differ]


def _logistic(x: np.ndarray, signs: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients of a logistic regression, (columns), the first not below 0, and the variance of the first.

    x: (n, columns), the slope's first. signs: −1 or 1. weight: of sum n.
    """

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        logits = signs * (x @ w)
        slopes = -weight * signs * expit(-logits)
        prior = np.zeros(len(w))
        prior[0] = _PRIOR * w[0]
        return float(weight @ np.logaddexp(0, -logits) + prior[0] * w[0] / 2), x.T @ slopes + prior

    bounds = [(0.0, _LARGEST_SLOPE), *[(None, None)] * (x.shape[1] - 1)]
    w = minimize(loss, np.full(x.shape[1], 0.1), jac=True, method="L-BFGS-B", bounds=bounds).x
    sure = expit(x @ w)
    curve = (x.T * (weight * sure * (1 - sure))) @ x
    curve[0, 0] += _PRIOR
    return w, float(np.linalg.pinv(curve)[0, 0])


def explained(level: np.ndarray, rated: np.ndarray, weight: np.ndarray) -> float:
    """The share of the variance of ratings that a line on the level explains; 0 if it runs downwards."""
    x, y = (values - np.average(values, weights=weight) for values in (level, rated))
    both = weight @ (x * y)
    spread = (weight @ np.square(x)) * (weight @ np.square(y))
    return float(both**2 / spread) if both > 0 and spread > 1e-24 else 0.0


def explained_alone(rows: np.ndarray, rated: np.ndarray, weight: np.ndarray, groups: list[str]) -> float:
    """The share of the variance of a set's ratings that a model of this set alone explains, on left-out groups.

    rows: (n, width), standardised values of the pieces. It is the best of some ridge penalties; 0 if all do harm.
    """
    best = 0.0
    folds = [fold for fold in folds_by_group(groups, [1] * len(groups), _FOLDS) if fold]
    if len(folds) < 2 or np.ptp(rated) <= 0:
        return best
    for penalty in _PENALTIES:
        predicted = np.zeros(len(rated))
        for fold in folds:
            kept = np.setdiff1d(np.arange(len(rated)), fold)
            ridge = Ridge(alpha=penalty).fit(rows[kept], rated[kept], sample_weight=weight[kept])
            predicted[fold] = ridge.predict(rows[fold])
        mean = np.average(rated, weights=weight)
        best = max(best, 1 - weight @ np.square(rated - predicted) / (weight @ np.square(rated - mean)))
    return float(best)
