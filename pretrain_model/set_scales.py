"""How each set's ratings follow the level of the music: its offset, its slope and its noise.

Sets are rated on scales of their own, by raters who agree more or less. A set's ratings y are taken to follow the level
z, which is on the common scale, as

    curves and points   y = offset + slope z + noise
    signs               a positive side has the probability logistic(SIGN_SLOPE slope (z − offset))
    ranks               of two pieces the first is higher with the probability logistic(SIGN_SLOPE slope (z₁ − z₂))

with each dimension apart. All are learned from levels predicted for pieces that were left out of training, so a set
can't confirm itself; then the level is trained again with the set's ratings in the unit of the common scale, and so on
for ROUNDS. A set then weighs as much as its precision in that unit: one whose ratings have nothing to do with the level
has slope 0 and no weight, however large it is. Slopes are never negative: a set that runs against the others is not
learned from. Where the raters' standard errors are known, the noise of a piece grows with them, as far as it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize, nnls
from scipy.special import expit

from pipeline.annotations import DIMENSIONS

from .seen_music import LeftOut, RatedMusic, SeenPiece, SeenSet

SIGN_SLOPE = 10.0  # logits of a quadrant's sign for a rating of 1; 6 gives nearly the same agreement
ROUNDS = 2
# variance of the errors of VGMIDI's left-out pieces, valence and arousal; used without a common set of ratings
REFERENCE = np.array([0.026, 0.020])
MOTION_REFERENCE = np.array([0.012, 0.012])  # the same for how bars differ from their piece
LARGEST_WEIGHT = 2000.0  # of a set, in pieces of the common scale; more don't count more
PAIRS = 10  # of each piece in a set of ranks with others, drawn by chance
_LARGEST_SLOPE = 2.0  # of signs and ranks, against those of EMOPIA; more would be certainty
_SLOPE_OF_COMMON = (0.5, 2.0)  # bounds, so that few pieces can't turn the scale around
_PRIOR = 0.25  # of the square of a slope of signs and ranks, so that it is finite
_LEAST_KNOWN = 20  # pieces whose raters' errors must be known to learn from them


@dataclass(frozen=True)
class SetScale:
    """A set's scale, valence and arousal, (2,) each.

    trust: from 0 to 1, how sure the slope is above 0. noise: variance of the ratings about the level, in the set's
    unit. noise_of_raters: by how much it grows with the square of the raters' standard error. reference: the variance
    of the errors on the common scale. motion_slope: as slope, for bars about the mean of their piece; motion_weight:
    how much a bar counts against one on the common scale.
    """

    slope: np.ndarray
    offset: np.ndarray
    trust: np.ndarray
    noise: np.ndarray
    noise_of_raters: np.ndarray
    reference: np.ndarray
    motion_slope: np.ndarray
    motion_weight: np.ndarray

    def in_common_unit(self, ratings: np.ndarray) -> np.ndarray:
        """Ratings in the set's unit, (n, 2), on the common scale; NaN for a dimension that is not learned from."""
        known = self.trust > 0
        return np.where(known, (ratings - self.offset) / np.where(known, self.slope, 1.0), np.nan)

    def weights(self, errors: np.ndarray) -> np.ndarray:
        """The weight of ratings against those on the common scale, (n, 2). errors: the raters' standard errors."""
        noise = self.noise + self.noise_of_raters * np.square(errors)
        return self.trust * np.square(self.slope) * self.reference / np.maximum(noise, 1e-12)


NOT_LEARNED = SetScale(*(np.zeros(2) for _ in range(8)))
COMMON = replace(NOT_LEARNED, **{name: np.ones(2) for name in ("slope", "trust", "motion_slope", "motion_weight")})
Scales = Mapping[str, SetScale]


def known_errors(rated: SeenSet) -> np.ndarray:
    """The standard error of the raters' mean of each piece, (pieces, 2); the set's mean where it is not known, or 0."""
    errors = np.array([piece.error for piece in rated.pieces]).reshape(-1, 2)
    known = ~np.isnan(errors)
    mean = np.where(known, errors, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, errors, mean)


def set_weights(rated: SeenSet, scale: SetScale) -> np.ndarray:
    """The weight of each piece in the level, (pieces, 2), at most LARGEST_WEIGHT together."""
    shares = np.repeat(rated.shares[:, None], 2, axis=1) * rated.weight
    if rated.is_common:
        return at_most(shares)
    return at_most(shares * (scale.weights(known_errors(rated)) if rated.is_numeric else scale.trust))


def at_most(weights: np.ndarray, most: float = LARGEST_WEIGHT) -> np.ndarray:
    """Weights, (n, …), made smaller where they are more than `most` together."""
    return weights * np.minimum(1.0, most / np.maximum(weights.sum(axis=0), 1e-12))


