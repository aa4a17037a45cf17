"""Training of a listener on rated music, and the size of its errors.

What it predicts is on the scale of the common sets, among those that come with the project VGMIDI and EMOPIA; every
other set is rated on a scale of its own, which is learned (set_scales.py). listener_level.py fits the level and the
motion, listener_band.py what drums and instruments add, and listener_errors.py measures the size of the errors, on
games and songs left out of training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.annotations import DIMENSIONS
from pipeline.progress import progress_bar
from pipeline.settings import UserError

from .folds import folds_of_sets
from .latent_projection import fit_projection
from .listener import Listener, ListenerConfig, distance, views_read, weight_shapes
from .listener_band import fit_band
from .listener_errors import error_weights
from .listener_level import fit_level, fit_motion, rows_of, standardised
from .pretrain_settings import ListenerSettings
from .rated_pieces import RatedPiece
from .seen_music import SPREAD, LeftOut, RatedMusic
from .set_scales import NOT_LEARNED, Scales, SetScale, away_from_mean, learn_scales

FOLDS = 5
LEAST_SHARE = 0.95  # of the best concordance within pieces; the full motion is the smallest that reaches it
_LEAST_SPREAD = 1e-3  # of ratings from piece to piece; below it they tell nothing about the scale
_FAR = 0.9  # share of the training pieces that are not far


class TrainedListener(NamedTuple):
    """A listener, and the scale of every set that has its own, by its name.

    anchor: the set on whose scale it predicts if none is common; else None.
    """

    listener: Listener
    scales: Mapping[str, SetScale]
    anchor: str | None


def train_listener(pieces: Sequence[RatedPiece], settings: ListenerSettings) -> Listener:
    """As `train_with_scales`, without the scales."""
    return train_with_scales(pieces, settings).listener


def train_with_scales(pieces: Sequence[RatedPiece], settings: ListenerSettings) -> TrainedListener:
    """Train a listener on the pieces of any sets, and measure the size of its errors.

    Raises UserError if there are no pieces, or none that are rated in one of the dimensions.
    """
    if not pieces:
        raise UserError("data.train_on: there are no rated pieces to learn from")
    teaching = [piece for piece in pieces if piece.of.teaches == "all"]
    if not teaching:
        raise UserError("data.train_on: every set has teaches: band; set it to all for one at least")
    for k, dimension in enumerate(DIMENSIONS):
        if all(np.isnan(piece.targets[:, k]).all() for piece in teaching):
            raise UserError(f"data.train_on: no set rates {dimension}; add one that does, or correct sets.NAME.columns")
    width = pieces[0].made.features.shape[1]
    config = ListenerConfig(width, settings.context)
    projection = None
    if settings.reads == "performance_and_latents":
        projection = fit_projection([piece.made.latents for piece in pieces], settings.latent_components)
        components, latent = projection.components.shape
        config = ListenerConfig(width + components, settings.context, latent, components)
    music = RatedMusic.of(pieces, settings, projection)
    scales: dict[str, SetScale] = {}
    if music.own:
        scales = learn_scales(music, left_out_of(music, scales, config, settings, with_band=False))
    listener = fit_listener(music, scales, config, settings)
    left_out = left_out_of(music, scales, config, settings)
    weights = dict(listener.weights)
    if projection is not None:
        weights |= {"latents.mean": projection.mean, "latents.components": projection.components}
    if settings.context == "whole":
        weights["motion.gain"] = _motion_gain(left_out, scales)
    listener = Listener(weights, config)
    weights |= error_weights(listener, left_out, scales)
    trained = Listener({name: values.astype(np.float32) for name, values in weights.items()}, config)
    return TrainedListener(trained, scales, music.anchor)


def fit_listener(
    music: RatedMusic, scales: Scales, config: ListenerConfig, settings: ListenerSettings, with_band: bool = True
) -> Listener:
    """Fit the level, the motion and the band; the size of the motion and of the errors is that of `train_listener`."""
    shapes = weight_shapes(config)
    weights = {name: np.ones(shape) if name.endswith("std") else np.zeros(shape) for name, shape in shapes.items()}
    ratings = np.array([piece.mean for piece in music.rated]).reshape(-1, 2)
    weights["error.mean"] = np.nanmean(ratings, axis=0) if len(ratings) else np.zeros(2)
    spread = np.nanstd(ratings, axis=0) if len(ratings) else np.zeros(2)
    weights["error.spread"] = np.where(spread > _LEAST_SPREAD, spread, SPREAD)
    weights["error.free"] = np.ones(2)
    for view in progress_bar(views_read(config.context), "fitting the level", "views", after=1):
        fitted = fit_level(music, scales, view, config, settings)
        weights |= {f"{view}.{name}": values for name, values in fitted.items()}
    scale = weights[f"{config.context}.mean"], weights[f"{config.context}.std"]
    pieces = music.rated or music.clips or [piece for seen in music for piece in seen.pieces]
    far = [distance(standardised(rows_of(piece, config.context)[0], scale)).max() for piece in pieces]
    weights["error.far"] = np.quantile(far, [_FAR])
    if config.context == "whole":
        weights["motion.gain"] = np.ones(2)
        weights |= {f"motion.{name}": values for name, values in fit_motion(music, scales, config, settings).items()}
    listener = Listener(weights, config)
    if with_band:
        weights |= {f"band.{name}": values for name, values in fit_band(listener, music, scales, settings).items()}
    return Listener(weights, config)


def left_out_of(
    music: RatedMusic, scales: Scales, config: ListenerConfig, settings: ListenerSettings, with_band: bool = True
) -> list[LeftOut]:
    """Every piece with a listener trained on other folds; a set of one game or song has none."""
    folds = _folds(music)
    found: list[LeftOut] = []
    for number in progress_bar(range(FOLDS), "measuring the errors", "folds"):
        out = [f[number] if len(f[number]) < len(seen.pieces) else [] for f, seen in zip(folds, music, strict=True)]
        if not any(out):
            continue
        kept = [sorted({*range(len(seen.pieces))} - {*some}) for seen, some in zip(music, out, strict=True)]
        listener = fit_listener(music.select(kept), scales, config, settings, with_band)
        for seen, some in zip(music, out, strict=True):
            found += [LeftOut(seen, seen.pieces[i], listener) for i in some]
    return found


def _folds(music: RatedMusic) -> list[list[list[int]]]:
    """The pieces of each fold of each set, by their indices; groups that several sets share are in one fold of all."""
    groups = [[piece.group for piece in seen.pieces] for seen in music]
    together = len(set().union(*groups)) < sum(len(set(some)) for some in groups)
    sizes = [[1 if together else len(piece.rated) for piece in seen.pieces] for seen in music]
    return folds_of_sets(groups, sizes, FOLDS, together)


def _motion_gain(left_out: Sequence[LeftOut], scales: Scales) -> np.ndarray:
    """The smallest size of the motion whose concordance within left-out pieces is LEAST_SHARE of the best, (2,).

    A motion g p of ratings y has the concordance 2 g cov / (g² var p + var y), which is best where the spreads are
    equal and flat around it. Measured on curves with the common scale, or else with the scale of their set.
    """
    curves = [left for left in left_out if left.of.kind == "curve"]
    curves = [left for left in curves if left.of.is_common] or curves
    gain = np.ones(2)
    if not curves:
        return gain
    moved = [left.listener.motion(left.piece.views)[left.piece.rated] for left in curves]
    predicted = np.concatenate([values - values.mean(axis=0) for values in moved])
    smallest = (1 - np.sqrt(1 - LEAST_SHARE**2)) / LEAST_SHARE  # of the best: 2 g / (1 + g²) = LEAST_SHARE
    away = []
    for left in curves:
        slope = np.ones(2) if left.of.is_common else scales.get(left.of.name, NOT_LEARNED).motion_slope
        away.append(away_from_mean(left.piece) / np.where(slope > 0, slope, np.nan))
    rated = np.concatenate(away)
    for k in range(2):
        known = ~np.isnan(rated[:, k])
        if known.any() and predicted[known, k].std() > 1e-9:
            gain[k] = smallest * rated[known, k].std() / predicted[known, k].std()
    return gain
