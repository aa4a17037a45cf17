"""MuseTok's bar encoder: the words of a bar -> a latent and its residual codes.

A post-norm transformer reads the words of one bar; its output at the first word, through a linear map, is quantized
level by level against learned codebooks. The sum of the chosen codewords is the latent; their indices are the codes.
Bars do not see each other: equal bars have equal latents.

The modules are named so that the parameters have the names of MuseTok's released checkpoint.
"""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import cast, overload

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.files import tensors_digest
from pipeline.settings import UserError

from .bars import Bars
from .checkpoint import EncoderConfig, encoder_tensors, find_checkpoint
from .vocabulary import MAX_BAR_WORDS, N_TOKENS, PAD

TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 131_072}  # words a batch; on a CPU what a core's cache holds
BARS_PER_QUANTIZATION = 4_096
MOST_PADDING = 1.09  # times the length of the shortest bar of a batch
DTYPES = ("float32", "mixed", "bfloat16")
MARGIN = 5e-5  # of a vector's length, within which `mixed` asks float32; measured: formats in benchmarks/RESULTS.md
ALL_CORES = threading.Lock()  # torch's number of threads is one for the whole process


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

        projected: the queries, keys and values of x, (bars, words, 3d), where they are known already.
        """
        bars, _, d = x.shape
        if projected is None:
            projected = F.linear(x, self.in_proj_weight, self.in_proj_bias)  # (bars, words, 3d)
        q, k, v = projected.chunk(3, dim=-1)  # each (bars, words, d)
        q, k, v = (t.view(bars, -1, self.heads, d // self.heads).transpose(1, 2) for t in (q, k, v))
        if causal or x.is_cuda:
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
        else:  # on a CPU and for so few words the plain products are faster, in bfloat16 twice as fast
            likeness = (q * (d // self.heads) ** -0.5) @ k.transpose(2, 3)  # (bars, heads, words, words)
            likeness = likeness if mask is None else likeness.masked_fill(~mask, -torch.inf)
            y = likeness.softmax(dim=-1) @ v  # (bars, heads, words, d / heads)
        return self.out_proj(y.transpose(1, 2).reshape(bars, -1, d))

    def of_first(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """As forward, for the first word only, (bars, 1, d), and without the keys and values of the others.

        What a query has in common with a key, q·(Kx + b), is (Kᵀq)·x and a number that is the same for all words, and
        a mean of values is the value of the mean: so the weights are applied to one vector a bar, not to every word.
        """
        bars, _, d = x.shape
        to_q, to_k, to_v = self.in_proj_weight.view(3, self.heads, d // self.heads, d)  # (heads, d / heads, d)
        bias_q, _, bias_v = self.in_proj_bias.view(3, self.heads, d // self.heads)
        q = torch.einsum("bd,hed->bhe", x[:, 0], to_q) + bias_q  # (bars, heads, d / heads)
        wanted = torch.einsum("bhe,hed->bhd", q, to_k) * (d // self.heads) ** -0.5  # (bars, heads, d)
        likeness = wanted @ x.transpose(1, 2)  # (bars, heads, words)
        if mask is not None:
            likeness = likeness.masked_fill(~mask[:, 0], -torch.inf)
        mean = likeness.softmax(dim=-1) @ x  # (bars, heads, d)
        y = torch.einsum("bhd,hed->bhe", mean, to_v) + bias_v  # (bars, heads, d / heads)
        return self.out_proj(y.reshape(bars, 1, d))


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

    def of_first(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """x: (bars, words, d) -> (bars, 1, d), the first word's."""
        return self._feed_forward(self.norm1(x[:, :1] + self.self_attn.of_first(x, mask)))

    def _feed_forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.linear1(x.to(self.linear1.weight.dtype)), inplace=True)
        return self.norm2(x + self.linear2(inner).to(x.dtype))


