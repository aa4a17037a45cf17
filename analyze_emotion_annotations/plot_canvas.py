"""What all plots share: a palette for colour-blind readers, layouts, new figures, and saving them as PNG and SVG.

Colours: M. Okabe and K. Ito, Color Universal Design (2008). Their yellow is left out, since it is too
faint for a line on white. Figures are objects with an Agg canvas; pyplot, which has global state, is not used.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

from matplotlib import rc_context
from matplotlib.axes import Axes
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


@dataclass(frozen=True)
class Layout:
    """The width of a plot in inches, and the sizes of its title, labels and small print in points."""

    width: float
    title: float
    label: float
    small: float


WIDE = Layout(12.0, 14, 12, 10)
NARROW = Layout(4.2, 11, 9, 7.5)  # for a telephone: panels below one another, the legend below them


def new_figure(width: float, height: float, dpi: int) -> Figure:
    """An empty figure with an Agg canvas; width and height in inches."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout=None)
    FigureCanvasAgg(figure)
    return figure


def add_panel(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """A panel of a figure; left and top are those of its upper left corner in the figure; all in inches."""
    whole_width, whole_height = figure.get_size_inches()
    bottom = whole_height - top - height
    return figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))


def write_title_and_note(figure: Figure, layout: Layout, title: str, note: str, left: float) -> None:
    """Write a title at the top of a figure and a note at its bottom, from `left` inches on, folded to its width."""
    width, height = figure.get_size_inches()

    def folded(text: str, size: float) -> str:
        return fill(text, int((width - left) * 72 / (0.56 * size)))  # a letter is about as wide as half its height

    top = 1 - 0.25 / height
    figure.text(left / width, top, folded(title, layout.title), fontsize=layout.title, va="top", parse_math=False)
    figure.text(left / width, 0.12 / height, folded(note, layout.small), fontsize=layout.small, color=DARK, va="bottom")


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
