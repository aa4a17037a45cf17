"""Rated music as a listener is trained on it: what it hears of each piece, and how people rated it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .bar_context import BarViews
from .listener import Listener
from .pretrain_settings import ListenerSettings
from .rated_pieces import RatedPiece


@dataclass(frozen=True)
class SeenPiece:
    """A rated piece as input for training: the views of its bars, and the indices of those that are rated, (m).

    group: its game or song. targets: float64 (m, 2), ratings in [−1, 1]; signs as 0 or 1; or tags, in any unit.
    """

    group: str
    views: BarViews
    rated: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, piece: RatedPiece, settings: ListenerSettings) -> SeenPiece:
        """The views and targets of a rated piece; of EMOPIA's points only the signs are used."""
        views = piece.input.views(settings.reads == "performance_and_latents")
        targets = piece.targets >= 0 if piece.dataset == "emopia" else piece.targets
        return cls(piece.group, views, piece.rated, targets.astype(np.float64))

    @property
    def mean(self) -> np.ndarray:
        """The mean of its targets, (2,)."""
        return self.targets.mean(axis=0)


class RatedMusic(NamedTuple):
    """The pieces of VGMIDI, the clips of EMOPIA and the tagged songs to train on; any of them may be empty."""

    rated: list[SeenPiece]
    clips: list[SeenPiece]
    tagged: list[SeenPiece]

    @classmethod
    def of(cls, pieces: Sequence[RatedPiece], settings: ListenerSettings) -> RatedMusic:
        """All pieces by their dataset."""
        return cls(
            *(
                [SeenPiece.of(p, settings) for p in pieces if p.dataset == name]
                for name in ("vgmidi", "emopia", "tagged")
            )
        )

    def without(self, left_out: RatedMusic) -> RatedMusic:
        """The pieces that are not in another selection of them."""
        return RatedMusic(
            *([p for p in ours if not any(p is q for q in theirs)] for ours, theirs in zip(self, left_out, strict=True))
        )


class LeftOut(NamedTuple):
    """Pieces, clips and songs, each with a listener that was trained without its game or song."""

    rated: list[tuple[SeenPiece, Listener]]
    clips: list[tuple[SeenPiece, Listener]]
    tagged: list[tuple[SeenPiece, Listener]]


def song_shares(songs: Sequence[SeenPiece]) -> np.ndarray:
    """The weight of each file, (files,): files of one song share its weight."""
    groups = [song.group for song in songs]
    return np.array([1 / groups.count(group) for group in groups])


def tags_as_ratings(tagged: Sequence[SeenPiece], spread: np.ndarray) -> np.ndarray:
    """The tags of songs, (files, 2), with mean 0 over songs and the spread of ratings, (2,)."""
    share = song_shares(tagged)
    tags = np.stack([song.mean for song in tagged])
    mean = np.average(tags, axis=0, weights=share)
    std = np.sqrt(np.average(np.square(tags - mean), axis=0, weights=share))
    return (tags - mean) / np.where(std > 1e-9, std, 1.0) * spread
