"""Scatter plot of predictions against ratings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.files import written_whole

from .evaluation import Predicted, by_piece
from .head import DIMENSIONS
from .metrics import concordance, pearson_r

_NAMES = {"emopia": "EMOPIA", "vgmidi": "VGMIDI"}
_SPREAD = 0.06  # EMOPIA has four points only; its dots are spread this far sideways so that they can be told apart


def plot_evaluation(panels: list[Predicted], path: Path) -> None:
    """Write the figure as PNG: a row a dataset, a column a dimension; bars as dots, pieces as circles."""
    figure = Figure(figsize=(10, 4.8 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), len(DIMENSIONS), squeeze=False)
    for row, panel in zip(axes, panels, strict=True):
        for column, axis in enumerate(row):
            _scatter(axis, panel, column)
    with written_whole(path) as beside:
        figure.savefig(beside, format="png", dpi=120)


def _scatter(axis: Axes, panel: Predicted, column: int) -> None:
    x, y = panel.bars.targets[:, column], panel.values[:, column]
    x_piece, y_piece = (by_piece(v, panel.bars.piece)[:, column] for v in (panel.bars.targets, panel.values))
    few = len(np.unique(x)) <= 4
    draw = np.random.default_rng(0)
    shown, shown_piece = (v + few * draw.uniform(-_SPREAD, _SPREAD, len(v)) for v in (x, x_piece))
    axis.axline((0, 0), slope=1, color="0.6", linewidth=1, zorder=0)
    axis.axhline(0, color="0.9", linewidth=0.8, zorder=0)
    axis.axvline(0, color="0.9", linewidth=0.8, zorder=0)
    axis.scatter(shown, y, s=5, alpha=0.25, color="tab:blue", linewidths=0, label=f"{len(x):,} bars")
    label = f"{len(x_piece):,} {'clips' if few else 'pieces'}"
    axis.scatter(shown_piece, y_piece, s=26, facecolors="none", edgecolors="tab:red", linewidths=1, label=label)
    axis.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", ylabel="predicted")
    axis.set_xlabel("rated (quadrant's point, spread sideways)" if few else "rated (mean of the listeners)")
    name = f"{_NAMES[panel.dataset]}, {panel.split}: {DIMENSIONS[column]}"
    axis.set_title(f"{name}\nper bar: r = {pearson_r(y, x):.2f}, CCC = {concordance(y, x):.2f}", fontsize=11)
    axis.legend(loc="upper left", fontsize=9)
