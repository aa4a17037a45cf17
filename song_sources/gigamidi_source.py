"""Songs in numbered parts: from the Hub, a local copy, or MIDI files.

A part is a fixed number of row groups of the dataset's Parquet files, in their order, so it is the same for every
reader; in a folder of MIDI files every FILES_PER_GROUP files count as a row group.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.annotations import MIDI_SUFFIXES
from pipeline.files import files_below, midi_md5
from pipeline.settings import UserError, counted, note

from .dataset_settings import DatasetSettings
from .local_dataset import PARQUET, LocalSource
from .midi_files import is_midi, midi_row
from .song_identities import SongIdentity, identity_of_file
from .song_rows import Row, Source
from .source_faults import tried

FILES_PER_GROUP = 100  # MIDI files that count as one row group


def open_source(
    settings: DatasetSettings, groups_per_part: int = 1, max_bytes: int | None = None, reopened: bool = False
) -> Source:
    """Open the dataset that the settings name.

    max_bytes: of a larger file only this many bytes and one more are kept, by which its reader knows that it is too
    large. reopened: whether another process of the run has opened it: what there is to note was said then, and opening
    is tried again, as reading always is.

    Raises UserError if it can't be opened: no access, no network, no such configuration, split or path.
    """
    source = _open(settings, groups_per_part, max_bytes, reopened)
    if settings.limit is not None:
        source.cut_off(settings.limit)
    return source


def _open(settings: DatasetSettings, groups_per_part: int, max_bytes: int | None, reopened: bool) -> Source:
    if settings.path is None:
        from .hub_source import HubSource  # and the library datasets, which takes half a second

        return HubSource(settings, groups_per_part, max_bytes, reopened)
    path = Path(settings.path).absolute()
    if not path.exists():
        raise UserError(f"dataset.path: {settings.path} does not exist")
    if not path.is_dir() and not path.is_file():  # a named pipe would be waited for
        raise UserError(f"dataset.path: {settings.path} is not a file")
    path = path.resolve() if path.is_dir() else path
    files = files_below(path, (PARQUET, *MIDI_SUFFIXES)) if path.is_dir() else [path]
    midis = [file for file in files if is_midi(file)]
    parquet = [file for file in files if file.suffix.lower() == PARQUET]
    if path.is_dir() and parquet:
        if midis and not reopened:
            note(f"{path} holds Parquet files, which are read, and {counted(len(midis), 'MIDI file')}, not read")
        return LocalSource(settings, groups_per_part, max_bytes, path, parquet, reopened)
    return MidiSource(settings, groups_per_part, max_bytes, path, midis)


def pinned(settings: DatasetSettings) -> DatasetSettings:
    """The settings with the commit that the revision names on the Hub now; for a local copy, the settings unchanged.

    Raises UserError if the Hub doesn't answer.
    """
    if settings.path is not None:
        return settings
    from .hub_source import newest_commit  # as in _open

    return replace(settings, revision=newest_commit(settings))


def pinned_as_begun(settings: DatasetSettings, begun_with: Callable[[], Mapping[str, Any] | None]) -> DatasetSettings:
    """As `pinned`, with the commit that a folder was begun with, unless the settings name a revision.

    begun_with: returns what decided about the folder when it was begun; None if it was not.
    """
    if settings.path is not None or settings.revision is not None:
        return pinned(settings)
    revision = (begun_with() or {}).get("dataset.revision")
    return replace(settings, revision=revision) if revision else pinned(settings)


class MidiSource(Source):
    """MIDI files of a folder and all folders below it, or one file; FILES_PER_GROUP of them count as a row group."""

    def __init__(
        self, settings: DatasetSettings, groups_per_part: int, max_bytes: int | None, path: Path, midis: list[Path]
    ):
        """path: the folder or file. midis: its MIDI files. Raises UserError if there are none."""
        self._midis = midis
        if not midis:
            kind = "is not a MIDI file" if path.is_file() else "holds neither Parquet nor MIDI files"
            raise UserError(f"dataset.path: {path} {kind} ({', '.join(MIDI_SUFFIXES)})")
        self._root = path if path.is_dir() else path.parent
        listing = "".join(f"{self._title(file)}\n{file.stat().st_size}\n" for file in self._midis)
        identity = {"files in dataset.path": midi_md5(listing.encode(errors="surrogateescape"))}
        n_files = len(self._midis)
        n_groups = -(-n_files // FILES_PER_GROUP)
        super().__init__(settings, groups_per_part, max_bytes, identity, ("title",), n_files, n_groups)

    def group_rows(self, group: int) -> Generator[Row, None, None]:
        """Yield the files of a row group as rows. Raises UserError if one can't be read."""
        for file in self._midis[group * FILES_PER_GROUP : (group + 1) * FILES_PER_GROUP]:
            yield tried(partial(midi_row, file, self._title(file), self._max_bytes), self._settings)

    def group_md5s(self, group: int) -> list[str]:
        """The md5s of a row group's files. Raises UserError if one can't be read."""
        return [row.md5 for row in self.group_rows(group)]

    def group_identities(self, group: int) -> list[SongIdentity]:
        """Who the songs of a row group's files are, by their bytes and paths. Raises UserError if one can't be read."""
        return [identity_of_file(row.md5, row.name) for row in self.group_rows(group)]

    def _title(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()
