"""Training a tokenizer: batches, schedule, validation, early stopping, and checkpoints to resume from.

All randomness depends on the seed and the step only, so a resumed run sees the same batches as an uninterrupted one.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.files import atomic_write, file_digest, provenance, write_json
from pipeline.processors import usable_processors
from pipeline.settings import UserError, say

from .checkpoint import find_checkpoint, save_encoder
from .encoder import batches_by_length, choose_device, fast_dtypes, one_thread_per_core, pad_words
from .tokenizer_corpus import Corpus, read_corpus, transpose_words
from .tokenizer_model import Tokenizer, measure_quality, reconstructed
from .tokenizer_settings import TokenizerSettings, TrainingSettings
from .vocabulary import PAD

FINAL_LEARNING_RATE = 0.02  # of the peak
GRADIENT_NORM = 1.0
BARS_TO_FIT = 20_000  # bars whose vectors shape the codebooks before the quantizer is switched on


@dataclass
class Progress:
    """The state of a training run besides its weights. stale: validations since the best loss."""

    step: int = 0
    minutes: float = 0.0
    best_loss: float = math.inf
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)


def train_tokenizer(settings: TokenizerSettings) -> Path:
    """Train on the corpus of the settings, or resume from the last checkpoint; returns the path of the encoder.

    Writes encoder.safetensors (with the lowest validation loss), losses.csv, quality.json and run.json.
    """
    if settings.corpus.path is None:
        raise UserError("no music to train on: give --set corpus.path=FOLDER or ZIP of MIDI files")
    out = Path(settings.output.dir)
    corpus = read_corpus(Path(settings.corpus.path), settings.corpus.validation_share)
    print(
        f"{corpus.n_songs:,} songs, {corpus.n_validation_songs:,} of them held out; {len(corpus.training):,} distinct "
        f"bars to train on, {len(corpus.validation):,} to validate; {corpus.n_unusable:,} files without a usable bar"
    )
    device = choose_device(settings.training.device)
    model = new_tokenizer(settings).to(device)
    progress = _train(model, corpus, settings, out, device)

    model.load_state_dict(torch.load(out / "best.pt", map_location=device, weights_only=True))
    path = out / "encoder.safetensors"
    save_encoder(path, settings.model.encoder_config(), model.checkpoint(), {"training_steps": str(progress.step)})
    bars = held_out(corpus, settings.quality.reconstructed_bars, settings.training.seed)
    how = settings.quality
    quality = measure_quality(Tokenizer.load(path).to(device), bars, how.beams, how.rounds)
    write_json(out / "quality.json", quality)
    counts = {
        "digest": corpus.digest,
        "songs": corpus.n_songs,
        "held_out_songs": corpus.n_validation_songs,
        "training_bars": len(corpus.training),
        "validation_bars": len(corpus.validation),
    }
    facts = {"corpus": counts, "steps": progress.step, "minutes": round(progress.minutes, 1)}
    write_json(
        out / "run.json",
        provenance(settings, "musetok_bridge/02_train_tokenizer.py", encoder_file_digest=file_digest(path), **facts),
    )
    for name, value in quality.items():
        print(f"{name}: {value}")
    return path


def new_tokenizer(settings: TokenizerSettings) -> Tokenizer:
    """The tokenizer that training begins with: random weights, or those of training.start_from.

    Raises UserError if that file holds a tokenizer of other sizes.
    """
    torch.manual_seed(settings.training.seed)
    model = Tokenizer(settings.model.encoder_config(), settings.model.decoder_layers)
    if (name := settings.training.start_from) is None:
        return model
    begun = Tokenizer.load(find_checkpoint(name))
    if {k: v.shape for k, v in begun.state_dict().items()} != {k: v.shape for k, v in model.state_dict().items()}:
        raise UserError(f"training.start_from: {name} has other sizes than the section model: set them alike")
    return begun.train()


def make_optimizers(model: Tokenizer, t: TrainingSettings) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the matrices of the layers and AdamW for everything else, or AdamW alone.

    Muon's steps are scaled to the root mean square that AdamW's have (Liu et al., Muon is scalable for LLM training,
    2025), so both take the same learning rate.
    """
    if t.optimizer == "adamw":
        return [torch.optim.AdamW(model.parameters(), t.learning_rate, (0.9, 0.98), weight_decay=t.weight_decay)]
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "layers." in name and "vq" not in name]
    others = [p for p in model.parameters() if not any(p is matrix for matrix in matrices)]
    return [
        torch.optim.Muon(matrices, t.learning_rate, t.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, t.learning_rate, (0.9, 0.98), weight_decay=t.weight_decay),
    ]


