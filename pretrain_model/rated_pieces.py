"""Rated music for training and evaluation: files of 02_extract_latents.py with ratings of 01_prepare_datasets.py.

Targets are (valence, arousal) in [−1, 1]: the raters' mean for a bar of VGMIDI, the point of the clip's quadrant for
every bar of EMOPIA; for every bar of a tagged song what its tags say, in their own unit. CustomMLP is trained on single
bars; for it, arrays are over the bars of all pieces, one piece after the other, the bars of a piece in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.annotations import DIMENSIONS
from pipeline.settings import UserError, command

from .extraction import PieceLatents, latents_path, read_labels, read_latents, read_metadata
from .features import VERSION as FEATURES_VERSION
from .features import BarFeatures
from .head import HeadInput, NamedEncoder

# pieces of one group may not be in both training and test data
_EXTRACT = "pretrain_model/02_extract_latents.py"
GROUP = {"emopia": "song", "vgmidi": "game", "tagged": "song_key"}
Represent: TypeAlias = "Callable[[RatedPiece], npt.NDArray[np.float32]]"


@dataclass(frozen=True)
class RatedPiece:
    """A piece of n bars, m of which are rated.

    group: its game or song. split: train, val or test. made: latents and features of its bars. rated: int64 (m),
    indices of the rated bars, ascending. targets: float32 (m, 2).
    """

    dataset: str
    name: str
    group: str
    split: str
    made: PieceLatents
    rated: np.ndarray
    targets: np.ndarray

    @property
    def input(self) -> HeadInput:
        """The input of a head, for all its bars."""
        return HeadInput(BarFeatures(self.made.edges, self.made.features, self.made.band), self.made.latents)


def load_rated_pieces(folder: Path, dataset: str, splits: Collection[str], encoder: NamedEncoder) -> list[RatedPiece]:
    """Read the pieces of some splits that have both ratings and latents by `encoder`, sorted by name.

    A piece without a file (it failed in 02_extract_latents.py) is skipped. Raises UserError if no piece is left, or if
    a file was made by another encoder or holds another version of the features.
    """
    labels = read_labels(folder, dataset)
    wanted = {"encoder_digest": encoder.digest, "features": FEATURES_VERSION}
    pieces: list[RatedPiece] = []
    for name, label in labels[labels["split"].isin(list(splits))].groupby("piece", sort=True):
        path = latents_path(folder, encoder, dataset, str(name))
        made_by = read_metadata(path)
        if not made_by:
            continue
        if not made_by.items() >= wanted.items():
            fault = "by another encoder" if made_by.get("encoder_digest") != encoder.digest else "of another version"
            raise UserError(f"{path} is {fault}: run {command(_EXTRACT)} again")
        made = read_latents(path)
        rated, targets = _rate(made, label)
        group, split = (str(label[column].iloc[0]) for column in (GROUP[dataset], "split"))
        pieces.append(RatedPiece(dataset, str(name), group, split, made, rated, targets))
    if not sum(len(piece.rated) for piece in pieces):
        which = f"of the split {' or '.join(splits)}" if splits else "of no split"
        why = f"no {dataset} bars {which} have latents by the encoder {encoder.name}"
        raise UserError(f"{folder}: {why}: run {command(_EXTRACT)} first")
    return pieces


def _rate(made: PieceLatents, label: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rated bars and their targets."""
    if "bar_number" not in label:  # one rating for the whole clip
        targets = np.repeat(label[list(DIMENSIONS)].to_numpy(np.float32), len(made.bar_number), axis=0)
        return np.arange(len(made.bar_number)), targets
    _, rated, row = np.intersect1d(made.bar_number, label["bar_number"].to_numpy(), return_indices=True)
    return rated, label[["valence_mean", "arousal_mean"]].to_numpy(np.float32)[row]


@dataclass(frozen=True)
class RatedBars:
    """Rated bars of pieces of one dataset.

    latents: float32 (n, width). targets: float32 (n, 2). bar_number: int32 (n). piece: (n,) index into `pieces`.
    dataset: emopia or vgmidi.
    """

    latents: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    bar_number: npt.NDArray[np.int32]
    piece: npt.NDArray[np.int64]
    pieces: tuple[str, ...]
    dataset: str = "vgmidi"

    def __len__(self) -> int:
        return len(self.targets)


def whole_latent(piece: RatedPiece) -> npt.NDArray[np.float32]:
    """The latents of a piece's bars, summed over all levels, (n, width)."""
    return piece.made.latents


def rated_bars(pieces: Sequence[RatedPiece], represent: Represent = whole_latent) -> RatedBars:
    """The rated bars of pieces.

    represent: a function from a piece to the vectors of its bars, float32 (n, width), used as `latents`.
    """
    sizes = [len(piece.rated) for piece in pieces]
    return RatedBars(
        latents=np.concatenate([represent(piece)[piece.rated] for piece in pieces]),
        targets=np.concatenate([piece.targets for piece in pieces]),
        bar_number=np.concatenate([piece.made.bar_number[piece.rated] for piece in pieces]),
        piece=np.repeat(np.arange(len(pieces)), sizes),
        pieces=tuple(piece.name for piece in pieces),
        dataset=pieces[0].dataset,
    )


class BarDataset(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Rated bars of one or more datasets, as (latent, target, weight, whether only the target's signs count).

    Each dataset has the same share of the total weight, spread evenly over its bars, and the mean weight is 1, so a
    large dataset does not dominate a small one. A list of indices returns a batch.
    """

    def __init__(self, parts: Sequence[RatedBars], quadrants: str = "points"):
        only_signs = [np.full(len(part), part.dataset == "emopia" and quadrants == "signs") for part in parts]
        n = sum(len(part) for part in parts)
        weights = [np.full(len(part), n / (len(parts) * len(part)), dtype=np.float32) for part in parts]
        self.latents = torch.from_numpy(np.concatenate([part.latents for part in parts]))  # (n, width)
        self.targets = torch.from_numpy(np.concatenate([part.targets for part in parts]))  # (n, 2)
        self.weights = torch.from_numpy(np.concatenate(weights))  # (n,)
        self.only_signs = torch.from_numpy(np.concatenate(only_signs))  # (n,)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int | list[int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.latents[index], self.targets[index], self.weights[index], self.only_signs[index]
