"""Rated and predicted curves of pieces over each other, and the lag at which they correlate best.

Listeners answer 1 to 4 s late, so a lag in that range shows that ratings and music fit; one near 0 that the lag is
taken out already (sets.NAME.lag), and none at all that the MIDI file may be another one than was rated.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from musetok_bridge import UnusableScore, score_to_bars
from musetok_bridge.scores import read_score
from pipeline.annotations import DIMENSIONS
from pipeline.files import atomic_write, write_table
from pipeline.progress import progress_bar
from pipeline.settings import UserError, command, one_line

from .bar_context import view_song
from .head import Head, HeadInput
from .rated_set import PREPARE
from .rating_curves import LAG_STEP, bar_edges, best_lag, value_at

LAGS = ("piece", "valence_lag", "valence_r", "arousal_lag", "arousal_r")
_COLOURS = ("tab:blue", "tab:red")  # of rated and predicted
_COMMON_SCALE = 1.5  # ratings beyond it are on a scale other than [−1, 1], and have an axis of their own
_LONGEST_NAME, _LONGEST_TITLE = 100, 85  # letters; a longer title would run into the legend


@dataclass(frozen=True)
class Fit:
    """A piece's curves. edges: (n + 1), seconds of the bar lines. rated, predicted: (n, 2), NaN where not rated.

    lags, correlations: of valence and arousal, NaN where undefined.
    """

    edges: npt.NDArray[np.float64]
    rated: npt.NDArray[np.float64]
    predicted: npt.NDArray[np.float64]
    lags: tuple[float, float]
    correlations: tuple[float, float]


def plot_fits(folder: Path, name: str, ratings: pd.DataFrame, pieces: pd.DataFrame, head: Head, count: int) -> Path:
    """Draw up to `count` pieces, evenly chosen, as folder/plots/NAME/PIECE.png; returns folder/NAME_lags.csv.

    ratings, pieces: RATINGS and PIECES of the set, whose MIDI files are in `folder`; only pieces with rated bars are
    drawn. The table has LAGS, in seconds and as Pearson's r, of the pieces drawn. Raises UserError if the head reads
    latents or a MIDI file is missing.
    """
    if head.reads_latents:
        raise UserError(f"head {head.name!r} reads latents, which are not made yet; set prepare.plot_head to bundled")
    of_bars = ratings[ratings["bar_number"].notna()]
    known = pieces[pieces["piece"].isin(of_bars["piece"]) & (pieces["midi"].fillna("") != "")]
    chosen = known.iloc[np.unique(np.linspace(0, len(known) - 1, min(count, len(known))).round().astype(int))]
    by_piece = dict(iter(of_bars[of_bars["piece"].isin(chosen["piece"])].groupby("piece")))
    rows = []
    for piece, midi in progress_bar(list(zip(chosen["piece"], chosen["midi"], strict=True)), "drawing", "pieces"):
        fit = _fit(folder / str(midi), by_piece[piece], head)
        rows.append((piece, fit.lags[0], fit.correlations[0], fit.lags[1], fit.correlations[1]))
        _plot(fit, f"{name}: {piece}", folder / "plots" / name / f"{_file_name(str(piece))}.png")
    target = folder / f"{name}_lags.csv"
    write_table(target, pd.DataFrame(rows, columns=[*LAGS]).round(4))
    return target


def _fit(midi: Path, ratings: pd.DataFrame, head: Head) -> Fit:
    """A piece's ratings of bars and the head's prediction. Raises UserError if its file is missing."""
    try:
        score = read_score(midi)
        bars = score_to_bars(score)
    except UnusableScore as error:
        raise UserError(f"{midi}: can't be used ({error}); run {command(PREPARE)} again") from None
    edges = bar_edges(score, bars)
    predicted = head.predict([HeadInput(view_song(score, bars))])[0][:, : len(DIMENSIONS)].astype(np.float64)
    row = ratings["bar_number"].to_numpy(dtype=int) - int(bars.bar_number[0])
    there = (row >= 0) & (row < len(bars))
    rated = np.full(predicted.shape, math.nan)
    rated[row[there]] = ratings[[*DIMENSIONS]].to_numpy(dtype=float)[there]
    grid = np.arange(edges[0] + LAG_STEP / 2, edges[-1], LAG_STEP)
    valence, arousal = (best_lag(grid, value_at(edges, rated[:, d], grid), edges, predicted[:, d]) for d in (0, 1))
    return Fit(edges, rated, predicted, (valence[0], arousal[0]), (valence[1], arousal[1]))


def _plot(fit: Fit, title: str, path: Path) -> None:
    figure = Figure(figsize=(10, 6), layout="constrained")
    figure.suptitle(one_line(title, _LONGEST_TITLE), x=0.01, ha="left", fontsize=12, parse_math=False)
    axes = figure.subplots(len(DIMENSIONS), 1, sharex=True)
    for dimension, axis in enumerate(axes):
        _panel(axis, fit, dimension)
    axes[-1].set_xlabel("seconds")
    axes[-1].set_xlim(fit.edges[0], fit.edges[-1])
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _panel(axis: Axes, fit: Fit, dimension: int) -> None:
    """Both curves of one dimension, as steps over the bars; the legend stands beside the panel."""
    rated, predicted = fit.rated[:, dimension], fit.predicted[:, dimension]
    rated_colour, predicted_colour = _COLOURS
    own_scale = bool((np.abs(rated[np.isfinite(rated)]) > _COMMON_SCALE).any())
    of_rated = axis.twinx() if own_scale else axis
    axis.axhline(0, color="0.85", linewidth=0.8, zorder=0)
    lines = [
        of_rated.stairs(rated, fit.edges, baseline=None, color=rated_colour, linewidth=1.8, label="rated"),
        axis.stairs(predicted, fit.edges, baseline=None, color=predicted_colour, linewidth=1.2, label="predicted"),
    ]
    lag, r = fit.lags[dimension], fit.correlations[dimension]
    best = "no correlation" if math.isnan(r) else f"r = {r:.2f} at a lag of {lag:.2f} s"
    axis.set_title(f"{DIMENSIONS[dimension]}: {best}", fontsize=11)
    axis.set_ylabel(DIMENSIONS[dimension])
    axis.margins(y=0.1)
    if own_scale:
        axis.set_ylabel(f"{DIMENSIONS[dimension]}, predicted", color=predicted_colour)
        of_rated.set_ylabel("rated, in its own unit", color=rated_colour)
    if dimension == 0:
        axis.figure.legend(handles=lines, loc="outside upper right", ncols=2, fontsize=9)


def _file_name(piece: str) -> str:
    """A piece's name as that of a file; what had to change is told apart by the name's digest."""
    safe = re.sub(r"[^\w.-]+", "_", piece, flags=re.ASCII).strip("._-")[:_LONGEST_NAME]
    return safe if safe == piece else f"{safe}_{hashlib.sha256(piece.encode(errors='surrogateescape')).hexdigest()[:8]}"
