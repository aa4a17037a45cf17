"""The predictors that cross-validation compares, each a function that trains it.

- constant: the mean rating of the training pieces, each with the same weight; for EMOPIA the mean of its points. It
  differs from fold to fold, low where the left-out games are rated high, so its correlation is below zero.
- one_rater (sets with single raters): every single rater's ratings against the mean of all others'.
- half_of_raters (likewise): the mean of a random half of a piece's raters against that of the other half. By Spearman
  and Brown's formula the mean of all raters has the reliability 2 r / (1 + r), and no predictor's r can be expected to
  exceed the root of that.
- trees: extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006) on the performance features
  of the bar, of the last seconds and of everything heard so far, and their mean over the piece.
- custom_mlp: CustomMLP on the latents of single bars; it stops by the loss on some groups set apart from the training
  data. custom_mlp_mean: the same on the mean of a piece's latents, so that all its bars are predicted alike.
  latent_sequence: a recurrent head that reads the latents of all bars of the piece (latent_sequence.py).
- listener_heard, listener_whole, listener_whole_and_latents: the listener with these settings.
- listener_whole_cautious: listener_whole with the motion of the size that a regression gives it.

Predictors other than listeners learn from sets on the common scale alone; they still predict the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesRegressor

from pipeline.annotations import DIMENSIONS

from .agreement import Points
from .folds import folds_by_group
from .head import Head
from .latent_sequence import predict_sequence, train_latent_sequence
from .listener import Motion
from .listener_training import train_listener
from .pretrain_settings import PretrainSettings
from .rated_pieces import RatedBars, RatedPiece, Represent, mean_latent, rated_bars, whole_latent
from .time_averages import heard_mean, leaky_means
from .training import train_head

OF_RATERS = ("one_rater", "half_of_raters")  # predictors that are no models
_STOP_FOLDS = 7  # CustomMLP stops by the loss on one of this many parts of the training data
_TREES, _LEAF, _FEATURES = 200, 5, 0.3

Predict: TypeAlias = Callable[[RatedPiece], Points]
Train: TypeAlias = Callable[[Sequence[RatedPiece]], Predict]


def learned(pieces: Sequence[RatedPiece], without: str | None = None) -> list[RatedPiece]:
    """The pieces to learn from. without: a set to leave out."""
    return [piece for piece in pieces if piece.of.use == "train" and piece.dataset != without]


def trains(name: str, pieces: Sequence[RatedPiece]) -> bool:
    """Whether a predictor can be trained on these pieces: they rate both dimensions in a way that it learns from."""
    needed = [p for p in learned(pieces) if (p.of.teaches == "all" if is_listener(name) else p.of.scale == "common")]
    return all(any(not np.isnan(p.targets[:, k]).all() for p in needed) for k in range(len(DIMENSIONS)))


def is_listener(name: str) -> bool:
    """Whether a predictor is a listener, which learns from sets of any kind."""
    return name.startswith("listener_")


def trainer(name: str, settings: PretrainSettings) -> Train:
    """The function that trains a predictor. name: one of the setting's predictors except those of raters."""
    if name.startswith("listener_"):
        context = "heard" if name == "listener_heard" else "whole"
        reads = "performance_and_latents" if name.endswith("_and_latents") else "performance"
        changed: Any = {"context": context, "reads": reads}
        motion: Motion = "cautious" if name.endswith("_cautious") else "full"
        return partial(_train_listener, replace(settings, listener=replace(settings.listener, **changed)), motion)
    trains: dict[str, Callable[..., Predict]] = {
        "constant": _train_constant,
        "trees": _train_trees,
        "custom_mlp": train_mlp,
        "custom_mlp_mean": _train_mlp_on_means,
        "latent_sequence": _train_sequence,
    }
    train = trains[name]
    return lambda pieces: train(settings, [piece for piece in pieces if piece.of.scale == "common"])


