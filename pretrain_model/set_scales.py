"""How each set's ratings follow the level of the music: its offset, its slope, its noise, and how far it differs.

Sets are rated on scales of their own, by raters who agree more or less. A set's ratings y are taken to follow the level
z, which is on the common scale, as

    curves and points   y = offset + slope z + noise
    signs               a positive side has the probability logistic(SIGN_SLOPE slope (z − offset))
    ranks               of two pieces the first is higher with the probability logistic(SIGN_SLOPE slope (z₁ − z₂))

with each dimension apart. All are learned from levels predicted by listeners that learned from the common sets alone,
so that no set can confirm itself. A set then weighs as much as its precision in the unit of the common scale: one whose
ratings have nothing to do with the level has no weight, however large it is, and one whose slope is negative runs
against the others and is not learned from. Where the raters' standard errors are known, the noise of a piece grows with
them, as far as it does.

Precision alone is not enough, since a set may rate something else in part (tags: what a song is played for), and that
does not average out over its pieces. So each set has weights of its own on top of the common ones. They may be as large
as its misfit: the variance of what a model of this set alone explains and the common level does not. A set that fits is
learned from as if it were on the common scale; one that doesn't is a hint that more pieces make no stronger.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.annotations import DIMENSIONS

from .listener import CLIP
from .scale_estimates import explained, explained_alone, of_numbers, of_ranks, of_signs, trust
from .seen_music import LeftOut, RatedMusic, SeenPiece, SeenSet

# variance of the errors of VGMIDI's left-out pieces, valence and arousal; used without a common set of ratings
REFERENCE = np.array([0.026, 0.020])
MOTION_REFERENCE = np.array([0.012, 0.012])  # the same for how bars differ from their piece
LARGEST_WEIGHT = 2000.0  # of a set, in pieces of the common scale; more don't count more
_SLOPE_OF_COMMON = (0.5, 2.0)  # bounds, so that few pieces can't turn the scale around
_LEAST_PIECES = 3  # for a slope


@dataclass(frozen=True)
class SetScale:
    """A set's scale, valence and arousal, (2,) each.

    trust: from 0 to 1, how sure the slope is above 0. noise: variance of the ratings about the level, in the set's
    unit. noise_of_raters: by how much it grows with the square of the raters' standard error. misfit: variance by which
    the set's levels differ from the common ones, in the common unit. reference: variance of the errors on the common
    scale. motion_slope: as slope, for bars about the mean of their piece; motion_weight: how much a bar counts against
    one on the common scale.
    """

    slope: np.ndarray
    offset: np.ndarray
    trust: np.ndarray
    noise: np.ndarray
    noise_of_raters: np.ndarray
    misfit: np.ndarray
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


NOT_LEARNED = SetScale(*(np.zeros(2) for _ in range(9)))
COMMON = replace(NOT_LEARNED, **{name: np.ones(2) for name in ("slope", "trust", "motion_slope", "motion_weight")})
Scales = Mapping[str, SetScale]


def scale_of_set(scales: Scales, seen: SeenSet) -> SetScale:
    """The scale of a set."""
    return COMMON if seen.is_common else scales.get(seen.name, NOT_LEARNED)


def known_errors(rated: SeenSet) -> np.ndarray:
    """The standard error of the raters' mean of each piece, (pieces, 2); the set's mean where it is not known, or 0."""
    errors = np.array([piece.error for piece in rated.pieces]).reshape(-1, 2)
    known = np.isfinite(errors)
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


def learn_scales(music: RatedMusic, left_out: Sequence[LeftOut]) -> dict[str, SetScale]:
    """The scale of every set that has its own, by its name.

    left_out: every piece with a listener that learned from the common sets alone, without the piece's fold.
    """
    by_set: dict[str, list[LeftOut]] = {}
    for left in left_out:
        by_set.setdefault(left.of.name, []).append(left)
    common, anchor = _common_scale(music, by_set), _motion_anchor(music)
    return {s.name: _scale(s, by_set.get(s.name, []), common, s.name == anchor) for s in music.own}


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
        if known.sum() >= _LEAST_PIECES:
            found = of_numbers(level[known, k], means[known, k], weight[known], np.full(known.sum(), np.nan))
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
    """The set whose motion has the unit of its level: the first of curves where none is on the common scale."""
    curves = [rated for rated in music if rated.kind == "curve" and rated.teaches_level]
    return curves[0].name if curves and not any(rated.is_common for rated in curves) else None


def _scale(rated: SeenSet, left_out: Sequence[LeftOut], common: _CommonScale, is_anchor: bool) -> SetScale:
    """A set's scale, from its left-out pieces. is_anchor: whether its motion has the unit of its level."""
    level, means, weight, errors = _of_pieces(left_out)
    found = np.zeros((6, 2))
    for k in range(2):
        known = ~np.isnan(means[:, k])
        if known.sum() < _LEAST_PIECES or np.ptp(means[known, k]) <= 0:
            continue
        given = level[known, k], means[known, k], weight[known]
        if rated.is_numeric:
            found[:5, k] = of_numbers(*given, errors[known, k])
        else:
            found[:3, k] = of_signs(*given) if rated.kind == "sign" else of_ranks(*given)
        if found[2, k] > 0:
            some = [left.piece for left, is_known in zip(left_out, known, strict=True) if is_known]
            found[3:5, k] *= _adjust(some, *given, found[:, k])
    slope, offset, sure, noise, of_raters, misfit = found
    slope = slope / common.slope  # of levels on the common scale, which predictions are drawn in from
    offset = offset - slope * common.offset if rated.is_numeric else common.offset + common.slope * offset
    motion_slope, motion_weight = (slope, (sure > 0).astype(float)) if is_anchor else (np.zeros(2), np.zeros(2))
    if rated.kind == "curve" and not is_anchor and left_out:
        motion_slope, motion_sure, motion_noise = _motion(left_out)
        motion_slope = motion_slope / common.motion_slope
        motion_weight = motion_sure * np.square(motion_slope) * common.noise_of_motion / np.maximum(motion_noise, 1e-12)
    misfit = misfit * np.square(common.slope)
    return SetScale(slope, offset, sure, noise, of_raters, misfit, common.noise, motion_slope, motion_weight)


