"""The level of a listener, and its motion: the weights that agree best with all sets at once.

The level is a regression on ratings, signs and ranks together: squared errors of ratings, log losses of signs and of
pairs of ranked pieces, and a ridge penalty on the weights are minimised in one convex problem, with each set on its
scale (set_scales.py). A set with its own scale has weights of its own on top of the common ones, with a penalty that is
the smaller the worse it fits; they are left out by Schur's complement of its part of the problem, in which log losses
are replaced by their parabola at the weights that the common sets give. Every piece of a set has the same weight,
however long; a clip's sign is that of the mean over its bars. The motion is a ridge regression on how the ratings of
curves differ from their mean over the piece.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import expit
from sklearn.linear_model import Ridge

from .listener import CLIP, ListenerConfig, View, free_of_grid, is_latent
from .pretrain_settings import ListenerSettings
from .scale_estimates import SIGN_SLOPE, drawn_pairs
from .seen_music import RatedMusic, SeenPiece, SeenSet
from .set_scales import Scales, SetScale, at_most, away_from_mean, scale_of_set, set_weights

_FREE_BIAS = 3.0  # the larger, the weaker is the penalty on how much higher music without a beat grid is rated
_LEAST_STEP = 1e-10  # of Newton's method
Read: TypeAlias = Callable[[np.ndarray], np.ndarray]  # the values of rows -> what the weights are for


class Signs(NamedTuple):
    """What should be positive, n rows: the probability that signs × slopes × (rows · weights − offsets) is above 0.

    rows: (n, width). signs: (n), −1 or 1. slopes, offsets: (n), the slopes in logits. weights: (n), of the log losses.
    """

    rows: np.ndarray
    signs: np.ndarray
    slopes: np.ndarray
    offsets: np.ndarray
    weights: np.ndarray

    def at(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The log losses at weights w, (width): minus their slope, (width), and their curve, (width, width)."""
        slopes = self.signs * self.slopes
        wrong = expit(-(slopes * (self.rows @ w - self.offsets)))  # (n,), probability of the other sign
        curve = self.weights * np.square(slopes) * wrong * (1 - wrong)
        return self.rows.T @ (self.weights * slopes * wrong), (self.rows.T * curve) @ self.rows


def no_signs(width: int) -> Signs:
    """An empty set of signs."""
    return Signs(np.zeros((0, width)), *(np.zeros(0) for _ in range(4)))


def joined(parts: Sequence[Signs], width: int) -> Signs:
    """Several sets of signs as one."""
    return Signs(*(np.concatenate(values) for values in zip(no_signs(width), *parts, strict=True)))


class _Evidence(NamedTuple):
    """A set's rows for a view, n of them: values (n, width), targets (n, 2), and weights (n, 2) in the common unit."""

    rows: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


def fit_level(
    music: RatedMusic, scales: Scales, view: View, config: ListenerConfig, settings: ListenerSettings
) -> dict[str, np.ndarray]:
    """The weights with which both dimensions are read from a view."""
    rated, clips = ([rows_of(piece, view)[0] for piece in pieces] for pieces in (music.rated, music.clips))
    others = [rows_of(piece, view)[0] for seen in music for piece in seen.pieces] if not rated and not clips else []
    scale, free_scale = (
        less_of_latents(scale_of(some), view, config, settings)
        for some in (rated or clips or others, clips or rated or others)
    )

    def read(rows: np.ndarray) -> np.ndarray:
        freedom = free_of_grid(rows, view, config.width)[:, None]
        free = freedom * standardised(rows, free_scale)
        return np.concatenate([standardised(rows, scale), free, _FREE_BIAS * freedom, np.ones((len(rows), 1))], axis=1)

    teaching = [seen for seen in music if seen.teaches_level]
    evidence = [(seen, _evidence(seen, scale_of_set(scales, seen), view, read)) for seen in teaching]
    width = 2 * len(scale[0]) + 2
    found = np.stack([_fitted(evidence, scales, k, width, settings) for k in range(2)])
    weight, free_weight = np.split(found[:, :-2], 2, axis=1)
    return {
        "mean": scale[0],
        "std": scale[1],
        "weight": weight,
        "free.mean": free_scale[0],
        "free.std": free_scale[1],
        "free.weight": free_weight,
        "bias": np.stack([found[:, -1], _FREE_BIAS * found[:, -2]]),
    }


