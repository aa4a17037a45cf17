"""MuseTok's bar encoder in use: the words of many bars -> their latents and residual codes.

The sum of the chosen codewords is a bar's latent; their indices are its codes. Bars do not see each other: equal bars
have equal latents, so each distinct bar is encoded once.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import islice
from typing import overload

import numpy as np
import torch
from torch import Tensor

from pipeline.files import tensors_digest
from pipeline.settings import UserError

from .bar_transformer import BarTransformer, nearly_another, quantize
from .bars import Bars
from .checkpoint import encoder_tensors, find_checkpoint
from .vocabulary import MAX_BAR_WORDS, PAD

TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 131_072}  # words a batch; on a CPU what a core's cache holds
BARS_PER_QUANTIZATION = 4_096
MOST_PADDING = 1.09  # times the length of the shortest bar of a batch
DTYPES = ("float32", "mixed", "bfloat16")
ALL_CORES = threading.Lock()  # torch's number of threads is one for the whole process


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
