"""A multi-layer perceptron that reads only the latent of one bar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor, nn

from musetok_bridge.encoder import choose_device
from pipeline.settings import one_line

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

    Latents are standardised first, by the mean and standard deviation of the training set, which are stored in the
    model. So is `sd`, (2,): the root mean squared error of valence and arousal on the validation bars.
    """

    kind: ClassVar = "custom_mlp"
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

    @classmethod
    def load(cls, facts: Mapping[str, str], tensors: Mapping[str, np.ndarray], device: str) -> CustomMLP:
        """A trained model, from the metadata and tensors of its file.

        Raises ValueError if they do not fit, UserError if the device is not available.
        """
        if facts["size"] not in HIDDEN_WIDTHS:
            raise ValueError(f"its size is {facts['size'][:20]!r}")
        config = MLPConfig(int(facts["width"]), cast(Size, facts["size"]), float(facts["dropout"]))
        with torch.device("meta"):  # shapes without memory: the width is only a claim so far
            shapes = {name: tuple(values.shape) for name, values in cls(config).state_dict().items()}
        for name in sorted(shapes.keys() | tensors.keys()):
            if name not in shapes or name not in tensors or tensors[name].shape != shapes[name]:
                raise ValueError(f"{one_line(name, 80)} is not that of a custom_mlp of width {config.width}")
        if not (tensors["std"] > 0).all() or (tensors["sd"] < 0).any():
            raise ValueError("its std is not above 0, or its sd below it")
        model = cls(config)
        model.load_state_dict({name: torch.from_numpy(values) for name, values in tensors.items()})
        return model.eval().requires_grad_(False).to(choose_device(device))

    @torch.inference_mode()
    def predict(self, pieces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Latents of pieces, (n, width) each -> valence, arousal and their sds, float32 (n, 4), computed together."""
        if not pieces:
            return []
        latents = torch.from_numpy(np.concatenate(pieces).astype(np.float32, copy=False)).to(self.mean.device)
        rating = self(latents)
        predicted = torch.cat([rating, self.sd.expand(rating.shape)], dim=1).cpu().numpy()
        return np.split(predicted, np.cumsum([len(piece) for piece in pieces])[:-1])

    def set_scale(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and standard deviation, (width,) each; a dimension that never varies is only centred."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, latents: Tensor) -> Tensor:
        """latents: (n, width) -> valence and arousal, (n, 2)."""
        return torch.tanh(self.layers((latents - self.mean) / self.std))
