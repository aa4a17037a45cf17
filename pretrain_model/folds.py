"""Pieces spread over folds, so that what belongs together is never in both training and test data."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np

Item = TypeVar("Item", bound=Hashable)


def folds_by_group(groups: Sequence[str], sizes: Sequence[int], n_folds: int) -> list[list[int]]:
    """Divide pieces into folds of about the same size: lists of indices that contain every piece once.

    groups: the group of each piece. sizes: the size of each piece, for example its bars. The largest groups are
    assigned first, each to the fold that is smallest at the time, so the folds depend on the data alone. With fewer
    groups than folds some folds are empty.
    """
    size: dict[str, int] = {}
    for group, n in zip(groups, sizes, strict=True):
        size[group] = size.get(group, 0) + n
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of: dict[str, int] = {}
    for group in sorted(size, key=lambda g: (-size[g], g)):
        fold_of[group] = int(filled.argmin())
        filled[fold_of[group]] += size[group]
    return [[i for i, group in enumerate(groups) if fold_of[group] == fold] for fold in range(n_folds)]


def folds_of_sets(
    groups: Sequence[Sequence[str]], sizes: Sequence[Sequence[int]], n_folds: int, together: bool
) -> list[list[list[int]]]:
    """The folds of each of several sets, as `folds_by_group`; groups, sizes: of the pieces of each set.

    together: spread all sets at once, each with the same total size, so that groups of one name are in one fold of all.
    """
    if not together:
        return [folds_by_group(some, size, n_folds) for some, size in zip(groups, sizes, strict=True)]
    every = [(i, j) for i, some in enumerate(groups) for j in range(len(some))]
    totals = [sum(size) for size in sizes]
    shares = [max(round(1e6 * sizes[i][j] / totals[i]), 1) for i, j in every]
    folds: list[list[list[int]]] = [[[] for _ in range(n_folds)] for _ in groups]
    for number, fold in enumerate(folds_by_group([groups[i][j] for i, j in every], shares, n_folds)):
        for i, j in (every[index] for index in fold):
            folds[i][number].append(j)
    return folds


def root_of(parents: dict[Item, Item], item: Item) -> Item:
    """The item that stands for all that an item is joined with, in a forest of items; a new one stands for itself."""
    parents.setdefault(item, item)
    while parents[item] != item:
        parents[item] = parents[parents[item]]  # so that the way gets shorter
        item = parents[item]
    return item
