"""Atomic writes, digests, records of what made a result, and zips, folders and downloads as sources.

Archives are never unpacked: a caller reads the members that it knows and writes them under names of its own, so no
path inside an archive decides where a file is written.
"""

from __future__ import annotations

import glob
import hashlib
import json
import lzma
import os
import platform
import re
import secrets
import socket
import struct
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from http.client import HTTPException
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save
from tqdm import tqdm

from .settings import DISTRIBUTION, UserError, note, settings_as_dict

if TYPE_CHECKING:
    import pandas as pd


_PACKAGES = (  # whose versions may change a result
    DISTRIBUTION,
    *("symusic", "torch", "numpy", "safetensors", "datasets", "pandas", "pyarrow", "duckdb", "scikit-learn", "scipy"),
)
MAX_MEMBER_BYTES = 256 * 1024**2  # far above the largest file that is read (a few MB); a guard against zip bombs
DAMAGED_ZIP = (  # what zipfile raises; RuntimeError: encrypted
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError),
    *(ValueError, struct.error),
)
_CHUNK_BYTES = 1 << 20
TEMPORARY = ".partial"  # how the names of unfinished files end
ABANDONED_AFTER = 86_400  # seconds
_RUN = secrets.token_hex(4)  # of this process; another one may get its number when it has ended
_WRITER = re.compile(rf"\.(?P<machine>[0-9a-f]{{12}})-(?P<process>\d+)-(?P<run>[0-9a-f]{{8}}){re.escape(TEMPORARY)}$")


