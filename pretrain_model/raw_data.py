"""A dataset as its authors give it: a zip or a folder, local or downloaded, read file by file.

Nothing is unpacked: a caller reads the members it knows and writes them under names of its own, so that no path
inside an archive can decide where on the disk something lands.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
import zipfile
import zlib
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from musetok_bridge.provenance import written_whole
from musetok_bridge.settings import UserError

MAX_MEMBER_BYTES = 256 * 1024**2  # far above the largest file that is read (a few MB); stops a zip bomb
_CHUNK_BYTES = 1 << 20


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
        """The bytes of one of `names`. Raises UserError if it is damaged or absurdly large."""
        try:
            if self._zip is None:
                return (self.path / name).read_bytes()
            if self._zip.getinfo(name).file_size > MAX_MEMBER_BYTES:
                raise UserError(
                    f"{self.path}: {name} is larger than {MAX_MEMBER_BYTES} bytes; not a file of this dataset"
                )
            return self._zip.read(name)
        except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise UserError(f"{self.path}: {name} can't be read ({error}); get the file again") from None

    def find(self, ending: str) -> list[str]:
        """The names whose last parts are those of `ending`, e.g. "split/val_clip.csv"; shortest path first."""
        parts = PurePosixPath(ending).parts
        return sorted((n for n in self.names if PurePosixPath(n).parts[-len(parts) :] == parts), key=len)


def _is_litter(name: str) -> bool:
    """Whether it is a file that macOS or an editor left in an archive."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def raw_data(path: str | None, url: str, md5: str | None, downloads: Path, section: str) -> RawData:
    """The dataset at `path`, or, if that is None, the one downloaded from `url` into the folder `downloads`.

    section: the dataset's section in the settings, for messages.
    """
    setting = f"{section}.path"
    return RawData(_download(url, md5, downloads / f"{section}.zip", setting) if path is None else path, setting)


def _download(url: str, md5: str | None, target: Path, setting: str) -> Path:
    """Download once; a file that stands there is complete."""
    if target.exists():
        return target
    digest = hashlib.md5(usedforsecurity=False)
    by_hand = f"download it elsewhere and give it as --set {setting}=FILE"
    try:
        with urllib.request.urlopen(url, timeout=60) as response, written_whole(target) as beside:
            expected = int(response.headers.get("Content-Length") or 0)
            with (
                open(beside, "wb") as file,
                tqdm(total=expected or None, unit="B", unit_scale=True, desc=target.name) as bar,
            ):
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
            if expected and beside.stat().st_size != expected:
                raise UserError(f"{url}: the connection broke off; run again, or {by_hand}")
            if md5 is not None and digest.hexdigest() != md5:
                raise UserError(f"{url}: md5 is {digest.hexdigest()}, not {md5}; run again, or {by_hand}")
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: can't be downloaded ({reason}); {by_hand}") from None
    return target
