"""The network of MuseTok's bar encoder, and its residual quantizer.

A post-norm transformer reads the words of one bar; a linear map of its output at the first word is quantized level by
level against learned codebooks. The modules are named so that the parameters have the names of MuseTok's released
checkpoint.
"""

from __future__ import annotations

import math
from typing import TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checkpoint import EncoderConfig
from .vocabulary import MAX_BAR_WORDS, N_TOKENS, PAD

# As a share of a vector's length: `mixed` encodes bars this near a code boundary again in float32. The value follows
# from the number formats measured in benchmarks/RESULTS.md.
MARGIN = 5e-5

KeysValues: TypeAlias = tuple[Tensor, Tensor]  # of the words of bars so far, each (bars, heads, words, d / heads)


class SelfAttention(nn.Module):
    """Multi-head self-attention with one joint projection to queries, keys and values."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool = False, projected: Tensor | None = None) -> Tensor:
        """x: (bars, words, d). mask: (bars, 1, 1, words), true where there is a word. Returns (bars, words, d).

        projected: the queries, keys and values of x, (bars, words, 3d), if they are known already.
        """
        bars, _, d = x.shape
        if projected is None:
            projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (bars, words, 3d)
        q, k, v = self._by_head(projected)
        if x.is_cuda:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        else:  # on a CPU and for at most 128 words the plain products are faster, in bfloat16 two to three times
            scores = (q * (d // self.heads) ** -0.5) @ k.transpose(2, 3)  # (bars, heads, words, words)
            scores = scores if mask is None else scores.masked_fill(~mask, -torch.inf)
            scores = scores + _no_later_word(scores) if causal else scores
            y = scores.softmax(dim=-1) @ v  # (bars, heads, words, d / heads)
        return self.out_proj(y.transpose(1, 2).reshape(bars, -1, d))

    def _by_head(self, projected: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values from (bars, words, 3d), each (bars, heads, words, d / heads)."""
        bars, words, _ = projected.shape
        q, k, v = (t.view(bars, words, self.heads, -1).transpose(1, 2) for t in projected.chunk(3, dim=-1))
        return q, k, v

    def next_word(self, x: Tensor, past: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """The output at a word that attends to itself and the words before, whose keys and values are known.

        x: (bars, 1, d). past: as returned for the word before, None for a bar's first word.
        """
        bars, _, d = x.shape
        q, k, v = self._by_head(F.linear(x, self.in_proj_weight, self.in_proj_bias))
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        y = F.scaled_dot_product_attention(q, k, v)  # (bars, heads, 1, d / heads)
        return self.out_proj(y.transpose(1, 2).reshape(bars, 1, d)), (k, v)

    def first_word(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Return the output at the first word only, (bars, 1, d), without computing keys and values of all words.

        The attention score q·(Kx + b) equals (Kᵀq)·x plus a number that is the same for all words, and the mean of
        values is the value of the mean. So the weights are applied to one vector for each bar, not for each word.
        """
        bars, _, d = x.shape
        to_q, to_k, to_v = self.in_proj_weight.view(3, self.heads, d // self.heads, d)  # (heads, d / heads, d)
        bias_q, _, bias_v = self.in_proj_bias.view(3, self.heads, d // self.heads)
        q = torch.einsum("bd,hed->bhe", x[:, 0], to_q) + bias_q  # (bars, heads, d / heads)
        query = torch.einsum("bhe,hed->bhd", q, to_k) * (d // self.heads) ** -0.5  # (bars, heads, d)
        scores = query @ x.transpose(1, 2)  # (bars, heads, words)
        if mask is not None:
            scores = scores.masked_fill(~mask[:, 0], -torch.inf)
        mean = scores.softmax(dim=-1) @ x  # (bars, heads, d)
        y = torch.einsum("bhd,hed->bhe", mean, to_v) + bias_v  # (bars, heads, d / heads)
        return self.out_proj(y.reshape(bars, 1, d))


def _no_later_word(scores: Tensor) -> Tensor:
    """What, added to scores (…, words, words), leaves each word those up to itself: 0 there, and −inf elsewhere."""
    return torch.full(scores.shape[-2:], -torch.inf, dtype=scores.dtype, device=scores.device).triu(1)


class Layer(nn.Module):
    """A post-norm transformer layer: attention, then a feed-forward with ReLU, each added and normed."""

    def __init__(self, width: int, heads: int, feed_forward: int):
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1 = nn.Linear(width, feed_forward)
        self.linear2 = nn.Linear(feed_forward, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None, causal: bool = False, projected: Tensor | None = None) -> Tensor:
        """x: (bars, words, d) -> the same. mask, projected: as for SelfAttention."""
        return self._feed_forward(self.norm1(x + self.self_attn(x, mask, causal, projected)))

    def next_word(self, x: Tensor, past: KeysValues | None) -> tuple[Tensor, KeysValues]:
        """As SelfAttention.next_word, for the whole layer."""
        attended, past = self.self_attn.next_word(x, past)
        return self._feed_forward(self.norm1(x + attended)), past

    def first_word(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (bars, words, d) -> the output at the first word, (bars, 1, d)."""
        return self._feed_forward(self.norm1(x[:, :1] + self.self_attn.first_word(x, mask)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.linear1(x.to(self.linear1.weight.dtype)), inplace=True)
        return self.norm2(x + self.linear2(inner).to(x.dtype))


class SimVQ(nn.Module):
    """One level's codebook: frozen codewords transformed by a learned linear map."""

    frozen_codebook: Tensor

    def __init__(self, size: int, latent: int):
        super().__init__()
        self.register_buffer("frozen_codebook", torch.randn(size, latent) / math.sqrt(latent))
        self.code_transform = nn.Linear(latent, latent, bias=False)

    def codebook(self) -> Tensor:
        """The codewords, (size, latent)."""
        return self.code_transform(self.frozen_codebook)

    def codewords(self, codes: Tensor) -> Tensor:
        """The codewords of codes, (bars,) -> (bars, latent), from these rows of the frozen codebook alone."""
        return self.code_transform(self.frozen_codebook[codes])


class BarTransformer(nn.Module):
    """The encoder's network: words of a bar -> first position's output -> vector; and the codebooks."""

    def __init__(self, config: EncoderConfig):
        super().__init__()
        self.config = config
        c = config
        self.token_emb = nn.ModuleDict({"emb_lookup": nn.Embedding(N_TOKENS, c.width)})
        self.pe = _Positions(c.width)
        layers = nn.ModuleList(Layer(c.width, c.heads, c.feed_forward) for _ in range(c.layers))
        self.encoder = nn.ModuleDict({"tr_encoder": nn.ModuleDict({"layers": layers})})
        self.enc_out_proj = nn.Linear(c.width, c.latent)
        levels = nn.ModuleList(SimVQ(c.codebook, c.latent) for _ in range(c.levels))
        self.residual_sim_vq = nn.ModuleDict({"layers": levels})
        self.layers = cast("tuple[Layer, ...]", tuple(layers))
        self.levels = cast("tuple[SimVQ, ...]", tuple(levels))

    def embed(self, words: Tensor, first: int = 0) -> Tensor:
        """words: (bars, words) ids -> (bars, words, d). first: the position in the bar of the first of them."""
        scaled = self.token_emb["emb_lookup"](words) * math.sqrt(self.config.width)
        return scaled + self.pe.pe[first : first + words.shape[1], 0]

    def first_projections(self) -> tuple[Tensor, Tensor]:
        """The first layer's queries, keys and values for each word, (168, 3d), and each position, (128, 3d).

        The layer reads the sum of a word's and a position's vector; the projection of the sum is the sum of both rows.
        """
        attention = self.layers[0].self_attn
        ids = torch.arange(N_TOKENS, device=self.pe.pe.device)
        words = self.token_emb["emb_lookup"](ids) * math.sqrt(self.config.width)
        positions = self.pe.pe[:MAX_BAR_WORDS, 0]
        return (
            F.linear(words, attention.in_proj_weight, attention.in_proj_bias),
            F.linear(positions, attention.in_proj_weight),
        )

    def hidden(self, words: Tensor, padded: bool = True, first: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """words: (bars, words) ids -> the first position's output, (bars, d). padded: whether words may hold PAD.

        first: the result of first_projections, if it is computed once for many batches.
        """
        mask = (words != PAD)[:, None, None, :] if padded else None  # (bars, 1, 1, words)
        x = self.embed(words)  # (bars, words, d)
        projected = first[0][words] + first[1][: words.shape[1]] if first else None  # (bars, words, 3d)
        for layer in self.layers[:-1]:
            x = layer(x, mask, projected=projected)
            projected = None
        return self.layers[-1].first_word(x, mask)[:, 0]  # (bars, d)

    def codebooks(self) -> Tensor:
        """The codewords of all levels, (levels, size, latent)."""
        return torch.stack([level.codebook() for level in self.levels])


class _Positions(nn.Module):
    """Sinusoidal encoding of the positions in a bar: sine on even and cosine on odd dimensions."""

    pe: Tensor

    def __init__(self, width: int):
        super().__init__()
        position = torch.arange(MAX_BAR_WORDS, dtype=torch.float32)[:, None]
        rate = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10_000.0) / width))
        waves = torch.stack([torch.sin(position * rate), torch.cos(position * rate)], dim=-1)  # (words, d / 2, 2)
        self.register_buffer("pe", waves.reshape(MAX_BAR_WORDS, 1, width))


def _distances(residual: Tensor, codebook: Tensor) -> Tensor:
    """|r - c|² without |r|², which is the same for every codeword: (bars, size)."""
    return codebook.square().sum(dim=1) - 2 * residual @ codebook.T


def quantize(vectors: Tensor, codebooks: Tensor) -> tuple[Tensor, Tensor]:
    """Residual quantization by the nearest codeword, level by level.

    vectors: (bars, latent). codebooks: (levels, size, latent).
    Returns codes (bars, levels) int64 and the chosen codewords (bars, levels, latent); their sum is the latent.
    """
    residual = vectors
    codes, codewords = [], []
    for codebook in codebooks:
        codes.append(_distances(residual, codebook).argmin(dim=1))
        codewords.append(codebook[codes[-1]])  # (bars, latent)
        residual = residual - codewords[-1]
    return torch.stack(codes, dim=1), torch.stack(codewords, dim=1)


def near_code_boundary(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """Which vectors lie within MARGIN times their length of a code boundary, bool (bars).

    The boundary between two codewords is the plane halfway between them. Shapes: as for quantize.
    """
    residual, closest = vectors, torch.full_like(vectors[:, 0], torch.inf)
    for codebook in codebooks:
        two = _distances(residual, codebook).topk(2, largest=False)
        (least, second), (nearest, other) = (t.unbind(dim=1) for t in two)
        apart = torch.linalg.vector_norm(codebook[nearest] - codebook[other], dim=1)
        closest = torch.minimum(closest, (second - least) / (2 * apart))
        residual = residual - codebook[nearest]
    return closest < MARGIN * torch.linalg.vector_norm(vectors, dim=1)
