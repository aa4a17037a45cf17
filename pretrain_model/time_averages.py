"""Averages of the values of bars over the music heard so far.

Human ratings follow the music with a lag of some seconds, so the values of a bar are averaged with those of the bars
before it: with weights that fade exponentially (a leaky integrator), or over everything heard so far. Arrays are over
the bars of one piece in time order: values (n, k), edges (n + 1) the bar lines in seconds, ascending.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BLOCK = 48  # bars averaged at once; the work grows with its square, the number of loops falls
_NOT_AHEAD = np.tri(_BLOCK)
LEAST_SECONDS = 1e-3  # least duration of a bar, so that a bar without duration has a weight


def leaky_means(values: np.ndarray, edges: np.ndarray, windows: Sequence[float]) -> np.ndarray:
    """Means over the bars so far, (windows, n, k). windows: the seconds in which a bar's weight fades to 1/e."""
    durations, seconds = _durations(edges), np.array(windows)[:, None]
    age = np.cumsum(durations)
    fresh = -np.expm1(-durations / seconds)  # (windows, n): the share of the running mean that a bar replaces
    fresh[:, 0] = 1.0
    means = np.empty((len(windows), *values.shape))
    for i in range(0, len(values), _BLOCK):
        block = slice(i, i + _BLOCK)
        faded = np.exp(np.minimum(age[block] - age[block, None], 0) / seconds[:, None])  # (windows, bar, bar before)
        faded *= _NOT_AHEAD[: faded.shape[1], : faded.shape[1]]
        means[:, block] = (faded * fresh[:, None, block]) @ values[block]
        if i:
            means[:, block] += np.exp((age[i - 1] - age[block]) / seconds)[:, :, None] * means[:, i - 1 : i]
    return means


def heard_mean(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Mean over the time from the start to the end of each bar, (n, k); the last row is the mean of the piece."""
    seconds = _durations(edges)[:, None]
    return np.cumsum(values * seconds, axis=0) / np.cumsum(seconds, axis=0)


def heard_mean_and_sd(values: np.ndarray, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation over the time from the start to the end of each bar, (n, k) each."""
    centred = values - values.mean(axis=0)  # squares of large numbers would lose precision
    means = heard_mean(np.concatenate([values, centred, np.square(centred)], axis=1), edges)
    mean, mean_centred, mean_square = np.split(means, 3, axis=1)
    return mean, np.sqrt(np.maximum(mean_square - np.square(mean_centred), 0))


def _durations(edges: np.ndarray) -> np.ndarray:
    return np.maximum(np.diff(edges), LEAST_SECONDS)