def _train(model: Tokenizer, corpus: Corpus, settings: TokenizerSettings, out: Path, device: torch.device) -> Progress:
    t = settings.training
    optimizers = make_optimizers(model, t)
    identity = _identity(settings, corpus)
    progress = _resume(out, model, optimizers, identity, device)
    began = time.monotonic() - 60 * progress.minutes
    validation = validation_batches(corpus, t, device)
    to_decode = held_out(corpus, t.decoded_bars, t.seed)
    recent: list[float] = []
    bar = tqdm(initial=progress.step, total=t.max_steps, desc="training", unit=" steps", disable=None)
    for words in training_batches(corpus, t, progress.step, device):
        progress.minutes = (time.monotonic() - began) / 60
        finished = progress.step >= t.max_steps or progress.minutes >= t.max_minutes
        if recent and (finished or progress.step % t.validate_every == 0):
            _validate(model, validation, to_decode, t, progress, float(np.mean(recent)))
            recent = []
            _save(out, model, optimizers, progress, identity)
            say("; ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in progress.history[-1].items()))
        if finished or progress.stale >= t.patience:
            break
        if progress.step == t.plain_steps and t.start_from is None:
            _fit_codebooks(model, corpus, t, device)
        recent.append(compute_gradients(model, words, levels_of_bars(model, len(words), progress.step, t), t))
        torch.nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_NORM)
        for optimizer in optimizers:
            optimizer.param_groups[0]["lr"] = t.learning_rate * learning_rate_share(progress, t)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        progress.step += 1
        bar.update()
    bar.close()
    return progress


def plain_steps(t: TrainingSettings) -> int:
    """The steps before the quantizer is switched on; none if training starts from codebooks that were fitted before."""
    return t.plain_steps if t.start_from is None else 0


def levels_of_bars(model: Tokenizer, n_bars: int, step: int, t: TrainingSettings) -> Tensor | None:
    """How many levels of each bar's latent the decoder gets, int64 (bars,); None before the quantizer is switched on.

    A share t.fewer_levels of the bars has a number drawn by chance, so that the first levels hold what matters most.
    """
    if step < plain_steps(t):
        return None
    rng = np.random.default_rng([t.seed, 5, step])
    levels = len(model.bar_transformer.levels)
    is_fewer = rng.random(n_bars) < t.fewer_levels
    return torch.from_numpy(np.where(is_fewer, rng.integers(1, levels, n_bars, endpoint=True), levels))


