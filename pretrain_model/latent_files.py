"""The latents and features of one piece on disk: a `.safetensors` file that also says what made it.

Tensors: latents float32 (n, width), codes int16 (n, levels), bar_number int32 (n), n_notes int32 (n), features float32
(n, features) and edges float64 (n + 1) as performance_features has them, for the n bars of the piece. Metadata:
encoder_digest, encoder_name and dtype (its number format), features (their version), midi_md5 (of the MIDI file's
bytes), versions (JSON).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from pipeline.files import write_tensors


class NamedEncoder(Protocol):
    """What is asked of an encoder here: a name and the digest of its weights."""

    @property
    def name(self) -> str:
        """bundled, official or a path."""

    @property
    def digest(self) -> str:
        """sha256 of its weights, 64 hex digits."""


@dataclass(frozen=True)
class PieceLatents:
    """The bars of a piece; see the module for shapes."""

    latents: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int16]
    bar_number: npt.NDArray[np.int32]
    n_notes: npt.NDArray[np.int32]
    features: npt.NDArray[np.float32]
    edges: npt.NDArray[np.float64]


def latents_folder(folder: Path, encoder: NamedEncoder) -> Path:
    """Where the latents by an encoder lie; a checkpoint given by its path is called by its file name."""
    return folder / "latents" / Path(encoder.name).stem


def latents_path(folder: Path, encoder: NamedEncoder, dataset: str, piece: str) -> Path:
    """Where the latents of a piece lie."""
    return latents_folder(folder, encoder) / dataset / f"{piece}.safetensors"


def write_latents(path: Path, piece: PieceLatents, metadata: dict[str, str]) -> None:
    """Write a piece's file, whole or not at all."""
    write_tensors(path, asdict(piece), metadata)


def read_latents(path: Path) -> PieceLatents:
    """Read a piece's file. Raises OSError or SafetensorError if it isn't there or isn't whole."""
    with safe_open(path, framework="numpy") as file:
        return PieceLatents(**{name: file.get_tensor(name) for name in PieceLatents.__dataclass_fields__})


def read_metadata(path: Path) -> dict[str, str]:
    """What made a piece's file, without reading its tensors; empty if there is no readable file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}
