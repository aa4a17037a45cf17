"""The settings of 01_annotate.py; meanings, units and defaults stand in config/gigamidi.yaml."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from musetok_bridge.scores import Limits
from pipeline.settings import Range, SettingsError

SETTINGS_FILE = "gigamidi.yaml"
GO_ON = "whole parts are kept, the same command goes on from there"  # how messages end that tell of a stop


@dataclass(frozen=True)
class DatasetSettings:
    """Which songs are annotated."""

    name: str
    config: str
    split: str
    path: str | None
    revision: str | None
    limit: Annotated[int | None, Range(1)]
    retry_seconds: Annotated[float, Range(0, 86_400)]


@dataclass(frozen=True)
class ModelSettings:
    """The encoder that makes the latents and the head that reads valence and arousal from them."""

    encoder: str
    head: str
    device: str
    dtype: Literal["float32", "mixed", "bfloat16"]


@dataclass(frozen=True)
class BarSettings:
    """How many tracks become the one piano that the encoder reads."""

    merge_doubled: bool
    thin_long_bars: bool


@dataclass(frozen=True, kw_only=True)
class LimitSettings(Limits):
    """What one file may hold, and the time and memory that its conversion may take; far above any honest file."""

    seconds: Annotated[float, Range(0.1, 3600)]
    memory_mb: Annotated[int, Range(20, 1_000_000)]


@dataclass(frozen=True)
class ComputeSettings:
    """How the work is spread: changes how fast a result comes, not the result (bars_per_batch: but for rounding)."""

    engine: Literal["local", "ray"]
    workers: Annotated[int, Range(0, 256)]
    bars_per_batch: Annotated[int, Range(1, 1_000_000)]
    share: str | None

    def share_of(self, parts: Sequence[int]) -> Sequence[int]:
        """Of the parts those that this run is to see to. Raises SettingsError if share is none."""
        if self.share is None:
            return parts
        written = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", self.share)
        if not written or int(written[1]) > int(written[2]):
            raise SettingsError(f"compute.share: {self.share!r} is no share; 3/16 is the third of sixteen")
        return parts[int(written[1]) - 1 :: int(written[2])]


@dataclass(frozen=True)
class RaySettings:
    """The cluster that compute.engine ray uses, and what a task asks of it."""

    address: str | None
    cpus_per_task: Annotated[float, Range(0.01, 1024)]
    gpus_per_task: Annotated[float, Range(0, 64)]


@dataclass(frozen=True)
class OutputSettings:
    """Where the tables go, and how many row groups of the dataset make a part."""

    dir: str
    row_groups_per_part: Annotated[int, Range(1, 100_000)]


@dataclass(frozen=True)
class AnnotationSettings:
    """All settings of config/gigamidi.yaml."""

    dataset: DatasetSettings
    model: ModelSettings
    bars: BarSettings
    limits: LimitSettings
    compute: ComputeSettings
    ray: RaySettings
    output: OutputSettings

    @property
    def folder(self) -> Path:
        """The folder that everything goes to."""
        return Path(self.output.dir)