def _adjust(
    pieces: Sequence[SeenPiece], level: np.ndarray, rated: np.ndarray, weight: np.ndarray, found: np.ndarray
) -> float:
    """Set a set's misfit, found[5], from what a model of it alone explains; returns what part of the noise is left.

    level, rated, weight: (n,), of one dimension.
    """
    rows = np.concatenate([piece.views.whole for piece in pieces]).astype(np.float64)
    mean = np.average(rows, axis=0, weights=weight)
    std = np.sqrt(np.average(np.square(rows - mean), axis=0, weights=weight))
    rows = np.nan_to_num((rows - mean) / np.where(std > 1e-6, std, 1.0)).clip(-CLIP, CLIP)
    by_level = explained(level, rated, weight)
    alone = max(explained_alone(rows, rated, weight, [piece.group for piece in pieces]), by_level)
    found[5] = (alone / max(by_level, 1e-6) - 1) * np.average(np.square(level - level.mean()), weights=weight)
    return (1 - alone) / max(1 - by_level, 1e-6)


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
            found[:, k] = slope, trust(slope, noise / (spread * len(left_out))), noise
    return found


def away_from_mean(piece: SeenPiece) -> np.ndarray:
    """How a piece's ratings differ from their mean, (m, 2)."""
    return piece.targets - piece.mean


def scales_table(scales: Scales) -> pd.DataFrame:
    """The scales as a table: set, dimension, slope, offset, trust, noise_sd, misfit_sd, motion_slope, motion_weight."""
    rows = [
        (name, d, *(v[k] for v in (s.slope, s.offset, s.trust, np.sqrt(s.noise), np.sqrt(s.misfit))))
        + (s.motion_slope[k], s.motion_weight[k])
        for name, s in scales.items()
        for k, d in enumerate(DIMENSIONS)
    ]
    columns = ["set", "dimension", "slope", "offset", "trust", "noise_sd", "misfit_sd", "motion_slope", "motion_weight"]
    return pd.DataFrame(rows, columns=columns)
