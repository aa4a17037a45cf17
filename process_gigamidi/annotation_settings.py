"""The settings of 01_annotate.py; meanings, units and defaults stand in config/gigamidi.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from musetok_bridge.settings import Range

SETTINGS_FILE = "gigamidi.yaml"


@dataclass(frozen=True)
class DatasetSettings:
    """Which songs are annotated."""

    name: str
    config: str
    split: str
    path: str | None
    revision: str | None
    limit: Annotated[int | None, Range(1)]


@dataclass(frozen=True)
class ModelSettings:
    """The encoder that makes the latents and the head that reads valence and arousal from them."""

    encoder: str
    head: str
    device: str
    dtype: Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class ComputeSettings:
    """How the work is spread: changes how fast a result comes, not the result."""

    workers: Annotated[int, Range(0, 256)]
    bars_per_batch: Annotated[int, Range(1, 1_000_000)]


@dataclass(frozen=True)
class OutputSettings:
    """Where the tables go and how many songs one file holds."""

    dir: str
    songs_per_part: Annotated[int, Range(1, 100_000)]


@dataclass(frozen=True)
class AnnotationSettings:
    """All settings of config/gigamidi.yaml."""

    dataset: DatasetSettings
    model: ModelSettings
    compute: ComputeSettings
    output: OutputSettings

    @property
    def folder(self) -> Path:
        """The folder that everything goes to."""
        return Path(self.output.dir)