def learn_scales(music: RatedMusic, leave_out: Callable[[Scales], Sequence[LeftOut]]) -> dict[str, SetScale]:
    """The scale of every set that has its own, by its name.

    leave_out: a function from scales to every piece with a listener that was trained with these scales on the others.
    """
    scales: dict[str, SetScale] = {rated.name: NOT_LEARNED for rated in music.own}
    for _ in range(ROUNDS if scales else 0):
        by_set: dict[str, list[LeftOut]] = {}
        for left in leave_out(scales):
            by_set.setdefault(left.of.name, []).append(left)
        common, anchor = _common_scale(music, by_set), _motion_anchor(music)
        scales = {
            s.name: _scale(s, by_set.get(s.name, []), common, s.name == anchor, scales[s.name]) for s in music.own
        }
    return scales


class _CommonScale(NamedTuple):
    """How ratings on the common scale follow the levels predicted for them, valence and arousal, (2,) each.

    Predictions are drawn in to the mean, so the slope is above 1. noise, noise_of_motion: variances of the errors.
    """

    slope: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    motion_slope: np.ndarray
    noise_of_motion: np.ndarray


def _common_scale(music: RatedMusic, by_set: Mapping[str, Sequence[LeftOut]]) -> _CommonScale:
    """That of the common sets with numbers; without any the levels as they are, and the noise of VGMIDI."""
    common = [s for s in music if s.is_common and s.is_numeric]
    left_out = [left for s in common for left in by_set.get(s.name, [])]
    slope, offset, noise = np.ones(2), np.zeros(2), REFERENCE.copy()
    level, means, weight, _ = _of_pieces(left_out)
    for k in range(2):
        known = ~np.isnan(means[:, k])
        if known.sum() > 2:
            found = _of_numbers(level[known, k], means[known, k], weight[known], np.full(known.sum(), np.nan))
            noise[k] = max(found[3], 1e-4)
            slope[k] = np.clip(found[0], *_SLOPE_OF_COMMON)
            offset[k] = float(np.average(means[known, k] - slope[k] * level[known, k], weights=weight[known]))
    curves = [left for left in left_out if left.of.kind == "curve"]
    if not curves:
        return _CommonScale(slope, offset, noise, np.ones(2), MOTION_REFERENCE)
    motion_slope, _, motion_noise = _motion(curves)
    return _CommonScale(slope, offset, noise, motion_slope.clip(*_SLOPE_OF_COMMON), motion_noise.clip(1e-4))


def _of_pieces(left_out: Sequence[LeftOut]) -> tuple[np.ndarray, ...]:
    """Of left-out pieces the predicted level and the mean rating, (n, 2), the weight, (n), and the errors, (n, 2)."""
    level = np.array([left.listener.level(left.piece.views) for left in left_out]).reshape(-1, 2)
    means = np.array([left.piece.mean for left in left_out]).reshape(-1, 2)
    errors = np.array([left.piece.error for left in left_out]).reshape(-1, 2)
    return level, means, np.array([left.piece.weight for left in left_out]), errors


def _motion_anchor(music: RatedMusic) -> str | None:
    """The set whose motion has the unit of its level: the largest of curves where none is on the common scale."""
    curves = [rated for rated in music if rated.kind == "curve"]
    if not curves or any(rated.is_common for rated in curves):
        return None
    return max(curves, key=lambda rated: len(rated.pieces)).name


def _scale(
    rated: SeenSet,
    left_out: Sequence[LeftOut],
    common: _CommonScale,
    is_anchor: bool,
    before: SetScale,
) -> SetScale:
    """A set's scale, from its left-out pieces. is_anchor: whether its motion has the unit of its level."""
    if len(left_out) < 3:
        return before
    level, means, weight, errors = _of_pieces(left_out)
    found = np.zeros((5, 2))
    for k in range(2):
        known = ~np.isnan(means[:, k])
        given = level[known, k], means[known, k], weight[known]
        if known.sum() < 3 or np.ptp(given[1]) <= 0:
            continue
        if rated.is_numeric:
            found[:, k] = _of_numbers(*given, errors[known, k])
        elif rated.kind == "sign":
            found[:3, k] = _of_signs(*given)
        else:
            found[:3, k] = _of_ranks(*given)
    slope, offset, trust, noise, of_raters = found
    slope = slope / common.slope  # of levels on the common scale, which predictions are drawn in from
    offset = offset - slope * common.offset if rated.is_numeric else common.offset + common.slope * offset
    motion_slope, motion_weight = (slope, (trust > 0).astype(float)) if is_anchor else (np.zeros(2), np.zeros(2))
    if rated.kind == "curve" and not is_anchor:
        motion_slope, sure, motion_noise = _motion(left_out)
        motion_slope = motion_slope / common.motion_slope
        motion_weight = sure * np.square(motion_slope) * common.noise_of_motion / np.maximum(motion_noise, 1e-12)
    return SetScale(slope, offset, trust, noise, of_raters, common.noise, motion_slope, motion_weight)


