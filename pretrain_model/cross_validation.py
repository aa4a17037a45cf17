"""How well heads predict music outside their training data, by the same protocol for all.

VGMIDI's games and EMOPIA's songs are spread over folds; the pieces of a fold are predicted by a model trained on the
other folds of both. The target for VGMIDI is the plain mean of all valid ratings. EMOPIA is evaluated
twice: all clips in these folds (emopia_by_song), and its test split by a model trained on its other two splits and on
all of VGMIDI (emopia), as in other publications. Every interval is of 95 %, by the bootstrap (Efron): pieces, or songs
for emopia_by_song, are drawn with replacement, all bars of one together, and the agreement is computed again.

Predictors:

- constant: the mean rating of the training pieces, each with the same weight; for EMOPIA the mean of its points. It
  differs from fold to fold, low where the left-out games are rated high, so its correlation is below zero.
- one_rater (VGMIDI): every single rater's ratings against the mean of all others'.
- half_of_raters (VGMIDI): the mean of a random half of a piece's raters against that of the other half. By Spearman and
  Brown's formula the mean of all raters has the reliability 2 r / (1 + r), and no predictor's r can be expected to
  exceed the root of that.
- trees: extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006) on the performance features
  of the bar, of the last seconds and of everything heard so far, and their mean over the piece.
- custom_mlp: CustomMLP on the latents of single bars; it stops by the loss on some games and songs set apart from the
  training data.
- listener_heard, listener_whole, listener_whole_and_latents: the listener with these settings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import ExtraTreesRegressor
from tqdm import tqdm

from pipeline.annotations import DIMENSIONS

from .agreement import (
    Compared,
    Measure,
    Points,
    half_of_raters,
    one_rater,
    quadrant_agreement,
    rating_agreement,
    with_intervals,
)
from .head import Head
from .listener_training import folds_by_group, train_listener
from .pretrain_settings import PretrainSettings
from .rated_pieces import GROUP, RatedBars, RatedPiece, Represent, rated_bars, whole_latent
from .time_averages import heard_mean, leaky_means
from .training import train_head

COLUMNS = ["dataset", "level", "predictor", "dimension", "metric", "value", "low", "high", "n"]
_STOP_FOLDS = 7  # CustomMLP stops by the loss on one of this many parts of the training data
_TREES, _LEAF, _FEATURES = 200, 5, 0.3

Predict: TypeAlias = Callable[[RatedPiece], Points]
Train: TypeAlias = Callable[[Sequence[RatedPiece]], Predict]


def cross_validate(
    vgmidi: Sequence[RatedPiece],
    emopia: Sequence[RatedPiece],
    ratings: pd.DataFrame,
    settings: PretrainSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of COLUMNS for the predictors of the settings, and the predictions for every bar of VGMIDI.

    ratings: columns piece, rater, bar_number, valence, arousal.
    """
    learned, tested = ([p for p in emopia if (p.split == "test") == is_test] for is_test in (False, True))
    pieces = [*vgmidi, *emopia]
    folds = fold_pieces(vgmidi, emopia, settings.cross_validate.folds)
    songs = sorted({p.group for p in emopia})
    bars = rated_bars(vgmidi)
    predictions = pd.DataFrame({"piece": np.asarray(bars.pieces)[bars.piece], "bar_number": bars.bar_number})
    predictions[[f"{d}_rated" for d in DIMENSIONS]] = bars.targets
    tables: list[pd.DataFrame] = []

    def add(name: str, dataset: str, measure: Measure, pieces: Sequence[Compared]) -> None:
        table = with_intervals(measure, pieces, settings.cross_validate.resamples, settings.train.seed)
        tables.append(table.assign(predictor=name, dataset=dataset))

    for name in tqdm(settings.cross_validate.predictors, desc="cross-validating", unit="predictor"):
        if name == "one_rater":
            add(name, "vgmidi", rating_agreement, one_rater(ratings, vgmidi))
            continue
        if name == "half_of_raters":
            add(name, "vgmidi", rating_agreement, half_of_raters(ratings, vgmidi, settings.train.seed))
            continue
        train = _trainer(name, settings)
        predicted = predict_left_out(pieces, folds, train)
        compared = [(x, p.targets) for x, p in zip(predicted, pieces, strict=True)]
        add(name, "vgmidi", rating_agreement, [[pair] for pair in compared[: len(vgmidi)]])
        clips = list(zip(compared[len(vgmidi) :], emopia, strict=True))
        add(name, "emopia_by_song", quadrant_agreement, [[x for x, p in clips if p.group == song] for song in songs])
        predict = train([*vgmidi, *learned])
        add(name, "emopia", quadrant_agreement, [[(predict(p), p.targets)] for p in tested])
        for k, dimension in enumerate(DIMENSIONS):
            predictions[f"{dimension}_{name}"] = np.concatenate(predicted[: len(vgmidi)])[:, k]
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS), predictions


