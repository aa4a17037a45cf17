"""How well heads predict music outside their training data, by the same protocol for all.

VGMIDI's games and EMOPIA's songs are spread over folds; the pieces of a fold are predicted by a model trained on the
other folds of both. The target for VGMIDI is the plain mean of all valid ratings. EMOPIA is evaluated
twice: all clips in these folds (emopia_by_song), and its test split by a model trained on its other two splits and on
all of VGMIDI (emopia), as in other publications. Every interval is of 95 %, by the bootstrap (Efron): pieces, or songs
for emopia_by_song, are drawn with replacement, all bars of one together, and the agreement is computed again.

Then each set is predicted by a model that was trained on the other alone (vgmidi_never_seen, emopia_never_seen): what a
model is worth on a set whose music and raters it does not know. EMOPIA's signs are then judged by the area under the
ROC curve, since such a model can't know where their zero lies. And tagged songs, if there are any, are predicted by
models that learned from both sets and from the tags of other songs (tagged_by_song), in five folds; since a scale of
tags is another one, they are judged by Spearman's rank correlation of a song's mean.

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
  They learn from tagged songs in tagged_by_song only: both sets are piano music, to which the band adds nothing.
- listener_whole_cautious: listener_whole with the motion of the size that a regression gives it.
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
    THIRDS,
    Compared,
    Measure,
    Points,
    half_of_raters,
    one_rater,
    quadrant_agreement,
    ranking_agreement,
    rating_agreement,
    tag_agreement,
    with_intervals,
)
from .head import Head
from .listener import Motion
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
    tagged: Sequence[RatedPiece],
    ratings: pd.DataFrame,
    settings: PretrainSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of COLUMNS for the predictors of the settings, and the predictions for every bar of VGMIDI.

    tagged: may be empty. ratings: columns piece, rater, bar_number, valence, arousal.
    """
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
        predicted = predict_left_out(
            [*vgmidi, *emopia], fold_pieces(vgmidi, emopia, settings.cross_validate.folds), train
        )
        rated, clips = predicted[: len(vgmidi)], predicted[len(vgmidi) :]
        add(name, "vgmidi", rating_agreement, [[(x, p.targets)] for x, p in zip(rated, vgmidi, strict=True)])
        add(name, "emopia_by_song", quadrant_agreement, _by_group(emopia, clips))
        if name != "constant":  # it has no constant for a set that it never saw
            on_vgmidi, on_emopia = train(emopia), train(vgmidi)
            add(name, "vgmidi_never_seen", rating_agreement, [[(on_vgmidi(p), p.targets)] for p in vgmidi])
            add(name, "emopia_never_seen", ranking_agreement, _by_group(emopia, [on_emopia(p) for p in emopia]))
        if tagged and name.startswith("listener_"):  # no other predictor learns from tags
            songs = _predict_tagged([*vgmidi, *emopia], tagged, settings.cross_validate.folds, train)
            add(name, "tagged_by_song", tag_agreement, _song_means(_by_group(tagged, songs)))
        on_split = train([*vgmidi, *(p for p in emopia if p.split != "test")])
        add(name, "emopia", quadrant_agreement, [[(on_split(p), p.targets)] for p in emopia if p.split == "test"])
        for k, dimension in enumerate(DIMENSIONS):
            predictions[f"{dimension}_{name}"] = np.concatenate(rated)[:, k]
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS), predictions


def _by_group(pieces: Sequence[RatedPiece], predicted: Sequence[Points]) -> list[Compared]:
    """For each song the predictions for its pieces beside their targets."""
    songs: dict[str, list[tuple[Points, Points]]] = {}
    for piece, values in sorted(zip(pieces, predicted, strict=True), key=lambda pair: pair[0].group):
        songs.setdefault(piece.group, []).append((values, piece.targets))
    return list(songs.values())


def _song_means(songs: Sequence[Compared]) -> list[Compared]:
    """For each song the mean of its files' predictions beside that of their tags, as one pair of (1, 2)."""
    means = [[[part[:, :2].mean(axis=0) for part in pair] for pair in files] for files in songs]
    return [[(x[None], y[None])] for x, y in (np.mean(files, axis=0) for files in means)]


def _predict_tagged(
    rated: Sequence[RatedPiece], tagged: Sequence[RatedPiece], count: int, train: Train
) -> list[Points]:
    """Predictions for tagged songs by models that learned from `rated` and from the tags of other folds' songs."""
    folds = folds_by_group([p.group for p in tagged], [1] * len(tagged), count)
    return predict_left_out(tagged, folds, lambda songs: train([*rated, *songs]))


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
        motion: Motion = "cautious" if name.endswith("_cautious") else "full"
        return partial(_train_listener, replace(settings, listener=replace(settings.listener, **changed)), motion)
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


def _train_listener(settings: PretrainSettings, motion: Motion, pieces: Sequence[RatedPiece]) -> Predict:
    model = train_listener(pieces, settings.listener)
    reads_latents = settings.listener.reads == "performance_and_latents"
    head = Head("", "", "of the pieces" if reads_latents else "", replace(model, motion_size=motion), {})
    return lambda piece: head.predict([piece.input])[0][piece.rated]


def as_markdown(table: pd.DataFrame) -> str:
    """The result of `cross_validate` as Markdown: tables of agreement for each dataset, and one of errors by thirds."""
    agreement = ["r", "ccc", "mae", "covered_50", "covered_90"]
    thirds = [f"{name}_third_{k}" for name in ("mae", "covered_50", "covered_90") for k in range(1, THIRDS + 1)]
    blocks = [
        ("vgmidi", agreement),
        ("vgmidi", thirds),
        ("emopia_by_song", ["accuracy"]),
        ("emopia", ["accuracy"]),
        ("vgmidi_never_seen", ["r"]),
        ("emopia_never_seen", ["auc"]),
        ("tagged_by_song", ["rho"]),
    ]
    lines: list[str] = []
    for dataset, metrics in blocks:
        rows = table[(table["dataset"] == dataset) & table["metric"].isin(metrics)]
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
