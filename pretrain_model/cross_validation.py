"""How well heads predict music outside their training data, by the same protocol for all sets and predictors.

The groups of each set (games, songs) are spread over folds; the pieces of a fold are predicted by a model trained on
the other folds of all sets. A set that comes with splits (EMOPIA) is evaluated twice: all pieces in these folds
(emopia_by_song), and its test split by a model trained on its other two and on all other sets (emopia), as in other
publications. Every interval is of 95 %, by the bootstrap (Efron): pieces, or groups of pieces that are rated as a
whole, are drawn with replacement, all bars of one together, and the agreement is computed again.

Then each set is predicted by a model that was trained on the others alone (vgmidi_never_seen, …): what a model is worth
on a set whose music and raters it does not know. Signs are then judged by the area under the ROC curve, since such a
model can't know where their zero lies. Points and ranks on a scale of their own are judged by their order: Spearman's
rank correlation of a song's mean. A set with `use: measure` is predicted in all of this and never learned from; so is,
by the predictors that need ratings on the common scale, one with a scale of its own.

Predictors:

- constant: the mean rating of the training pieces, each with the same weight; for EMOPIA the mean of its points. It
  differs from fold to fold, low where the left-out games are rated high, so its correlation is below zero.
- one_rater (sets with single raters): every single rater's ratings against the mean of all others'.
- half_of_raters (likewise): the mean of a random half of a piece's raters against that of the other half. By Spearman
  and Brown's formula the mean of all raters has the reliability 2 r / (1 + r), and no predictor's r can be expected to
  exceed the root of that.
- trees: extremely randomised trees (Geurts, Ernst and Wehenkel, Machine Learning 63, 2006) on the performance features
  of the bar, of the last seconds and of everything heard so far, and their mean over the piece.
- custom_mlp: CustomMLP on the latents of single bars; it stops by the loss on some groups set apart from the training
  data.
- listener_heard, listener_whole, listener_whole_and_latents: the listener with these settings.
- listener_whole_cautious: listener_whole with the motion of the size that a regression gives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import torch
from sklearn.ensemble import ExtraTreesRegressor
from tqdm import tqdm

from pipeline.annotations import DIMENSIONS
from pipeline.settings import SettingsError, counted, note

from .agreement import (
    THIRDS,
    Compared,
    Measure,
    Points,
    half_of_raters,
    one_rater,
    order_agreement,
    point_agreement,
    quadrant_agreement,
    ranking_agreement,
    rating_agreement,
    with_intervals,
)
from .folds import folds_by_group
from .head import Head
from .listener import Motion
from .listener_training import train_listener
from .pretrain_settings import PretrainSettings
from .rated_pieces import RatedBars, RatedPiece, Represent, rated_bars, whole_latent
from .same_songs import linked_groups, refuse_in_two_groups, without_same
from .time_averages import heard_mean, leaky_means
from .training import train_head

COLUMNS = ["dataset", "level", "predictor", "dimension", "metric", "value", "low", "high", "n"]
_NEVER_SEEN = "_never_seen"  # ends the name of a set that a model learned nothing from
_AGREEMENT = ("r", "ccc", "mae", "covered_50", "covered_90", "accuracy", "rho")
_THIRDS = tuple(f"{name}_third_{k}" for name in ("mae", "covered_50", "covered_90") for k in range(1, THIRDS + 1))
OF_RATERS = ("one_rater", "half_of_raters")  # predictors that are no models
_STOP_FOLDS = 7  # CustomMLP stops by the loss on one of this many parts of the training data
_TREES, _LEAF, _FEATURES = 200, 5, 0.3

Predict: TypeAlias = Callable[[RatedPiece], Points]
Train: TypeAlias = Callable[[Sequence[RatedPiece]], Predict]
BySet: TypeAlias = Mapping[str, Sequence[RatedPiece]]


class Protocol:
    """The sets, and the folds of their pieces.

    sets: the pieces of each, by its name. measured: the names of those with enough groups for the folds.
    """

    def __init__(self, sets: BySet, settings: PretrainSettings):
        """Spread the pieces over folds. Raises UserError if the same music would be in two of them."""
        self.sets = sets
        self.pieces = [piece for some in sets.values() for piece in some]
        self.joins_same = settings.data.same_songs == "together"
        if not self.joins_same:
            refuse_in_two_groups(self.pieces)
        count = settings.cross_validate.folds
        self.folds = fold_pieces(self.pieces, count, self.joins_same)
        self.measured = [name for name, some in sets.items() if _has_groups(name, some, count)]
        self._settings = settings
        self._left_out: dict[tuple[str, str | None], list[Points]] = {}

    def of_set(self, predicted: Sequence[Points], name: str) -> list[Compared]:
        """A set's part of predictions for `pieces`, beside the ratings: of curves by piece, of others by group."""
        pairs = [(x, p) for x, p in zip(predicted, self.pieces, strict=True) if p.dataset == name]
        return compared([p for _, p in pairs], [x for x, _ in pairs])

    def left_out(self, predictor: str, without: str | None = None) -> list[Points]:
        """A predictor's values for all pieces, each by a model trained without its fold; trained once, then remembered.

        without: a set not to learn from.
        """
        key = (predictor, without)
        if key not in self._left_out:
            train = trainer(predictor, self._settings)
            self._left_out[key] = predict_left_out(self.pieces, self.folds, lambda some: train(learned(some, without)))
        return self._left_out[key]

    def apart(self, pieces: Sequence[RatedPiece], test: Sequence[RatedPiece]) -> list[RatedPiece]:
        """The pieces to learn from for a test on others: none that is the same music."""
        return learned(without_same(pieces, test) if self.joins_same else pieces)


