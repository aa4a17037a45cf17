"""A multi-layer perceptron that reads the latent of one bar and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Size = Literal["small", "normal", "large"]
HIDDEN_WIDTHS: dict[str, tuple[int, ...]] = {"small": (128,), "normal": (512, 256), "large": (1024, 512, 256)}


@dataclass(frozen=True)
class MLPConfig:
    """Shape of a CustomMLP. width: of the latents it reads. size: of its hidden layers. dropout: in training."""

    width: int
    size: Size
    dropout: float


class CustomMLP(nn.Module):
    """latent -> hidden layers with ReLU -> valence and arousal through tanh.

    Latents are standardised first, by the mean and standard deviation of the training set, which the model carries. So
    it does `sd`, (2,): the root mean squared error of valence and arousal on the validation bars.
    """

    mean: Tensor
    std: Tensor
    sd: Tensor

    def __init__(self, config: MLPConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("std", torch.ones(config.width))
        self.register_buffer("sd", torch.ones(2))
        widths = (config.width, *HIDDEN_WIDTHS[config.size])
        hidden = [
            module
            for before, after in pairwise(widths)
            for module in (nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout))
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], 2))

    def set_scale(self, mean: Tensor, std: Tensor) -> None:
        """Standardise latents by these, (width,) each; a dimension that never varies is only centred."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, latents: Tensor) -> Tensor:
        """latents: (n, width) -> valence and arousal, (n, 2)."""
        return torch.tanh(self.layers((latents - self.mean) / self.std))
