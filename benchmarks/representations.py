"""How many levels, and codes or latents: heads on each representation of a bar, compared.

    python benchmarks/representations.py --set output.dir=output/pretrain

Reads what pretrain_model/02_extract_latents.py wrote, trains the head of the settings (config/pretrain.yaml, the same
--config and --set) on each representation with several seeds, and prints a table of means over the seeds:

- the latent of the first k levels, the sum of the first k codewords;
- the codes themselves, as one-hot vectors side by side.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from musetok_bridge import BarEncoder, load_encoder
from musetok_bridge.settings import run_script
from pretrain_model.evaluation import by_piece
from pretrain_model.latent_dataset import Represent, load_rated_bars
from pretrain_model.latent_files import PieceLatents
from pretrain_model.metrics import pearson_r, quadrant_accuracy
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.training import train_head

SEEDS = (0, 1, 2)


def first_levels(encoder: BarEncoder, levels: int) -> Represent:
    """The latent of the first levels: (n, width)."""
    codebooks = encoder.codebooks.cpu().numpy()

    def represent(made: PieceLatents) -> np.ndarray:
        return np.stack([codebooks[q][made.codes[:, q]] for q in range(levels)]).sum(axis=0)

    return represent


def one_hot_codes(encoder: BarEncoder) -> Represent:
    """The codes of all levels as one-hot vectors: (n, levels * codewords)."""
    size = encoder.codebooks.shape[1]

    def represent(made: PieceLatents) -> np.ndarray:
        hot = np.zeros((len(made.codes), encoder.levels * size), dtype=np.float32)
        np.put_along_axis(hot, made.codes + size * np.arange(encoder.levels), 1.0, axis=1)
        return hot

    return represent


def score(settings: PretrainSettings, encoder: BarEncoder, represent: Represent) -> list[float]:
    """Means over seeds on the test splits: r per bar of VGMIDI (valence, arousal), share of EMOPIA's clips right."""
    data = {
        (name, split): load_rated_bars(settings.folder, name, split, encoder, represent)
        for name in ("emopia", "vgmidi")
        for split in ("train", "val", "test")
    }
    results = []
    for seed in SEEDS:
        train, val = ([data[name, split] for name in ("emopia", "vgmidi")] for split in ("train", "val"))
        model = train_head(train, val, replace(settings.train, seed=seed)).model

        def predict(bars: Any, model: Any = model) -> np.ndarray:
            with torch.inference_mode():
                return model(torch.from_numpy(bars.latents)).numpy()

        rated, clips = data["vgmidi", "test"], data["emopia", "test"]
        r = [pearson_r(predict(rated)[:, d], rated.targets[:, d]) for d in range(2)]
        quadrants = quadrant_accuracy(by_piece(predict(clips), clips.piece), by_piece(clips.targets, clips.piece))
        results.append([*r, quadrants])
    return np.mean(results, axis=0).tolist()


def main(settings: PretrainSettings) -> None:
    """Print the table."""
    encoder = load_encoder(settings.model.encoder, settings.model.device, settings.model.dtype)
    kinds = {f"latent, {k} of {encoder.levels} levels": first_levels(encoder, k)
             for k in (1, 2, 4, 8, 16, 32) if k <= encoder.levels}  # fmt: skip
    kinds["codes, one-hot"] = one_hot_codes(encoder)
    print("| representation | VGMIDI valence r | VGMIDI arousal r | EMOPIA quadrants |\n|---|---|---|---|")
    for name, represent in kinds.items():
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in score(settings, encoder, represent)) + " |")


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__ or "", main)
