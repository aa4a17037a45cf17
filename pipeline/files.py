"""What made a result: settings, versions, digests; and files that appear whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from .settings import settings_as_dict

if TYPE_CHECKING:
    import pandas as pd

_PACKAGES = ("valence-arousal", "symusic", "torch", "numpy", "safetensors", "datasets", "pandas")


def file_digest(path: str | Path) -> str:
    """sha256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def midi_md5(content: bytes) -> str:
    """md5 of a file's bytes, as 32 hex digits: the name that GigaMIDI gives a MIDI file."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def tensors_digest(tensors: Mapping[str, np.ndarray]) -> str:
    """sha256 over names, shapes and float32 values in the order of the names, as 64 hex digits.

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


def provenance(settings: Any, **facts: Any) -> dict[str, Any]:
    """A record for `run.json`: the settings, the versions, and whatever digests or counts are given beside them."""
    return {"settings": settings_as_dict(settings), "versions": versions(), **facts}


def write_json(path: str | Path, record: Any) -> None:
    """Write a record as indented JSON, whole or not at all, and so that it is there after the machine has failed."""
    with written_whole(path) as beside, beside.open("w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def write_table(path: str | Path, table: pd.DataFrame, decimals: int | None = None) -> None:
    """Write a table as CSV without its index, whole or not at all. decimals: of every float; None keeps them all."""
    with written_whole(path) as beside:
        table.to_csv(beside, index=False, float_format=None if decimals is None else f"%.{decimals}f")


def write_tensors(path: str | Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all; the same tensors and metadata give the same bytes.

    The library writes the metadata in an order that changes from run to run: the header is put in order here.
    """
    data = save({name: np.ascontiguousarray(values) for name, values in tensors.items()}, dict(metadata))
    size = int.from_bytes(data[:8], "little")
    header = json.dumps(json.loads(data[8 : 8 + size]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)  # the format aligns tensors to eight bytes
    with written_whole(path) as beside, beside.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.write(data[8 + size :])


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a path beside `path` to write to; move it into place when the block ends without an error.

    A reader sees the old file or the new one, never half of one. The parent folder is made if need be.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
