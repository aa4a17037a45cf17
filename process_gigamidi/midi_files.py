"""MIDI files as rows of songs: found in folders, and read no further than the limit of a file's size goes.

A file's md5 is that of its bytes, its title its path within the folder, or its name if it was given itself.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from musetok_bridge.scores import MIDI_SUFFIXES

from .song_rows import Row


def is_midi(path: Path) -> bool:
    """Whether a file is a MIDI file by its name."""
    return path.suffix.lower() in MIDI_SUFFIXES


def midi_files_below(folder: Path) -> list[Path]:
    """The MIDI files in a folder and all folders below it, in the order of their paths."""
    return sorted(path for path in folder.rglob("*") if is_midi(path) and path.is_file())


def midi_row(file: Path, name: str, most_bytes: int | None) -> Row:
    """A file as a row called by `name`; without music or md5 if it is gone or may not be read.

    most_bytes: it keeps only so many of its bytes, and one more, which says that it is larger. Raises OSError if the
    disk fails.
    """
    music, md5 = None, ""
    try:
        with file.open("rb") as opened:
            music = opened.read(-1 if most_bytes is None else most_bytes + 1)
            opened.seek(0)
            md5 = hashlib.file_digest(opened, "md5").hexdigest()
    except (FileNotFoundError, PermissionError):
        pass
    return Row(md5, music, {"title": name}, name)


class NamedFile(NamedTuple):
    """A MIDI file and its name for those who read of it: its path in the folder that was given, or its file name."""

    path: Path
    name: str


def named_files(paths: Sequence[Path]) -> tuple[list[NamedFile], list[str]]:
    """The MIDI files that paths of files and folders stand for, each once, and a line on each path that gives none.

    A name that two files share becomes the path of each.
    """
    files: dict[Path, NamedFile] = {}
    problems = []
    for path in paths:
        found, problem = _files_at(path)
        for file in found:
            files.setdefault(file.path.resolve(), file)
        if problem:
            problems.append(problem)
    times = Counter(file.name for file in files.values())
    return [
        file if times[file.name] == 1 else NamedFile(file.path, str(file.path)) for file in files.values()
    ], problems


def _files_at(path: Path) -> tuple[list[NamedFile], str | None]:
    try:
        path.stat()
    except OSError as error:
        return [], f"{path}: {error.strerror}"
    suffixes = ", ".join(MIDI_SUFFIXES)
    if path.is_dir():
        below = midi_files_below(path)
        found = [NamedFile(file, file.relative_to(path).as_posix()) for file in below]
        return found, None if found else f"{path}: no MIDI file ({suffixes}) in this folder or those below it"
    if not is_midi(path) or not path.is_file():
        return [], f"{path}: not a MIDI file by its name ({suffixes})"
    try:
        path.open("rb").close()
    except OSError as error:
        return [], f"{path}: can't be read ({error.strerror})"
    return [NamedFile(path, path.name)], None