def learned(pieces: Sequence[RatedPiece], without: str | None = None) -> list[RatedPiece]:
    """The pieces to learn from. without: a set to leave out."""
    return [piece for piece in pieces if piece.of.use == "train" and piece.dataset != without]


def _has_groups(name: str, pieces: Sequence[RatedPiece], count: int) -> bool:
    """Whether a set has a group for each fold at least; otherwise a note says that it is not measured."""
    groups = len({piece.group for piece in pieces})
    if groups < count:
        note(f"{name} has {counted(groups, 'group')}, too few for {count} folds: it is learned from and not measured")
    return groups >= count


def cross_validate(
    protocol: Protocol, raters: Mapping[str, pd.DataFrame], settings: PretrainSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The table of COLUMNS for the predictors of the settings, and the predictions for every bar of sets with curves.

    raters: of the sets that have them, columns piece, rater, bar_number, valence, arousal. Raises SettingsError if no
    set is large enough to be measured.
    """
    if not protocol.measured:
        raise SettingsError("'cross_validate.folds' is more than any set has groups: set it lower, or add sets")
    curves = [name for name in protocol.measured if protocol.sets[name][0].kind == "curve"]
    predictions = _rated_table([piece for name in curves for piece in protocol.sets[name]])
    tables: list[pd.DataFrame] = []

    def add(name: str, dataset: str, measure: Measure, pieces: Sequence[Compared]) -> None:
        if pieces:
            table = with_intervals(measure, pieces, settings.cross_validate.resamples, settings.train.seed)
            tables.append(table.assign(predictor=name, dataset=dataset))

    for name in tqdm(settings.cross_validate.predictors, desc="cross-validating", unit="predictor"):
        if name in OF_RATERS:
            for dataset, ratings in raters.items():
                pieces = protocol.sets[dataset]
                rated = one_rater(ratings, pieces) if name == "one_rater" else None
                rated = half_of_raters(ratings, pieces, settings.train.seed) if rated is None else rated
                add(name, dataset, rating_agreement, rated)
            continue
        if not trains(name, protocol.pieces):
            note(f"{name} learns from ratings on the common scale, and no set has them: it is left out")
            continue
        train, predicted = trainer(name, settings), protocol.left_out(name)
        for dataset in protocol.measured:
            add(
                name,
                _title(protocol.sets[dataset]),
                measure_of(protocol.sets[dataset][0]),
                protocol.of_set(predicted, dataset),
            )
            for title, measure, pairs in _elsewhere(name, dataset, train, protocol):
                add(name, title, measure, pairs)
        of_curves = [x for x, p in zip(predicted, protocol.pieces, strict=True) if p.dataset in curves]
        for k, dimension in enumerate(DIMENSIONS if of_curves else ()):
            predictions[f"{dimension}_{name}"] = np.concatenate(of_curves)[:, k]
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS), predictions


def _elsewhere(name: str, dataset: str, train: Train, protocol: Protocol) -> list[tuple[str, Measure, list[Compared]]]:
    """A set's pieces predicted by models trained on other sets alone, and its test split by one trained on the rest."""
    pieces = protocol.sets[dataset]
    found: list[tuple[str, Measure, list[Compared]]] = []
    others = protocol.apart([p for p in protocol.pieces if p.dataset != dataset], pieces)
    if name != "constant" and trains(name, others) and pieces[0].of.use == "train":
        predict = train(others)
        measure = {"curve": rating_agreement, "sign": ranking_agreement}.get(pieces[0].kind, order_agreement)
        found.append((f"{dataset}{_NEVER_SEEN}", measure, compared(pieces, [predict(p) for p in pieces])))
    test = [p for p in pieces if p.split == "test"]
    if pieces[0].of.has_split and test and len(test) < len(pieces):
        predict = train(protocol.apart([p for p in protocol.pieces if p.dataset != dataset or p.split != "test"], test))
        found.append((dataset, measure_of(pieces[0]), [[(predict(p), p.targets)] for p in test]))
    return found


def trains(name: str, pieces: Sequence[RatedPiece]) -> bool:
    """Whether a predictor can be trained on these pieces: only listeners learn from sets with a scale of their own."""
    return any(name.startswith("listener_") or piece.of.scale == "common" for piece in learned(pieces))


def measure_of(piece: RatedPiece) -> Measure:
    """How the agreement with the set of a piece is measured."""
    if piece.kind in ("point", "rank"):
        return point_agreement if piece.kind == "point" and piece.of.scale == "common" else order_agreement
    return rating_agreement if piece.kind == "curve" else quadrant_agreement


def _title(pieces: Sequence[RatedPiece]) -> str:
    """The name under which a set's folds stand in the table."""
    of = pieces[0].of
    return f"{of.name}_by_{of.grouped_by}" if of.has_split else of.name


def _rated_table(pieces: Sequence[RatedPiece]) -> pd.DataFrame:
    """The bars of sets with curves, and their ratings."""
    parts = [
        pd.DataFrame({"dataset": p.dataset, "piece": p.name, "bar_number": p.made.bar_number[p.rated]}) for p in pieces
    ]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["dataset", "piece", "bar_number"])
    for k, dimension in enumerate(DIMENSIONS):
        table[f"{dimension}_rated"] = np.concatenate([p.targets[:, k] for p in pieces]) if pieces else []
    return table