def _fitted(
    evidence: Sequence[tuple[SeenSet, _Evidence]], scales: Scales, k: int, width: int, settings: ListenerSettings
) -> np.ndarray:
    """The weights for one dimension, (width)."""
    gram, moment, signs = np.zeros((width, width)), np.zeros(width), [no_signs(width)]
    for seen, rows in evidence:
        if seen.is_common:
            part = _problem(seen, scale_of_set(scales, seen), rows, k, settings)
            gram += part.gram
            moment += part.moment
            signs.append(part.signs)
    common = joined(signs, width)
    weights = minimise(gram, moment, common, settings.penalty_level)
    others = [(seen, rows) for seen, rows in evidence if not seen.is_common and rows.weights[:, k].any()]
    for seen, rows in others:
        scale = scale_of_set(scales, seen)
        part = with_own_weights(_problem(seen, scale, rows, k, settings).at(weights), _penalty(scale, rows, k))
        gram += part.gram
        moment += part.moment
    return minimise(gram, moment, common, settings.penalty_level) if others else weights


class _Problem(NamedTuple):
    """A set's part of what is minimised: squared errors, by gram (d, d) and moment (d), and signs."""

    gram: np.ndarray
    moment: np.ndarray
    signs: Signs

    def at(self, w: np.ndarray) -> _Problem:
        """The problem with the log losses of signs replaced by their parabola at w, (d)."""
        pull, curve = self.signs.at(w)
        return _Problem(self.gram + curve, self.moment + curve @ w + pull, no_signs(len(w)))


def _problem(seen: SeenSet, scale: SetScale, evidence: _Evidence, k: int, settings: ListenerSettings) -> _Problem:
    """A set's part of the problem for one dimension."""
    given = evidence.weights[:, k] > 0
    x, y, w = evidence.rows[given], evidence.targets[given, k], evidence.weights[given, k]
    width = x.shape[1]
    if seen.is_numeric:
        return _Problem((x.T * w) @ x, x.T @ (w * y), no_signs(width))
    signs = signs_of(seen, scale, k, x, y, np.zeros(len(y)), w * settings.sign_weight / 2)
    return _Problem(np.zeros((width, width)), np.zeros(width), signs)


def _penalty(scale: SetScale, evidence: _Evidence, k: int) -> float:
    """The penalty on a set's own weights under which the levels that they give vary as much as its misfit."""
    w = evidence.weights[:, k]
    size = float(w @ np.square(evidence.rows[:, :-1]).sum(axis=1) / w.sum())
    return float(scale.reference[k]) * size / max(float(scale.misfit[k]), 1e-9)


def with_own_weights(part: _Problem, penalty: float) -> _Problem:
    """A set's part of the problem when it has weights of its own on top of the common ones, with this penalty.

    Minimised over them, x (w + own) leaves the common weights the gram P (G + P)⁻¹ G and the moment P (G + P)⁻¹ m, for
    the penalty P: never more than P, however many pieces there are.
    """
    both = np.concatenate([part.gram, part.moment[:, None]], axis=1)
    kept = np.linalg.solve(part.gram / penalty + np.eye(len(part.moment)), both)
    return _Problem((kept[:, :-1] + kept[:, :-1].T) / 2, kept[:, -1], part.signs)


def _evidence(seen: SeenSet, scale: SetScale, view: View, read: Read) -> _Evidence:
    """A set's rows: one for each rated bar of a curve in the view `heard`, otherwise one for each piece."""
    by_piece = set_weights(seen, scale)
    rows, targets, weights = [], [], []
    for piece, weight in zip(seen.pieces, by_piece, strict=True):
        values, wanted = rows_of(piece, view)
        x = read(values)
        if seen.kind != "curve":
            x, wanted = x.mean(axis=0, keepdims=True), piece.mean[None]
        rows.append(x)
        targets.append(wanted)
        known = ~np.isnan(wanted)
        weights.append(np.where(known, weight / np.maximum(known.sum(axis=0), 1), 0.0))
    y = np.concatenate(targets)
    if seen.is_numeric and not seen.is_common:
        y = scale.in_common_unit(y)
    return _Evidence(np.concatenate(rows), np.nan_to_num(y), np.where(np.isnan(y), 0.0, np.concatenate(weights)))


