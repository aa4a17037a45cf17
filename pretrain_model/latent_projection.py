"""A projection of latents to a few numbers, learned without ratings: the principal components of the training bars.

There are as many dimensions in a latent as pieces in a small set, so a listener reads the components in which bars
differ most, and less of them than of the performance features (listener.latent_weight).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.settings import SettingsError


@dataclass(frozen=True)
class LatentProjection:
    """mean: (width,). components: (d, width), of length 1 each."""

    mean: np.ndarray
    components: np.ndarray

    def __call__(self, latents: np.ndarray) -> np.ndarray:
        """latents: (n, width) -> float32 (n, d)."""
        return ((latents - self.mean) @ self.components.T).astype(np.float32)


def fit_projection(latents: Sequence[np.ndarray], components: int) -> LatentProjection:
    """The first principal components of the latents of pieces, (n, width) each.

    Raises SettingsError if there are not as many.
    """
    from sklearn.decomposition import PCA  # which only training needs

    bars = np.concatenate(latents).astype(np.float64)
    most = min(bars.shape)
    if components > most:
        raise SettingsError(
            f"'listener.latent_components' is {components}: these latents have {most}, so set it to that at most"
        )
    found = PCA(components, svd_solver="full").fit(bars)
    return LatentProjection(found.mean_.astype(np.float32), found.components_.astype(np.float32))
