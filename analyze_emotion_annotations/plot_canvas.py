"""What all plots share: colours for colour-blind readers too, strangers' text made fit to print, PNG and SVG out.

Colours: M. Okabe and K. Ito, Color Universal Design (2008). Their yellow is left out: too faint for a line on white.
Figures are made as objects with the Agg canvas; nothing goes through pyplot and its global state.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.files import atomic_write

BLACK = "#000000"
ORANGE = "#E69F00"
SKY_BLUE = "#56B4E9"
GREEN = "#009E73"
BLUE = "#0072B2"
VERMILLION = "#D55E00"
PURPLE = "#CC79A7"
GREY = "#8A8A8A"
FAINT = "#B0B0B0"


def new_figure(width: float, height: float, dpi: int) -> Figure:
    """An empty figure of a size in inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout=None)
    FigureCanvasAgg(figure)
    return figure


def save_plot(figure: Figure, folder: Path, name: str, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write a figure as folder/name.png, folder/name.svg …, each whole or not at all; returns the paths.

    formats: "png" and "svg", in any number. An SVG keeps text as text, and the same figure gives the same bytes.
    """
    paths = [folder / f"{name}.{form}" for form in formats]
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), boxes_for_missing_letters():
        for path, form in zip(paths, formats, strict=True):
            undated = {"Date": None} if form == "svg" else None
            with atomic_write(path) as temporary:
                figure.savefig(temporary, format=form, metadata=undated)
    return paths


@contextmanager
def boxes_for_missing_letters() -> Iterator[None]:
    """Let letters that the font lacks show as boxes, without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing.*")
        yield
