"""The settings of config/analysis.yaml, shared by the scripts of this phase."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pipeline.files import folder_beside
from pipeline.settings import FilePath, PositionalSetting, Range, SettingsError

SETTINGS_FILE = "analysis.yaml"
INPUT_FOLDER = PositionalSetting(
    "FOLDER",
    "input.dir",
    "folder of annotations to read, in place of the setting input.dir; the results go beside it, into "
    "FOLDER-analysis, unless output.dir is set",
)


@dataclass(frozen=True)
class InputSettings:
    """Where the annotations are."""

    dir: FilePath


@dataclass(frozen=True)
class OutputSettings:
    """Where the results go; null: beside the annotations."""

    dir: FilePath | None


@dataclass(frozen=True)
class ComputeSettings:
    """How much memory the statistics may use."""

    memory_mb: Annotated[int, Range(200, 1_000_000)]


@dataclass(frozen=True)
class StyleSettings:
    """Which styles have rows and plots of their own."""

    min_songs: Annotated[int, Range(1)]
    column: str | None
    max_drawn: Annotated[int, Range(1, 30)]


@dataclass(frozen=True)
class FeatureSettings:
    """The boundaries of the classes that songs are grouped into besides their styles."""

    tempo_edges: Annotated[tuple[float, ...], Range(1, 1000)]
    density_edges: Annotated[tuple[float, ...], Range(0, 10_000)]
    track_edges: Annotated[tuple[float, ...], Range(1, 100_000)]
    expressive_from: Annotated[float, Range(0, 1000)]

    def __post_init__(self) -> None:
        for name in ("tempo_edges", "density_edges", "track_edges"):
            edges = getattr(self, name)
            if not edges or any(low >= high for low, high in pairwise(edges)):
                raise SettingsError(f"features.{name}: give at least one number, each larger than the one before")


@dataclass(frozen=True)
class TrajectorySettings:
    """How trajectories, from the first bar of a song to its last, are sampled."""

    points: Annotated[int, Range(2, 200)]
    min_bars: Annotated[int, Range(2)]


@dataclass(frozen=True)
class SongSettings:
    """Which songs' curves are drawn."""

    md5: tuple[str, ...]
    first: Annotated[int, Range(1, 1000)]


@dataclass(frozen=True)
class ReportSettings:
    """Which single songs the report lists, and how much their notes may add to it."""

    songs_per_list: Annotated[int, Range(1, 50)]
    min_bars: Annotated[int, Range(2)]
    notes_mb: Annotated[float, Range(0, 100)]


@dataclass(frozen=True)
class PlotSettings:
    """How the plots are written."""

    dpi: Annotated[int, Range(50, 600)]
    formats: tuple[Literal["png", "svg"], ...]

    def __post_init__(self) -> None:
        if not self.formats:
            raise SettingsError("plot.formats names no format; give png, svg or both")


@dataclass(frozen=True)
class AnalysisSettings:
    """Settings of the scripts that analyse annotations."""

    input: InputSettings
    output: OutputSettings
    compute: ComputeSettings
    styles: StyleSettings
    features: FeatureSettings
    trajectory: TrajectorySettings
    songs: SongSettings
    report: ReportSettings
    plot: PlotSettings

    @property
    def folder(self) -> Path:
        """The folder for the results."""
        return Path(self.output.dir) if self.output.dir else folder_beside(Path(self.input.dir), "analysis")
