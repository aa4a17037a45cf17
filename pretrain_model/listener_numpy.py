"""Prediction with a trained listener in NumPy, one piece at a time; it computes the same as listener_model.py.

Importing torch takes longer than annotating a song. And since no matrix product mixes pieces, the predictions for a
song do not depend, even in their last digits, on the other songs annotated with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, cast, get_args

import numpy as np

from .bar_context import BarViews, view_bars

Context = Literal["whole", "heard"]
CLIP = 4.0  # standard deviations; a feature beyond is outside the training data and is clipped
EXPERTS = ("vgmidi", "emopia")


@dataclass(frozen=True)
class Listener:
    """The weights of a ListenerModel by the names of its parameters, float32, and its context."""

    weights: Mapping[str, np.ndarray]
    context: Context

    @classmethod
    def load(cls, facts: Mapping[str, str], tensors: Mapping[str, np.ndarray]) -> Listener:
        """A trained listener from its file's metadata and tensors. Raises KeyError or ValueError if they don't fit."""
        if facts["context"] not in get_args(Context):
            raise ValueError(f"its context is {facts['context']!r}")
        listener = cls(tensors, cast(Context, facts["context"]))
        silence = np.zeros((1, int(facts["width"])))
        listener.predict(view_bars(silence, np.array([0.0, 1.0])))  # raises here if a tensor doesn't fit
        return listener

    def predict(self, views: BarViews) -> np.ndarray:
        """Valence and arousal in [−1, 1] of a piece's bars, and their standard deviations: float32 (n, 4)."""
        view = views.whole if self.context == "whole" else views.heard
        share = (1 + np.tanh(self._linear("gate", view) / 2)) / 2  # (1 or n, 1): weight of EMOPIA's expert
        vgmidi, emopia = (self._rate(expert, view, views.heard) for expert in EXPERTS)  # (1 or n, 2)
        vgmidi_sd, emopia_sd = (self.weights[f"{expert}.sd"] for expert in EXPERTS)  # (2,)
        rating = (1 - share) * vgmidi + share * emopia
        variance = (1 - share) * vgmidi_sd**2 + share * emopia_sd**2 + share * (1 - share) * (vgmidi - emopia) ** 2
        if self.context == "whole":
            motion = self._linear("motion", views.motion)  # (n, 2)
            rating = rating + motion - motion.mean(axis=0)
        return np.concatenate([rating.clip(-1, 1), np.broadcast_to(np.sqrt(variance), rating.shape)], axis=1)

    def _rate(self, expert: str, view: np.ndarray, heard: np.ndarray) -> np.ndarray:
        """An expert's predictions: (1, 2) with the context whole, (n, 2) with heard."""
        layers = self._networks[expert]
        units = self._scaled(f"{expert}.networks", heard) @ layers.hidden + layers.hidden_bias  # (networks, n, hidden)
        networks = (np.maximum(units, 0) @ layers.out + layers.out_bias).mean(axis=0)  # (n, 2)
        if self.context == "whole":
            networks = networks.mean(axis=0, keepdims=True)
        linear = self._linear(f"{expert}.linear", view)
        return self.weights[f"{expert}.linear_gain"] * linear + self.weights[f"{expert}.networks_gain"] * networks

    def _linear(self, name: str, view: np.ndarray) -> np.ndarray:
        return self._scaled(name, view) @ self.weights[f"{name}.layer.weight"].T + self.weights[f"{name}.layer.bias"]

    def _scaled(self, name: str, view: np.ndarray) -> np.ndarray:
        return ((view - self.weights[f"{name}.scale.mean"]) / self.weights[f"{name}.scale.std"]).clip(-CLIP, CLIP)

    @cached_property
    def _networks(self) -> dict[str, _Layers]:
        return {expert: _Layers.of(self.weights, f"{expert}.networks.members") for expert in EXPERTS}


class _Layers(NamedTuple):
    """Both layers of all networks of an expert, stacked.

    hidden: (networks, width, hidden). hidden_bias: (networks, 1, hidden). out: (networks, hidden, 2). out_bias:
    (networks, 1, 2).
    """

    hidden: np.ndarray
    hidden_bias: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray

    @classmethod
    def of(cls, weights: Mapping[str, np.ndarray], members: str) -> _Layers:
        n_networks = sum(name.startswith(members) and name.endswith(".1.bias") for name in weights)

        def stacked(parameter: str) -> np.ndarray:
            return np.stack([weights[f"{members}.{k}.{parameter}"] for k in range(n_networks)])

        hidden, out = (np.ascontiguousarray(stacked(f"{layer}.weight").swapaxes(1, 2)) for layer in (1, 4))
        return cls(hidden, stacked("1.bias")[:, None], out, stacked("4.bias")[:, None])
