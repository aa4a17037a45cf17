"""The settings of 03_encode.py; config/encode.yaml gives their meanings, units and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.settings import FilePath, Range
from song_sources.dataset_settings import DatasetSettings

from .bridge_settings import BarSettings, EncoderSettings, LimitSettings, Workers

SETTINGS_FILE = "encode.yaml"


@dataclass(frozen=True)
class ComputeSettings:
    """How the work is spread: affects the speed, not the result (bars_per_batch changes the rounding)."""

    workers: Workers
    bars_per_batch: Annotated[int, Range(1, 1_000_000)]


@dataclass(frozen=True)
class OutputSettings:
    """The output folder, the files in it, and the number of the dataset's row groups in a part."""

    dir: FilePath | None
    files: Literal["safetensors", "parquet"]
    latents: Literal["float32", "float16", "none"]
    row_groups_per_part: Annotated[int, Range(1, 100_000)]


@dataclass(frozen=True)
class EncodingSettings:
    """All settings of config/encode.yaml."""

    dataset: DatasetSettings
    model: EncoderSettings
    bars: BarSettings
    limits: LimitSettings
    compute: ComputeSettings
    output: OutputSettings

    @property
    def folder(self) -> Path:
        """The output folder; without output.dir it is output/latents/NAME, of the music or of the dataset's split."""
        if self.output.dir is not None:
            return Path(self.output.dir)
        path = self.dataset.path
        return Path("output/latents") / (Path(path).resolve().name if path else f"gigamidi-{self.dataset.split}")
