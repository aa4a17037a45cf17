"""The settings of 01_annotate.py; config/gigamidi.yaml gives their meanings, units and defaults."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from musetok_bridge.encoder_settings import EncoderSettings
from musetok_bridge.scores import Limits
from pipeline.settings import FilePath, Pattern, Range, SettingsError

SETTINGS_FILE = "gigamidi.yaml"
SPLIT_NAME = r"\w+(?:\.\w+)*"  # as the library datasets wants it, and safe as part of a file's name
_LETTER = r'[^<>:"/\\|?*\x00-\x1f]'  # of a release's name
GO_ON = "finished parts are kept, the same command goes on from there"  # ends messages about a run that stops


@dataclass(frozen=True)
class DatasetSettings:
    """The songs to annotate."""

    name: Annotated[str, Pattern(r"(?a:[\w.-]+(/[\w.-]+)?)", "the name of a dataset on the Hub")]
    config: Annotated[str, Pattern(rf"{_LETTER}*\w{_LETTER}*", "the name of a release, such as v2.0.0")]
    split: Annotated[str, Pattern(SPLIT_NAME, "the name of a split: train, validation or test")]
    path: FilePath | None
    revision: str | None
    limit: Annotated[int | None, Range(1)]
    retry_seconds: Annotated[float, Range(0, 86_400)]


@dataclass(frozen=True, kw_only=True)
class ModelSettings(EncoderSettings):
    """The head that predicts valence and arousal, and the encoder that gives it latents if it reads them.

    levels: None are those that the head was trained with.
    """

    head: FilePath
    motion: Literal["full", "cautious"]


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


@dataclass(frozen=True)
class ComputeSettings:
    """How the work is spread: affects the speed, not the result (bars_per_batch changes the rounding)."""

    engine: Literal["local", "ray"]
    workers: Annotated[int, Range(0, 256)]
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
    """The cluster for compute.engine ray, and the resources of one task."""

    address: str | None
    cpus_per_task: Annotated[float, Range(0.01, 1024)]
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
