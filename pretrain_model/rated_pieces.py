"""Rated music for training and evaluation: what 02_extract_latents.py made, with the ratings of 01_prepare_datasets.py.

Targets are (valence, arousal) in [−1, 1]: the listeners' mean for a bar of VGMIDI, the point of its clip's quadrant for
every bar of EMOPIA.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.settings import UserError

from .extraction import read_labels
from .features import VERSION as FEATURES_VERSION
from .features import BarFeatures
from .head import HeadInput
from .latent_files import NamedEncoder, PieceLatents, latents_path, read_latents, read_metadata

GROUP = {"emopia": "song", "vgmidi": "game"}  # pieces of one may not be both learned from and predicted


@dataclass(frozen=True)
class RatedPiece:
    """A piece of n bars, m of which are rated.

    group: its game or song. split: train, val or test. made: what is known of its bars. rated: int64 (m), indices of
    the rated bars, ascending. targets: float32 (m, 2).
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
        """What a head can read of all its bars."""
        return HeadInput(BarFeatures(self.made.edges, self.made.features), self.made.latents)


def load_rated_pieces(folder: Path, dataset: str, splits: Collection[str], encoder: NamedEncoder) -> list[RatedPiece]:
    """Read the pieces of some splits, by name, that have both ratings and latents by `encoder`.

    A piece without a file (it failed in 02_extract_latents.py) is passed over. Raises UserError if none is left, or if
    a file is by another encoder or holds other features.
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
            what = "by another encoder" if made_by.get("encoder_digest") != encoder.digest else "of another version"
            raise UserError(f"{path} is {what}: run pretrain_model/02_extract_latents.py again")
        made = read_latents(path)
        rated, targets = _rate(made, label)
        group, split = (str(label[column].iloc[0]) for column in (GROUP[dataset], "split"))
        pieces.append(RatedPiece(dataset, str(name), group, split, made, rated, targets))
    if not sum(len(piece.rated) for piece in pieces):
        which = f"of the split {' or '.join(splits)}" if splits else "of no split"
        why = f"no {dataset} bars {which} have latents by the encoder {encoder.name}"
        raise UserError(f"{folder}: {why}: run pretrain_model/02_extract_latents.py first")
    return pieces


def _rate(made: PieceLatents, label: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the rated bars and their targets."""
    if "bar_number" not in label:  # one rating for the whole clip
        targets = np.repeat(label[["valence", "arousal"]].to_numpy(np.float32), len(made.bar_number), axis=0)
        return np.arange(len(made.bar_number)), targets
    _, rated, row = np.intersect1d(made.bar_number, label["bar_number"].to_numpy(), return_indices=True)
    return rated, label[["valence_mean", "arousal_mean"]].to_numpy(np.float32)[row]
