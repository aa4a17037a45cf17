"""Which labels of a figure cover one another."""

from __future__ import annotations

from itertools import combinations
from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text


def covered_labels(figure: Figure) -> list[tuple[str, str]]:
    """The pairs of texts of a figure whose boxes overlap: of ticks, titles, legends and all others that are drawn."""
    drawn = []

    def draw(text: Text, renderer: object) -> None:  # ticks outside the limits of their axis are never drawn
        if text.get_visible() and text.get_text().strip():
            drawn.append((text.get_text(), Text.get_window_extent(text)))  # without the line of an annotation

    with patch.object(Text, "draw", draw):
        FigureCanvasAgg(figure).draw()
    return [(a, b) for (a, first), (b, second) in combinations(drawn, 2) if first.overlaps(second)]
