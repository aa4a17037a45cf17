"""Your own MIDI files -> a table on the screen or in Python, plots of curves, CSV, JSON, MIDI."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .bar_tables import NotAnnotated, annotate

__all__ = ["NotAnnotated", "annotate"]


def __getattr__(name: str) -> Any:
    """Import what annotates on first use, so that the processes of the command, which import this, start fast."""
    if name in __all__:
        from . import bar_tables

        return getattr(bar_tables, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