def fold_pieces(vgmidi: Sequence[RatedPiece], emopia: Sequence[RatedPiece], count: int) -> list[list[int]]:
    """The pieces of each fold, as indices into [*vgmidi, *emopia]; no game and no song is in two folds."""
    games = folds_by_group([p.group for p in vgmidi], [len(p.rated) for p in vgmidi], count)
    songs = folds_by_group([p.group for p in emopia], [1] * len(emopia), count)
    return [[*some, *(len(vgmidi) + i for i in others)] for some, others in zip(games, songs, strict=True)]


def predict_left_out(pieces: Sequence[RatedPiece], folds: Sequence[Sequence[int]], train: Train) -> list[Points]:
    """Predictions for the rated bars of every piece, each by a model trained without the piece's fold."""
    predicted: dict[int, Points] = {}
    for fold in folds:
        if fold:
            predict = train([piece for i, piece in enumerate(pieces) if i not in set(fold)])
            predicted |= {i: predict(pieces[i]) for i in fold}
    return [predicted[i] for i in range(len(pieces))]


def _trainer(name: str, settings: PretrainSettings) -> Train:
    """The function that trains a predictor. name: one of the setting's predictors except those of raters."""
    if name.startswith("listener_"):
        context = "heard" if name == "listener_heard" else "whole"
        reads = "performance_and_latents" if name.endswith("_and_latents") else "performance"
        changed: Any = {"context": context, "reads": reads}
        return partial(_train_listener, replace(settings, listener=replace(settings.listener, **changed)))
    return partial({"constant": _train_constant, "trees": _train_trees, "custom_mlp": train_mlp}[name], settings)


def _train_constant(settings: PretrainSettings, pieces: Sequence[RatedPiece]) -> Predict:
    means = {
        dataset: np.mean([p.targets.mean(axis=0, dtype=np.float64) for p in pieces if p.dataset == dataset], axis=0)
        for dataset in {p.dataset for p in pieces}
    }
    return lambda piece: np.repeat(means[piece.dataset][None], len(piece.rated), axis=0)


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
    model.fit(np.concatenate([read(p) for p in pieces]), np.concatenate([p.targets for p in pieces]), weights)
    return lambda piece: model.predict(read(piece))


def train_mlp(settings: PretrainSettings, pieces: Sequence[RatedPiece], represent: Represent = whole_latent) -> Predict:
    """Train CustomMLP on a representation of the pieces' bars; it stops by the loss on a part of the pieces."""
    groups = [f"{p.dataset} {p.group}" for p in pieces]
    stop = set(folds_by_group(groups, [len(p.rated) for p in pieces], _STOP_FOLDS)[0])
    parts: list[list[RatedBars]] = []
    for is_val in (False, True):
        part = [p for i, p in enumerate(pieces) if (i in stop) == is_val]
        parts.append([rated_bars(rated, represent) for d in GROUP if (rated := [p for p in part if p.dataset == d])])
    trained = train_head(parts[0], parts[1], settings.train)

    def predict(piece: RatedPiece) -> Points:
        with torch.inference_mode():
            rating = trained.model(torch.from_numpy(represent(piece)[piece.rated]))
            return torch.cat([rating, trained.model.sd.expand(rating.shape)], dim=1).numpy()

    return predict


def _train_listener(settings: PretrainSettings, pieces: Sequence[RatedPiece]) -> Predict:
    model = train_listener(pieces, settings.listener, settings.train.seed)
    reads_latents = settings.listener.reads == "performance_and_latents"
    head = Head("", "", "of the pieces" if reads_latents else "", model.without_torch(), {})
    return lambda piece: head.predict([piece.input])[0][piece.rated]


def as_markdown(table: pd.DataFrame) -> str:
    """The result of `cross_validate` as Markdown, a table for each dataset: agreement on VGMIDI, accuracy on EMOPIA."""
    agreement = ["r", "ccc", "mae", "covered_50", "covered_90"]
    blocks = [("vgmidi", agreement), ("emopia_by_song", ["accuracy"]), ("emopia", ["accuracy"])]
    lines: list[str] = []
    for dataset, metrics in blocks:
        rows = table[table["dataset"] == dataset]
        metrics = [metric for metric in metrics if (rows["metric"] == metric).any()]
        if not metrics:
            continue
        lines += [
            "",
            f"| {dataset} | predictor | dimension | {' | '.join(metrics)} |",
            "|---" * (3 + len(metrics)) + "|",
        ]
        for (level, predictor, dimension), found in rows.groupby(["level", "predictor", "dimension"], sort=False):
            by_metric = {row.metric: row for row in found.itertuples()}
            cells = [_cell(by_metric[metric]) if metric in by_metric else "" for metric in metrics]
            lines.append(f"| per {level} | {predictor} | {dimension} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Any) -> str:
    return "" if np.isnan(row.value) else f"{row.value:.3f} ({row.low:.3f}–{row.high:.3f})"
