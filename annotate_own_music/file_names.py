"""The names of files that are made of songs: each that of its song, made valid on any file system, and none twice."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path

from song_sources.song_rows import Row

_KEPT = "-_.,()[]+&' "  # characters that a name may have besides letters and digits
_LONGEST_NAME = 120  # bytes; file systems allow 255, and a suffix and more are added


class FileNames:
    """Names for songs, one after the other, without suffix."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, row: Row) -> str:
        """The name of the next song: another one than those before it, where letters' cases don't count."""
        name = file_name(row.name)
        longer = f"{name}-{row.md5[:8]}"
        candidates = chain([name, longer], (f"{longer}-{n}" for n in count(2)))
        name = next(candidate for candidate in candidates if candidate.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return name


def file_name(name: str) -> str:
    """The name of a song's file without its suffix, made valid on any file system."""
    stem = name.removesuffix(Path(name).suffix)
    name = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in stem)
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore").strip("._ ") or "song"
