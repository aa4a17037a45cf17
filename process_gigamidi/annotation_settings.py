"""The settings of 01_annotate.py; config/gigamidi.yaml gives their meanings, units and defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from musetok_bridge.bridge_settings import BarSettings, EncoderSettings, LimitSettings, Workers
from pipeline.settings import FilePath, PositionalSetting, Range, SettingsError
from song_sources.dataset_settings import DatasetSettings

SETTINGS_FILE = "gigamidi.yaml"
OUTPUT_FOLDER = PositionalSetting(
    "FOLDER", "output.dir", "folder of annotations to check, in place of the setting output.dir"
)


@dataclass(frozen=True, kw_only=True)
class ModelSettings(EncoderSettings):
    """The head that predicts valence and arousal, and the encoder that gives it latents if it reads them.

    levels: None are those that the head was trained with.
    """

    head: FilePath
    motion: Literal["full", "cautious"]


@dataclass(frozen=True)
class ComputeSettings:
    """How the work is spread: affects the speed, not the result (bars_per_batch changes the rounding)."""

    engine: Literal["local", "ray"]
    workers: Workers
    bars_per_batch: Annotated[int, Range(1, 1_000_000)]
    share: str | None

    def share_of(self, parts: Sequence[int]) -> Sequence[int]:
        """The parts that this run is to do. Raises SettingsError if `share` is not of the form K/N, 1 ≤ K ≤ N."""
        if self.share is None:
            return parts
        written = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", self.share)
        if not written or int(written[1]) > int(written[2]):
            raise SettingsError(f"compute.share: {self.share!r} is not of the form K/N; 3/16 is the third of sixteen")
        return parts[int(written[1]) - 1 :: int(written[2])]


@dataclass(frozen=True)
class RaySettings:
    """The cluster for compute.engine ray, and the resources of one task (cpus_per_task null: as the head needs)."""

    address: str | None
    cpus_per_task: Annotated[float | None, Range(0.01, 1024)]
    gpus_per_task: Annotated[float, Range(0, 64)]


@dataclass(frozen=True)
class OutputSettings:
    """The output folder, and the number of the dataset's row groups in a part."""

    dir: FilePath
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
        """The output folder."""
        return Path(self.output.dir)