def file_digest(path: str | Path) -> str:
    """sha256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def midi_md5(content: bytes) -> str:
    """md5 of a file's bytes, as 32 hex digits: the name of a MIDI file in GigaMIDI."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, shapes and float32 values, sorted by name, as 64 hex digits.

    The same weights have the same digest whether they came from a `.pt` or a `.safetensors` file.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        values = np.ascontiguousarray(tensors[name], dtype="<f4")
        digest.update(f"{name}{values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def provenance(settings: Any, written_by: str, **facts: Any) -> dict[str, Any]:
    """A record for `run.json`: the script, settings, versions, and the given facts, such as digests or counts.

    written_by: the script's path in the project, by which a reader tells what the folder holds.
    """
    return {"written_by": written_by, "settings": settings_as_dict(settings), "versions": versions(), **facts}


def write_json(path: str | Path, record: Any) -> None:
    """Write a record as indented JSON, whole or not at all; it is on the disk when this returns, even after a crash."""
    with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def write_table(path: str | Path, table: pd.DataFrame, decimals: int | None = None) -> None:
    """Write a table as CSV without its index, whole or not at all. decimals: of every float; None keeps them all."""
    with atomic_write(path) as temporary:
        table.to_csv(temporary, index=False, float_format=None if decimals is None else f"%.{decimals}f")


def write_tensors(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all; the same tensors and metadata give the same bytes.

    The library writes the metadata in an order that changes from run to run, so the header is sorted here.
    """
    data = save({name: np.ascontiguousarray(values) for name, values in tensors.items()}, dict(metadata))
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format aligns tensors to eight bytes
    with atomic_write(path) as temporary, temporary.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(data[8 + size :])


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to; rename it to `path` when the block ends without an error.

    A reader sees the old file or the new one, never half of one. A missing parent folder is created. The temporary
    file's name carries who writes it, so that processes on any machines may write to the same path at once.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{_writer()}{TEMPORARY}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # of a write to an open file
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_abandoned(path: Path) -> None:
    """Remove temporary files of `path` that nobody will finish.

    That is known of a writer on this machine whose process has ended, and taken to be so of any that has not written
    for a day. Where locks don't work (some network drives and containers), others may be at work on the same path.
    """
    _remove_if_abandoned(path.parent.glob(f".{glob.escape(path.name)}.*{TEMPORARY}"))


def remove_abandoned_below(folder: Path) -> None:
    """As remove_abandoned, for all files in a folder and those below it."""
    _remove_if_abandoned(path for path in folder.rglob(f".*{TEMPORARY}") if is_temporary(path))


def _remove_if_abandoned(temporaries: Iterable[Path]) -> None:
    for temporary in temporaries:
        with suppress(FileNotFoundError):  # its writer has finished, or another process has removed it
            if _has_ended(temporary) or time.time() - temporary.stat().st_mtime > ABANDONED_AFTER:
                temporary.unlink()


def is_temporary(path: Path) -> bool:
    """Whether `atomic_write` made a file's name."""
    return _WRITER.search(path.name) is not None


def _has_ended(temporary: Path) -> bool:
    """Whether the process that writes a temporary file is known to have ended."""
    found = _WRITER.search(temporary.name)
    if not found or found["machine"] != _machine():
        return False
    if int(found["process"]) == os.getpid():
        return found["run"] != _RUN
    try:
        os.kill(int(found["process"]), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # it lives, and belongs to another user
        pass
    return False


def _writer() -> str:
    """This process, as a part of a file's name: the machine, the process's number, and a random number."""
    return f"{_machine()}-{os.getpid()}-{_RUN}"


@cache
def _machine() -> str:
    """What tells apart the places where a process's number means one process: the host, its start, its namespace."""
    facts = [socket.gethostname()]
    with suppress(OSError):  # Linux; containers on one machine have their own numbers of processes
        facts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
        facts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]


def files_below(folder: Path, suffixes: Sequence[str] = ()) -> list[Path]:
    """The files in a folder and all folders below it, in the order of their paths.

    Folders that are links are followed, each folder once: that which is no link counts before its links. suffixes: in
    lower case, with the dot; () takes all files. A folder that can't be read is named in a note.
    """

    def left_out(error: OSError) -> None:
        note(f"{error.filename} can't be read ({error.strerror}): the files in it are left out")

    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    waiting = [folder]
    while waiting:
        links: list[Path] = []
        for top in waiting:
            for path, folders, names in os.walk(top, onerror=left_out):
                try:
                    about = Path(path).stat()
                except OSError as error:  # it went away, or a folder above it may not be entered
                    left_out(error)
                    continue
                if (about.st_dev, about.st_ino) in seen:
                    folders.clear()
                    continue
                seen.add((about.st_dev, about.st_ino))
                links += [Path(path, name) for name in folders if os.path.islink(Path(path, name))]  # noqa: PTH114
                files += [Path(path, name) for name in names if not suffixes or Path(name).suffix.lower() in suffixes]
        waiting = sorted(links)
    # pathlib's is_file raises PermissionError for a link into a folder that may not be entered
    return sorted(path for path in files if os.path.isfile(path))  # noqa: PTH113


class RawData:
    """The files of a zip or of a folder. `names` are their paths inside it, with forward slashes, in order."""

    def __init__(self, path: str | Path, setting: str) -> None:
        """Open it. setting: name of the setting that holds `path`, for messages. Raises UserError if that fails."""
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            names = [path.relative_to(self.path).as_posix() for path in files_below(self.path)]
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except (OSError, *DAMAGED_ZIP) as error:
                raise UserError(f"{self.path}: not a readable zip ({error}); get it again or set {setting}") from None
            names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            raise UserError(f"{self.path}: no such file or folder; set {setting} to a zip or a folder")
        self.names = sorted(name for name in names if not _is_litter(name))

    def read(self, name: str) -> bytes:
        """The bytes of one of `names`. Raises UserError if it is damaged or larger than any piece of music."""
        try:
            file = self.path / name
            size = self._zip.getinfo(name).file_size if self._zip else file.stat().st_size
            if size > MAX_MEMBER_BYTES:
                raise UserError(f"{self.path}: {name} is larger than {MAX_MEMBER_BYTES} bytes, which no music file is")
            return self._zip.read(name) if self._zip else file.read_bytes()
        except (OSError, *DAMAGED_ZIP) as error:
            raise UserError(f"{self.path}: {name} can't be read ({error}); get the file again") from None

    def find(self, ending: str) -> list[str]:
        """The names whose last parts are those of `ending`, e.g. "split/val_clip.csv"; shortest path first."""
        parts = PurePosixPath(ending).parts
        return sorted((n for n in self.names if PurePosixPath(n).parts[-len(parts) :] == parts), key=len)


def _is_litter(name: str) -> bool:
    """Whether macOS or an editor left this file in an archive."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def raw_data(path: str | None, url: str, md5: str | None, downloads: Path, section: str) -> RawData:
    """The dataset at `path`; if that is None, download it from `url` into the folder `downloads`.

    section: the dataset's section in the settings, for messages.
    """
    setting = f"{section}.path"
    return RawData(_download(url, md5, downloads / f"{section}.zip", setting) if path is None else path, setting)


def folder_beside(folder: Path, ending: str) -> Path:
    """The folder FOLDER-ENDING beside FOLDER, for what is made from it; for "." its real name is used."""
    named = folder if folder.name not in ("", "..") else folder.resolve()
    return Path(f"{named}-{ending}")


def _download(url: str, md5: str | None, target: Path, setting: str) -> Path:
    """Download the file unless it exists; a file under its final name is complete."""
    if target.exists():
        return target
    digest = hashlib.md5(usedforsecurity=False)
    by_hand = f"download it elsewhere and give it as --set {setting}=FILE"
    try:
        with urllib.request.urlopen(url, timeout=60) as response, atomic_write(target) as temporary:
            expected = int(response.headers.get("Content-Length") or 0)
            with (
                open(temporary, "wb") as file,
                tqdm(total=expected or None, unit="B", unit_scale=True, desc=target.name, disable=None) as bar,
            ):
                while chunk := response.read(_CHUNK_BYTES):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
            if expected and temporary.stat().st_size != expected:
                raise UserError(f"{url}: the connection broke off; run again, or {by_hand}")
            if md5 is not None and digest.hexdigest() != md5:
                raise UserError(f"{url}: md5 is {digest.hexdigest()}, not {md5}; run again, or {by_hand}")
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{url}: can't be downloaded ({reason}); {by_hand}") from None
    return target
