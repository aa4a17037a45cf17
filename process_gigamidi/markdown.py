"""Text for Markdown: other people's words as words only, and tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 60  # characters of somebody else's text
_MEANT = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:@=])")  # what Markdown or the Hub could take for more than a letter


def plain(text: str) -> str:
    """Somebody else's text so that Markdown shows it as it is: one printable line of at most LONGEST characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"
    return _MEANT.sub(r"\\\1", text)


def table_rows(rows: Iterable[Iterable[object]]) -> str:
    """Rows of a table; the cells are Markdown, whole numbers get thousands' commas."""
    written = ([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in written)
