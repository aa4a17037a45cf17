"""How well a head agrees with the ratings, compared with a constant and with one rater.

Measured per bar, per piece (the mean over a piece's bars) and, if bars are rated separately, within pieces (a bar's
difference from that mean), where a piece's mean is over the bars that are rated. Predictors:

- head: the head's predictions.
- constant: the mean target of the set's training bars. Its Pearson r is undefined (empty), its concordance 0.
- one_rater (sets of curves with single raters): one rater's ratings against the mean of all others'; every metric is
  computed for each rater over the pieces of the split and then averaged over the raters.

For sets of signs (EMOPIA) also accuracies of valence, arousal and quadrant, from the signs of a clip's mean. Sets with
a scale of their own, whose zero and unit are others, have only Pearson's r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from pipeline.annotations import DIMENSIONS
from pipeline.files import atomic_write
from pipeline.settings import UserError, note, one_line

from .agreement import concordance, mean_absolute_error, mean_squared_error, pearson_r, quadrant_accuracy, sign_accuracy
from .head import Head, NamedEncoder
from .pretrain_settings import SPLITS, SetSettings
from .rated_pieces import RatedBars, RatedPiece, load_rated_pieces, rated_bars
from .rated_set import read_set_table, table_path

METRICS = {"mae": mean_absolute_error, "mse": mean_squared_error, "pearson_r": pearson_r, "ccc": concordance}
COLUMNS = ["dataset", "split", "level", "predictor", "dimension", *METRICS, "accuracy", "n"]

Points = npt.NDArray[np.floating]  # (n, 2), columns valence and arousal
# metrics that need ratings with the predictions' zero and unit
_IN_UNIT = [*(name for name in METRICS if name != "pearson_r"), "accuracy"]
_SPREAD = 0.06  # signs have only four points; their dots are spread this far sideways so that they can be distinguished
_TICKS = (-1, -0.5, 0, 0.5, 1)  # few, so that their labels don't touch
_LONGEST_NAME = 28  # letters of a set's name that fit over a panel


@dataclass(frozen=True)
class SplitPrediction:
    """A head's predictions, (bars, 2), for the bars of a dataset's split.

    in_unit: whether the ratings have the zero and unit of the predictions.
    """

    dataset: str
    split: str
    bars: RatedBars
    values: Points
    in_unit: bool = True


def evaluate_head(
    head: Head, folder: Path, sets: Sequence[SetSettings], splits: Sequence[str], encoder: NamedEncoder
) -> tuple[pd.DataFrame, list[SplitPrediction]]:
    """The table of COLUMNS for a head and the other predictors, and the head's predictions.

    folder: the output of 01_prepare_datasets.py and 02_extract_latents.py. A set without pieces of a split is noted.
    Raises UserError if latents or ratings are missing, or no set has pieces of any of the splits.
    """
    tables, predictions = [], []
    for block in sets:
        has_raters = block.rated_as == "curve" and table_path(folder, block.name, "raters").exists()
        in_unit = block.scale == "common"
        every = load_rated_pieces(folder, block, SPLITS, encoder)
        train = [piece for piece in every if piece.split == "train"] or every
        mean = np.nanmean(np.concatenate([piece.targets for piece in train]), axis=0)
        for split in splits:
            pieces = [piece for piece in every if piece.split == split]
            if not pieces:
                note(f"{block.name} has no pieces of the split {split}: it is not evaluated there")
                continue
            bars = rated_bars(pieces)
            predicted = predict_rated(head, pieces)[:, : len(DIMENSIONS)]
            predictions.append(SplitPrediction(block.name, split, bars, predicted, in_unit))
            found = {
                "head": evaluate_predictor(predicted, bars),
                "constant": evaluate_predictor(np.broadcast_to(mean, bars.targets.shape), bars),
            }
            if has_raters:
                found["one_rater"] = evaluate_one_rater(read_set_table(folder, block.name, "raters"), bars)
            if not in_unit:
                found = {name: without_unit(table) for name, table in found.items()}
            tables += [t.assign(dataset=block.name, split=split, predictor=p) for p, t in found.items()]
    if not tables:
        raise UserError(
            f"{folder}: no set has pieces of the split {' or '.join(splits)}: name others in evaluate.splits"
        )
    return pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS), predictions


def predict_rated(head: Head, pieces: Sequence[RatedPiece]) -> Points:
    """A head's predictions for the rated bars of pieces: (bars, 4), columns PREDICTED."""
    predicted = head.predict([piece.input for piece in pieces])
    return np.concatenate([values[piece.rated] for values, piece in zip(predicted, pieces, strict=True)])


