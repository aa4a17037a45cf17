"""Training of a listener on rated music, and the size of its errors.

All sets are rated on one scale, that of VGMIDI. The level is a regression on its ratings and on the signs of EMOPIA's
quadrants at once: squared errors of ratings, log losses of signs and a ridge penalty on the weights are minimised in
one convex problem. A sign is positive with the probability logistic(SIGN_SLOPE × rating). Every piece and clip has the
same weight, however long; a clip's sign is that of the mean over its bars. The motion is a ridge regression on how
VGMIDI's ratings differ from their mean over the piece.

The band is learned from songs with listeners' tags: a ridge regression of what the level leaves of the tags' valence
and arousal, on the shares and rates of instruments and drums, divided by how far tags follow the level. Its valence
starts from what is known of groove (GROOVE), and the songs correct that. Without such songs drums and instruments add
nothing.

listener_errors.py measures the size of the errors on games and songs left out of training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit
from sklearn.linear_model import Ridge
from tqdm import tqdm

from pipeline.settings import UserError

from .band import BAND, from_usual
from .listener import (
    CLIP,
    Listener,
    ListenerConfig,
    View,
    distance,
    free_of_grid,
    views_read,
    weight_shapes,
)
from .listener_errors import error_weights
from .pretrain_settings import ListenerSettings
from .rated_pieces import RatedPiece
from .seen_music import LeftOut, RatedMusic, SeenPiece, song_shares, tags_as_ratings

SPREAD = (0.23, 0.25)  # valence and arousal of VGMIDI from piece to piece; used when trained without VGMIDI
SIGN_SLOPE = 10.0  # logits of a quadrant's sign for a rating of 1; 6 gives nearly the same agreement
# The tags' valence rises by so many standard deviations where log(1 + the drums' onsets a second) rises by one standard
# deviation. Event density and a salient beat are what makes people move to music (Madison, Gouyon, Ullén and Hörnström,
# J. Exp. Psychol. Human 37, 2011), and such music is felt as pleasant (Janata, Tomic and Haberman, J. Exp. Psychol.
# General 141, 2012). The size is that of the correlation between VGMIDI's valence and the onsets a second.
GROOVE = 0.3
FOLDS = 5
LEAST_SHARE = 0.95  # of the best concordance within pieces; the full motion is the smallest that reaches it
_FREE_BIAS = 3.0  # the larger, the weaker is the penalty on how much higher music without a beat grid is rated
_BAND_SLOPE = (0.5, 1.0)  # least and greatest change of a song's tags for a change of 1 in the level
_LEAST_SPREAD = 1e-3  # of ratings from piece to piece; below it they tell nothing about the scale
_FAR = 0.9  # share of the training pieces that are not far
_LEAST_STEP = 1e-10  # of Newton's method


def train_listener(pieces: Sequence[RatedPiece], settings: ListenerSettings) -> Listener:
    """Train a listener on pieces of VGMIDI, EMOPIA or both, and on tagged songs, and measure the size of its errors.

    Raises UserError if no piece is of VGMIDI or EMOPIA.
    """
    music = RatedMusic.of(pieces, settings)
    if not music.rated and not music.clips:
        raise UserError("data.train_on: a listener learns from vgmidi and emopia; set train.head to custom_mlp")
    config = ListenerConfig(
        pieces[0].input.values(settings.reads == "performance_and_latents").shape[1], settings.context
    )
    listener = fit_listener(music, config, settings)
    left_out = _predictions_left_out(music, config, settings)
    weights = dict(listener.weights)
    if left_out.rated and settings.context == "whole":
        weights["motion.gain"] = _motion_gain(left_out)
    listener = Listener(weights, config)
    weights |= error_weights(listener, left_out)
    return Listener({name: values.astype(np.float32) for name, values in weights.items()}, config)


def fit_listener(music: RatedMusic, config: ListenerConfig, settings: ListenerSettings) -> Listener:
    """Fit the level, the motion and the band; the size of the motion and of the errors is that of `train_listener`."""
    shapes = weight_shapes(config)
    weights = {name: np.ones(shape) if name.endswith("std") else np.zeros(shape) for name, shape in shapes.items()}
    ratings = [piece.mean for piece in music.rated]
    weights["error.mean"] = np.mean(ratings, axis=0) if ratings else np.zeros(2)
    spread = np.std(ratings, axis=0) if ratings else np.zeros(2)
    weights["error.spread"] = np.where(spread > _LEAST_SPREAD, spread, SPREAD)
    weights["error.free"] = np.ones(2)
    for view in views_read(config.context):
        weights |= {f"{view}.{name}": values for name, values in _fit_level(music, view, config, settings).items()}
    scale = weights[f"{config.context}.mean"], weights[f"{config.context}.std"]
    rows = [_standardised(_rows(piece, config.context)[0], scale) for piece in music.rated or music.clips]
    far = [distance(row).max() for row in rows]
    weights["error.far"] = np.quantile(far, [_FAR])
    if config.context == "whole":
        weights["motion.gain"] = np.ones(2)
        if music.rated:
            weights |= {f"motion.{name}": values for name, values in _fit_motion(music.rated, settings).items()}
    listener = Listener(weights, config)
    if music.tagged:
        weights |= {f"band.{name}": values for name, values in _fit_band(listener, music.tagged, settings).items()}
    return Listener(weights, config)


def _fit_level(
    music: RatedMusic, view: View, config: ListenerConfig, settings: ListenerSettings
) -> dict[str, np.ndarray]:
    """The weights with which both dimensions are read from a view."""
    rated = [_rows(piece, view) for piece in music.rated]
    clips = [_rows(piece, view) for piece in music.clips]
    scale, free_scale = _scale_of(rated or clips), _scale_of(clips or rated)

    def read(rows: np.ndarray) -> np.ndarray:
        freedom = free_of_grid(rows, view, config.width)[:, None]
        free = freedom * _standardised(rows, free_scale)
        return np.concatenate([_standardised(rows, scale), free, _FREE_BIAS * freedom, np.ones((len(rows), 1))], axis=1)

    width = 2 * len(scale[0]) + 2
    gram, moment = np.zeros((width, width)), np.zeros((width, 2))
    for rows, targets in rated:
        x = read(rows)
        gram += x.T @ x / len(x)
        moment += x.T @ targets / len(x)
    signs = np.array([2 * targets.mean(axis=0) - 1 for _, targets in clips]).reshape(len(clips), 2)
    means = np.array([read(rows).mean(axis=0) for rows, _ in clips]).reshape(len(clips), width)
    found = np.stack(
        [
            minimise(gram, moment[:, k], means, signs[:, k], settings.penalty_level, settings.sign_weight)
            for k in range(2)
        ]
    )
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


def minimise(
    gram: np.ndarray, moment: np.ndarray, signed: np.ndarray, signs: np.ndarray, penalty: float, sign_weight: float
) -> np.ndarray:
    """The weights w that minimise squared errors of ratings and log losses of signs, by Newton's method.

    The squared errors are given by gram, (d, d), the sum of x xᵀ, and moment, (d,), the sum of x y. signed: (clips, d).
    signs: (clips), −1 or 1. penalty: of |w|², without the last weight, which is the constant's.
    """
    penalties = np.append(np.full(len(moment) - 1, penalty), 1e-6)

    def loss(w: np.ndarray) -> float:
        logits = SIGN_SLOPE * signs * (signed @ w)
        return w @ (gram @ w / 2 - moment + penalties * w / 2) + sign_weight / 2 * np.logaddexp(0, -logits).sum()

    w = np.zeros(len(moment))
    for _ in range(100):
        wrong = expit(-SIGN_SLOPE * signs * (signed @ w))  # (clips,), probability of the other sign
        gradient = gram @ w - moment + penalties * w - sign_weight / 2 * SIGN_SLOPE * signed.T @ (signs * wrong)
        curve = sign_weight / 2 * SIGN_SLOPE**2 * wrong * (1 - wrong)
        step = np.linalg.solve(gram + np.diag(penalties) + (signed.T * curve) @ signed, gradient)
        while loss(w - step) > loss(w) and np.abs(step).max() > _LEAST_STEP:
            step = step / 2  # far from the minimum a whole step may overshoot
        w = w - step
        if np.abs(step).max() <= _LEAST_STEP:
            break
    return w


def _rows(piece: SeenPiece, view: View) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a view and their targets: one row with the mean, or one for each rated bar."""
    if view == "whole":
        return piece.views.whole.astype(np.float64), piece.mean[None]
    return piece.views.heard[piece.rated].astype(np.float64), piece.targets


