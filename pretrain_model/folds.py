"""Folds for cross-validation in which a group of pieces, a game or a song, is never torn apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def folds_by_group(groups: Sequence[str], sizes: Sequence[int], n_folds: int) -> list[list[int]]:
    """Cut pieces into folds of about the same size: lists of indices, together every piece once.

    groups: of each piece. sizes: of each piece, say its bars. The largest groups are placed first, each into the fold
    that is smallest by then, so the folds depend on the data alone. With fewer groups than folds some are empty.
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
