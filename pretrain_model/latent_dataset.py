"""Rated bars for training and evaluation: latents from 02_extract_latents.py, ratings from 01_prepare_datasets.py.

Arrays are over bars, pieces one after the other, bars of a piece ascending. Targets are (valence, arousal) in [−1, 1]:
the listeners' mean for a bar of VGMIDI, the point of its clip's quadrant for a bar of EMOPIA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from musetok_bridge.settings import UserError

from .extraction import read_labels
from .latent_files import NamedEncoder, PieceLatents, latents_path, read_latents, read_metadata

Represent = Callable[[PieceLatents], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class RatedBars:
    """Bars of one dataset and split.

    latents: float32 (n, width). targets: float32 (n, 2). bar_number: int32 (n). piece: (n,) index into `pieces`.
    """

    latents: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    bar_number: npt.NDArray[np.int32]
    piece: npt.NDArray[np.int64]
    pieces: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.targets)


def whole_latent(made: PieceLatents) -> npt.NDArray[np.float32]:
    """The latent of all levels, (n, width)."""
    return made.latents


def load_rated_bars(
    folder: Path, dataset: str, split: str, encoder: NamedEncoder, represent: Represent = whole_latent
) -> RatedBars:
    """Read the bars of a split for which there are both a rating and a latent by `encoder`.

    represent: what stands for the bars of a piece, in place of their latents: a PieceLatents -> float32 (n, width).
    A piece without a file (it failed in 02_extract_latents.py) is passed over. Raises UserError if none is left, or if
    a file is by another encoder.
    """
    labels = read_labels(folder, dataset)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    names: list[str] = []
    for name, label in labels[labels["split"] == split].groupby("piece", sort=True):
        path = latents_path(folder, encoder, dataset, str(name))
        made_by = read_metadata(path)
        if not made_by:
            continue
        if made_by.get("encoder_digest") != encoder.digest:
            raise UserError(f"{path} is by another encoder: run pretrain_model/02_extract_latents.py again")
        parts.append(_rate(read_latents(path), label, len(names), represent))
        names.append(str(name))
    if not sum(len(part[1]) for part in parts):
        why = f"no {dataset} bars of the split {split} have latents by the encoder {encoder.name}"
        raise UserError(f"{folder}: {why}: run pretrain_model/02_extract_latents.py first")
    latents, targets, bar_number, piece = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return RatedBars(latents, targets, bar_number, piece, tuple(names))


def _rate(
    made: PieceLatents, label: pd.DataFrame, index: int, represent: Represent
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Latents, targets, bar numbers and the piece's index, for the bars of a piece that have both."""
    if "bar_number" in label:
        numbers, at, row = np.intersect1d(made.bar_number, label["bar_number"].to_numpy(), return_indices=True)
        targets = label[["valence_mean", "arousal_mean"]].to_numpy(np.float32)[row]
    else:
        numbers, at = made.bar_number, np.arange(len(made.bar_number))
        targets = np.repeat(label[["valence", "arousal"]].to_numpy(np.float32), len(at), axis=0)
    return represent(made)[at], targets, numbers.astype(np.int32), np.full(len(at), index)


class BarDataset(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Rated bars of one or more datasets, as (latent, target, weight).

    Each dataset has the same share of the whole weight, spread evenly over its bars, and the mean weight is 1: so
    neither of two datasets drowns the other, whichever has more bars. A list of indices gives a batch.
    """

    def __init__(self, parts: Sequence[RatedBars]):
        n = sum(len(part) for part in parts)
        weights = [np.full(len(part), n / (len(parts) * len(part)), dtype=np.float32) for part in parts]
        self.latents = torch.from_numpy(np.concatenate([part.latents for part in parts]))  # (n, width)
        self.targets = torch.from_numpy(np.concatenate([part.targets for part in parts]))  # (n, 2)
        self.weights = torch.from_numpy(np.concatenate(weights))  # (n,)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int | list[int]) -> tuple[Tensor, Tensor, Tensor]:
        return self.latents[index], self.targets[index], self.weights[index]
