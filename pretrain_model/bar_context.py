"""What a model of a listener reads at a bar: the music heard so far, the whole piece, or how a bar stands out from it.

Made of the values of a piece's bars in time order: performance features, and latents where they are read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import symusic.core

from musetok_bridge.bars import Bars
from musetok_bridge.scores import Limits

from .features import bar_features
from .time_averages import heard_mean, heard_sd, leaky_means

ATTENTION = (4.0, 12.0)  # seconds: how long a bar stays in a listener's rating; 12 alone is best for the motion
QUANTILES = (0.1, 0.9)
_ONSET = (5.0, 15.0, 40.0)  # seconds: how the start of a piece wears off
_ENDING = 8.0  # seconds: how its end comes near


@dataclass(frozen=True)
class BarViews:
    """The views of a piece of n bars with k values each, float32.

    heard: (n, 4 k + 3), the last seconds, mean and spread of all that was heard, and for how long; never looks ahead.
    motion: (n, k + 7), how the last seconds differ from the piece as a whole, and where in the piece it is.
    whole: (1, 4 k), mean, spread, a low and a high quantile over the piece.
    """

    heard: np.ndarray
    motion: np.ndarray
    whole: np.ndarray


def view_bars(values: np.ndarray, edges: np.ndarray) -> BarViews:
    """The views of a piece. values: (n, k). edges: (n + 1), bar lines in seconds, ascending."""
    values = values.astype(np.float64)
    lately = leaky_means(values, edges, ATTENTION)
    mean, sd = heard_mean(values, edges), heard_sd(values, edges)
    start, length = edges[:-1] - edges[0], edges[-1] - edges[0]
    since_start = np.exp(-start[:, None] / np.array(_ONSET))
    ending = np.exp((start - length) / _ENDING)
    done = start / max(length, 1e-3)
    place = np.stack([done, np.square(done), ending, np.full(len(start), np.log1p(length))], axis=1)
    heard = (*lately, mean, sd, since_start)
    motion = (lately[-1] - mean[-1], since_start, place)
    whole = (mean[-1:], sd[-1:], *_quantiles(values))
    return BarViews(*(np.concatenate(view, axis=1, dtype=np.float32) for view in (heard, motion, whole)))


def _quantiles(values: np.ndarray) -> list[np.ndarray]:
    """QUANTILES over the rows, (1, k) each, linear between two values as numpy's are; half the time of np.quantile."""
    ascending = np.sort(values, axis=0)
    places = [quantile * (len(values) - 1) for quantile in QUANTILES]
    below = [int(place) for place in places]
    above = [min(at + 1, len(values) - 1) for at in below]
    return [
        ascending[None, a] + (place - a) * (ascending[None, b] - ascending[None, a])
        for place, a, b in zip(places, below, above, strict=True)
    ]


def view_song(score: symusic.core.ScoreTick, bars: Bars, limits: Limits | None = None) -> BarViews:
    """The views of a song's performance: of the features of the bars that `score_to_bars` made of a score."""
    features = bar_features(score, bars, limits)
    return view_bars(features.values, features.edges)
