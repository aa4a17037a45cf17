"""The names of files that are made of songs, such as plots: without letters that file systems refuse, none twice."""

from __future__ import annotations

from itertools import chain, count
from pathlib import PurePosixPath

from .annotations import MIDI_SUFFIXES

_KEPT = "-_.,()[]+&' "  # characters that a name may have besides letters and digits
_LONGEST_NAME = 120  # bytes; file systems allow 255, and a suffix and more are added


class FileNames:
    """Names for songs, one after the other, without suffix."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, title: str, md5: str) -> str:
        """The name of the next song, another one than those before it, where letters' cases don't count.

        That of its MIDI file, with the path in its folder, if its title is one; else its md5.
        """
        suffix, digest = PurePosixPath(title).suffix, _file_name(md5) or "song"
        is_file = suffix.lower() in MIDI_SUFFIXES
        name = (_file_name(title.removesuffix(suffix)) if is_file else "") or digest
        longer = f"{name}-{digest[:8]}"
        candidates = chain([name, longer], (f"{longer}-{n}" for n in count(2)))
        free = next(candidate for candidate in candidates if candidate.casefold() not in self._taken)
        self._taken.add(free.casefold())
        return free


def _file_name(text: str) -> str:
    """A name for a file, without suffix: a text less what file systems refuse; "" if nothing is left of it."""
    name = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in text)
    return name.encode(errors="ignore")[:_LONGEST_NAME].decode(errors="ignore").strip("._ ")
