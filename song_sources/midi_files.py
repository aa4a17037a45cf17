"""MIDI files as rows of songs: found in folders, and read only up to the limit of a file's size.

The md5 is that of the file's bytes; the title is its path within the folder, or its name if the file itself was given.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.annotations import MIDI_SUFFIXES
from pipeline.cells import as_text
from pipeline.files import files_below

from .song_rows import Row


def is_midi(path: Path) -> bool:
    """Whether a file's name ends like that of a MIDI file."""
    return path.suffix.lower() in MIDI_SUFFIXES


def midi_files_below(folder: Path) -> list[Path]:
    """The MIDI files in a folder and all folders below it, in the order of their paths."""
    return files_below(folder, MIDI_SUFFIXES)


def midi_row(file: Path, name: str, max_bytes: int | None) -> Row:
    """A file as a row named `name`; without music and md5 if the file is gone or reading it is not permitted.

    max_bytes: as for `open_source`. Raises OSError if the disk fails.
    """
    music, md5, read_error = None, "", ""
    try:
        with file.open("rb") as opened:
            music = opened.read(-1 if max_bytes is None else max_bytes + 1)
            opened.seek(0)
            md5 = hashlib.file_digest(opened, "md5").hexdigest()
    except (FileNotFoundError, PermissionError) as error:
        read_error = error.strerror or str(error)
    return Row(md5, music, {"title": as_text(name)}, name, read_error)


class NamedFile(NamedTuple):
    """A MIDI file and the name to print for it: its path within the given folder, or its file name."""

    path: Path
    name: str


class NoMusic(NamedTuple):
    """A path without a MIDI file, and why."""

    path: Path
    reason: str


def named_files(paths: Sequence[Path]) -> tuple[list[NamedFile], list[NoMusic]]:
    """The MIDI files at and below the paths, each once, and the paths that have none.

    Files that would share a name have their full paths as names.
    """
    files: dict[Path, NamedFile] = {}
    without = []
    for path in paths:
        found, why_none = _files_at(path)
        for file in found:
            files.setdefault(file.path.resolve(), file)
        if why_none:
            without.append(NoMusic(path, why_none))
    times = Counter(file.name for file in files.values())
    return [file if times[file.name] == 1 else NamedFile(file.path, str(file.path)) for file in files.values()], without


def _files_at(path: Path) -> tuple[list[NamedFile], str | None]:
    try:
        path.stat()
    except OSError as error:
        return [], error.strerror or str(error)
    suffixes = ", ".join(MIDI_SUFFIXES)
    if path.is_dir():
        below = midi_files_below(path)
        found = [NamedFile(file, file.relative_to(path).as_posix()) for file in below]
        return found, None if found else f"no MIDI file ({suffixes}) in this folder or those below it"
    if not is_midi(path) or not path.is_file():
        return [], f"not a MIDI file by its name ({suffixes})"
    try:
        path.open("rb").close()
    except OSError as error:
        return [], f"can't be read ({error.strerror})"
    return [NamedFile(path, path.name)], None
