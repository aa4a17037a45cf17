"""From a symbolic score to MuseTok's bars: words, codes and latents. Independent of emotion."""

from typing import TYPE_CHECKING, Any

from .bars import Bars, score_to_bars
from .scores import Limits, UnusableScore

if TYPE_CHECKING:
    from .encoder import BarEncoder, load_encoder

__all__ = ["BarEncoder", "Bars", "Limits", "UnusableScore", "load_encoder", "score_to_bars"]


def __getattr__(name: str) -> Any:
    """Import the encoder, and with it torch, only on first use, so that processes that convert scores start fast."""
    if name in ("BarEncoder", "load_encoder"):
        from . import encoder

        return getattr(encoder, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
