"""The tokenizer as it is trained: the bar encoder, the residual quantizer with its losses, and a decoder.

The decoder reads a bar's words from left to right, with the bar's latent added through a linear map to the input of
every layer, and predicts the next word. Its loss reaches the encoder straight through the quantizer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import EncoderConfig
from .encoder import BarTransformer, Layer, quantize
from .vocabulary import BAR, EOS, MAX_BAR_WORDS, METER_ID, N_TOKENS, PAD


class Decoder(nn.Module):
    """Next words of a bar from its latent and the words before."""

    def __init__(self, config: EncoderConfig, layers: int):
        super().__init__()
        self.seg_emb_proj = nn.Linear(config.latent, config.width, bias=False)
        self.decoder_layers = nn.ModuleList(
            Layer(config.width, config.heads, config.feed_forward) for _ in range(layers)
        )

    def forward(self, x: Tensor, latents: Tensor) -> Tensor:
        """x: embedded words (bars, words, d). latents: (bars, latent). Returns (bars, words, d)."""
        condition = self.seg_emb_proj(latents)[:, None]  # (bars, 1, d)
        for layer in self.decoder_layers:
            x = layer(x + condition, None, causal=True)  # padding stands at the end: no word sees it
        return x


class Tokenizer(nn.Module):
    """Encoder, quantizer and decoder; parameters named as in MuseTok's checkpoint."""

    def __init__(self, config: EncoderConfig, decoder_layers: int):
        super().__init__()
        self.bar_transformer = BarTransformer(config)
        self.decoder = Decoder(config, decoder_layers)
        self.dec_out_proj = nn.Linear(config.width, N_TOKENS)
        nn.init.normal_(self.bar_transformer.token_emb["emb_lookup"].get_parameter("weight"), std=config.width**-0.5)

    def vectors(self, words: Tensor) -> Tensor:
        """words: (bars, words) -> the vectors before quantization, float32 (bars, latent)."""
        return self.bar_transformer.enc_out_proj(self.bar_transformer.hidden(words)).float()

    def next_word_logits(self, words: Tensor, latents: Tensor) -> Tensor:
        """words: (bars, words), latents: (bars, latent) -> logits of the word after each, (bars, words, N_TOKENS)."""
        x = self.decoder(self.bar_transformer.embed(words), latents.to(self.dec_out_proj.weight.dtype))
        return self.dec_out_proj(x)

    def loss(self, words: Tensor, quantized: bool, commitment: float) -> tuple[Tensor, Tensor]:
        """Training loss of a batch of padded bars, and the next-word loss alone (nats a word)."""
        vectors = self.vectors(words)  # (bars, latent)
        latents, quantizer_loss = vectors, vectors.new_zeros(())
        if quantized:
            latents, quantizer_loss = self._quantize_straight_through(vectors, commitment)
        logits = self.next_word_logits(words[:, :-1], latents)  # (bars, words - 1, N_TOKENS)
        next_word = F.cross_entropy(logits.flatten(0, 1).float(), words[:, 1:].flatten(), ignore_index=PAD)
        return next_word + quantizer_loss, next_word.detach()

    def _quantize_straight_through(self, vectors: Tensor, commitment: float) -> tuple[Tensor, Tensor]:
        """Latents whose gradient passes to the vectors, and the quantizer's loss, a mean over the levels.

        Loss of a level (van den Oord et al. 2017): mean squared distance codeword -> stopped residual, plus
        `commitment` times residual -> stopped codeword.
        """
        with torch.autocast(vectors.device.type, enabled=False):
            _, codewords = quantize(vectors, self.bar_transformer.codebooks())  # (bars, levels, latent)
            before = vectors[:, None] - F.pad(codewords.detach().cumsum(dim=1), (0, 0, 1, 0))[:, :-1]
            to_residual = F.mse_loss(codewords, before.detach())
            to_codeword = F.mse_loss(before, codewords.detach())
            latents = vectors + (codewords.sum(dim=1) - vectors).detach()
        return latents, (to_residual + commitment * to_codeword) * codewords.shape[1]

    @torch.no_grad()
    def fit_codebooks(self, vectors: Tensor) -> None:
        """Shape each level's codewords like the residuals that it meets, given vectors (bars, latent) of real bars.

        The linear map becomes the square root of the residuals' covariance, times the scale among a few that brings
        the codewords nearest. Without this a level of random codewords starts far from the residuals.
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
    def decode(self, latents: Tensor) -> Tensor:
        """The most likely words of bars, one word after the other: latents (bars, latent) -> (bars, words), padded."""
        words = torch.full((len(latents), 1), BAR, device=latents.device)
        last = torch.tensor([EOS, *METER_ID.values()], device=latents.device)
        done = torch.zeros(len(latents), dtype=torch.bool, device=latents.device)
        while words.shape[1] < MAX_BAR_WORDS and not done.all():
            open_bars = (~done).nonzero()[:, 0]
            following = torch.full((len(latents),), PAD, device=latents.device)
            logits = self.next_word_logits(words[open_bars], latents[open_bars])[:, -1]
            following[open_bars] = logits[:, :PAD].argmax(dim=1)
            words = torch.cat([words, following[:, None]], dim=1)
            done |= torch.isin(following, last)
        return words