def _trust(slope: float, variance: float) -> float:
    """How much of a slope is beyond chance. variance: that of its estimate."""
    return max(0.0, 1 - variance / slope**2) if slope > 0 else 0.0


def _of_numbers(level: np.ndarray, rated: np.ndarray, weight: np.ndarray, errors: np.ndarray) -> tuple[float, ...]:
    """Slope, offset, trust, noise and noise of raters, by weighted least squares. All arrays (n)."""
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
    trust = _trust(slope, noise / (max(n - 2, 1) * spread))
    known = ~np.isnan(errors)
    if known.sum() < _LEAST_KNOWN or np.ptp(errors[known]) <= 0:
        return slope, offset, trust, noise, 0.0
    parts = np.stack([np.ones(known.sum()), np.square(errors[known])], axis=1)
    (steady, of_raters), _ = nnls(parts * np.sqrt(share[known])[:, None], squares[known] * np.sqrt(share[known]))
    least = 0.1 * noise  # a piece whose raters agree fully is not known to be without error
    return slope, offset, trust, max(float(steady), least), float(of_raters)


def _logistic(x: np.ndarray, signs: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients of a logistic regression, (columns), the first not below 0, and the variance of the first.

    x: (n, columns), the slope's first. signs: (n), −1 or 1. weight: (n), of sum n.
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


def _of_signs(level: np.ndarray, signs: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Slope, offset and trust of a set of signs, 0 or 1. All arrays (n)."""
    x = np.stack([SIGN_SLOPE * level, np.ones(len(level))], axis=1)
    w, variance = _logistic(x, 2 * signs - 1, weight * len(weight) / weight.sum())
    slope = float(w[0])
    return slope, float(-w[1] / (SIGN_SLOPE * slope)) if slope > 0 else 0.0, _trust(slope, variance)


def _of_ranks(level: np.ndarray, ranks: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Slope, offset (0) and trust of a set of ranks. All arrays (n)."""
    first, second = drawn_pairs(ranks)
    shares = np.sqrt(weight[first] * weight[second])
    x = SIGN_SLOPE * (level[first] - level[second])[:, None]
    w, variance = _logistic(x, np.ones(len(first)), shares * len(level) / max(shares.sum(), 1e-12))
    return float(w[0]), 0.0, _trust(float(w[0]), variance)


def drawn_pairs(ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Indices of pairs of pieces, the first of which ranks higher: PAIRS for each, always the same ones. ranks: (n)."""
    draw = np.random.default_rng(0)
    first = np.repeat(np.arange(len(ranks)), PAIRS)
    second = draw.integers(0, len(ranks), len(first))
    higher, lower = np.where(ranks[first] > ranks[second], (first, second), (second, first))
    differ = ranks[first] != ranks[second]
    return higher[differ], lower[differ]


def _motion(left_out: Sequence[LeftOut]) -> np.ndarray:
    """Slope, trust and noise of how bars differ from their piece, (3, 2): a row each, a column a dimension.

    All 0 for listeners of the context `heard`, which have no motion apart from the level.
    """
    if left_out[0].listener.config.context == "heard":
        return np.zeros((3, 2))
    moved = [left.listener.motion(left.piece.views)[left.piece.rated] for left in left_out]
    predicted = np.concatenate([row - row.mean(axis=0) for row in moved])
    rated = np.concatenate([away_from_mean(left.piece) for left in left_out])
    weight = np.concatenate(
        [np.full(len(left.piece.rated), left.piece.weight / len(left.piece.rated)) for left in left_out]
    )
    found = np.zeros((3, 2))
    for k in range(2):
        known = ~np.isnan(rated[:, k])
        share = weight[known] / max(weight[known].sum(), 1e-12)
        x, y = predicted[known, k], rated[known, k]
        spread = float(share @ np.square(x))
        if spread > 1e-12:
            slope = float(share @ (x * y) / spread)
            noise = float(share @ np.square(y - slope * x))
            found[:, k] = slope, _trust(slope, noise / (spread * len(left_out))), noise
    return found


def away_from_mean(piece: SeenPiece) -> np.ndarray:
    """How a piece's ratings differ from their mean, (m, 2)."""
    return piece.targets - piece.mean


def scales_table(scales: Scales) -> pd.DataFrame:
    """The scales as a table: set, dimension, slope, offset, trust, noise_sd, motion_slope, motion_weight."""
    rows = [
        (name, d, s.slope[k], s.offset[k], s.trust[k], np.sqrt(s.noise[k]), s.motion_slope[k], s.motion_weight[k])
        for name, s in scales.items()
        for k, d in enumerate(DIMENSIONS)
    ]
    columns = ["set", "dimension", "slope", "offset", "trust", "noise_sd", "motion_slope", "motion_weight"]
    return pd.DataFrame(rows, columns=columns)
