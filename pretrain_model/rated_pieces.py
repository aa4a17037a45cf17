"""Rated music for training and evaluation: files of 02_extract_latents.py with the ratings of prepared sets.

Targets are (valence, arousal) in the set's unit: the raters' mean for each rated bar of a curve, and for every bar of a
piece that is rated as a whole that rating. CustomMLP is trained on single bars; for it, arrays are over the bars of all
pieces, one piece after the other, the bars of a piece in ascending order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.annotations import DIMENSIONS
from pipeline.progress import progress_bar
from pipeline.settings import UserError, command, command_line
from song_sources.song_identity import song_key

from .extraction import MATCHED, PieceLatents, latents_path, read_latents, read_metadata
from .features import VERSION as FEATURES_VERSION
from .features import BarFeatures
from .head import HeadInput, NamedEncoder
from .known_sets import Kind
from .pretrain_settings import SetSettings
from .rated_set import MATCH, PREPARE, is_by_identity, read_set_table

_EXTRACT = "pretrain_model/02_extract_latents.py"
_ROUNDING = 1e-6  # by which ratings may be beyond the ends of their scale
Represent: TypeAlias = "Callable[[RatedPiece], npt.NDArray[np.float32]]"


@dataclass(frozen=True)
class Piece:
    """Who a piece is.

    of: the set that it is from. group: its game, song or the like. split: train, val or test. same_as: what identifies
    it in any set: the md5 of its MIDI file, its artist and title, its recording.
    """

    of: SetSettings
    name: str
    group: str
    split: str
    same_as: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def dataset(self) -> str:
        """The name of its set."""
        return self.of.name

    @property
    def kind(self) -> Kind:
        """How it is rated."""
        return self.of.rated_as


@dataclass(frozen=True)
class RatedPiece(Piece):
    """A piece of n bars, m of which are rated.

    made: latents and features of its bars. rated: int64 (m), indices of the rated bars, ascending. targets: float32
    (m, 2), NaN where only the other dimension is rated. weight: its share of the weight of a piece. error: float (2,),
    standard error of its raters' mean, or their standard deviation where their number is not known; NaN if neither is
    known. n_raters: NaN if not known.
    """

    made: PieceLatents
    rated: np.ndarray
    targets: np.ndarray
    weight: float = 1.0
    error: tuple[float, float] = (np.nan, np.nan)
    n_raters: float = np.nan

    @property
    def input(self) -> HeadInput:
        """The input of a head, for all its bars."""
        return HeadInput(BarFeatures(self.made.edges, self.made.features, self.made.band), self.made.latents)


def load_rated_pieces(
    folder: Path,
    rated_set: SetSettings,
    splits: Collection[str],
    encoder: NamedEncoder,
    may_be_none: bool = False,
    most: int | None = None,
) -> list[RatedPiece]:
    """Read the pieces of some splits that have both ratings and latents by `encoder`, sorted by name.

    most: of more pieces so many are drawn by chance, always the same, and only these are read. A piece without a file
    (it failed in 02_extract_latents.py) is skipped. Raises UserError if no piece is left (unless may_be_none), if a
    file was made by another encoder, from another MIDI file or with another version of the features, or if the ratings
    are not on the scale or of the kind of the settings.
    """
    by_piece = _ratings_by_piece(folder, rated_set)
    step = _step(folder, rated_set)
    rows = [row for row in _rows(folder, rated_set, splits) if str(row.piece) in by_piece]
    order = range(len(rows)) if most is None else np.random.default_rng(0).permutation(len(rows))
    pieces: list[RatedPiece] = []
    for i in progress_bar(order, f"reading {rated_set.name}", "pieces", after=1):
        if len(pieces) == most:
            break
        path = _path(folder, rated_set, encoder, rows[i])
        if not (made_by := read_metadata(path)):
            continue
        if fault := _fault(made_by, encoder, str(rows[i].md5)):
            raise UserError(f"{path} is {fault}: run {step} again")
        if len((piece := _piece(rated_set, rows[i], read_latents(path), by_piece[str(rows[i].piece)])).rated):
            pieces.append(piece)
    if not pieces and not may_be_none:
        which = f"of the split {' or '.join(splits)}" if splits else "of no split"
        why = f"no {rated_set.name} bars {which} have latents by the encoder {encoder.name}"
        raise UserError(f"{folder}: {why}: run {step} first")
    return sorted(pieces, key=lambda piece: piece.name)


def listed_pieces(folder: Path, rated_set: SetSettings, splits: Collection[str], encoder: NamedEncoder) -> list[Piece]:
    """The pieces of some splits that have latents, by name, without their bars: to tell which are the same music."""
    rows = [row for row in _rows(folder, rated_set, splits) if _path(folder, rated_set, encoder, row).exists()]
    return [Piece(**_who(rated_set, row)) for row in rows]


def _rows(folder: Path, rated_set: SetSettings, splits: Collection[str]) -> list[Any]:
    """The rows of the table of pieces that are in these splits, by name."""
    table = read_set_table(folder, rated_set.name, "pieces")
    return list(table[table["split"].isin(list(splits))].sort_values("piece").itertuples())


def _path(folder: Path, rated_set: SetSettings, encoder: NamedEncoder, row: Any) -> Path:
    """The path of a piece's latents. row: of the table of pieces."""
    of = MATCHED if is_by_identity(folder, rated_set.name) else rated_set.name
    return latents_path(folder, encoder, of, str(row.piece))