def compute_gradients(model: Tokenizer, words: Tensor, n_levels: Tensor | None, t: TrainingSettings) -> float:
    """Set the gradients of a batch of padded bars, (bars, words); returns its next-word loss (nats a word).

    On a CPU each processor takes a share of the bars, which is a fifth faster than sharing each product.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    all_words = (words[:, 1:] != PAD).sum()

    def of_part(rows: Tensor) -> tuple[tuple[Tensor | None, ...], float]:
        part = words[rows]
        share = (part[:, 1:] != PAD).sum() / all_words
        with autocast(t, words.device):
            loss, next_word = model.loss(part, None if n_levels is None else n_levels[rows.cpu()], t.commitment)
        return torch.autograd.grad(loss * share, parameters, allow_unused=True), float(next_word * share)

    rows = torch.arange(len(words), device=words.device)
    if words.device.type == "cpu":
        with one_thread_per_core() as threads:
            n_parts = min(usable_processors(), len(words))
            parts = list(threads.map(of_part, rows.tensor_split(n_parts)))
    else:
        parts = [of_part(rows)]
    for parameter, *gradients in zip(parameters, *(gradients for gradients, _ in parts), strict=True):
        there = [gradient for gradient in gradients if gradient is not None]
        parameter.grad = sum(there[1:], there[0]) if there else None
    return sum(loss for _, loss in parts)


def autocast(t: TrainingSettings, device: torch.device) -> torch.autocast:
    """The number format of the matrix products: of t.dtype, where auto is bfloat16 if the device has it."""
    in_bfloat16 = t.dtype == "bfloat16" or (t.dtype == "auto" and "bfloat16" in fast_dtypes(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=in_bfloat16)


def learning_rate_share(progress: Progress, t: TrainingSettings) -> float:
    """Learning rate as a share of its peak: linear warm-up, then a cosine that ends with the steps or minutes."""
    if progress.step < t.warmup_steps:
        return (progress.step + 1) / t.warmup_steps
    done = min(1.0, max(progress.step / t.max_steps, progress.minutes / t.max_minutes))
    return FINAL_LEARNING_RATE + (1 - FINAL_LEARNING_RATE) * (1 + math.cos(math.pi * done)) / 2


def training_batches(corpus: Corpus, t: TrainingSettings, first: int, device: torch.device) -> Iterator[Tensor]:
    """Endless batches of transposed bars, (bars, words), starting with batch number `first`."""
    lengths = np.array([len(bar) for bar in corpus.training])
    number = epoch = 0
    while True:
        rng = np.random.default_rng([t.seed, epoch])
        shuffled = rng.permutation(len(lengths))
        batches = [shuffled[batch] for batch in batches_by_length(lengths[shuffled], t.words_per_batch)]
        for k in rng.permutation(len(batches)):
            if number >= first:
                words = pad_words([corpus.training[i] for i in batches[k]])
                words = transpose_words(words, t.transpose, np.random.default_rng([t.seed, 1, number]))
                yield torch.from_numpy(words).long().to(device)
            number += 1
        epoch += 1


def validation_batches(corpus: Corpus, t: TrainingSettings, device: torch.device) -> list[Tensor]:
    """Padded batches of held-out bars, the same for every validation, not transposed."""
    bars = held_out(corpus, t.validation_bars, t.seed)
    batches = batches_by_length(np.array([len(bar) for bar in bars]), t.words_per_batch)
    return [torch.from_numpy(pad_words([bars[i] for i in batch])).to(device) for batch in batches]


def held_out(corpus: Corpus, most: int, seed: int) -> list[np.ndarray]:
    """Held-out bars drawn by chance, at most so many."""
    order = np.random.default_rng([seed, 2]).permutation(len(corpus.validation))[:most]
    return [corpus.validation[i] for i in order]


@torch.no_grad()
def _validate(
    model: Tokenizer,
    batches: list[Tensor],
    to_decode: list[np.ndarray],
    t: TrainingSettings,
    progress: Progress,
    recent: float,
) -> None:
    """Add the validation loss and the share of exact notes to the history."""
    quantized = progress.step > plain_steps(t)
    losses, weights = [], []
    for words in batches:
        n_levels = torch.full((len(words),), len(model.bar_transformer.levels)) if quantized else None
        with autocast(t, words.device):
            losses.append(float(model.loss(words, n_levels)[1]))
        weights.append(int((words[:, 1:] != PAD).sum()))
    loss = float(np.average(losses, weights=weights))
    if not quantized:
        progress.best_loss = math.inf  # losses without the quantizer can't be compared with losses with it
    if loss < progress.best_loss:
        progress.best_loss, progress.stale = loss, 0
    else:
        progress.stale += quantized
    progress.history.append(
        {"step": progress.step, "minutes": round(progress.minutes, 2), "training_loss": round(recent, 5)}
        | {"validation_loss": round(loss, 5), **reconstructed(model, to_decode, quantized)}
    )


def _fit_codebooks(model: Tokenizer, corpus: Corpus, t: TrainingSettings, device: torch.device) -> None:
    order = np.random.default_rng([t.seed, 3]).permutation(len(corpus.training))[:BARS_TO_FIT]
    bars = [corpus.training[i] for i in order]
    vectors = []
    with torch.no_grad():
        for batch in batches_by_length(np.array([len(bar) for bar in bars]), t.words_per_batch):
            vectors.append(model.vectors(torch.from_numpy(pad_words([bars[i] for i in batch])).to(device)))
    model.fit_codebooks(torch.cat(vectors))


def _save(
    out: Path, model: Tokenizer, optimizers: list[torch.optim.Optimizer], progress: Progress, identity: dict[str, Any]
) -> None:
    state: dict[str, Any] = {"model": model.state_dict(), "progress": asdict(progress), "training_of": identity}
    state["optimizers"] = [optimizer.state_dict() for optimizer in optimizers]
    with atomic_write(out / "last.pt") as temporary:
        torch.save(state, temporary)
    if progress.stale == 0:
        with atomic_write(out / "best.pt") as temporary:
            torch.save(model.state_dict(), temporary)
    with atomic_write(out / "losses.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, progress.history[0])
        writer.writeheader()
        writer.writerows(progress.history)


def _resume(
    out: Path, model: Tokenizer, optimizers: list[torch.optim.Optimizer], identity: dict[str, Any], device: torch.device
) -> Progress:
    path = out / "last.pt"
    if not path.exists():
        return Progress()
    state = torch.load(path, map_location=device, weights_only=True)
    if state["training_of"] != identity:
        raise UserError(f"{path}: made with other settings or music; give another output.dir, or remove it")
    model.load_state_dict(state["model"])
    for optimizer, before in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(before)
    progress = Progress(**state["progress"])
    print(f"resuming from step {progress.step:,} of {path}")
    return progress


def _identity(settings: TokenizerSettings, corpus: Corpus) -> dict[str, Any]:
    """The settings and music that must be the same for a checkpoint and the run that resumes it."""
    free = ("max_steps", "max_minutes", "patience", "device", "validate_every", "decoded_bars")
    training = {
        name: value for name, value in asdict(settings.training).items() if name not in free and value is not None
    }
    share = settings.corpus.validation_share
    return {"model": asdict(settings.model), "training": training, "share": share, "corpus": corpus.digest}
