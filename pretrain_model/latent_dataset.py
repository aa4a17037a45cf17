"""Rated bars one by one, as CustomMLP learns from them, without the music around them.

Arrays are over bars, pieces one after the other, bars of a piece ascending.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from .latent_files import NamedEncoder
from .rated_pieces import RatedPiece, load_rated_pieces

Represent = Callable[[RatedPiece], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class RatedBars:
    """Bars of one dataset and split.

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
    """The latents of a piece's bars, of all levels, (n, width)."""
    return piece.made.latents


def rated_bars(pieces: Sequence[RatedPiece], represent: Represent = whole_latent) -> RatedBars:
    """The rated bars of pieces.

    represent: what stands for the bars of a piece, in place of their latents: a piece -> float32 (n, width).
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


def load_rated_bars(
    folder: Path, dataset: str, split: str, encoder: NamedEncoder, represent: Represent = whole_latent
) -> RatedBars:
    """The rated bars of a split; see load_rated_pieces."""
    return rated_bars(load_rated_pieces(folder, dataset, [split], encoder), represent)


class BarDataset(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Rated bars of one or more datasets, as (latent, target, weight, whether only the target's signs count).

    Each dataset has the same share of the whole weight, spread evenly over its bars, and the mean weight is 1: so
    neither of two datasets drowns the other, whichever has more bars. A list of indices gives a batch.
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
