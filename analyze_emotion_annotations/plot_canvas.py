"""What all plots share: a palette for colour-blind readers, new figures, and saving them as PNG and SVG.

Colours: M. Okabe and K. Ito, Color Universal Design (2008). Their yellow is left out, since it is too
faint for a line on white. Figures are objects with an Agg canvas; pyplot, which has global state, is not used.
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
DARK = "#404040"  # small print
GREY = "#8A8A8A"
FAINT = "#B0B0B0"
FORMATS = ("png", "svg")  # of the files of a plot


def new_figure(width: float, height: float, dpi: int) -> Figure:
    """An empty figure with an Agg canvas; width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout=None)
    FigureCanvasAgg(figure)
    return figure


def save_plot(figure: Figure, folder: Path, name: str, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write a figure as folder/name.png and folder/name.svg, each atomically, and return the paths.

    formats: "png", "svg" or both. An SVG keeps text as text, and the same figure always makes the same file.
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
    """Silence the warnings about letters missing from the font, which are drawn as boxes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing.*")
        yield
