"""The settings of publish_annotations/01_export.py; config/export.yaml has their meanings, units and defaults.

They are separate from the settings of the annotation, which run.json records, since an export changes no annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pipeline.files import folder_beside
from pipeline.settings import FilePath, Pattern, PositionalSetting, Range, SettingsError

SETTINGS_FILE = "export.yaml"
FOLDERS = PositionalSetting(
    "FOLDER",
    "export.folders",
    "finished folders of annotations, one for each split, in place of the setting export.folders; the data set goes "
    "beside the first, into FOLDER-export, unless export.dir is set",
    several=True,
)


@dataclass(frozen=True)
class DataSettings:
    """Which annotations are exported, into which files, and where they are pushed to."""

    folders: tuple[FilePath, ...]
    dir: FilePath | None
    bars_per_row_group: Annotated[int, Range(1_000, 1_000_000)]
    bars_per_file: Annotated[int, Range(1_000, 1_000_000_000)]
    repo: Annotated[str, Pattern(r"(?a:[\w.-]+/[\w.-]+)", "a name on the Hub, NAME/DATASET")] | None
    private: bool

    def __post_init__(self) -> None:
        if not self.folders:
            raise SettingsError("export.folders names no folder; give one that 01_annotate.py has finished")

    @property
    def folder(self) -> Path:
        """The folder for the data set."""
        return Path(self.dir) if self.dir else folder_beside(Path(self.folders[0]), "export")


@dataclass(frozen=True)
class CardSettings:
    """What the data card says that can't be derived from the data."""

    title: str | None
    license: str
    code: str | None

    def __post_init__(self) -> None:
        if self.title is not None and not (self.title.strip() and self.title.isprintable()):
            raise SettingsError("card.title: the heading of the data card must be one line of text")


@dataclass(frozen=True)
class ExportSettings:
    """All settings of config/export.yaml."""

    export: DataSettings
    card: CardSettings