def _train_constant(settings: PretrainSettings, pieces: Sequence[RatedPiece]) -> Predict:
    sets = {p.dataset for p in pieces}
    means: dict[str, np.ndarray] = {
        name: np.nanmean([p.targets.mean(axis=0, dtype=np.float64) for p in pieces if p.dataset == name], axis=0)
        for name in sets
    }
    of_all = np.mean(list(means.values()), axis=0)  # for sets that it has not seen

    def predict(piece: RatedPiece) -> Points:
        mean = means.get(piece.dataset)
        return np.tile(of_all if mean is None else mean, (len(piece.rated), 1))

    return predict


def _train_trees(settings: PretrainSettings, pieces: Sequence[RatedPiece]) -> Predict:
    def read(piece: RatedPiece) -> np.ndarray:
        values, edges = piece.made.features.astype(np.float64), piece.made.edges
        heard = heard_mean(values, edges)
        whole = np.repeat(heard[-1:], len(values), axis=0)
        return np.concatenate([values, *leaky_means(values, edges, [4.0]), heard, whole], axis=1)[piece.rated]

    model = ExtraTreesRegressor(
        _TREES, min_samples_leaf=_LEAF, max_features=_FEATURES, n_jobs=-1, random_state=settings.train.seed
    )
    weights = np.concatenate([np.full(len(p.rated), 1 / len(p.rated)) for p in pieces])
    share = {dataset: sum(p.dataset == dataset for p in pieces) for dataset in {p.dataset for p in pieces}}
    weights /= np.concatenate([np.full(len(p.rated), share[p.dataset]) for p in pieces])  # each set the same weight
    targets = np.concatenate([p.targets for p in pieces])
    known = ~np.isnan(targets).any(axis=1)
    model.fit(np.concatenate([read(p) for p in pieces])[known], targets[known], weights[known])
    return lambda piece: model.predict(read(piece))


def train_mlp(settings: PretrainSettings, pieces: Sequence[RatedPiece], represent: Represent = whole_latent) -> Predict:
    """Train CustomMLP on a representation of the pieces' bars; it stops by the loss on a part of the pieces."""
    names = sorted({p.dataset for p in pieces})
    parts: list[list[RatedBars]] = []
    for part in _apart_from_stopping(pieces):
        parts.append([rated_bars(some, represent) for d in names if (some := [p for p in part if p.dataset == d])])
    trained = train_head(parts[0], parts[1], settings.train)

    def predict(piece: RatedPiece) -> Points:
        with torch.inference_mode():
            rating = trained.model(torch.from_numpy(represent(piece)[piece.rated]))
            return torch.cat([rating, trained.model.sd.expand(rating.shape)], dim=1).numpy()

    return predict


def _train_mlp_on_means(settings: PretrainSettings, pieces: Sequence[RatedPiece]) -> Predict:
    predict = train_mlp(settings, pieces, mean_latent)
    # one row for all bars: equal rows may come out different in their last digits
    return lambda piece: np.repeat(predict(piece)[:1].astype(np.float64), len(piece.rated), axis=0)


def _train_sequence(settings: PretrainSettings, pieces: Sequence[RatedPiece]) -> Predict:
    return partial(predict_sequence, train_latent_sequence(*_apart_from_stopping(pieces), settings.train))


def _apart_from_stopping(pieces: Sequence[RatedPiece]) -> tuple[list[RatedPiece], list[RatedPiece]]:
    """The pieces to train on, and those of some groups by whose loss training stops."""
    groups = [f"{p.dataset} {p.group}" for p in pieces]
    stop = set(folds_by_group(groups, [len(p.rated) for p in pieces], _STOP_FOLDS)[0])
    return [p for i, p in enumerate(pieces) if i not in stop], [p for i, p in enumerate(pieces) if i in stop]


def _train_listener(settings: PretrainSettings, motion: Motion, pieces: Sequence[RatedPiece]) -> Predict:
    model = train_listener(pieces, settings.listener)
    reads_latents = settings.listener.reads == "performance_and_latents"
    head = Head("", "", "of the pieces" if reads_latents else "", replace(model, motion_size=motion), {})
    return lambda piece: head.predict([piece.input])[0][piece.rated]
