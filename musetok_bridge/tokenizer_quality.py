"""How good a tokenizer is: next-word loss, notes that come back from the latent, and the use of its codebooks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from .encoder import batches_by_length, pad_words, quantize
from .tokenizer_corpus import bar_notes
from .tokenizer_model import Tokenizer
from .vocabulary import PAD

WORDS_PER_BATCH = 8192


@torch.no_grad()
def measure_quality(model: Tokenizer, bars: list[np.ndarray], most: int, seed: int) -> dict[str, float | int]:
    """Measure a tokenizer on held-out bars, in float32 and with the quantizer.

    next_word_loss: nats a word. next_word_accuracy: share of words predicted right from the true words before.
    exact_notes: share of the notes that the decoder writes with the same position, pitch and duration, given the
    latent only. written_notes_right: share of the notes that it writes that are in the bar. exact_bars: share of bars
    that come back note for note. codebook_use and codebook_perplexity: share of a level's codewords that occur, and
    the exponential of their entropy as a share of all, means over the levels.
    """
    order = np.random.default_rng([seed, 4]).permutation(len(bars))[:most]
    bars = [bars[i] for i in order]
    device = model.dec_out_proj.weight.device
    codebooks = model.bar_transformer.codebooks()
    loss = right = n_words = 0.0
    notes = written = same = exact_bars = 0
    codes: list[Tensor] = []
    batches = list(batches_by_length(np.array([len(bar) for bar in bars]), WORDS_PER_BATCH))
    for batch in tqdm(batches, desc="measuring", unit=" batches"):
        words = torch.from_numpy(pad_words([bars[i] for i in batch])).to(device)
        batch_codes, codewords = quantize(model.vectors(words), codebooks)
        latents = codewords.sum(dim=1)
        codes.append(batch_codes.cpu())
        logits = model.next_word_logits(words[:, :-1], latents)
        target = words[:, 1:]
        present = target != PAD
        log_p = logits.log_softmax(dim=-1).gather(-1, target[..., None])[..., 0]
        loss -= float(log_p[present].sum())
        right += float((logits.argmax(dim=-1) == target)[present].sum())
        n_words += float(present.sum())
        decoded = model.decode(latents).cpu().numpy()
        for i, words_written in zip(batch, decoded, strict=True):
            true, back = bar_notes(bars[i]), bar_notes(words_written)
            notes, written, same = notes + len(true), written + len(back), same + len(true & back)
            exact_bars += true == back
    use, perplexity = codebook_use(torch.cat(codes).numpy(), codebooks.shape[1])
    return {
        "bars": len(bars),
        "next_word_loss": round(loss / n_words, 4),
        "next_word_accuracy": round(right / n_words, 4),
        "exact_notes": round(same / max(notes, 1), 4),
        "written_notes_right": round(same / max(written, 1), 4),
        "exact_bars": round(exact_bars / len(bars), 4),
        "codebook_use": round(use, 4),
        "codebook_perplexity": round(perplexity, 4),
    }


def codebook_use(codes: np.ndarray, size: int) -> tuple[float, float]:
    """Share of the codewords that occur, and their perplexity as a share of all; means over the levels.

    codes: (bars, levels), each in 0..size - 1. The most that n bars can show is n / size.
    """
    counts = np.stack([np.bincount(level, minlength=size) for level in codes.T])  # (levels, size)
    p = counts / counts.sum(axis=1, keepdims=True)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1)
    return float((counts > 0).mean()), float(np.exp(entropy).mean() / size)