def compared(pieces: Sequence[RatedPiece], predicted: Sequence[Points]) -> list[Compared]:
    """Predictions beside ratings: pieces with curves one by one, clips by group, and songs as means of their group."""
    if not pieces or pieces[0].kind == "curve":
        return [[(x, p.targets)] for x, p in zip(predicted, pieces, strict=True)]
    groups: dict[str, list[tuple[Points, Points]]] = {}
    for piece, values in sorted(zip(pieces, predicted, strict=True), key=lambda pair: pair[0].group):
        groups.setdefault(piece.group, []).append((values, piece.targets))
    if pieces[0].kind == "sign":
        return list(groups.values())
    means = [[[part[:, :2].mean(axis=0) for part in pair] for pair in files] for files in groups.values()]
    return [[(x[None], y[None])] for x, y in (np.mean(files, axis=0) for files in means)]


def fold_pieces(pieces: Sequence[RatedPiece], count: int, together: bool = False) -> list[list[int]]:
    """The pieces of each fold, as indices; no group is in two folds. The folds of each set are of about the same size.

    together: whether pieces that are the same music are kept together across sets.
    """
    by_set: dict[str, list[int]] = {}
    for i, piece in enumerate(pieces):
        by_set.setdefault(piece.dataset, []).append(i)
    size = [len(piece.rated) if piece.kind == "curve" else 1 for piece in pieces]
    if together:
        total = {name: sum(size[i] for i in some) for name, some in by_set.items()}
        shares = [max(round(1e6 * n / total[p.dataset]), 1) for n, p in zip(size, pieces, strict=True)]
        return folds_by_group(linked_groups(pieces), shares, count)
    folds: list[list[int]] = [[] for _ in range(count)]
    for some in by_set.values():
        for fold, chosen in zip(
            folds, folds_by_group([pieces[i].group for i in some], [size[i] for i in some], count), strict=True
        ):
            fold += [some[i] for i in chosen]
    return folds


def predict_left_out(pieces: Sequence[RatedPiece], folds: Sequence[Sequence[int]], train: Train) -> list[Points]:
    """Predictions for the rated bars of every piece, each by a model trained without the piece's fold."""
    predicted: dict[int, Points] = {}
    for fold in folds:
        if fold:
            predict = train([piece for i, piece in enumerate(pieces) if i not in set(fold)])
            predicted |= {i: predict(pieces[i]) for i in fold}
    return [predicted[i] for i in range(len(pieces))]


def trainer(name: str, settings: PretrainSettings) -> Train:
    """The function that trains a predictor. name: one of the setting's predictors except those of raters."""
    if name.startswith("listener_"):
        context = "heard" if name == "listener_heard" else "whole"
        reads = "performance_and_latents" if name.endswith("_and_latents") else "performance"
        changed: Any = {"context": context, "reads": reads}
        motion: Motion = "cautious" if name.endswith("_cautious") else "full"
        return partial(_train_listener, replace(settings, listener=replace(settings.listener, **changed)), motion)
    train: Callable[..., Predict] = {"constant": _train_constant, "trees": _train_trees, "custom_mlp": train_mlp}[name]
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
    groups = [f"{p.dataset} {p.group}" for p in pieces]
    stop = set(folds_by_group(groups, [len(p.rated) for p in pieces], _STOP_FOLDS)[0])
    names = sorted({p.dataset for p in pieces})
    parts: list[list[RatedBars]] = []
    for is_val in (False, True):
        part = [p for i, p in enumerate(pieces) if (i in stop) == is_val]
        parts.append([rated_bars(some, represent) for d in names if (some := [p for p in part if p.dataset == d])])
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
    names = list(dict.fromkeys(table["dataset"]))
    at_home = [name for name in names if not name.endswith(_NEVER_SEEN)]
    blocks = [(name, metrics) for name in at_home for metrics in (_AGREEMENT, _THIRDS)]
    blocks += [(name, ("r", "auc", "rho")) for name in names if name.endswith(_NEVER_SEEN)]
    lines: list[str] = []
    for dataset, wanted in blocks:
        rows = table[(table["dataset"] == dataset) & table["metric"].isin(wanted)]
        metrics = [metric for metric in wanted if (rows["metric"] == metric).any()]
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
