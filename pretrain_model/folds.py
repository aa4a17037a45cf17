"""Pieces spread over folds, so that what belongs together is never in both training and test data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