def _step(folder: Path, rated_set: SetSettings) -> str:
    """The command that makes a set's latents."""
    by_identity = is_by_identity(folder, rated_set.name)
    return command_line(MATCH, {"ratings.dir": str(folder)}) if by_identity else command(_EXTRACT)


def _fault(made_by: Mapping[str, str], encoder: NamedEncoder, md5: str) -> str:
    """What is wrong with a file of latents, in words; empty if nothing is. md5: of the piece, empty if not known."""
    if made_by.get("encoder_digest") != encoder.digest:
        return "by another encoder"
    if made_by.get("levels", str(encoder.levels)) != str(encoder.levels):
        return "of other levels"
    if made_by.get("features") != FEATURES_VERSION:
        return "of another version"
    return "of another MIDI file" if md5 and made_by.get("midi_md5") != md5.lower() else ""


def _check_ratings(rated_set: SetSettings, table: pd.DataFrame) -> None:
    """Raise UserError if a set's ratings can't be of the scale or the kind that its settings say.

    table: with valence and arousal of all of the set.
    """
    name = rated_set.name
    dimensions = [values[~np.isnan(values)] for values in table[[*DIMENSIONS]].to_numpy(dtype=float).T]
    dimensions = [values for values in dimensions if values.any()]
    farthest = max((float(values[np.abs(values).argmax()]) for values in dimensions), key=abs, default=0.0)
    beyond = abs(farthest) > 1 + _ROUNDING
    if rated_set.rated_as in ("curve", "point") and rated_set.scale == "common" and beyond:
        raise UserError(
            f"sets.{name}.scale is common, but its ratings go to {farthest:g}: set it to own, or give ratings from −1 "
            f"to 1 and run {command(PREPARE)} again"
        )
    sided = [values for values in dimensions if values.min() >= 0 or values.max() <= 0]
    if rated_set.rated_as != "sign" or not sided:
        return
    if len(sided) == len(dimensions) or any(np.abs(values).max() > 1 + _ROUNDING for values in sided):
        raise UserError(
            f"sets.{name}.kind is sign, but its ratings are all on one side of 0: set it to point or rank, or give "
            f"quadrants, words, or values on both sides of 0 and run {command(PREPARE)} again"
        )


def _ratings_by_piece(folder: Path, rated_set: SetSettings) -> dict[str, pd.DataFrame]:
    """The ratings of each piece; of a set that is not read as curves one for each piece, the mean over its bars.

    Raises UserError as `_check_ratings`. Of songs that are to be found, the ratings of all are checked, since those of
    a few may well be on one side.
    """
    if is_by_identity(folder, rated_set.name):
        _check_ratings(rated_set, read_set_table(folder, rated_set.name, "wanted"))
    ratings = read_set_table(folder, rated_set.name, "ratings")
    if not is_by_identity(folder, rated_set.name):
        _check_ratings(rated_set, ratings)
    if rated_set.rated_as != "curve":
        ratings = ratings.groupby("piece", as_index=False).mean().assign(bar_number=np.nan)
    return {str(piece): table for piece, table in ratings.groupby("piece")}


