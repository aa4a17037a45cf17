"""Sections of settings that several phases have: model, bars and limits; the phases' files in config/ explain them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pipeline.processors import usable_processors
from pipeline.settings import FilePath, Pattern, Range

from .scores import Limits

if TYPE_CHECKING:
    from .encoder import BarEncoder


Workers: TypeAlias = Annotated[str, Pattern("auto|[0-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-6]", "auto or 0 to 256")]


def number_of(workers: Workers) -> int:
    """The number of processes; `auto` are the processors that this process may use."""
    return usable_processors() if workers == "auto" else int(workers)


@dataclass(frozen=True, kw_only=True)
class EncoderSettings:
    """Which encoder makes latents, how it computes, and how many of its levels count (None: all)."""

    encoder: FilePath
    device: str
    dtype: Literal["float32", "mixed", "bfloat16"]
    levels: Annotated[int | None, Range(1)] = None

    def load(self) -> BarEncoder:
        """The encoder. Raises UserError if it can't be loaded or has fewer levels."""
        from . import load_encoder  # imports torch, which not every script with these settings needs

        return load_encoder(self.encoder, self.device, self.dtype, self.levels)


@dataclass(frozen=True)
class BarSettings:
    """How the notes of all tracks are reduced to what the encoder can read."""

    merge_doubled: bool
    thin_long_bars: bool


@dataclass(frozen=True, kw_only=True)
class LimitSettings(Limits):
    """What one file may hold, and the time and memory its conversion may take; ordinary files stay far below."""

    seconds: Annotated[float, Range(0.1, 3600)]
    memory_mb: Annotated[int, Range(20, 1_000_000)]