class SimVQ(nn.Module):
    """One level's codebook: frozen codewords seen through a learned linear map."""

    frozen_codebook: Tensor

    def __init__(self, size: int, latent: int):
        super().__init__()
        self.register_buffer("frozen_codebook", torch.randn(size, latent) / math.sqrt(latent))
        self.code_transform = nn.Linear(latent, latent, bias=False)

    def codebook(self) -> Tensor:
        """The codewords, (size, latent)."""
        return self.code_transform(self.frozen_codebook)


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

    def embed(self, words: Tensor) -> Tensor:
        """words: (bars, words) ids -> (bars, words, d)."""
        scaled = self.token_emb["emb_lookup"](words) * math.sqrt(self.config.width)
        return scaled + self.pe.pe[: words.shape[1], 0]

    def first_projections(self) -> tuple[Tensor, Tensor]:
        """What each word, (168, 3d), and each position, (128, 3d), bring to the first layer's queries, keys and values.

        That layer reads the sum of a word's and a position's vector, and the projection of a sum is a sum.
        """
        attention = self.layers[0].self_attn
        ids = torch.arange(N_TOKENS, device=self.pe.pe.device)
        of_words = self.token_emb["emb_lookup"](ids) * math.sqrt(self.config.width)
        of_positions = self.pe.pe[:MAX_BAR_WORDS, 0]
        return (
            F.linear(of_words, attention.in_proj_weight, attention.in_proj_bias),
            F.linear(of_positions, attention.in_proj_weight),
        )

    def hidden(self, words: Tensor, padded: bool = True, first: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """words: (bars, words) ids -> the first position's output, (bars, d). padded: some may be PAD.

        first: first_projections, which many batches then share.
        """
        mask = (words != PAD)[:, None, None, :] if padded else None  # (bars, 1, 1, words)
        x = self.embed(words)  # (bars, words, d)
        projected = first[0][words] + first[1][: words.shape[1]] if first else None  # (bars, words, 3d)
        for layer in self.layers[:-1]:
            x = layer(x, mask, projected=projected)
            projected = None
        return self.layers[-1].of_first(x, mask)[:, 0]  # (bars, d)

    def codebooks(self) -> Tensor:
        """The codewords of all levels, (levels, size, latent)."""
        return torch.stack([level.codebook() for level in self.levels])


class _Positions(nn.Module):
    """Sinusoids over the positions of a bar: sine on even and cosine on odd dimensions."""

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


def nearly_another(vectors: Tensor, codebooks: Tensor) -> Tensor:
    """Of which vectors a code would be another one if the vector were a little elsewhere, bool (bars).

    A little is MARGIN times its length; between two codewords a code changes at the plane halfway. Shapes: as for
    quantize.
    """
    residual, closest = vectors, torch.full_like(vectors[:, 0], torch.inf)
    for codebook in codebooks:
        two = _distances(residual, codebook).topk(2, largest=False)
        (least, second), (nearest, other) = (t.unbind(dim=1) for t in two)
        apart = torch.linalg.vector_norm(codebook[nearest] - codebook[other], dim=1)
        closest = torch.minimum(closest, (second - least) / (2 * apart))
        residual = residual - codebook[nearest]
    return closest < MARGIN * torch.linalg.vector_norm(vectors, dim=1)


class SeenBars:
    """What was encoded so far, so that equal bars of many songs are encoded once.

    place: of a distinct bar's words, in the order in which they came. codes: int16 (bars, levels). latents: float32
    (bars, width).
    """

    def __init__(self) -> None:
        self.place: dict[bytes, int] = {}
        self.codes = np.empty((0, 0), dtype=np.int16)
        self.latents = np.empty((0, 0), dtype=np.float32)

    def places(self, bars: Bars) -> np.ndarray:
        """Where each bar stands among the distinct ones; new ones take the next places. int64 (n)."""
        place, words = self.place, bars.words
        lines = zip(bars.offsets[:-1].tolist(), bars.offsets[1:].tolist(), strict=True)
        found = [place.setdefault(words[a : min(b, a + MAX_BAR_WORDS)].tobytes(), len(place)) for a, b in lines]
        return np.array(found, dtype=np.int64)

    def add(self, codes: np.ndarray, latents: np.ndarray) -> None:
        """Keep what the bars that came last were encoded as."""
        first = not len(self.codes)
        self.codes = codes if first else np.concatenate([self.codes, codes])
        self.latents = latents if first else np.concatenate([self.latents, latents])


@dataclass(frozen=True)
class BarEncoder:
    """An encoder ready for use; `load_encoder` makes one.

    name: as it was asked for. digest: of the weights, 64 hex digits. dtype: one of DTYPES. exact: the network in
    float32 where dtype is "mixed", for the bars whose codes hang on the rounding.
    """

    name: str
    digest: str
    network: BarTransformer
    codebooks: Tensor
    device: torch.device
    dtype: str
    exact: BarTransformer | None = None

    @property
    def width(self) -> int:
        """Dimensions of a latent."""
        return self.network.config.latent

    @property
    def levels(self) -> int:
        """Levels of the residual quantizer, which is the number of codes a bar has."""
        return self.network.config.levels

    @overload
    def encode(self, bars: Bars, seen: SeenBars | None = None) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def encode(self, bars: Sequence[Bars], seen: SeenBars | None = None) -> list[tuple[np.ndarray, np.ndarray]]: ...
    def encode(
        self, bars: Bars | Sequence[Bars], seen: SeenBars | None = None
    ) -> tuple[np.ndarray, np.ndarray] | list[tuple[np.ndarray, np.ndarray]]:
        """Codes int16 (n, levels) and latents float32 (n, width) of n bars; for a list of Bars a list of such pairs.

        Equal bars are encoded once, the others in batches of one length or nearly one. Words after a bar's 128th are
        not read. seen: from one call to the next, bars that were encoded in an earlier one.
        """
        if isinstance(bars, Bars):
            return self.encode([bars], seen)[0]
        seen = seen or SeenBars()
        n_before = len(seen.place)
        places = [seen.places(song) for song in bars]
        seen.add(*self._encode_distinct(list(islice(seen.place, n_before, None))))
        return [(seen.codes[at], seen.latents[at]) for at in places]

    @torch.inference_mode()
    def _encode_distinct(self, bars: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Encode bars of int16 words."""
        if not bars:
            return np.empty((0, self.levels), dtype=np.int16), np.empty((0, self.width), dtype=np.float32)
        vectors = self._vectors(self.network, bars)
        if self.exact:
            few = vectors.split(BARS_PER_QUANTIZATION)
            again = torch.cat([nearly_another(some, self.codebooks) for some in few]).nonzero()[:, 0]
            if len(again):
                vectors[again] = self._vectors(self.exact, [bars[i] for i in again.tolist()])
        quantized = [quantize(some, self.codebooks) for some in vectors.split(BARS_PER_QUANTIZATION)]
        codes = torch.cat([codes.to(torch.int16) for codes, _ in quantized])
        latents = torch.cat([codewords.sum(dim=1) for _, codewords in quantized])
        return codes.cpu().numpy(), latents.cpu().numpy()

    def _vectors(self, network: BarTransformer, bars: list[bytes]) -> Tensor:
        """What is quantized of bars of int16 words, float32 (bars, latent).

        A GPU is sent all batches, and no result is waited for. On a CPU every core takes batches of its own: cores that
        share each multiplication wait for each other.
        """
        lengths = np.array([len(bar) // 2 for bar in bars], dtype=np.int64)
        on_gpu = self.device.type == "cuda"
        batches = list(batches_by_length(lengths, TOKENS_PER_BATCH[self.device.type], MOST_PADDING))
        first = network.first_projections()

        def sent(values: np.ndarray) -> Tensor:
            tensor = torch.from_numpy(values)
            return tensor.pin_memory().to(self.device, non_blocking=True) if on_gpu else tensor

        @torch.inference_mode()  # which holds for one thread
        def of_batch(batch: np.ndarray) -> Tensor:
            words = sent(pad_words([np.frombuffer(bars[i], dtype=np.int16) for i in batch.tolist()]))
            padded = lengths[batch[0]] < lengths[batch[-1]]
            hidden = network.hidden(words, padded, first)  # (bars, d)
            return network.enc_out_proj(hidden).float()  # (bars, latent)

        if on_gpu:
            vectors = [of_batch(batch) for batch in batches]
        else:
            with a_thread_for_each_core() as threads:
                vectors = list(threads.map(of_batch, batches))
        return torch.cat(vectors)[sent(np.argsort(np.concatenate(batches)))]


@contextmanager
def a_thread_for_each_core() -> Iterator[ThreadPoolExecutor]:
    """As many threads as torch would use for one operation, each of which uses one core; for one caller at a time."""
    with ALL_CORES:
        cores = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(cores) as threads:
                yield threads
        finally:
            torch.set_num_threads(cores)


def pad_words(bars: Sequence[np.ndarray]) -> np.ndarray:
    """Bars of words side by side, int64 (bars, longest), filled up with PAD."""
    words = np.full((len(bars), max(len(bar) for bar in bars)), PAD, dtype=np.int64)
    for row, bar in zip(words, bars, strict=True):
        row[: len(bar)] = bar
    return words


def batches_by_length(lengths: np.ndarray, tokens_per_batch: int, stretch: float = 1.125) -> Iterator[np.ndarray]:
    """Indices of bars in batches of similar length, short bars first; a padded batch holds at most tokens_per_batch.

    Bars of one length go together; where they are too few to fill a batch, longer ones come too, up to `stretch` times
    as long, so that padding stays below that.
    """
    order = np.argsort(lengths, kind="stable")
    in_order = lengths[order]
    start = 0
    while start < len(order):
        longest = max(1, int(in_order[start]))
        most = max(1, tokens_per_batch // longest)
        if in_order[min(start + most, len(order)) - 1] > longest:
            longest = max(longest, int(longest * stretch))
            most = max(1, tokens_per_batch // longest)
        end = min(int(np.searchsorted(in_order, longest, side="right")), start + most)
        yield order[start:end]
        start = end


def load_encoder(name: str = "bundled", device: str = "cpu", dtype: str = "float32") -> BarEncoder:
    """Load an encoder for inference.

    name: "bundled" (comes with the project), "official" (MuseTok's release, after `01_download_musetok.py`), or the
    path of a checkpoint, `.pt` (read as data only) or `.safetensors`.
    device: "cpu", "cuda", "cuda:1" …, or "auto". dtype: "float32", "mixed" (the feed-forwards in bfloat16, and bars of
    which a code is nearly another once more in float32) or "bfloat16" (all layers); quantization is always in float32.

    Raises UserError if there is no such file, or its tensors are not those of a MuseTok encoder.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not known: one of {', '.join(DTYPES)}")
    place = choose_device(device)
    if dtype not in fast_dtypes(place):
        print(f"note: this processor has no bfloat16 instructions: {dtype} is slower than float32", file=sys.stderr)
    config, tensors = encoder_tensors(find_checkpoint(name))
    network = BarTransformer(config)
    network.load_state_dict({key: torch.from_numpy(values) for key, values in tensors.items()})
    return bar_encoder(name, tensors_digest(tensors), network, place, dtype)


def bar_encoder(name: str, digest: str, network: BarTransformer, device: torch.device, dtype: str) -> BarEncoder:
    """Make an encoder of a network in float32 on the CPU, which it takes over."""
    network.eval().requires_grad_(False)
    codebooks = network.codebooks().to(device)
    network.to(device)
    exact = deepcopy(network) if dtype == "mixed" else None
    in_number_format(network, dtype)
    return BarEncoder(name, digest, network, codebooks, device, dtype, exact)


def fast_dtypes(device: torch.device) -> tuple[str, ...]:
    """Those of DTYPES that a device has instructions for; elsewhere bfloat16 is imitated, at a tenth of the speed."""
    has_bfloat16 = any(has and name.endswith("bf16") for name, has in torch.cpu.get_capabilities().items())
    return DTYPES if device.type != "cpu" or has_bfloat16 else ("float32",)


def in_number_format(network: BarTransformer, dtype: str) -> None:
    """Put a network's weights in one of DTYPES, in place.

    mixed: the feed-forwards, two thirds of the work, in bfloat16, all else in float32. Rounding elsewhere, where
    attention and the residual stream are, changes the codes of several times as many bars.
    """
    if dtype == "bfloat16":
        network.bfloat16()
    elif dtype == "mixed":
        for layer in network.layers[:-1]:
            layer.linear1.bfloat16()
            layer.linear2.bfloat16()


def choose_device(device: str) -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one. Raises UserError if it can't be had."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise UserError(f"device {device!r} is not to be had on this machine: use cpu or auto") from None
    return chosen
