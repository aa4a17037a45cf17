"""The settings of 03_match_ratings.py; config/match.yaml gives their meanings, units and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from musetok_bridge.bridge_settings import EncoderSettings, LimitSettings, Workers
from pipeline.settings import FilePath, Range
from song_sources.dataset_settings import DatasetSettings

SETTINGS_FILE = "match.yaml"


@dataclass(frozen=True)
class RatingsSettings:
    """The folder of the prepared sets, into which the results are written too."""

    dir: FilePath


@dataclass(frozen=True)
class MatchSettings:
    """Which matches count."""

    least_score: Annotated[float, Range(0, 1)]


@dataclass(frozen=True)
class ComputeSettings:
    """How the work is spread: affects the speed, not the result."""

    workers: Workers
    pieces_per_batch: Annotated[int, Range(1, 10_000)]


@dataclass(frozen=True)
class OutputSettings:
    """The number of the dataset's row groups in a part."""

    row_groups_per_part: Annotated[int, Range(1, 100_000)]


@dataclass(frozen=True)
class RatingMatchSettings:
    """All settings of config/match.yaml."""

    ratings: RatingsSettings
    dataset: DatasetSettings
    match: MatchSettings
    model: EncoderSettings
    limits: LimitSettings
    compute: ComputeSettings
    output: OutputSettings

    @property
    def folder(self) -> Path:
        """The folder of the prepared sets."""
        return Path(self.ratings.dir)

    @property
    def matched(self) -> Path:
        """The folder of the parts, their locks and the record of the run."""
        return self.folder / "matched"
