"""Figures of agreement with bootstrap intervals over pieces.

What is compared: for each piece one or more pairs (predicted, rated), each (bars, 2) with columns valence and arousal;
a prediction may have their standard deviations as two more columns. A piece has several pairs where several listeners
are compared. Intervals are of 95 %, by the percentile bootstrap (Efron, Annals of Statistics 7, 1979): pieces are drawn
with replacement, all bars of a piece together, since bars of one piece are not independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pandas as pd

from .head import DIMENSIONS
from .metrics import concordance, mean_absolute_error, pearson_r, quadrant_accuracy, sign_accuracy
from .rated_pieces import RatedPiece

Points: TypeAlias = np.ndarray
Compared: TypeAlias = Sequence[tuple[Points, Points]]  # the pairs of one piece
Key: TypeAlias = tuple[str, str, str]  # level, dimension, figure
Score: TypeAlias = Callable[[Sequence[Compared]], dict[Key, float]]

FIGURES = {"r": pearson_r, "ccc": concordance, "mae": mean_absolute_error}
INTERVALS = {"covered_50": 0.6745, "covered_90": 1.6449}  # half widths in standard deviations of a normal distribution
_PERCENTILES = (2.5, 97.5)


def score_ratings(pieces: Sequence[Compared]) -> dict[Key, float]:
    """Pearson's r, Lin's concordance and mean absolute error per bar, within pieces and per piece.

    Where predictions have standard deviations, also the share of bars that their intervals cover.
    """
    pairs = [pair for piece in pieces for pair in piece]
    predicted, rated = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
    sizes = np.array([len(pair[1]) for pair in pairs])
    starts = np.cumsum(sizes) - sizes
    means = [np.add.reduceat(values[:, :2], starts) / sizes[:, None] for values in (predicted, rated)]
    away = [values[:, :2] - np.repeat(m, sizes, axis=0) for values, m in zip((predicted, rated), means, strict=True)]
    levels = {"bar": (predicted[:, :2], rated), "within": (away[0], away[1]), "piece": (means[0], means[1])}
    scores = {
        (level, dimension, name): figure(x[:, k], y[:, k])
        for level, (x, y) in levels.items()
        for k, dimension in enumerate(DIMENSIONS)
        for name, figure in FIGURES.items()
    }
    if predicted.shape[1] > len(DIMENSIONS):
        deviations = np.abs(predicted[:, :2] - rated) / predicted[:, 2:]
        for name, width in INTERVALS.items():
            covered = (deviations <= width).mean(axis=0)
            scores |= {("bar", dimension, name): float(covered[k]) for k, dimension in enumerate(DIMENSIONS)}
    return scores


def score_quadrants(pieces: Sequence[Compared]) -> dict[Key, float]:
    """Share of clips whose mean has the right sign of valence and of arousal, and of those in the right quadrant."""
    pairs = [pair for piece in pieces for pair in piece]
    predicted, rated = (np.stack([pair[k][:, :2].mean(axis=0) for pair in pairs]) for k in (0, 1))
    scores = {
        ("piece", dimension, "accuracy"): sign_accuracy(predicted[:, k], rated[:, k])
        for k, dimension in enumerate(DIMENSIONS)
    }
    return scores | {("piece", "quadrant", "accuracy"): quadrant_accuracy(predicted, rated)}


def with_intervals(score: Score, pieces: Sequence[Compared], resamples: int, seed: int) -> pd.DataFrame:
    """Every figure of a score with its interval: level, dimension, figure, value, low, high, n (pieces)."""
    draw = np.random.default_rng(seed)
    drawn = [score([pieces[i] for i in draw.integers(0, len(pieces), len(pieces))]) for _ in range(resamples)]
    rows = []
    for key, value in score(pieces).items():
        samples = np.array([sample[key] for sample in drawn])
        known = samples[np.isfinite(samples)]
        low, high = np.percentile(known, _PERCENTILES) if len(known) else (np.nan, np.nan)
        rows.append((*key, value, low, high, len(pieces)))
    return pd.DataFrame(rows, columns=["level", "dimension", "figure", "value", "low", "high", "n"])


def one_listener(ratings: pd.DataFrame, pieces: Sequence[RatedPiece]) -> list[Compared]:
    """Each listener's ratings of a piece beside the mean of the other listeners'.

    ratings: piece, listener, bar_number, valence, arousal. A piece that only one listener rated is left out.
    """
    compared: list[Compared] = []
    for own in _by_listener(ratings, pieces):
        others = (own.sum(axis=0) - own) / (len(own) - 1)
        compared.append(list(zip(own, others, strict=True)))
    return compared


def half_of_listeners(ratings: pd.DataFrame, pieces: Sequence[RatedPiece], seed: int) -> list[Compared]:
    """The mean of a random half of a piece's listeners beside the mean of the other half; as one_listener."""
    draw = np.random.default_rng(seed)
    compared: list[Compared] = []
    for own in _by_listener(ratings, pieces):
        first, second = np.array_split(draw.permutation(len(own)), 2)
        compared.append([(own[first].mean(axis=0), own[second].mean(axis=0))])
    return compared


def _by_listener(ratings: pd.DataFrame, pieces: Sequence[RatedPiece]) -> Iterator[np.ndarray]:
    """The ratings of each piece that has two listeners or more: (listeners, bars, 2)."""
    by_piece = dict(list(ratings.groupby("piece")))
    for piece in pieces:
        of_piece = by_piece[piece.name]
        of_bars = of_piece[of_piece["bar_number"].isin(piece.made.bar_number[piece.rated])]
        wide = of_bars.pivot(index="listener", columns="bar_number")
        own = np.stack([wide[dimension].to_numpy() for dimension in DIMENSIONS], axis=2)
        if len(own) > 1:
            yield own
