"""What a model of a listener reads at a bar: the music heard so far, the whole piece, or how a bar stands out from it.

Each view is float32 (n, …), a row a bar, made of the values of a piece's bars in time order (performance features, and
latents where they are read). `heard_view` never looks ahead.
"""

from __future__ import annotations

import numpy as np

from .time_averages import heard_mean, heard_sd, leaky_mean

ATTENTION = (4.0, 12.0)  # seconds: how long a bar stays in a listener's rating; 12 alone is best for the motion
QUANTILES = (0.1, 0.9)
_ONSET = (5.0, 15.0, 40.0)  # seconds: how the start of a piece wears off
_ENDING = 8.0  # seconds: how its end comes near


def heard_view(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The last seconds, mean and spread of all that was heard, and for how long: (n, 4 k + 3)."""
    lately = [leaky_mean(values, edges, seconds) for seconds in ATTENTION]
    view = [*lately, heard_mean(values, edges), heard_sd(values, edges), _since_start(edges)]
    return np.concatenate(view, axis=1).astype(np.float32)


def whole_view(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean, spread, a low and a high quantile over the piece: (1, 4 k)."""
    view = [heard_mean(values, edges)[-1], heard_sd(values, edges)[-1], *np.quantile(values, QUANTILES, axis=0)]
    return np.concatenate(view)[None].astype(np.float32)


def motion_view(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How the last seconds differ from the piece as a whole, and where in the piece it is: (n, k + 7)."""
    lately = leaky_mean(values, edges, ATTENTION[-1]) - heard_mean(values, edges)[-1]
    start, length = edges[:-1] - edges[0], edges[-1] - edges[0]
    done = start / max(length, 1e-3)
    ending = np.exp((start - length) / _ENDING)
    place = np.stack([done, np.square(done), ending, np.full(len(start), np.log1p(length))], axis=1)
    return np.concatenate([lately, _since_start(edges), place], axis=1).astype(np.float32)


def _since_start(edges: np.ndarray) -> np.ndarray:
    return np.exp(-(edges[:-1, None] - edges[0]) / np.array(_ONSET))
