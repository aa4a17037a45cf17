"""Checkpoints in the layout of MuseTok's release, filled with seeded numbers, small enough for a fast test."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from musetok_bridge.checkpoint import EncoderConfig
from musetok_bridge.official_release import release_shapes

TINY = EncoderConfig(layers=2, heads=4, width=32, feed_forward=64, latent=16, levels=4, codebook=32)


def release_like(config=TINY):
    """A whole tokenizer's state dict with its decoder; the positions are sinusoids."""
    state = {}
    for name, shape in release_shapes(config).items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        values = rng.standard_normal(shape) / np.sqrt(shape[-1])
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.1 * values
        state[name] = torch.from_numpy(values.astype(np.float32))
    n_positions = release_shapes(config)["pe.pe"][0]
    angle = np.arange(n_positions)[:, None] / 10_000 ** (np.arange(0, config.width, 2) / config.width)
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=-1).reshape(-1, 1, config.width)
    state["pe.pe"] = torch.from_numpy(waves.astype(np.float32))
    return state


@pytest.fixture(scope="session")
def tiny_state():
    return release_like()


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory, tiny_state) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "model.pt"
    torch.save(tiny_state, path)
    return path
