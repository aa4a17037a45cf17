"""The settings of config/analysis.yaml, shared by the scripts of this phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from musetok_bridge.settings import Range, SettingsError

DEFAULT_FILE = "analysis.yaml"


@dataclass(frozen=True)
class InputSettings:
    """Where the annotations lie."""

    dir: str


@dataclass(frozen=True)
class OutputSettings:
    """Where the results go."""

    dir: str


@dataclass(frozen=True)
class StylePlotSettings:
    """Which styles the plot shows by name."""

    column: str | None
    min_songs: Annotated[int, Range(1)]
    max_styles: Annotated[int, Range(1, 30)]


@dataclass(frozen=True)
class SongSettings:
    """Which songs have their curves drawn."""

    md5: tuple[str, ...]
    first: Annotated[int, Range(1, 1000)]
    midi: str | None
    midi_config: str | None


@dataclass(frozen=True)
class PictureSettings:
    """How the pictures are written."""

    dpi: Annotated[int, Range(50, 600)]
    formats: tuple[Literal["png", "svg"], ...]

    def __post_init__(self) -> None:
        if not self.formats:
            raise SettingsError("picture.formats names no format; give png, svg or both")


@dataclass(frozen=True)
class AnalysisSettings:
    """Settings of the scripts that analyse annotations."""

    input: InputSettings
    output: OutputSettings
    style_plot: StylePlotSettings
    songs: SongSettings
    picture: PictureSettings