def without_unit(table: pd.DataFrame) -> pd.DataFrame:
    """Rows of `evaluate_predictor` for a set with a scale of its own: without what depends on its zero and unit."""
    rows = table[table["dimension"] != "quadrant"] if len(table) else table
    return rows.assign(**dict.fromkeys(_IN_UNIT, np.nan))


def by_piece(values: Points, piece: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Mean over the bars of each piece that are not NaN, (bars, 2) -> (pieces, 2); NaN where all are.

    piece: index of each bar's piece.
    """
    known = ~np.isnan(values)
    sums, counts = (
        np.stack([np.bincount(piece, weights=column) for column in columns.T], axis=1)
        for columns in (np.where(known, values, 0.0), known)
    )
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def evaluate_predictor(predicted: Points, bars: RatedBars) -> pd.DataFrame:
    """Rows of COLUMNS from `level` on, for predictions (bars, 2); for signs also those of accuracy."""
    rows = []
    for level, (x, y) in levels(predicted, bars).items():
        clip = bars.kind == "sign" and level == "piece"
        for column, dimension in enumerate(DIMENSIONS):
            known = ~(np.isnan(x) | np.isnan(y))[:, column]
            pair = x[known, column], y[known, column]
            if not known.any():
                continue
            found: dict[str, float] = {name: metric(*pair) for name, metric in METRICS.items()}
            if clip:
                found["accuracy"] = sign_accuracy(*pair)
            rows.append({"level": level, "dimension": dimension, **found, "n": len(pair[0])})
        both = ~(np.isnan(x) | np.isnan(y)).any(axis=1)
        if clip and both.any():
            accuracy = quadrant_accuracy(x[both], y[both])
            rows.append({"level": level, "dimension": "quadrant", "accuracy": accuracy, "n": int(both.sum())})
    return pd.DataFrame(rows)


def levels(predicted: Points, bars: RatedBars) -> dict[str, tuple[Points, Points]]:
    """Predictions and targets, (n, 2) each, per bar, per piece and, of sets with curves, within pieces.

    Both are NaN where a bar is not rated, so that both means of a piece are over the same bars.
    """
    predicted = np.where(np.isnan(bars.targets), np.nan, predicted)
    per_piece = by_piece(predicted, bars.piece), by_piece(bars.targets, bars.piece)
    if bars.kind in ("point", "rank"):
        return {"piece": per_piece}
    found: dict[str, tuple[Points, Points]] = {"bar": (predicted, bars.targets), "piece": per_piece}
    if bars.kind == "curve":
        found["within"] = predicted - per_piece[0][bars.piece], bars.targets - per_piece[1][bars.piece]
    return found


def evaluate_one_rater(ratings: pd.DataFrame, bars: RatedBars) -> pd.DataFrame:
    """Rows of COLUMNS from `level` on for one rater against the mean of the others, in bars that both have rated.

    ratings: piece, rater, bar_number, valence, arousal, NaN where a rater gave none; only the pieces and bars of `bars`
    are used. n is the number of bars or pieces.
    """
    wanted = pd.DataFrame({"piece": np.asarray(bars.pieces)[bars.piece], "bar_number": bars.bar_number})
    per_bar = ratings.merge(wanted, on=["piece", "bar_number"])
    rows = []
    for level, unit in (("bar", ["piece", "bar_number"]), ("piece", ["piece"])):
        for dimension in DIMENSIONS:
            pairs = _pairs_of_raters(per_bar, dimension)
            if level == "piece":
                pairs = pairs.groupby(["piece", "rater"], as_index=False)[["own", "others"]].mean()
            each = [
                {name: metric(rated["own"].to_numpy(), rated["others"].to_numpy()) for name, metric in METRICS.items()}
                for _, rated in pairs.groupby("rater")
            ]
            means = pd.DataFrame(each, columns=list(METRICS)).mean()
            rows.append({"level": level, "dimension": dimension, **means, "n": pairs.groupby(unit).ngroups})
    return pd.DataFrame(rows)


def _pairs_of_raters(per_bar: pd.DataFrame, dimension: str) -> pd.DataFrame:
    """Each rating of a bar that others have rated as well: piece, bar_number, rater, own, others (their mean)."""
    rated = per_bar[per_bar[dimension].notna()]
    values = rated.groupby(["piece", "bar_number"])[dimension]
    n_others = values.transform("size") - 1
    others = (values.transform("sum") - rated[dimension]) / n_others.where(n_others > 0)
    pairs = rated[["piece", "bar_number", "rater"]].assign(own=rated[dimension], others=others)
    return pairs[n_others > 0]


def plot_evaluation(panels: list[SplitPrediction], path: Path) -> None:
    """Plot predicted against rated as PNG: a row per dataset, a column per dimension; bars are dots, pieces circles."""
    apart = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12)  # inches, for labels of neighbouring panels
    figure = Figure(figsize=(10, 4.8 * len(panels)), layout=apart)
    axes = figure.subplots(len(panels), len(DIMENSIONS), squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        for column, axis in enumerate(row):
            _scatter(axis, panel, column)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _scatter(axis: Axes, panel: SplitPrediction, column: int) -> None:
    """Draw one dimension of a set; beside ratings in the predictions' unit also where both are equal."""
    known = ~np.isnan(panel.bars.targets[:, column])
    x, y, piece = panel.bars.targets[known, column], panel.values[known, column], panel.bars.piece[known]
    name = f"{one_line(panel.dataset, _LONGEST_NAME)}, {panel.split}: {DIMENSIONS[column]}"
    if not len(x):
        axis.set_title(f"{name}\nnot rated", fontsize=11)
        return
    _, of = np.unique(piece, return_inverse=True)
    x_piece, y_piece = (by_piece(v[:, None], of)[:, 0] for v in (x, y))
    few, is_whole = panel.bars.kind == "sign", panel.bars.kind in ("point", "rank")
    draw = np.random.default_rng(0)
    shown, shown_piece = (v + few * draw.uniform(-_SPREAD, _SPREAD, len(v)) for v in (x, x_piece))
    if panel.in_unit and np.abs(x).max() <= 1:
        axis.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
        axis.set(xlim=(-1, 1), xticks=_TICKS, aspect="equal")
    axis.axhline(0, color="0.9", linewidth=0.8, zorder=0)
    axis.axvline(0, color="0.9", linewidth=0.8, zorder=0)
    if not is_whole:
        axis.scatter(shown, y, s=5, alpha=0.25, color="tab:blue", linewidths=0, label=f"{len(x):,} bars")
    label = f"{len(x_piece):,} {'clips' if few else 'pieces'}"
    axis.scatter(shown_piece, y_piece, s=26, facecolors="none", edgecolors="tab:red", linewidths=1, label=label)
    axis.set(ylim=(-1, 1), yticks=_TICKS, ylabel="predicted")
    axis.set_xlabel("rated (quadrant's point, spread sideways)" if few else "rated")
    pair = (y_piece, x_piece) if is_whole else (y, x)
    ccc = f", CCC = {concordance(*pair):.2f}" if panel.in_unit else ""
    level = "piece" if is_whole else "bar"
    axis.set_title(f"{name}\nper {level}: r = {pearson_r(*pair):.2f}{ccc}", fontsize=11)
    axis.legend(loc="upper left", fontsize=9)
