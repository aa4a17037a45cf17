"""Pieces made of numbers with a known truth, rated in any way: the first two features are valence and arousal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pretrain_model.band import BAND
from pretrain_model.extraction import PieceLatents
from pretrain_model.features import FEATURES
from pretrain_model.pretrain_settings import SetSettings
from pretrain_model.rated_pieces import RatedPiece

N_FEATURES, N_BARS = 6, 12  # features up to off_grid
NOISE = 0.1  # standard deviation of a piece's mean rating about the truth

REFERENCE = SetSettings("reference", "vgmidi", scale="common")
CURVE = SetSettings("curve", "deam")
POINT = SetSettings("point", "table")
SIGN = SetSettings("sign", "table", kind="sign")
RANK = SetSettings("rank", "table", kind="rank")


def made_piece(of: SetSettings, number: int, rated: np.ndarray | None = None, n_raters: float = np.nan) -> RatedPiece:
    """A piece of a set; those of one number have the same music. rated: (bars, 2) or (2,), else the truth."""
    features = truth_and_features(number)
    bars = np.arange(N_BARS)
    targets = features[:, :2] if rated is None else np.broadcast_to(rated, (N_BARS, 2))
    made = PieceLatents(
        latents=np.zeros((N_BARS, 3), np.float32),
        codes=np.zeros((N_BARS, 2), np.int16),
        bar_number=bars.astype(np.int32),
        n_notes=np.ones(N_BARS, np.int32),
        features=features.astype(np.float32),
        band=np.zeros((N_BARS, len(BAND)), np.float32),
        edges=2.0 * np.arange(N_BARS + 1),
    )
    return RatedPiece(
        of, f"p{number}", f"{of.name} {number}", "train", made, bars, targets.astype(np.float32), n_raters=n_raters
    )


def truth_and_features(number: int) -> np.ndarray:
    """The features of a piece, (bars, 6); the first two are the truth, which sways about a level of the piece."""
    draw = np.random.default_rng(number)
    features = draw.normal(scale=0.2, size=(N_BARS, N_FEATURES))
    level = draw.uniform(-0.5, 0.5, 2)
    features[:, :2] = level + 0.1 * np.sin(np.arange(N_BARS) / 3 + draw.uniform(0, 6, 2)[:, None]).T
    features[:, FEATURES.index("off_grid")] = 0.1
    return features


def noisy(number: int, sd: float = NOISE) -> np.ndarray:
    """The truth over a piece's bars as raters rate it, (bars, 2), with an error that lasts for the piece."""
    draw = np.random.default_rng(10_000 + number)
    rated: np.ndarray = truth_and_features(number)[:, :2] + draw.normal(scale=sd, size=2)
    return rated


def made_set(of: SetSettings, numbers: Sequence[int], sd: float = NOISE) -> list[RatedPiece]:
    """Pieces rated with noise, in the way of the set.

    curve: half as far from 0.2. point: from 1 to 9. sign: sides of 0.1. rank: a scale that only keeps the order.
    """
    ways = {
        "reference": lambda rated: rated,
        "curve": lambda rated: 0.2 + 0.5 * rated,
        "point": lambda rated: 5 + 4 * rated.mean(axis=0),
        "sign": lambda rated: np.sign(rated.mean(axis=0) - 0.1),
        "rank": lambda rated: np.exp(3 * rated.mean(axis=0)),
    }
    return [made_piece(of, number, ways[of.name](noisy(number, sd))) for number in numbers]


def noise_set(numbers: Sequence[int], of: SetSettings = POINT) -> list[RatedPiece]:
    """Pieces whose ratings have nothing to do with the music."""
    draw = np.random.default_rng(5)
    return [made_piece(of, number, draw.normal(size=2)) for number in numbers]