def _scale_of(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of rows, each piece with the same weight; the spread of what hardly varies is 1."""
    mean = np.mean([rows.mean(axis=0) for rows, _ in parts], axis=0)
    std = np.sqrt(np.mean([np.square(rows - mean).mean(axis=0) for rows, _ in parts], axis=0))
    return mean, np.where(std > 1e-6, std, 1.0)


def _standardised(rows: np.ndarray, scale: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return ((rows - scale[0]) / scale[1]).clip(-CLIP, CLIP)


def _fit_motion(rated: Sequence[SeenPiece], settings: ListenerSettings) -> dict[str, np.ndarray]:
    """The weights of the motion."""
    parts = [(piece.views.motion[piece.rated].astype(np.float64), piece.targets - piece.mean) for piece in rated]
    scale = _scale_of(parts)
    rows, targets = (np.concatenate(values) for values in zip(*parts, strict=True))
    weights = np.concatenate([np.full(len(rows), 1 / len(rows)) for rows, _ in parts])
    fitted = Ridge(alpha=settings.penalty_motion).fit(_standardised(rows, scale), targets, sample_weight=weights)
    return {"mean": scale[0], "std": scale[1], "weight": fitted.coef_}


def _fit_band(listener: Listener, tagged: Sequence[SeenPiece], settings: ListenerSettings) -> dict[str, np.ndarray]:
    """The weights of the band, from songs with tags. Files of one song share its weight."""
    band = np.stack([song.views.band[-1] for song in tagged]).astype(np.float64)
    share = song_shares(tagged)
    mean = np.average(band, axis=0, weights=share)
    std = np.sqrt(np.average(np.square(band - mean), axis=0, weights=share))
    std = np.where(std > 1e-6, std, 1.0)
    usual = mean / np.maximum(np.average(band - from_usual(band, np.ones(len(BAND))), axis=0, weights=share), 1e-9)
    x = (from_usual(band, usual) / std).clip(-CLIP, CLIP)  # 0 on average, but for the clipping
    tags = tags_as_ratings(tagged, listener.weights["error.spread"])
    level = np.stack([listener.level(song.views) for song in tagged])
    weight = np.zeros((2, len(BAND)))
    weight[0, BAND.index("drums_per_second")] = GROOVE * listener.weights["error.spread"][0]
    loose = 1e3  # a column this large is hardly penalised
    for k in range(2):
        rows = np.concatenate([level[:, k : k + 1] * loose, x], axis=1)
        rest = tags[:, k] - x @ weight[k]
        ridge = Ridge(alpha=settings.penalty_band)
        slope = np.clip(ridge.fit(rows, rest, sample_weight=share).coef_[0] * loose, *_BAND_SLOPE)
        ridge.fit(x, rest - slope * level[:, k], sample_weight=share)
        weight[k] = (weight[k] + ridge.coef_) / slope  # from the unit of tags to that of the level
    return {"mean": usual, "std": std, "weight": weight}


def _predictions_left_out(music: RatedMusic, config: ListenerConfig, settings: ListenerSettings) -> LeftOut:
    """Every piece with a listener trained on other folds; a set of one game or song has none."""
    folds = [folds_by_group([p.group for p in part], [len(p.rated) for p in part], FOLDS) for part in music]
    found = LeftOut([], [], [])
    for number in tqdm(range(FOLDS), desc="measuring the errors", unit="fold", leave=False):
        fold = RatedMusic(*([part[i] for i in f[number]] for part, f in zip(music, folds, strict=True)))
        fold = RatedMusic(*([] if len(out) == len(part) else out for out, part in zip(fold, music, strict=True)))
        if not any(fold):
            continue
        kept = music.without(fold)
        listener = fit_listener(kept, config, settings)
        for predicted, pieces in zip(found, fold, strict=True):
            predicted += [(piece, listener) for piece in pieces]
    return found


def _motion_gain(left_out: LeftOut) -> np.ndarray:
    """The smallest size of the motion whose concordance within left-out pieces is LEAST_SHARE of the best, (2,).

    A motion g p of ratings y has the concordance 2 g cov / (g² var p + var y), which is best where the spreads are
    equal and flat around it.
    """
    away = [piece.targets - piece.mean for piece, _ in left_out.rated]
    motion = [listener.motion(piece.views)[piece.rated] for piece, listener in left_out.rated]
    spread, predicted = (np.concatenate([v - v.mean(axis=0) for v in values]).std(axis=0) for values in (away, motion))
    smallest = (1 - np.sqrt(1 - LEAST_SHARE**2)) / LEAST_SHARE  # of the best: 2 g / (1 + g²) = LEAST_SHARE
    return np.where(predicted > 1e-9, smallest * spread / np.maximum(predicted, 1e-9), 1.0)


def folds_by_group(groups: Sequence[str], sizes: Sequence[int], n_folds: int) -> list[list[int]]:
    """Divide pieces into folds of about the same size: lists of indices that contain every piece once.

    groups: the group of each piece. sizes: the size of each piece, for example its bars. The largest groups are
    assigned first, each to the fold that is smallest at the time, so the folds depend on the data alone. With fewer
    groups than folds some folds are empty.
    """
    size: dict[str, int] = {}
    for group, n in zip(groups, sizes, strict=True):
        size[group] = size.get(group, 0) + n
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of: dict[str, int] = {}
    for group in sorted(size, key=lambda g: (-size[g], g)):
        fold_of[group] = int(filled.argmin())
        filled[fold_of[group]] += size[group]
    return [[i for i, group in enumerate(groups) if fold_of[group] == fold] for fold in range(n_folds)]
