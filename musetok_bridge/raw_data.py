"""A collection of music as its makers give it: a zip or a folder, read file by file.

Nothing is unpacked: a caller reads the members it knows and writes them under names of its own, so that no path
inside an archive can decide where on the disk something lands.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from pipeline.settings import UserError

MAX_MEMBER_BYTES = 256 * 1024**2  # far above the largest file that is read (a few MB); stops a zip bomb
DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)  # RuntimeError: encrypted


class RawData:
    """The files of a zip or of a folder. `names` are their paths inside it, with forward slashes, in order."""

    def __init__(self, path: str | Path, setting: str) -> None:
        """Open it. setting: name of the setting that gave `path`, for messages. Raises UserError."""
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            names = [p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file()]
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except (zipfile.BadZipFile, OSError) as error:
                raise UserError(f"{self.path}: not a readable zip ({error}); get it again or set {setting}") from None
            names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            raise UserError(f"{self.path}: no such file or folder; set {setting} to a zip or a folder")
        self.names = sorted(name for name in names if not _is_litter(name))

    def read(self, name: str) -> bytes:
        """The bytes of one of `names`. Raises UserError if it is damaged or larger than any piece of music."""
        try:
            if self._zip is None:
                return (self.path / name).read_bytes()
            if self._zip.getinfo(name).file_size > MAX_MEMBER_BYTES:
                raise UserError(f"{self.path}: {name} is larger than {MAX_MEMBER_BYTES} bytes; no music is")
            return self._zip.read(name)
        except (OSError, *DAMAGED_ZIP) as error:
            raise UserError(f"{self.path}: {name} can't be read ({error}); get the file again") from None

    def find(self, ending: str) -> list[str]:
        """The names whose last parts are those of `ending`, e.g. "split/val_clip.csv"; shortest path first."""
        parts = PurePosixPath(ending).parts
        return sorted((n for n in self.names if PurePosixPath(n).parts[-len(parts) :] == parts), key=len)


def _is_litter(name: str) -> bool:
    """Whether it is a file that macOS or an editor left in an archive."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")
