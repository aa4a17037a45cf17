"""The listener: a model that predicts valence and arousal of every bar from the music around it.

The two sets of rated music give different information: VGMIDI the raters' trajectories through a piece, EMOPIA only the
signs of a clip. So there are two experts, each trained on its own set, and a gate that estimates which set a piece
resembles (a mixture of experts: Jacobs, Jordan, Nowlan and Hinton, Neural Computation 3, 1991). An expert is the mean
of a linear model and of small networks. With the context `whole` the linear model reads the whole piece, the networks'
outputs are averaged over its bars, and a linear model of the motion adds how each bar differs from the level of the
piece. With `heard` both read only the music up to the bar, so nothing later changes its prediction.

Each prediction has a standard deviation. It combines that of VGMIDI's expert, measured by its errors on games left out
of training, that of EMOPIA's expert, under which the signs of left-out songs are likeliest, and the difference between
the two experts.

This module is for training; listener_numpy.py computes the same from the trained weights without torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from .bar_context import BarViews, view_bars
from .listener_numpy import CLIP, Context, Listener


@dataclass(frozen=True)
class ListenerConfig:
    """Shape of a listener. width: values it reads for each bar. context: whole or heard. networks: in each expert.

    hidden: hidden units of each network. dropout_in, dropout: in training, of a network's input and hidden units.
    """

    width: int
    context: Context
    networks: int
    hidden: int
    dropout_in: float
    dropout: float


class Scale(nn.Module):
    """Standardises values by a stored mean and spread, and clips them at CLIP."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))

    def set(self, mean: Tensor, std: Tensor) -> None:
        """Set the mean and standard deviation, (width,) each; values that hardly vary are only centred."""
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 1e-6, std, torch.ones_like(std)))

    def forward(self, values: Tensor) -> Tensor:
        """(n, width) -> (n, width)."""
        return ((values - self.mean) / self.std).clamp(-CLIP, CLIP)


class Linear(nn.Module):
    """A linear model of standardised values."""

    def __init__(self, width: int, out: int):
        super().__init__()
        self.scale = Scale(width)
        self.layer = nn.Linear(width, out)

    def forward(self, view: Tensor) -> Tensor:
        """(n, width) -> (n, out)."""
        return self.layer(self.scale(view))


class Networks(nn.Module):
    """The mean of small networks with one hidden layer, on standardised values."""

    def __init__(self, width: int, config: ListenerConfig):
        super().__init__()
        self.scale = Scale(width)
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.dropout_in),
                nn.Linear(width, config.hidden),
                nn.ReLU(),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden, 2),
            )
            for _ in range(config.networks)
        )

    def forward(self, view: Tensor) -> Tensor:
        """(n, width) -> (n, 2)."""
        scaled = self.scale(view)
        return torch.stack([member(scaled) for member in self.members]).mean(dim=0)


class Expert(nn.Module):
    """Valence and arousal on the scale of one rated set: `linear_gain` * linear + `networks_gain` * networks.

    sd: (2,), standard deviation of its errors on music outside its training data.
    """

    linear_gain: Tensor
    networks_gain: Tensor
    sd: Tensor

    def __init__(self, linear_width: int, heard_width: int, config: ListenerConfig):
        super().__init__()
        self.linear = Linear(linear_width, 2)
        self.networks = Networks(heard_width, config)
        self.register_buffer("linear_gain", torch.full((2,), 0.5))
        self.register_buffer("networks_gain", torch.full((2,), 0.5))
        self.register_buffer("sd", torch.ones(2))


@dataclass(frozen=True)
class Views:
    """The input of the listener for the n bars of some pieces: heard (n, …), motion (n, …), whole (pieces, …).

    piece: int64 (n), index of each bar's piece; every piece has at least one bar.
    """

    heard: Tensor
    motion: Tensor
    whole: Tensor
    piece: Tensor

    @classmethod
    def of(cls, pieces: Sequence[BarViews]) -> Views:
        """The views of several pieces, concatenated."""
        heard, motion, whole = (
            torch.from_numpy(np.concatenate([getattr(piece, view) for piece in pieces]))
            for view in ("heard", "motion", "whole")
        )
        piece = np.repeat(np.arange(len(pieces)), [len(piece.heard) for piece in pieces])
        return cls(heard, motion, whole, torch.from_numpy(piece))

    def mean_of_pieces(self, values: Tensor) -> Tensor:
        """Mean over the bars of each piece: (n, k) -> (pieces, k)."""
        total = torch.zeros(len(self.whole), values.shape[1]).index_add(0, self.piece, values)
        return total / torch.bincount(self.piece, minlength=len(self.whole))[:, None]


class ListenerModel(nn.Module):
    """Two experts, a gate and, with the context `whole`, a model of the motion."""

    kind: ClassVar = "listener"

    def __init__(self, config: ListenerConfig):
        super().__init__()
        self.config = config
        views = view_bars(np.zeros((1, config.width)), np.array([0.0, 1.0]))
        heard, motion = views.heard.shape[1], views.motion.shape[1]
        linear = views.whole.shape[1] if config.context == "whole" else heard
        self.vgmidi = Expert(linear, heard, config)
        self.emopia = Expert(linear, heard, config)
        self.gate = Linear(linear, 1)
        self.motion = Linear(motion, 2) if config.context == "whole" else None

    def without_torch(self) -> Listener:
        """The same weights in NumPy, for prediction."""
        return Listener({name: values.numpy() for name, values in self.state_dict().items()}, self.config.context)

    def linear_view(self, views: Views) -> Tensor:
        """The input of the linear models and the gate: (pieces, …) with the context whole, (n, …) with heard."""
        return views.whole if self.config.context == "whole" else views.heard

    def rate(self, expert: Expert, views: Views) -> Tensor:
        """An expert's predictions: (pieces, 2) with the context whole, (n, 2) for the bars with heard."""
        networks = expert.networks(views.heard)  # (n, 2)
        if self.config.context == "whole":
            networks = views.mean_of_pieces(networks)
        return expert.linear_gain * expert.linear(self.linear_view(views)) + expert.networks_gain * networks

    def forward(self, views: Views) -> tuple[Tensor, Tensor]:
        """Valence and arousal in [−1, 1] of the bars, (n, 2), and their standard deviations, (n, 2)."""
        share = torch.sigmoid(self.gate(self.linear_view(views)))  # (pieces or n, 1): weight of EMOPIA's expert
        vgmidi, emopia = self.rate(self.vgmidi, views), self.rate(self.emopia, views)
        rating = (1 - share) * vgmidi + share * emopia  # (pieces or n, 2)
        variance = (1 - share) * self.vgmidi.sd**2 + share * self.emopia.sd**2
        variance = variance + share * (1 - share) * (vgmidi - emopia) ** 2
        if self.config.context == "whole":
            rating, variance = rating[views.piece], variance[views.piece]
        rating = rating + self.moving(views)  # (n, 2)
        return rating.clamp(-1, 1), variance.sqrt()

    def moving(self, views: Views) -> Tensor:
        """How bars differ from the level of their piece, (n, 2), with mean 0; all 0 with the context heard."""
        if self.motion is None:
            return torch.zeros(len(views.motion), 2)
        motion = self.motion(views.motion)
        return motion - views.mean_of_pieces(motion)[views.piece]