def signs_of(
    seen: SeenSet, scale: SetScale, k: int, x: np.ndarray, y: np.ndarray, before: np.ndarray, weight: np.ndarray
) -> Signs:
    """A set of signs or ranks, one dimension of it, as what should be positive.

    x: (n, width). y: (n), signs as 0 or 1, or ranks. before: (n), what is predicted without x. weight: (n).
    """
    slope = SIGN_SLOPE * float(scale.slope[k])
    if seen.kind == "sign":
        return Signs(x, 2 * y - 1, np.full(len(y), slope), scale.offset[k] - before, weight)
    first, second = drawn_pairs(y)
    shares = np.sqrt(weight[first] * weight[second])
    shares *= weight.sum() / max(shares.sum(), 1e-12)  # together they weigh as much as the pieces
    n = len(first)
    return Signs(x[first] - x[second], np.ones(n), np.full(n, slope), before[second] - before[first], shares)


def minimise(gram: np.ndarray, moment: np.ndarray, signs: Signs, penalty: float) -> np.ndarray:
    """The weights w that minimise squared errors of ratings and log losses of signs, by Newton's method.

    The squared errors are given by gram, (d, d), the sum of x xᵀ, and moment, (d,), the sum of x y. penalty: of |w|²,
    without the last weight, which is the constant's.
    """
    penalties = np.append(np.full(len(moment) - 1, penalty), 1e-6)
    slopes = signs.signs * signs.slopes

    def loss(w: np.ndarray) -> float:
        logits = slopes * (signs.rows @ w - signs.offsets)
        return float(w @ (gram @ w / 2 - moment + penalties * w / 2) + signs.weights @ np.logaddexp(0, -logits))

    w = np.zeros(len(moment))
    for _ in range(100):
        pull, curve = signs.at(w)
        step = np.linalg.solve(gram + np.diag(penalties) + curve, gram @ w - moment + penalties * w - pull)
        while loss(w - step) > loss(w) and np.abs(step).max() > _LEAST_STEP:
            step = step / 2  # far from the minimum a whole step may overshoot
        w = w - step
        if np.abs(step).max() <= _LEAST_STEP:
            break
    return w


def rows_of(piece: SeenPiece, view: View) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a view and their targets: one row with the mean, or one for each rated bar."""
    if view == "whole":
        return piece.views.whole.astype(np.float64), piece.mean[None]
    return piece.views.heard[piece.rated].astype(np.float64), piece.targets


def scale_of(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of rows, each piece with the same weight; the spread of what hardly varies is 1."""
    mean = np.mean([rows.mean(axis=0) for rows in parts], axis=0)
    std = np.sqrt(np.mean([np.square(rows - mean).mean(axis=0) for rows in parts], axis=0))
    return mean, np.where(std > 1e-6, std, 1.0)


def less_of_latents(
    scale: tuple[np.ndarray, np.ndarray],
    part: View | Literal["motion"],
    config: ListenerConfig,
    settings: ListenerSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """The scale of a view with which latents have settings.latent_weight of the spread that features have."""
    mean, std = scale
    return mean, np.where(is_latent(part, config), std / settings.latent_weight, std)


def standardised(rows: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Rows, less a mean and in units of a spread, clipped. rows: (n, width)."""
    return ((rows - scale[0]) / scale[1]).clip(-CLIP, CLIP)


def fit_motion(
    music: RatedMusic, scales: Scales, config: ListenerConfig, settings: ListenerSettings
) -> dict[str, np.ndarray]:
    """The weights of the motion, from all curves that are learned from; none if there are none."""
    rows, targets, weights = [], [], []
    curves = [(seen, scale_of_set(scales, seen)) for seen in music if seen.kind == "curve" and seen.teaches_level]
    curves = [(seen, scale) for seen, scale in curves if (scale.motion_weight > 0).any()]
    for seen, scale in curves:
        slope = np.where(scale.motion_slope > 0, scale.motion_slope, 1.0)
        shares = at_most(seen.weight * seen.shares[:, None] * scale.motion_weight)  # (pieces, 2)
        for piece, share in zip(seen.pieces, shares, strict=True):
            rows.append(piece.views.motion[piece.rated].astype(np.float64))
            targets.append(away_from_mean(piece) / slope)
            weights.append(np.repeat(share[None] / len(rows[-1]), len(rows[-1]), axis=0))
    if not rows:
        return {}
    scale_of_rows = less_of_latents(scale_of(rows), "motion", config, settings)
    x, y, w = standardised(np.concatenate(rows), scale_of_rows), np.concatenate(targets), np.concatenate(weights)
    weight = np.zeros((2, x.shape[1]))
    for k in range(2):
        known = ~np.isnan(y[:, k]) & (w[:, k] > 0)
        if known.any():
            weight[k] = Ridge(alpha=settings.penalty_motion).fit(x[known], y[known, k], w[known, k]).coef_
    return {"mean": scale_of_rows[0], "std": scale_of_rows[1], "weight": weight}
