"""The same music in several sets, which must not be in training and test data at once.

Two pieces are the same if their MIDI files have one md5, if they have the same artist and title, or if a set names the
same recording (MERP's four of DEAM).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from pipeline.settings import UserError, counted, one_line

from .folds import root_of
from .rated_pieces import Piece

Some = TypeVar("Some", bound=Piece)

_MOST_NAMED = 5
_LONGEST_NAME = 60


def refuse_shared(parts: Iterable[tuple[str, Sequence[Piece]]], why: str) -> None:
    """Raise UserError, with the names, if the same music is in two parts. why: what is wrong with that, in words.

    parts: the name of each, such as "the game Zelda of vgmidi", and its pieces.
    """
    first: dict[str, tuple[str, Piece]] = {}
    shared: list[str] = []
    for part, pieces in parts:
        for piece in pieces:
            for identity in piece.same_as:
                before, other = first.setdefault(identity, (part, piece))
                if before != part:
                    names = " and ".join(f"{_name(p)} ({p.dataset})" for p in (other, piece))
                    shared.append(f"{names}: {one_line(identity, _LONGEST_NAME)}")
                    break
    if shared:
        named = "; ".join(shared[:_MOST_NAMED]) + ("; …" if len(shared) > _MOST_NAMED else "")
        raise UserError(
            f"{counted(len(shared), 'piece')} {why}: {named}. Leave one of each out, or set data.same_songs: together"
        )


def refuse_in_two_groups(pieces: Sequence[Piece]) -> None:
    """Raise UserError, with the names, if the same music is in two groups, which may be in two folds."""
    groups: dict[tuple[str, str], list[Piece]] = {}
    for piece in pieces:
        groups.setdefault((piece.dataset, piece.group), []).append(piece)
    named = ((f"{group} of {dataset}", some) for (dataset, group), some in groups.items())
    refuse_shared(named, "would be in two folds, for training and for the test")


def linked_groups(pieces: Sequence[Piece]) -> list[str]:
    """A group for each piece that holds all pieces of its own group, and all that are the same music as any of them."""
    parents: dict[str, str] = {}
    for piece in pieces:
        group = root_of(parents, f"{piece.dataset} {piece.group}")
        for identity in piece.same_as:
            parents[root_of(parents, f"same {identity}")] = group
            group = root_of(parents, group)
    return [root_of(parents, f"{piece.dataset} {piece.group}") for piece in pieces]


def without_same(pieces: Sequence[Some], test: Sequence[Piece]) -> list[Some]:
    """The pieces that are neither the same music as any in `test` nor in a group with such."""
    groups = linked_groups([*pieces, *test])
    left_out = set(groups[len(pieces) :])
    return [piece for piece, group in zip(pieces, groups, strict=False) if group not in left_out]


def _name(piece: Piece) -> str:
    return one_line(piece.name, _LONGEST_NAME)
