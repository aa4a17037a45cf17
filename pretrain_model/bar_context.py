"""What the listener reads for each bar: the music heard so far, the whole piece, and how the bar differs from it.

Computed from the values of a piece's bars in time order: performance features, and latents if the listener reads them;
and from what drums and instruments play.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import symusic.core

from musetok_bridge.bars import Bars

from .features import bar_features
from .time_averages import heard_mean, heard_mean_and_sd, leaky_means

ATTENTION = (4.0, 12.0)  # seconds for which a bar influences a rating; 12 alone is best for the motion
MEANS_BEFORE = len(ATTENTION)  # means that stand before the mean of everything heard so far, in `heard`
QUANTILES = (0.1, 0.9)
_START = (5.0, 15.0, 40.0)  # seconds over which the start of a piece loses its influence
_ENDING = 8.0  # seconds over which the approaching end is noticed


@dataclass(frozen=True)
class BarViews:
    """The views of a piece of n bars with k values each, float32.

    heard: (n, 4 k + 3), means over the last seconds, mean and spread of everything heard so far, and the time since the
    start; it never looks ahead. motion: (n, k + 7), how the last seconds differ from the whole piece, and the position
    in the piece. whole: (1, 4 k), mean, spread, a low and a high quantile over the piece. band: (n, len(BAND)), means
    over everything heard so far.
    """

    heard: np.ndarray
    motion: np.ndarray
    whole: np.ndarray
    band: np.ndarray

    @cached_property
    def has_pitch(self) -> bool:
        """Whether the piece has a pitched note: without one, most features are UNHEARD."""
        return not np.isnan(self.whole).any()


def view_bars(values: np.ndarray, edges: np.ndarray, band: np.ndarray) -> BarViews:
    """The views of a piece. values: (n, k). edges: (n + 1), bar lines in seconds, ascending. band: (n, len(BAND))."""
    values = values.astype(np.float64)
    lately = leaky_means(values, edges, ATTENTION)
    mean, sd = heard_mean_and_sd(values, edges)
    start, length = edges[:-1] - edges[0], edges[-1] - edges[0]
    since_start = np.exp(-start[:, None] / np.array(_START))
    ending = np.exp((start - length) / _ENDING)
    done = start / max(length, 1e-3)
    position = np.stack([done, np.square(done), ending, np.full(len(start), np.log1p(length))], axis=1)
    heard = (*lately, mean, sd, since_start)
    motion = (lately[-1] - mean[-1], since_start, position)
    whole = (mean[-1:], sd[-1:], *_quantiles(values))
    views = (heard, motion, whole, (heard_mean(band.astype(np.float64), edges),))
    return BarViews(*(np.concatenate(view, axis=1, dtype=np.float32) for view in views))


def _quantiles(values: np.ndarray) -> list[np.ndarray]:
    """QUANTILES over the rows, (1, k) each, interpolated linearly as np.quantile does, in half its time."""
    ascending = np.sort(values, axis=0)
    ranks = [quantile * (len(values) - 1) for quantile in QUANTILES]
    below = [int(rank) for rank in ranks]
    above = [min(rank + 1, len(values) - 1) for rank in below]
    return [
        ascending[None, a] + (rank - a) * (ascending[None, b] - ascending[None, a])
        for rank, a, b in zip(ranks, below, above, strict=True)
    ]


def view_song(score: symusic.core.ScoreTick, bars: Bars) -> BarViews:
    """The views of a score's performance features. bars: the result of `score_to_bars` for the score."""
    features = bar_features(score, bars)
    return view_bars(features.values, features.edges, features.band)
