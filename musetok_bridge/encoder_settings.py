"""The settings of an encoder, a section `model` that several phases have; their files in config/ explain them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pipeline.settings import FilePath, Range

if TYPE_CHECKING:
    from .encoder import BarEncoder


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoder makes latents, how it computes, and how many of its levels count (None: all)."""

    encoder: FilePath
    device: str
    dtype: Literal["float32", "mixed", "bfloat16"]
    levels: Annotated[int | None, Range(1)] = None

    def load(self) -> BarEncoder:
        """The encoder. Raises UserError if it can't be loaded or has fewer levels."""
        from .encoder import load_encoder  # imports torch, which not every script with these settings needs

        return load_encoder(self.encoder, self.device, self.dtype, self.levels)
