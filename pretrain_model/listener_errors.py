"""How large a listener's errors are, measured on games and songs left out of training.

ERROR_CAUSES explain the errors of bars that are rated on the common scale (VGMIDI's), by the maximum likelihood of
Student's t distribution (robust to single pieces), scaled so that intervals of 50 % and 90 % cover these shares of the
bars as nearly as one factor can. Where no ratings are on the common scale, those of other sets are brought to it. Signs
(EMOPIA's) give no size of an error, only the standard deviation under which those of left-out songs are likeliest,
which counts where it is larger. For bands the variance by which the errors of left-out songs exceed those is added.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr, ndtri

from .listener import ERROR_CAUSES, Listener
from .listener_band import band_ratings, band_weights
from .seen_music import LeftOut
from .set_scales import NOT_LEARNED, Scales

# least weights of causes: errors grow with these, whatever VGMIDI, where strange and empty music is rare, says of them
_AT_LEAST = {"unlike": 0.1, "few": 0.1, "disagreement": 0.0}
_AT_MOST = {"extreme": 0.0}
_COMMON = ("motion.gain", "error.mean", "error.spread", "error.far")  # weights that hold for all folds
_PENALTY_ERROR = 2.0
_TAILS = 3.0  # degrees of freedom of Student's t distribution of the errors
_COVERED = np.array([0.5, 0.9])
_DEVIATIONS = ndtri((1 + _COVERED) / 2)  # half widths of these intervals: 0.67 and 1.64


def error_weights(listener: Listener, left_out: Sequence[LeftOut], scales: Scales) -> dict[str, np.ndarray]:
    """The weights `error.*` of a listener: the size of its errors, from predictions for left-out pieces."""
    spread = listener.weights["error.spread"]
    found = {
        "error.bias": np.log(spread),
        "error.weight": np.zeros((2, len(ERROR_CAUSES))),
        "error.free": np.ones(2),
        "error.band_variance": np.zeros(2),
    }
    usual = spread
    numeric = [left for left in left_out if left.of.is_numeric]
    level = [left for left in numeric if left.of.teaches_level]
    if rated := [left for left in level if left.of.is_common] or level:
        causes, errors, shares = _causes_and_errors(listener, rated, scales)
        usual = usual.copy()
        for k in range(2):
            known = ~np.isnan(errors[:, k])
            if known.any():
                bias, weight = _fit_error(causes[k, known], errors[known, k], shares[known])
                found["error.bias"][k], found["error.weight"][k] = bias, weight
                sd = np.exp(bias + causes[k, known] @ weight)
                usual[k] = np.sqrt(np.average(np.square(sd), weights=shares[known]))
    if clips := [left for left in left_out if left.of.is_common and left.of.kind == "sign"]:
        means = np.array([left.listener.level(left.piece.views) for left in clips])
        signs = np.array([left.piece.mean for left in clips])
        found["error.free"] = np.maximum(_sd_of_signs(means, signs) / usual, 1.0)
    variance = _band_errors(numeric, scales, spread)
    found["error.band_variance"] = np.maximum(variance - np.square(usual), 0)
    return found


def _band_errors(numeric: Sequence[LeftOut], scales: Scales, spread: np.ndarray) -> np.ndarray:
    """The mean square of the errors of left-out songs for bands, (2,); 0 if there are none."""
    squares, total = np.zeros(2), np.zeros(2)
    for name, seen in {left.of.name: left.of for left in numeric}.items():
        if not (weights := band_weights(seen, scales)).any():
            continue
        index = {id(piece): i for i, piece in enumerate(seen.pieces)}
        of_set = [left for left in numeric if left.of.name == name]
        chosen = [index[id(left.piece)] for left in of_set]
        rated, share = band_ratings(seen, scales, spread)[chosen], weights[chosen]
        level = np.array([left.listener.level(left.piece.views) for left in of_set])
        errors = level + [left.listener.band(left.piece.views).mean(axis=0) for left in of_set] - rated
        share = np.where(np.isnan(errors), 0.0, share)
        errors = np.nan_to_num(errors)
        if not seen.is_common:  # its zero says nothing about errors
            errors -= (errors * share).sum(axis=0) / np.maximum(share.sum(axis=0), 1e-12)
        squares += (np.square(errors) * share).sum(axis=0)
        total += share.sum(axis=0)
    return squares / np.maximum(total, 1e-12)


def _causes_and_errors(
    listener: Listener, rated: Sequence[LeftOut], scales: Scales
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all left-out bars the causes, (2, n, 5), the errors, (n, 2), and the weights, (n,), equal for all pieces.

    listener: gives the size of the motion, the mean and spread of ratings, and what is far.
    """
    causes, errors, shares = [], [], []
    for left in rated:
        piece, trained = left.piece, left.listener
        common = {name: listener.weights[name] for name in _COMMON if name in listener.weights}
        predicting = Listener(dict(trained.weights) | common, trained.config)
        rating = predicting.predict(piece.views)[:, :2].astype(np.float64)
        moments, moving = predicting.read(piece.views, "heard"), predicting.moving(piece.views)
        causes.append(predicting.causes(rating, piece.views, moments, moving)[:, piece.rated])
        own = scales.get(left.of.name, NOT_LEARNED)
        targets = piece.targets if left.of.is_common else own.in_common_unit(piece.targets)
        errors.append(rating[piece.rated] - targets)
        shares.append(np.full(len(piece.rated), 1 / len(piece.rated)))
    return np.concatenate(causes, axis=1), np.concatenate(errors), np.concatenate(shares)


def _fit_error(causes: np.ndarray, errors: np.ndarray, shares: np.ndarray) -> tuple[float, np.ndarray]:
    """Bias and weights, (5,), of the logarithm of the standard deviation. causes: (n, 5). errors, shares: (n,)."""

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        log_sd = p[0] + causes @ p[1:]
        ratio = np.square(errors) / np.exp(2 * log_sd) / _TAILS
        value = shares @ (log_sd + (_TAILS + 1) / 2 * np.log1p(ratio)) + _PENALTY_ERROR * np.square(p[1:]).sum()
        slope = shares * (1 - (_TAILS + 1) * ratio / (1 + ratio))
        return float(value), np.append(slope.sum(), causes.T @ slope + 2 * _PENALTY_ERROR * p[1:])

    bounds = [(None, None), *((_AT_LEAST.get(cause), _AT_MOST.get(cause)) for cause in ERROR_CAUSES)]
    start = np.array([np.log(errors.std() + 1e-6), *(_AT_LEAST.get(cause, 0.0) for cause in ERROR_CAUSES)])
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    relative = np.abs(errors) / np.exp(found[0] + causes @ found[1:])
    sizes = np.quantile(relative, _COVERED)
    return float(found[0] + np.log((sizes / _DEVIATIONS).mean() + 1e-12)), found[1:]


def _sd_of_signs(outputs: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The standard deviation under which Φ(output / sd) makes the signs likeliest; each (clips, 2) -> (2,)."""
    candidates = np.logspace(-2, 1, 301)
    right = np.nan_to_num((2 * signs - 1) * outputs)  # (clips, 2); 0 where a side is unsure
    likelihood = log_ndtr(right[None] / candidates[:, None, None]).sum(axis=1)  # (candidates, 2)
    return candidates[likelihood.argmax(axis=0)]
