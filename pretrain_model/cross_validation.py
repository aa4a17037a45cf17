"""How well heads predict music outside their training data, by the same protocol for all sets and predictors.

The groups of each set (games, songs) are spread over folds; the pieces of a fold are predicted by a model trained on
the other folds of all sets. A set that comes with splits (EMOPIA) is evaluated twice: all pieces in these folds
(emopia_by_song), and its test split by a model trained on its other two and on all other sets (emopia), as in other
publications. Every interval is of 95 %, by the bootstrap (Efron): pieces, or groups of pieces that are rated as a
whole, are drawn with replacement, all bars of one together, and the agreement is computed again.

Then each set is predicted by a model that was trained on the others alone (vgmidi_never_seen, …): what a model is worth
on a set whose music and raters it does not know. Signs are then judged by the area under the ROC curve, since such a
model can't know where their zero lies, and so are those of a set with a zero of its own. Points and ranks on a scale
of their own are judged by their order, Spearman's rank correlation of a song's mean, and curves by Pearson's r. A set
with `use: measure` is predicted in all of this and never learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from pipeline.annotations import DIMENSIONS
from pipeline.progress import progress_bar
from pipeline.settings import SettingsError, counted, note

from .agreement import (
    THIRDS,
    Compared,
    Measure,
    Points,
    curve_agreement,
    half_of_raters,
    one_rater,
    order_agreement,
    point_agreement,
    quadrant_agreement,
    ranking_agreement,
    rating_agreement,
    with_intervals,
)
from .folds import folds_of_sets
from .head import NamedEncoder
from .known_sets import KINDS
from .predictors import OF_RATERS, Train, learned, trainer, trains
from .prepared_sets import check_unchanged
from .pretrain_settings import SPLITS, PretrainSettings
from .rated_pieces import RatedPiece, load_rated_pieces
from .same_songs import linked_groups, refuse_in_two_groups, without_same

COLUMNS = ["dataset", "level", "predictor", "dimension", "metric", "value", "low", "high", "n"]
_NEVER_SEEN = "_never_seen"  # ends the name of a set that a model learned nothing from
_AGREEMENT = ("r", "ccc", "mae", "covered_50", "covered_90", "accuracy", "auc", "rho")
_THIRDS = tuple(f"{name}_third_{k}" for name in ("mae", "covered_50", "covered_90") for k in range(1, THIRDS + 1))
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


def _has_groups(name: str, pieces: Sequence[RatedPiece], count: int) -> bool:
    """Whether a set has a group for each fold at least; otherwise a note says that it is not measured."""
    groups = len({piece.group for piece in pieces})
    if groups < count:
        note(f"{name} has {counted(groups, 'group')}, too few for {count} folds: it is learned from and not measured")
    return groups >= count


def sets_to_compare(settings: PretrainSettings, encoder: NamedEncoder) -> dict[str, list[RatedPiece]]:
    """The pieces of all sets to learn from and of those that only measure, by the set's name, curves first.

    Raises UserError if a set was prepared with other settings or can't be read.
    """
    blocks = [*settings.trained_on(), *(block for block in settings.prepared() if block.use == "measure")]
    check_unchanged(settings, blocks)
    blocks.sort(key=lambda block: KINDS.index(block.rated_as))
    folder, most = settings.folder, settings.listener.largest_set
    return {block.name: load_rated_pieces(folder, block, SPLITS, encoder, most=most) for block in blocks}


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

    for name in progress_bar(settings.cross_validate.predictors, "cross-validating", "predictors"):
        if name in OF_RATERS:
            for dataset, ratings in raters.items():
                pieces = protocol.sets[dataset]
                rated = one_rater(ratings, pieces) if name == "one_rater" else None
                rated = half_of_raters(ratings, pieces, settings.train.seed) if rated is None else rated
                add(name, dataset, rating_agreement, rated)
            continue
        if not trains(name, protocol.pieces):
            note(f"{name}: no set has ratings that it learns from, so it is left out")
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
        pairs = compared(pieces, [predict(p) for p in pieces])
        found.append((f"{dataset}{_NEVER_SEEN}", measure_of(pieces[0], never_seen=True), pairs))
    test = [p for p in pieces if p.split == "test"]
    if pieces[0].of.has_split and test and len(test) < len(pieces):
        predict = train(protocol.apart([p for p in protocol.pieces if p.dataset != dataset or p.split != "test"], test))
        found.append((dataset, measure_of(pieces[0]), [[(predict(p), p.targets)] for p in test]))
    return found


def measure_of(piece: RatedPiece, never_seen: bool = False) -> Measure:
    """How the agreement with the set of a piece is measured: where its unit or zero is its own, without them.

    never_seen: whether the model learned nothing from the set, so that it can't know where the zero of its signs lies.
    """
    is_common = piece.of.scale == "common"
    if piece.kind == "curve":
        return rating_agreement if is_common else curve_agreement
    if piece.kind == "sign":
        return quadrant_agreement if is_common and not never_seen else ranking_agreement
    return point_agreement if piece.kind == "point" and is_common and not never_seen else order_agreement


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
    names = linked_groups(pieces) if together else [piece.group for piece in pieces]
    sizes = [len(piece.rated) if piece.kind == "curve" else 1 for piece in pieces]
    groups = [[names[i] for i in some] for some in by_set.values()]
    of_sets = folds_of_sets(groups, [[sizes[i] for i in some] for some in by_set.values()], count, together)
    return [
        [some[i] for some, of_set in zip(by_set.values(), of_sets, strict=True) for i in of_set[number]]
        for number in range(count)
    ]


def predict_left_out(pieces: Sequence[RatedPiece], folds: Sequence[Sequence[int]], train: Train) -> list[Points]:
    """Predictions for the rated bars of every piece, each by a model trained without the piece's fold."""
    predicted: dict[int, Points] = {}
    for fold in progress_bar(folds, "training without a fold", "folds"):
        if fold:
            predict = train([piece for i, piece in enumerate(pieces) if i not in set(fold)])
            predicted |= {i: predict(pieces[i]) for i in fold}
    return [predicted[i] for i in range(len(pieces))]


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
