"""Whether learning from a set helps on the others: the order of their pieces, predicted with and without it.

Agreement is measured by the order of pieces alone, which needs no common zero or unit, and lies in [−1, 1] for all
kinds: Spearman's rank correlation of means for curves, points and ranks, and for signs Somers' D, twice the area under
the ROC curve less 1. A set's help is the difference that it makes to that, and its mean over all other sets and both
dimensions is the one number that says whether it is worth having. The models with and without it are compared on the
same pieces, each left out of training; intervals are of 95 %, by the bootstrap over pieces or groups of each set.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.annotations import DIMENSIONS
from pipeline.progress import progress_bar

from .agreement import Compared, area_under_curve, interval, means_of_pairs, rank_correlation
from .cross_validation import Protocol
from .predictors import learned, trains

COLUMNS = ["set", "on", "dimension", "without", "with", "difference", "low", "high", "n"]
MEAN = "(all others)"


def compare_sets(protocol: Protocol, predictor: str, resamples: int, seed: int) -> pd.DataFrame:
    """The table of COLUMNS: a predictor's agreement on each set, with and without each other one to learn from.

    The row `on` MEAN has the mean difference. n: pieces or groups; in the row MEAN the number of other sets. Empty if
    no set can be compared: it needs two sets, one of them learned from and the other measured.
    """
    names = list(dict.fromkeys(piece.dataset for piece in learned(protocol.pieces)))
    pairs = {name: [other for other in protocol.measured if other != name] for name in names}
    pairs = {name: others for name, others in pairs.items() if others and _can_do_without(predictor, protocol, name)}
    if not pairs:
        return pd.DataFrame(columns=COLUMNS)
    rows: list[tuple[object, ...]] = []
    predicted = protocol.left_out(predictor)
    for name, others in progress_bar(pairs.items(), "with and without each set", "sets"):
        without = protocol.left_out(predictor, without=name)
        sampled = []
        for other in others:
            of_other = protocol.of_set(predicted, other)
            found = order_differences(protocol, other, of_other, protocol.of_set(without, other), resamples, seed)
            for k, dimension in enumerate(DIMENSIONS):
                low, high = interval(found[1:, k, 1] - found[1:, k, 0])
                before, after = found[0, k]
                rows.append((name, other, dimension, before, after, after - before, low, high, len(of_other)))
            sampled.append(found[:, :, 1] - found[:, :, 0])
        mean = np.nanmean(np.stack(sampled), axis=(0, 2))  # (1 + resamples,)
        rows.append((name, MEAN, "both", np.nan, np.nan, mean[0], *interval(mean[1:]), len(others)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _can_do_without(predictor: str, protocol: Protocol, name: str) -> bool:
    """Whether a predictor can be trained without a set."""
    return trains(predictor, [piece for piece in protocol.pieces if piece.dataset != name])


def order_differences(
    protocol: Protocol, other: str, after: Sequence[Compared], before: Sequence[Compared], resamples: int, seed: int
) -> np.ndarray:
    """Agreement without and with a set, (1 + resamples, 2 dimensions, 2): first of all pieces, then of samples."""
    is_sign = protocol.sets[other][0].kind == "sign"
    # of each piece or group the means of its pairs, (pairs, 4): predicted, then rated
    units = [[np.concatenate(means_of_pairs([pairs]), axis=1) for pairs in some] for some in (before, after)]
    draw = np.random.default_rng(seed)
    chosen = [np.arange(len(after)), *(draw.integers(0, len(after), len(after)) for _ in range(resamples))]
    found = np.full((len(chosen), 2, 2), np.nan)
    for number, sample in enumerate(chosen):
        for model, some in enumerate(units):
            means = np.concatenate([some[i] for i in sample])
            for k in range(2):
                x, y = means[:, k], means[:, 2 + k]
                known = ~np.isnan(y)
                x, y = x[known], y[known]
                found[number, k, model] = 2 * area_under_curve(x, y) - 1 if is_sign else rank_correlation(x, y)
    return found


def change(value: float, low: float, high: float) -> str:
    """A change with its interval, as tables have it."""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})".replace("-", "−")


def comparison_as_markdown(table: pd.DataFrame) -> str:
    """The table of `compare_sets` as Markdown, a line for each set, other set and dimension."""
    if table.empty:
        return "whether a set helps needs two sets to learn from, one of them with as many groups as folds"
    table = table[table["difference"].notna()]
    lines = ["| learning from | on | dimension | without | with | difference |", "|---|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        before, after = ("" if np.isnan(row[name]) else f"{row[name]:.3f}" for name in ("without", "with"))
        before, after = (figure.replace("-", "−") for figure in (before, after))
        difference = change(row["difference"], row["low"], row["high"])
        lines.append(f"| {row['set']} | {row['on']} | {row['dimension']} | {before} | {after} | {difference} |")
    return "\n".join(lines)
