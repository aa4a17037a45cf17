"""Encoding with MuseTok's bar encoder: the words of many bars -> their latents and residual codes.

The sum of the chosen codewords is a bar's latent; their indices are its codes. Each bar is encoded on its own, so equal
bars have equal latents, and each distinct bar is encoded only once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeGuard, cast, overload

import numpy as np
import torch
from torch import Tensor

from pipeline.files import tensors_digest
from pipeline.processors import usable_processors
from pipeline.progress import progress_bar
from pipeline.settings import SettingsError, UserError, note, one_line

from .bar_transformer import BarTransformer, near_code_boundary, quantize
from .bars import Bars, score_to_bars
from .checkpoint import encoder_tensors, find_checkpoint
from .scores import AnyScore
from .vocabulary import MAX_BAR_WORDS, PAD

TOKENS_PER_BATCH = {"cpu": 1_024, "cuda": 131_072}  # words per batch; on a CPU what fits a core's cache
BARS_PER_QUANTIZATION = 4_096
MOST_PADDING = 1.09  # longest bar of a batch at most, as a multiple of its shortest
DTYPES = ("float32", "mixed", "bfloat16")
ALL_CORES = threading.Lock()  # torch's number of threads is a setting of the whole process


Music: TypeAlias = "Bars | AnyScore | bytes | str | Path"


class SeenBars:
    """The distinct bars encoded so far, so that equal bars of many songs are encoded once.

    index: the words of a distinct bar -> its row, in order of first appearance. codes: int16 (bars, levels). latents:
    float32 (bars, width).
    """

    def __init__(self) -> None:
        self.index: dict[bytes, int] = {}
        self._encoder: tuple[object, ...] | None = None
        self.codes = np.empty((0, 0), dtype=np.int16)
        self.latents = np.empty((0, 0), dtype=np.float32)

    def check(self, *encoder: object) -> None:
        """Raise ValueError if the bars seen so far were encoded by another encoder, number format or levels."""
        if self._encoder not in (None, encoder):
            raise ValueError("these bars were encoded by another encoder, or with other levels")
        self._encoder = encoder

    def indices(self, bars: Bars) -> np.ndarray:
        """The row of each bar among the distinct bars, int64 (n); bars not seen before get the next rows."""
        index, words = self.index, bars.words
        lines = zip(bars.offsets[:-1].tolist(), bars.offsets[1:].tolist(), strict=True)
        found = [index.setdefault(words[a : min(b, a + MAX_BAR_WORDS)].tobytes(), len(index)) for a, b in lines]
        return np.array(found, dtype=np.int64)

    def add(self, codes: np.ndarray, latents: np.ndarray) -> None:
        """Append the codes and latents of the bars added last."""
        first = not len(self.codes)
        self.codes = codes if first else np.concatenate([self.codes, codes])
        self.latents = latents if first else np.concatenate([self.latents, latents])


@dataclass(frozen=True)
class BarEncoder:
    """An encoder ready for use; `load_encoder` makes one.

    name: as given to `load_encoder`. digest: of the weights, 64 hex digits. codebooks: of the levels that are used,
    (levels, size, width). dtype: one of DTYPES. exact: if dtype is "mixed", the network in float32, for the bars whose
    codes depend on rounding.
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
        """Levels of the residual quantizer that are used, which is the number of codes a bar has."""
        return len(self.codebooks)

    @property
    def all_levels(self) -> int:
        """Levels that its weights have."""
        return self.network.config.levels

    def first_levels(self, levels: int) -> BarEncoder:
        """The same encoder for the codes and the latent of its first so many levels.

        Raises SettingsError if it has fewer, or `levels` is no whole number.
        """
        if not isinstance(levels, int) or isinstance(levels, bool):
            raise SettingsError(f"levels: {levels!r} is not a whole number")
        if not 1 <= levels <= self.levels:
            raise SettingsError(f"the encoder {self.name!r} has {self.levels} levels: it can't give the first {levels}")
        return replace(self, codebooks=self.codebooks[:levels])

    @overload
    def encode(  # type: ignore[overload-overlap]  # a text is a Sequence too
        self, music: Music, seen: SeenBars | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...
    @overload
    def encode(self, music: Sequence[Music], seen: SeenBars | None = None) -> list[tuple[np.ndarray, np.ndarray]]: ...
    def encode(
        self, music: Music | Sequence[Music], seen: SeenBars | None = None
    ) -> tuple[np.ndarray, np.ndarray] | list[tuple[np.ndarray, np.ndarray]]:
        """Codes int16 (n, levels) and latents float32 (n, width) of a song's n bars; for a list a list of such pairs.

        music: Bars, or a score, the path of a MIDI or ABC file, or a MIDI file's bytes, which are converted as
        01_annotate.py and 03_encode.py do; `score_to_bars` converts otherwise, and its Bars say which bar is which. In
        drums alone every bar is an empty one, and the scripts refuse them.
        Equal bars are encoded once, in batches of equal or nearly equal length. Words after a bar's 128th are not read.
        seen: bars encoded in earlier calls, extended by this one.

        Raises UnusableScore if a song can't be converted.
        """
        if _is_music(music):
            return self.encode([music], seen)[0]
        if not isinstance(music, Sequence) or not all(map(_is_music, music)):
            raise TypeError(
                f"encode takes Bars, scores, paths and bytes, or a list of such, not {type(music).__name__}"
            )
        bars = [song if isinstance(song, Bars) else _bars_of(song) for song in cast("Sequence[Music]", music)]
        seen = seen or SeenBars()
        seen.check(self.digest, self.dtype, self.levels)
        n_before = len(seen.index)
        indices = [seen.indices(song) for song in bars]
        seen.add(*self._encode_distinct(list(islice(seen.index, n_before, None))))
        return [(seen.codes[rows], seen.latents[rows]) for rows in indices]

    @torch.inference_mode()
    def _encode_distinct(self, bars: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Codes and latents of bars, each given as the bytes of its int16 words."""
        if not bars:
            return np.empty((0, self.levels), dtype=np.int16), np.empty((0, self.width), dtype=np.float32)
        vectors = self._vectors(self.network, bars)
        if self.exact:
            chunks = vectors.split(BARS_PER_QUANTIZATION)
            again = torch.cat([near_code_boundary(chunk, self.codebooks) for chunk in chunks]).nonzero()[:, 0]
            if len(again):
                vectors[again] = self._vectors(self.exact, [bars[i] for i in again.tolist()])
        quantized = [quantize(chunk, self.codebooks) for chunk in vectors.split(BARS_PER_QUANTIZATION)]
        codes = torch.cat([codes.to(torch.int16) for codes, _ in quantized])
        latents = torch.cat([codewords.sum(dim=1) for _, codewords in quantized])
        return codes.cpu().numpy(), latents.cpu().numpy()

    def _vectors(self, network: BarTransformer, bars: list[bytes]) -> Tensor:
        """The vectors of bars before quantization, float32 (bars, latent).

        On a GPU all batches are queued without waiting for results. On a CPU every core takes batches of its own, since
        cores that share each multiplication wait for each other.
        """
        lengths = np.array([len(bar) // 2 for bar in bars], dtype=np.int64)
        on_gpu = self.device.type == "cuda"
        batches = list(batches_by_length(lengths, TOKENS_PER_BATCH[self.device.type], MOST_PADDING))
        first = network.first_projections()

        def on_device(values: np.ndarray) -> Tensor:
            tensor = torch.from_numpy(values)
            return tensor.pin_memory().to(self.device, non_blocking=True) if on_gpu else tensor

        @torch.inference_mode()  # needed here too: it applies to one thread only
        def encode_batch(batch: np.ndarray) -> Tensor:
            words = on_device(pad_words([np.frombuffer(bars[i], dtype=np.int16) for i in batch.tolist()]))
            padded = lengths[batch[0]] < lengths[batch[-1]]
            hidden = network.hidden(words, padded, first)  # (bars, d)
            return network.enc_out_proj(hidden).float()  # (bars, latent)

        if on_gpu:
            vectors = [encode_batch(batch) for batch in batches]
        else:
            with one_thread_per_core() as threads:
                encoded = threads.map(encode_batch, batches)
                vectors = list(progress_bar(encoded, "encoding bars", "batches", len(batches), after=2))
        return torch.cat(vectors)[on_device(np.argsort(np.concatenate(batches)))]


def _is_music(music: object) -> TypeGuard[Music]:
    """Whether it is one song in a form that `encode` takes."""
    return isinstance(music, Bars | str | Path | bytes) or hasattr(music, "tracks")


def _bars_of(song: AnyScore | bytes | str | Path) -> Bars:
    """A song's bars, converted with the default settings of the scripts."""
    return score_to_bars(song, merge_doubled=True, thin_long_bars=True)


@contextmanager
def one_thread_per_core() -> Iterator[ThreadPoolExecutor]:
    """A pool of as many threads as there are processors, each limited to one; one caller at a time."""
    with ALL_CORES:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with ThreadPoolExecutor(min(before, usable_processors())) as threads:
                yield threads
        finally:
            torch.set_num_threads(before)


def pad_words(bars: Sequence[np.ndarray]) -> np.ndarray:
    """The words of bars as one array, int64 (bars, longest), shorter bars padded with PAD."""
    words = np.full((len(bars), max(len(bar) for bar in bars)), PAD, dtype=np.int64)
    for row, bar in zip(words, bars, strict=True):
        row[: len(bar)] = bar
    return words


def batches_by_length(lengths: np.ndarray, tokens_per_batch: int, stretch: float = 1.125) -> Iterator[np.ndarray]:
    """Indices of bars in batches of similar length, short bars first; a padded batch holds at most tokens_per_batch.

    Bars of one length are grouped; if they do not fill a batch, longer bars are added, up to `stretch` times as long,
    which bounds the padding.
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


def load_encoder(
    name: str = "bundled", device: str = "cpu", dtype: str = "float32", levels: int | None = None
) -> BarEncoder:
    """Load an encoder for inference.

    name: "bundled" (comes with the project), "official" (MuseTok's release, after `01_download_musetok.py`), or the
    path of a checkpoint, `.pt` (read as data only) or `.safetensors`.
    device: "cpu", "cuda", "cuda:1" …, or "auto". dtype: "float32", "mixed" (feed-forward layers in bfloat16; bars near
    a code boundary are encoded again in float32) or "bfloat16" (all layers); quantization is always in float32.
    levels: give the codes and the latent of the first so many levels of the quantizer only; None gives all.

    Raises UserError if the file does not exist, its tensors are not those of a MuseTok encoder, or it has fewer levels.
    """
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not known: one of {', '.join(DTYPES)}")
    torch_device = choose_device(device)
    if dtype not in fast_dtypes(torch_device):
        note(f"this processor has no bfloat16 instructions: {dtype} is slower than float32")
    config, tensors = encoder_tensors(find_checkpoint(name))
    network = BarTransformer(config)
    network.load_state_dict({key: torch.from_numpy(values) for key, values in tensors.items()})
    encoder = bar_encoder(name, tensors_digest(tensors), network, torch_device, dtype)
    return encoder if levels is None else encoder.first_levels(levels)


def bar_encoder(name: str, digest: str, network: BarTransformer, device: torch.device, dtype: str) -> BarEncoder:
    """Make an encoder from a network in float32 on the CPU; the network is changed in place."""
    network.eval().requires_grad_(False)
    codebooks = network.codebooks().to(device)
    network.to(device)
    exact = deepcopy(network) if dtype == "mixed" else None
    in_number_format(network, dtype)
    return BarEncoder(name, digest, network, codebooks, device, dtype, exact)


def fast_dtypes(device: torch.device) -> tuple[str, ...]:
    """Those of DTYPES that a device has instructions for; a CPU without them emulates bfloat16, ten times slower."""
    has_bfloat16 = any(has and name.endswith("bf16") for name, has in torch.cpu.get_capabilities().items())
    return DTYPES if device.type != "cpu" or has_bfloat16 else ("float32",)


def in_number_format(network: BarTransformer, dtype: str) -> None:
    """Convert a network's weights to one of DTYPES, in place.

    mixed: the feed-forward layers, two thirds of the work, in bfloat16, everything else in float32. Rounding attention
    and the residual stream too would change the codes of several times as many bars.
    """
    if dtype == "bfloat16":
        network.bfloat16()
    elif dtype == "mixed":
        for layer in network.layers[:-1]:
            layer.linear1.bfloat16()
            layer.linear2.bfloat16()


def choose_device(device: str) -> torch.device:
    """The device of that name; "auto" takes a GPU if there is one. Raises SettingsError if there is no such device."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
        if chosen.type not in TOKENS_PER_BATCH:
            raise NotImplementedError
    except (RuntimeError, AssertionError, NotImplementedError):
        shown = one_line(device, 30)
        raise SettingsError(f"device {shown!r} is not available on this machine: use cpu, cuda or auto") from None
    return chosen
