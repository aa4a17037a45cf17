"""Which output of an encoder a head should read: codes or latents, of how many levels, quantized or not; which loss.

    python benchmarks/representations.py --set output.dir=output/pretrain

Reads the output of pretrain_model/01_prepare_datasets.py and 02_extract_latents.py, trains CustomMLP on each
representation of a bar by the protocol of pretrain_model/05_cross_validate.py, and prints a table. The settings are
those of config/pretrain.yaml (--config and --set work as there; model.encoder=official for MuseTok's). Representations:

- the latent of the first k levels, the sum of the first k codewords, and the codes themselves as one-hot vectors;
- the vector before quantization, and the encoder's output before it is projected to the latent's width;
- the latent with another loss, and with the signs of EMOPIA's quadrants instead of points.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from musetok_bridge import BarEncoder, Bars, score_to_bars
from musetok_bridge.encoder import batches_by_length, pad_words
from musetok_bridge.vocabulary import MAX_BAR_WORDS
from pipeline.settings import run_script
from pretrain_model.agreement import quadrant_agreement, rating_agreement
from pretrain_model.cross_validation import fold_pieces, predict_left_out
from pretrain_model.predictors import train_mlp
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.rated_pieces import RatedPiece, Represent, load_rated_pieces, whole_latent
from pretrain_model.rated_set import read_set_table

TOKENS_PER_BATCH = 32_768


def first_levels(encoder: BarEncoder, levels: int) -> Represent:
    """The latent of the first levels: (n, width)."""
    codebooks = encoder.codebooks.cpu().numpy()
    return lambda piece: np.stack([codebooks[q][piece.made.codes[:, q]] for q in range(levels)]).sum(axis=0)


def one_hot_codes(encoder: BarEncoder) -> Represent:
    """The codes of all levels as one-hot vectors: (n, levels * codewords)."""
    size = encoder.codebooks.shape[1]

    def represent(piece: RatedPiece) -> np.ndarray:
        codes = piece.made.codes
        hot = np.zeros((len(codes), encoder.levels * size), dtype=np.float32)
        np.put_along_axis(hot, codes + size * np.arange(encoder.levels), 1.0, axis=1)
        return hot

    return represent


@torch.inference_mode()
def unquantized(encoder: BarEncoder, bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """The encoder's output (n, d) and its projection to the latent's width (n, width), before quantization."""
    words = [bars[i][:MAX_BAR_WORDS] for i in range(len(bars))]
    hidden = np.empty((len(bars), encoder.network.config.width), dtype=np.float32)
    vectors = np.empty((len(bars), encoder.width), dtype=np.float32)
    for batch in batches_by_length(np.array([len(w) for w in words]), TOKENS_PER_BATCH):
        out = encoder.network.hidden(torch.from_numpy(pad_words([words[i] for i in batch])).to(encoder.device))
        hidden[batch] = out.float().cpu().numpy()
        vectors[batch] = encoder.network.enc_out_proj(out).float().cpu().numpy()
    return hidden, vectors


def unquantized_pieces(settings: PretrainSettings, encoder: BarEncoder) -> tuple[Represent, Represent]:
    """The encoder's output and the vector before quantization, of every piece."""
    found: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    for dataset in ("emopia", "vgmidi"):
        labels = read_set_table(settings.folder, dataset, "pieces")
        for row in tqdm(labels.itertuples(), total=len(labels), desc=dataset, unit="piece", leave=False):
            bars = score_to_bars(settings.folder / str(row.midi))
            found[dataset, str(row.piece)] = unquantized(encoder, bars)
    return lambda p: found[p.dataset, p.name][0], lambda p: found[p.dataset, p.name][1]


def main(settings: PretrainSettings) -> None:
    """Print the table."""
    encoder = settings.model.load()
    blocks = {block.name: block for block in settings.sets}
    vgmidi, emopia = (
        load_rated_pieces(settings.folder, blocks[name], ("train", "val", "test"), encoder)
        for name in ("vgmidi", "emopia")
    )
    hidden, vectors = unquantized_pieces(settings, encoder)
    levels = [k for k in (1, 2, 4, 8, 16, 32) if k <= encoder.levels]
    kinds: dict[str, tuple[Represent, dict[str, Any]]] = {
        **{f"latent, {k} of {encoder.levels} levels": (first_levels(encoder, k), {}) for k in levels},
        "vector before quantization": (vectors, {}),
        f"encoder's output, {encoder.network.config.width} wide": (hidden, {}),
        "latent, smooth L1": (whole_latent, {"loss": "smooth_l1"}),
        "latent, signs for quadrants": (whole_latent, {"quadrants": "signs"}),
        "codes, one-hot": (one_hot_codes(encoder), {}),  # last, since it takes as long as all the others
    }
    pieces, folds = [*vgmidi, *emopia], fold_pieces([*vgmidi, *emopia], settings.cross_validate.folds)
    print("| representation | valence r per bar | arousal r per bar | valence r per piece | arousal r per piece "
          "| EMOPIA quadrants |\n|---|---|---|---|---|---|")  # fmt: skip
    for name, (represent, changes) in kinds.items():
        changed = replace(settings, train=replace(settings.train, **changes))
        train = partial(train_mlp, changed, represent=represent)
        compared = [[(x, p.targets)] for x, p in zip(predict_left_out(pieces, folds, train), pieces, strict=True)]
        rated, quadrants = rating_agreement(compared[: len(vgmidi)]), quadrant_agreement(compared[len(vgmidi) :])
        r = [rated[level, dimension, "r"] for level in ("bar", "piece") for dimension in ("valence", "arousal")]
        values = [*r, quadrants["piece", "quadrant", "accuracy"]]
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in values) + " |", flush=True)


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__ or "", main)