def _piece(rated_set: SetSettings, row: Any, made: PieceLatents, ratings: pd.DataFrame) -> RatedPiece:
    """A piece with its ratings. row: of the table of pieces."""
    values = ratings[[*DIMENSIONS]].to_numpy(np.float32)
    if ratings["bar_number"].isna().all():  # one rating for the whole piece
        rated, targets = np.arange(len(made.bar_number)), np.repeat(values[:1], len(made.bar_number), axis=0)
    else:
        _, rated, rows = np.intersect1d(made.bar_number, ratings["bar_number"].to_numpy(), return_indices=True)
        targets = values[rows]
    if rated_set.rated_as == "sign":
        targets = np.where(targets == 0, np.float32(np.nan), targets)  # a side that is unsure
    is_known = ~np.isnan(targets).all(axis=1)
    return RatedPiece(
        **_who(rated_set, row),
        made=made,
        rated=rated[is_known],
        targets=targets[is_known],
        weight=float(row.weight),
        error=_error(ratings),
        n_raters=float(ratings["n_raters"].where(ratings["n_raters"] > 0).mean()),
    )


def _who(rated_set: SetSettings, row: Any) -> dict[str, Any]:
    """The fields of Piece. row: of the table of pieces."""
    same_as = (f"md5 {row.md5}" if row.md5 else "", song_key(row.artist, row.title), row.recording)
    who = {"name": str(row.piece), "group": str(row.group), "split": str(row.split)}
    return {"of": rated_set, **who, "same_as": tuple(filter(None, same_as))}


def _error(ratings: pd.DataFrame) -> tuple[float, float]:
    """The standard error of the raters' mean of valence and arousal, the mean over the bars that have one.

    The deviation is that of the n raters themselves, so of all people that might rate it is √(n / (n − 1)) times as
    large, and one rater has none. Where n is not known it is the deviation, which grows as the error does.
    """
    n = ratings["n_raters"].to_numpy(dtype=float)
    divisor = np.where(np.isnan(n) | (n <= 0), 1.0, np.sqrt(np.where(n >= 2, n - 1, np.nan)))
    valence, arousal = (float((ratings[f"{dimension}_sd"] / divisor).mean()) for dimension in DIMENSIONS)
    return valence, arousal


@dataclass(frozen=True)
class RatedBars:
    """Rated bars of pieces of one dataset.

    latents: float32 (n, width). targets: float32 (n, 2). bar_number: int32 (n). piece: (n,) index into `pieces`.
    dataset: the set's name. kind: how it is rated.
    """

    latents: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    bar_number: npt.NDArray[np.int32]
    piece: npt.NDArray[np.int64]
    pieces: tuple[str, ...]
    dataset: str
    kind: Kind

    def __len__(self) -> int:
        return len(self.targets)


def whole_latent(piece: RatedPiece) -> npt.NDArray[np.float32]:
    """The latents of a piece's bars, summed over all levels, (n, width)."""
    return piece.made.latents


def mean_latent(piece: RatedPiece) -> npt.NDArray[np.float32]:
    """The mean of a piece's latents, for each of its bars, (n, width)."""
    latents = piece.made.latents
    return np.repeat(latents.mean(axis=0, keepdims=True), len(latents), axis=0)


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
        kind=pieces[0].kind,
    )


class BarDataset(Dataset[tuple[Tensor, Tensor, Tensor, Tensor]]):
    """Rated bars of one or more datasets, as (latent, target, weight, whether only the target's signs count).

    Each dataset has the same share of the total weight, spread evenly over its bars, and the mean weight is 1, so a
    large dataset does not dominate a small one. A list of indices returns a batch.
    """

    def __init__(self, parts: Sequence[RatedBars], quadrants: str = "points"):
        only_signs = [np.full(len(part), part.kind == "sign" and quadrants == "signs") for part in parts]
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
