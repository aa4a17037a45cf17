"""The tokenizer in training: bar encoder, residual quantizer with its losses, and a decoder; and its quality.

The decoder reads a bar's words from left to right, with the bar's latent added through a linear map to the input of
every layer, and predicts the next word. The gradient of its loss passes straight through the quantizer to the encoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.progress import progress_bar

from .bar_transformer import BarTransformer, KeysValues, Layer, quantize
from .checkpoint import EncoderConfig, check_shapes, encoder_tensors
from .encoder import batches_by_length, pad_words
from .tokenizer_corpus import bar_notes
from .vocabulary import BAR, EOS, MAX_BAR_WORDS, METER_ID, N_TOKENS, PAD
from .weight_files import read_values, stored_tensors

WORDS_PER_BATCH = 8192
_ENCODER = "bar_transformer."  # before the encoder's names here, which a checkpoint doesn't have
_DECODER = ("decoder.", "dec_out_proj.")


class Decoder(nn.Module):
    """Predicts the next word of a bar from its latent and the words before."""

    def __init__(self, config: EncoderConfig, layers: int):
        super().__init__()
        self.seg_emb_proj = nn.Linear(config.latent, config.width, bias=False)
        self.decoder_layers = nn.ModuleList(
            Layer(config.width, config.heads, config.feed_forward) for _ in range(layers)
        )
        self.layers = cast("tuple[Layer, ...]", tuple(self.decoder_layers))

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """x: embedded words (bars, words, d). latents: (bars, latent). Returns (bars, words, d)."""
        condition = self.seg_emb_proj(latents)[:, None]  # (bars, 1, d)
        for layer in self.layers:
            x = layer(x + condition, None, causal=True)  # padding is at the end, where no word attends to it
        return x

    def next_word(self, x: Tensor, latents: Tensor, past: list[KeysValues]) -> tuple[Tensor, list[KeysValues]]:
        """As forward for one more word, x: (bars, 1, d). past: what it returned for the word before, empty at first."""
        condition = self.seg_emb_proj(latents)[:, None]  # (bars, 1, d)
        following = []
        for layer, known in zip(self.layers, past or repeat(None), strict=False):
            x, keys_values = layer.next_word(x + condition, known)
            following.append(keys_values)
        return x, following


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder; parameters named as in MuseTok's checkpoint."""

    def __init__(self, config: EncoderConfig, decoder_layers: int):
        super().__init__()
        self.bar_transformer = BarTransformer(config)
        self.decoder = Decoder(config, decoder_layers)
        self.dec_out_proj = nn.Linear(config.width, N_TOKENS)
        nn.init.normal_(self.bar_transformer.token_emb["emb_lookup"].get_parameter("weight"), std=config.width**-0.5)

    def checkpoint(self) -> dict[str, np.ndarray]:
        """All weights in float16, by the names of MuseTok's checkpoint: those of the encoder, and the decoder's."""
        return {
            name.removeprefix(_ENCODER): values.detach().cpu().half().numpy()
            for name, values in self.state_dict().items()
        }

    @classmethod
    def load(cls, path: Path) -> Tokenizer:
        """A tokenizer from a file that `checkpoint` filled, in float32 on the CPU.

        Raises WeightsError if the file holds no tokenizer, or only an encoder.
        """
        config, encoder = encoder_tensors(path)
        with stored_tensors(path) as (stored, _):
            of_decoder = [name for name in stored if name.startswith(_DECODER)]
            layers = len({name.split(".")[2] for name in of_decoder if name.startswith("decoder.decoder_layers.")})
            with torch.device("meta"):
                shapes = cls(config, max(1, layers)).decoder_shapes()
            check_shapes(path, {name: stored[name].shape for name in of_decoder}, shapes)
            decoder = read_values(path, {name: stored[name] for name in of_decoder})
        model = cls(config, layers)
        weights = {f"{_ENCODER}{name}": values for name, values in encoder.items()} | decoder
        model.load_state_dict({name: torch.from_numpy(values) for name, values in weights.items()})
        return model.eval()

    def decoder_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that only decoding needs."""
        return {name: tuple(v.shape) for name, v in self.state_dict().items() if name.startswith(_DECODER)}

    def vectors(self, words: Tensor) -> Tensor:
        """words: (bars, words) -> the vectors before quantization, float32 (bars, latent)."""
        return self.bar_transformer.enc_out_proj(self.bar_transformer.hidden(words)).float()

    def next_word_logits(self, words: Tensor, latents: Tensor) -> Tensor:
        """words: (bars, words), latents: (bars, latent) -> logits of the word after each, (bars, words, N_TOKENS)."""
        x = self.decoder(self.bar_transformer.embed(words), latents.to(self.dec_out_proj.weight.dtype))
        return self.dec_out_proj(x)

    def loss(self, words: Tensor, n_levels: Tensor | None, commitment: float = 0.0) -> tuple[Tensor, Tensor]:
        """Training loss of a batch of padded bars, and the next-word loss alone (nats a word).

        n_levels: (bars,), the decoder gets the sum of so many first levels; None: the vector before quantization.
        """
        vectors = self.vectors(words)  # (bars, latent)
        latents, quantizer_loss = vectors, vectors.new_zeros(())
        if n_levels is not None:
            latents, quantizer_loss = self._quantize_straight_through(vectors, n_levels, commitment)
        logits = self.next_word_logits(words[:, :-1], latents)  # (bars, words - 1, N_TOKENS)
        next_word = F.cross_entropy(logits.flatten(0, 1).float(), words[:, 1:].flatten(), ignore_index=PAD)
        return next_word + quantizer_loss, next_word.detach()

    def _quantize_straight_through(self, vectors: Tensor, n_levels: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
        """Latents of the first n_levels, (bars,), whose gradient passes to the vectors, and the quantizer's loss.

        The loss is summed over all levels.

        Loss of a level (van den Oord et al. 2017): mean squared distance of the codeword from the residual without its
        gradient, plus `commitment` times that of the residual from the codeword without its gradient.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            with torch.no_grad():  # the search for the nearest has no gradient; only what it finds is computed again
                codes, _ = quantize(vectors, self.bar_transformer.codebooks())
            by_level = zip(self.bar_transformer.levels, codes.unbind(dim=1), strict=True)
            codewords = torch.stack([level.codewords(of_level) for level, of_level in by_level], dim=1)
            sums = codewords.detach().cumsum(dim=1)  # (bars, levels, latent)
            before = vectors[:, None] - F.pad(sums, (0, 0, 1, 0))[:, :-1]
            to_residual = F.mse_loss(codewords, before.detach())
            to_codeword = F.mse_loss(before, codewords.detach())
            chosen = sums[torch.arange(len(sums)), n_levels.to(sums.device) - 1]  # (bars, latent)
            latents = vectors + (chosen - vectors).detach()
        return latents, (to_residual + commitment * to_codeword) * codewords.shape[1]

    @torch.no_grad()
    def fit_codebooks(self, vectors: Tensor) -> None:
        """Fit each level's codewords to the residuals that it quantizes, given vectors (bars, latent) of real bars.

        The linear map becomes the square root of the residuals' covariance, times the one of ten scales that brings the
        codewords nearest. Without this, a level of random codewords starts far from the residuals.
        """
        residual = vectors
        for level in self.bar_transformer.levels:
            values, directions = torch.linalg.eigh(
                residual.T.cov() + 1e-8 * torch.eye(residual.shape[1], device=vectors.device)
            )
            root = directions * values.clamp(min=0).sqrt() @ directions.T
            root = root * residual.shape[1] ** 0.5  # frozen codewords have length about one
            best = (float("inf"), root, residual)
            for scale in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
                codebook = level.frozen_codebook @ (scale * root).T
                rest = residual - quantize(residual, codebook[None])[1][:, 0]
                best = min(best, (float(rest.square().mean()), scale * root, rest), key=lambda b: b[0])
            level.code_transform.weight.copy_(best[1])
            residual = best[2]

    @torch.no_grad()
    def decode(self, latents: Tensor, beams: int = 1, rounds: int = 1) -> Tensor:
        """Decode bars: latents (bars, latent) -> (bars, words), padded.

        The decoder writes `beams` bars for each latent, and the one whose own vector lies nearest to it is taken
        (analysis by synthesis). In each round after the first the decoder is given the latent and half of what the
        vector of its last bar was short of it; the nearest bar of all rounds is returned. With one beam and one round
        it is what the decoder writes, and nothing is encoded.
        """
        if beams == rounds == 1:
            return self._write(latents, beams)[:, 0]
        rows = torch.arange(len(latents), device=latents.device)
        found = torch.full((len(latents), MAX_BAR_WORDS), PAD, device=latents.device)
        nearest = torch.full((len(latents),), torch.inf, device=latents.device)
        given = latents
        for _ in range(rounds):
            written = self._write(given, beams)  # (bars, beams, words)
            vectors = self.vectors(written.flatten(0, 1)).view(len(rows), beams, -1)
            away, best = (vectors - latents[:, None]).square().sum(dim=2).min(dim=1)  # (bars)
            nearer = away < nearest
            nearest = torch.where(nearer, away, nearest)
            found[nearer, : written.shape[2]] = written[rows, best][nearer]
            found[nearer, written.shape[2] :] = PAD
            given = given + (latents - vectors[rows, best]) / 2
        return found

    def _write(self, latents: Tensor, beams: int) -> Tensor:
        """What the decoder writes, word after word: latents (bars, latent) -> likeliest bars (bars, beams, words).

        Of each bar the `beams` likeliest beginnings are kept (beam search).
        """
        n = len(latents)
        latents = latents.repeat_interleave(beams, dim=0)  # (n * beams, latent)
        words = torch.full((len(latents), 1), BAR, device=latents.device)
        last = torch.tensor([EOS, *METER_ID.values()], device=latents.device)
        done = torch.zeros(len(latents), dtype=torch.bool, device=latents.device)
        log_p = torch.full((n, beams), -torch.inf, device=latents.device)
        log_p[:, 0] = 0  # all beams of a bar begin alike
        first_beam = beams * torch.arange(n, device=latents.device)[:, None]
        past: list[KeysValues] = []
        while words.shape[1] < MAX_BAR_WORDS and not done.all():
            x = self.bar_transformer.embed(words[:, -1:], words.shape[1] - 1)  # (n * beams, 1, d)
            x, past = self.decoder.next_word(x, latents, past)
            following = self.dec_out_proj(x[:, 0]).log_softmax(dim=1)  # (n * beams, N_TOKENS)
            following[:, PAD] = -torch.inf
            following[done] = -torch.inf
            following[done, PAD] = 0  # one continuation of a bar that has ended, as likely as the bar
            longer = (log_p.view(-1, 1) + following).view(n, -1)  # (n, beams * N_TOKENS)
            log_p, best = longer.topk(beams, dim=1)  # (n, beams)
            kept = (first_beam + best // N_TOKENS).flatten()
            word = (best % N_TOKENS).flatten()
            words = torch.cat([words[kept], word[:, None]], dim=1)
            past = [(keys[kept], values[kept]) for keys, values in past]
            done = done[kept] | torch.isin(word, last)
        return words.view(n, beams, -1)


class _NotesGivenBack:
    """Counts of the notes that the decoder writes, against those of the bars."""

    def __init__(self) -> None:
        self._bars = self._notes = self._written = self._same = self._exact_bars = 0

    def add(self, bars: Iterable[np.ndarray], written: Tensor) -> None:
        """Count bars, each beside the words that were written for it, (bars, words)."""
        for bar, words in zip(bars, written.cpu().numpy(), strict=True):
            true, back = bar_notes(bar), bar_notes(words)
            self._bars += 1
            self._notes += len(true)
            self._written += len(back)
            self._same += len(true & back)
            self._exact_bars += true == back

    @property
    def shares(self) -> dict[str, float]:
        """The figures of `reconstructed`."""
        return {
            "exact_notes": round(self._same / max(self._notes, 1), 4),
            "written_notes_right": round(self._same / max(self._written, 1), 4),
            "exact_bars": round(self._exact_bars / self._bars, 4),
        }


@torch.no_grad()
def reconstructed(model: Tokenizer, bars: list[np.ndarray], quantized: bool) -> dict[str, float]:
    """How much of bars the decoder gives back from their latents alone, in float32, with one beam and one round.

    exact_notes: share of the bars' notes that it writes with the same position, pitch and duration.
    written_notes_right: share of the notes it writes that are in the bar. exact_bars: share of bars whose notes are all
    written and no others. quantized: False decodes the vectors before quantization.
    """
    given_back = _NotesGivenBack()
    for batch, words in _batches(model, bars, "decoding"):
        latents = model.vectors(words)
        if quantized:
            latents = quantize(latents, model.bar_transformer.codebooks())[1].sum(dim=1)
        given_back.add((bars[i] for i in batch), model.decode(latents))
    return given_back.shares


@torch.no_grad()
def measure_quality(
    model: Tokenizer, bars: list[np.ndarray], beams: int, rounds: int, levels: int | None = None
) -> dict[str, float | int]:
    """Measure a tokenizer on held-out bars, in float32 and with the quantizer: the figures of `reconstructed`, and

    next_word_loss: nats a word. next_word_accuracy: share of words predicted right from the true words before.
    codebook_use and codebook_perplexity: share of a level's codewords that occur, and the exponential of their entropy
    as a share of all codewords; means over the levels. beams, rounds: as for Tokenizer.decode. levels: of the
    quantizer, the first so many; None takes all.
    """
    codebooks = model.bar_transformer.codebooks()[:levels]
    loss = right = n_words = 0.0
    codes: list[Tensor] = []
    given_back = _NotesGivenBack()
    for batch, words in _batches(model, bars, "measuring"):
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
        given_back.add((bars[i] for i in batch), model.decode(latents, beams, rounds))
    use, perplexity = codebook_use(torch.cat(codes).numpy(), codebooks.shape[1])
    return {
        "bars": len(bars),
        "next_word_loss": round(loss / n_words, 4),
        "next_word_accuracy": round(right / n_words, 4),
        **given_back.shares,
        "codebook_use": round(use, 4),
        "codebook_perplexity": round(perplexity, 4),
    }


def _batches(model: Tokenizer, bars: list[np.ndarray], doing: str) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Bars in batches of similar length: their indices, and their words (bars, words), padded."""
    device = model.dec_out_proj.weight.device
    batches = list(batches_by_length(np.array([len(bar) for bar in bars]), WORDS_PER_BATCH))
    for batch in progress_bar(batches, doing, "batches"):
        yield batch, torch.from_numpy(pad_words([bars[i] for i in batch])).to(device)


def codebook_use(codes: np.ndarray, size: int) -> tuple[float, float]:
    """Share of the codewords that occur, and their perplexity as a share of all; means over the levels.

    codes: (bars, levels), each in 0..size - 1. For n bars both are at most n / size.
    """
    counts = np.stack([np.bincount(level, minlength=size) for level in codes.T])  # (levels, size)
    p = counts / counts.sum(axis=1, keepdims=True)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=1)
    return float((counts > 0).mean()), float(np.exp(entropy).mean() / size)
