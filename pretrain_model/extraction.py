"""Latents and features of every prepared piece: MIDI -> bars -> one `.safetensors` file for each piece.

Tensors of a file: latents float32 (n, width), codes int16 (n, levels), bar_number int32 (n), n_notes int32 (n),
features float32 (n, features), band float32 (n, len(BAND)) and edges float64 (n + 1) as in features.py, for the n bars
of the piece. Metadata: encoder_digest, encoder_name and dtype (its number format), levels (of its quantizer, n_levels),
features (their version), midi_md5 (of the MIDI file's bytes), versions (JSON).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from safetensors import SafetensorError, safe_open

from musetok_bridge import BarEncoder, Bars, UnusableScore, score_to_bars
from musetok_bridge.scores import read_score
from pipeline.files import midi_md5, versions, write_table, write_tensors
from pipeline.progress import progress_bar

from .features import VERSION as FEATURES_VERSION
from .features import BarFeatures, bar_features
from .head import NamedEncoder
from .rated_set import is_by_identity, read_set_table

MATCHED = "_matched"  # folder of songs found in a stream of music, which several sets may share


@dataclass(frozen=True)
class ConvertedPiece:
    """A converted piece that is not encoded yet, and where its file is to be."""

    path: Path
    midi_md5: str
    bars: Bars
    features: BarFeatures


def extract_latents(
    folder: Path, sets: Sequence[str], encoder: BarEncoder, batch_pieces: int
) -> tuple[dict[str, int], pd.DataFrame]:
    """Write the latents of every piece of these sets under `folder`/latents, those that match by identity excepted.

    A file by the same encoder, in the same number format, from the same MIDI bytes is kept; any other is written again.
    batch_pieces: pieces encoded at once. Returns counts, and a table of failures: dataset, piece, reason.
    """
    counts: Counter[str] = Counter()
    failures: list[tuple[str, str, str]] = []
    waiting: list[ConvertedPiece] = []
    tables = {name: read_set_table(folder, name, "pieces") for name in sets if not is_by_identity(folder, name)}
    pieces = [(name, str(row.piece), str(row.midi)) for name, table in tables.items() for row in table.itertuples()]
    for dataset, piece, midi in progress_bar(pieces, "features and latents", "pieces"):
        path = latents_path(folder, encoder, dataset, piece)
        try:
            content = (folder / midi).read_bytes()
            md5 = midi_md5(content)
            if is_made(path, encoder, md5):
                counts["pieces done before"] += 1
                continue
            score = read_score(content)
            bars = score_to_bars(score)
            waiting.append(ConvertedPiece(path, md5, bars, bar_features(score, bars)))
        except (OSError, UnusableScore) as error:
            failures.append(
                (dataset, piece, error.reason if isinstance(error, UnusableScore) else type(error).__name__)
            )
            continue
        if len(waiting) == batch_pieces:
            counts.update(encode_pieces(waiting, encoder))
            waiting = []
    counts.update(encode_pieces(waiting, encoder))
    counts["failures"] = len(failures)
    table = pd.DataFrame(failures, columns=["dataset", "piece", "reason"])
    write_table(latents_folder(folder, encoder) / "failures.csv", table)
    return dict(counts), table


def is_made(path: Path, encoder: NamedEncoder, midi_md5: str) -> bool:
    """Whether a piece's file was made by this encoder, in its number format, from a MIDI file with this md5."""
    return read_metadata(path).items() >= (_made_by(encoder) | {"midi_md5": midi_md5}).items()


def _made_by(encoder: NamedEncoder) -> dict[str, str]:
    """The metadata that identify what made a piece's file, besides its MIDI file."""
    made_by = {"encoder_digest": encoder.digest, "dtype": encoder.dtype, "features": FEATURES_VERSION}
    return made_by | {"levels": str(encoder.levels)}


def encode_pieces(waiting: Sequence[ConvertedPiece], encoder: BarEncoder) -> dict[str, int]:
    """Encode and write pieces together; return the number of pieces and bars."""
    if not waiting:
        return {}
    encoded = encoder.encode([piece.bars for piece in waiting])
    for piece, (codes, latents) in zip(waiting, encoded, strict=True):
        metadata = _made_by(encoder) | {"midi_md5": piece.midi_md5, "encoder_name": encoder.name}
        metadata["versions"] = json.dumps(versions())
        features = piece.features
        made = PieceLatents(
            latents, codes, piece.bars.bar_number, piece.bars.n_notes, features.values, features.band, features.edges
        )
        write_latents(piece.path, made, metadata)
    return {"pieces encoded": len(waiting), "bars encoded": sum(len(piece.bars) for piece in waiting)}


@dataclass(frozen=True)
class PieceLatents:
    """The bars of a piece; see the module's docstring for shapes."""

    latents: npt.NDArray[np.float32]
    codes: npt.NDArray[np.int16]
    bar_number: npt.NDArray[np.int32]
    n_notes: npt.NDArray[np.int32]
    features: npt.NDArray[np.float32]
    band: npt.NDArray[np.float32]
    edges: npt.NDArray[np.float64]


def latents_folder(folder: Path, encoder: NamedEncoder) -> Path:
    """The folder of an encoder's latents; a checkpoint given by its path is called by its file name.

    Latents of the first k levels only have a folder of their own, NAME_k_levels.
    """
    few = "" if encoder.levels == encoder.all_levels else f"_{encoder.levels}_levels"
    return folder / "latents" / f"{Path(encoder.name).stem}{few}"


def latents_path(folder: Path, encoder: NamedEncoder, dataset: str, piece: str) -> Path:
    """The path of a piece's latents. dataset: the set's name, or MATCHED, where a piece is the md5 of a song."""
    return latents_folder(folder, encoder) / dataset / f"{piece}.safetensors"


def write_latents(path: Path, piece: PieceLatents, metadata: dict[str, str]) -> None:
    """Write a piece's file, whole or not at all."""
    write_tensors(path, asdict(piece), metadata)


def read_latents(path: Path) -> PieceLatents:
    """Read a piece's file. Raises OSError or SafetensorError if it is missing or damaged."""
    with safe_open(path, framework="numpy") as file:
        return PieceLatents(**{name: file.get_tensor(name) for name in PieceLatents.__dataclass_fields__})


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a piece's file, without reading its tensors; empty if there is no readable file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(file.metadata() or {})
    except (OSError, SafetensorError):
        return {}
