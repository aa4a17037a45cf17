"""The valence/arousal head: a multi-layer perceptron on the latent of a bar, its file, and its use.

Columns of every prediction are valence, then arousal, both in [−1, 1] (Russell's circumplex: valence from unpleasant to
pleasant, arousal from calm to excited).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from musetok_bridge.encoder import BarEncoder, choose_device
from musetok_bridge.provenance import tensors_digest, write_tensors
from musetok_bridge.settings import UserError, first_line

DIMENSIONS = ("valence", "arousal")
BUNDLED_HEAD = Path(__file__).resolve().parent / "weights" / "bundled_head.safetensors"
BARS_PER_BATCH = 65_536

Size = Literal["small", "normal", "large"]
HIDDEN_WIDTHS: dict[str, tuple[int, ...]] = {"small": (128,), "normal": (512, 256), "large": (1024, 512, 256)}


@dataclass(frozen=True)
class HeadConfig:
    """Shape of a head. width: of the latents it reads. size: of its hidden layers. dropout: in training, 0 to 1."""

    width: int
    size: Size
    dropout: float


class CustomMLP(nn.Module):
    """latent -> hidden layers with ReLU -> valence and arousal through tanh.

    Latents are standardised first, by the mean and standard deviation of the training set, which the head carries.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: HeadConfig):
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.width))
        self.register_buffer("std", torch.ones(config.width))
        widths = (config.width, *HIDDEN_WIDTHS[config.size])
        hidden = [
            module
            for before, after in pairwise(widths)
            for module in (nn.Linear(before, after), nn.ReLU(), nn.Dropout(config.dropout))
        ]
        self.layers = nn.Sequential(*hidden, nn.Linear(widths[-1], len(DIMENSIONS)))

    def set_scale(self, mean: Tensor, std: Tensor) -> None:
        """Standardise latents by these, (width,) each; a dimension that never varies is only centred."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def forward(self, latents: Tensor) -> Tensor:
        """latents: (n, width) -> valence and arousal, (n, 2)."""
        return torch.tanh(self.layers((latents - self.mean) / self.std))


@dataclass(frozen=True)
class Head:
    """A head ready for use; `load_head` makes one. encoder_digest: of the encoder on whose latents it was trained."""

    name: str
    digest: str
    encoder_digest: str
    model: CustomMLP
    device: torch.device

    @torch.inference_mode()
    def predict(self, latents: np.ndarray) -> np.ndarray:
        """latents: float32 (n, width) -> float32 (n, 2), columns valence and arousal in [−1, 1]."""
        if latents.ndim != 2 or latents.shape[1] != self.model.config.width:
            raise ValueError(f"latents of shape {latents.shape}; this head reads (n, {self.model.config.width})")
        predictions = np.empty((len(latents), len(DIMENSIONS)), dtype=np.float32)
        for i in range(0, len(latents), BARS_PER_BATCH):
            batch = torch.from_numpy(np.ascontiguousarray(latents[i : i + BARS_PER_BATCH], dtype=np.float32))
            predictions[i : i + BARS_PER_BATCH] = self.model(batch.to(self.device)).cpu().numpy()
        return predictions

    def check_encoder(self, encoder: BarEncoder) -> None:
        """Raise UserError if this head was trained on the latents of another encoder."""
        if encoder.digest != self.encoder_digest:
            raise UserError(
                f"head {self.name!r} was trained on latents of encoder {self.encoder_digest[:12]}…, not of "
                f"{encoder.name!r} ({encoder.digest[:12]}…): take the encoder that belongs to it, or train a head"
            )


def save_head(path: str | Path, model: CustomMLP, encoder_digest: str, facts: Mapping[str, str]) -> None:
    """Write a head as safetensors: its weights, and as metadata its shape, its encoder's digest and the given facts."""
    shape = {name: str(value) for name, value in asdict(model.config).items()}
    tensors = {name: values.detach().cpu().float().numpy() for name, values in model.state_dict().items()}
    write_tensors(path, tensors, dict(facts) | shape | {"encoder_digest": encoder_digest})


def load_head(name: str = "bundled", device: str = "cpu") -> Head:
    """Load a head: "bundled" or the path of a `.safetensors` file that `save_head` wrote.

    Raises UserError if there is no such file or it holds no head.
    """
    path = BUNDLED_HEAD if name == "bundled" else Path(name)
    if not path.is_file():
        raise UserError(f"head {name!r}: no file {path}; give bundled or the path of a head.safetensors")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if metadata.get("size") not in get_args(Size):
            raise ValueError("its metadata name no size of CustomMLP")
        config = HeadConfig(int(metadata["width"]), metadata["size"], float(metadata["dropout"]))
        model = CustomMLP(config)
        model.load_state_dict({key: torch.from_numpy(values) for key, values in tensors.items()})
        encoder_digest = metadata["encoder_digest"]
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        raise UserError(f"{path}: not a valence/arousal head ({first_line(error)})") from None
    place = choose_device(device)
    model.eval().requires_grad_(False).to(place)
    return Head(name, tensors_digest(tensors), encoder_digest, model, place)
