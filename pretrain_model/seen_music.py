"""Rated music as a listener is trained on it: what it hears of each piece, and how people rated it.

One or more sets are *common*: their zero and unit are those of the numbers that the listener predicts. Every other
set has a scale of its own, which set_scales.py learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import rankdata

from .bar_context import BarViews
from .head import Project
from .known_sets import KINDS, Kind
from .listener import Listener
from .pretrain_settings import ListenerSettings
from .rated_pieces import RatedPiece
from .same_songs import linked_groups

SPREAD = (0.23, 0.25)  # valence and arousal of VGMIDI from piece to piece; used where no ratings tell it


@dataclass(frozen=True)
class SeenPiece:
    """A rated piece as input for training: the views of its bars, and the indices of those that are rated, (m).

    group: its game or song. targets: float64 (m, 2), ratings in the set's unit; signs as 0 or 1; ranks from 0 to 1;
    NaN where not rated. weight: its share of the weight of a piece. error: (2,), standard error of the raters' mean, or
    1/√n where of a set only the number of raters n is known; NaN if nothing is.
    """

    group: str
    views: BarViews
    rated: np.ndarray
    targets: np.ndarray
    weight: float = 1.0
    error: np.ndarray = field(default_factory=lambda: np.full(2, np.nan))

    @classmethod
    def of(cls, piece: RatedPiece, project: Project | None, with_n_raters: bool) -> SeenPiece:
        """The views and targets of a rated piece; of points that are rated as signs only the signs are used.

        project: of latents; None if they are not read. with_n_raters: whether `error` is that of the number of raters.
        """
        views = piece.input.views(project)
        targets = piece.targets.astype(np.float64)
        if piece.kind == "sign":
            targets = np.where(np.isnan(targets) | (targets == 0), np.nan, targets > 0)
        error = np.array(piece.error)
        if with_n_raters:
            error = np.full(2, 1 / np.sqrt(piece.n_raters) if piece.n_raters > 0 else np.nan)
        return cls(piece.group, views, piece.rated, targets, piece.weight, error)

    @property
    def mean(self) -> np.ndarray:
        """The mean of its targets, (2,); NaN for a dimension that is not rated."""
        known = ~np.isnan(self.targets)
        total = np.where(known, self.targets, 0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)


@dataclass(frozen=True)
class SeenSet:
    """The pieces of a set.

    is_common: whether its zero and unit are those of the predictions. weight: the block's. teaches_level: False for a
    set from which only drums and instruments are learned.
    """

    name: str
    kind: Kind
    is_common: bool
    weight: float
    pieces: list[SeenPiece]
    teaches_level: bool = True

    @property
    def is_numeric(self) -> bool:
        """Whether its ratings are numbers, rather than signs or ranks."""
        return self.kind in ("curve", "point")

    @property
    def means(self) -> np.ndarray:
        """The mean rating of each piece, (pieces, 2)."""
        return np.array([piece.mean for piece in self.pieces]).reshape(-1, 2)

    @property
    def shares(self) -> np.ndarray:
        """The weight of each piece, (pieces)."""
        return np.array([piece.weight for piece in self.pieces])

    @property
    def has_bands(self) -> bool:
        """Whether drums or instruments other than a piano play in any piece."""
        return any(piece.views.band[-1].any() for piece in self.pieces)


@dataclass(frozen=True)
class RatedMusic:
    """The sets to train on. anchor: the one whose scale is common since no other is; None if there are such."""

    sets: tuple[SeenSet, ...]
    anchor: str | None = None

    @classmethod
    def of(cls, pieces: Sequence[RatedPiece], settings: ListenerSettings, project: Project | None = None) -> RatedMusic:
        """All pieces by their set, at most `settings.largest_set` of each; one set at least is common.

        project: of latents; None if they are not read.
        """
        by_set: dict[str, list[RatedPiece]] = {}
        for piece in _grouped(pieces):
            by_set.setdefault(piece.dataset, []).append(piece)
        sets = []
        for name, found in by_set.items():
            block, drawn = found[0].of, _drawn(found, settings.largest_set)
            only_n = not any(np.isfinite(piece.error).any() for piece in drawn)
            seen = [SeenPiece.of(piece, project, only_n) for piece in drawn]
            seen = _ranked(seen) if block.rated_as == "rank" else seen
            is_common, teaches_level = block.scale == "common", block.teaches == "all"
            sets.append(SeenSet(name, block.rated_as, is_common and teaches_level, block.weight, seen, teaches_level))
        sets.sort(key=lambda rated: KINDS.index(rated.kind))
        anchor = _anchor(sets)
        named = tuple(_made_common(rated) if rated is anchor else rated for rated in sets)
        return cls(named, anchor.name if anchor else None)

    def __iter__(self) -> Iterator[SeenSet]:
        return iter(self.sets)

    @property
    def rated(self) -> list[SeenPiece]:
        """The pieces with ratings on the common scale."""
        return [piece for rated in self if rated.is_common and rated.is_numeric for piece in rated.pieces]

    @property
    def clips(self) -> list[SeenPiece]:
        """The pieces with signs on the common scale."""
        return [piece for rated in self if rated.is_common and rated.kind == "sign" for piece in rated.pieces]

    @property
    def own(self) -> list[SeenSet]:
        """The sets with a scale of their own."""
        return [rated for rated in self if not rated.is_common]

    def select(self, chosen: Sequence[Sequence[int]]) -> RatedMusic:
        """Some pieces of each set, by their indices; sets without any are left out."""
        picked = zip(self.sets, chosen, strict=True)
        sets = (replace(rated, pieces=[rated.pieces[i] for i in indices]) for rated, indices in picked)
        return RatedMusic(tuple(rated for rated in sets if rated.pieces), self.anchor)


@dataclass(frozen=True)
class LeftOut:
    """A piece, and a listener that was trained without its group."""

    of: SeenSet
    piece: SeenPiece
    listener: Listener


def _drawn(pieces: list[RatedPiece], most: int) -> list[RatedPiece]:
    """At most so many pieces, drawn by chance, always the same ones."""
    if len(pieces) <= most:
        return pieces
    kept = np.sort(np.random.default_rng(0).choice(len(pieces), most, replace=False))
    return [pieces[i] for i in kept]


def _ranked(pieces: list[SeenPiece]) -> list[SeenPiece]:
    """Targets replaced by their ranks in the set, from 0 to 1, equal ones sharing theirs."""
    means = np.array([piece.mean for piece in pieces])
    ranks = rankdata(means, axis=0, nan_policy="omit") / max(len(pieces), 1)
    return [replace(p, targets=np.repeat(r[None], len(p.targets), axis=0)) for p, r in zip(pieces, ranks, strict=True)]


def _anchor(sets: Sequence[SeenSet]) -> SeenSet | None:
    """The set whose scale is that of the predictions if none is common: the first with numbers, or signs, or ranks.

    None if a set is common, or none teaches the level. The first, not the largest: it is then the same in every fold.
    """
    able = [rated for rated in sets if rated.teaches_level]
    if not able or any(rated.is_common for rated in able):
        return None
    of_kind = ([s for s in able if s.kind in kinds] for kinds in (("curve", "point"), ("sign",), ("rank",)))
    return next(some[0] for some in of_kind if some)


def _made_common(rated: SeenSet) -> SeenSet:
    """A set as the common one; ratings beyond [−1, 1] are taken as so many standard deviations of SPREAD."""
    made = replace(rated, is_common=True)
    if not rated.is_numeric or not np.nanmax(np.abs(rated.means)) > 1:
        return made
    mean, spread = np.nanmean(rated.means, axis=0), np.nanstd(rated.means, axis=0)
    unit = np.where(spread > 0, spread, 1.0) / SPREAD
    return replace(made, pieces=[replace(p, targets=(p.targets - mean) / unit) for p in rated.pieces])


def _grouped(pieces: Sequence[RatedPiece]) -> list[RatedPiece]:
    """The pieces; where the same music is in several groups, all that are linked by it have one name of group."""
    own = [f"{piece.dataset} {piece.group}" for piece in pieces]
    linked = linked_groups(pieces)
    if len(set(linked)) == len(set(own)):
        return list(pieces)
    return [replace(piece, group=group) for piece, group in zip(pieces, linked, strict=True)]
