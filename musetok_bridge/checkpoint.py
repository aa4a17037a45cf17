"""Reading a MuseTok tokenizer checkpoint as data: which tensors an encoder has, and whether a file holds them.

A checkpoint is MuseTok's own `.pt` state dict or a `.safetensors` file with the same names. It may also hold the
decoder and an unused copy of one encoder layer, which are ignored. The tensors' names and shapes give every size except
the number of attention heads, which is in the metadata of a safetensors file; without metadata it is taken to be eight,
as in the release, or four if the width is smaller than the release's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from pipeline.arguments import did_you_mean
from pipeline.files import write_tensors
from pipeline.settings import DOWNLOADS, WeightsError, command

from .vocabulary import MAX_BAR_WORDS, N_TOKENS
from .weight_files import read_values, short, stored_tensors

CHECKPOINT_FOLDER = Path(__file__).resolve().parent / "weights"
BUNDLED_CHECKPOINT = CHECKPOINT_FOLDER / "bundled_encoder.safetensors"
OFFICIAL_CHECKPOINT = DOWNLOADS / "musetok" / "encoder.safetensors"
DOWNLOAD = "musetok_bridge/01_download_musetok.py"

NOT_NEEDED = ("decoder.", "dec_out_proj.", "encoder.tr_encoder_layer.")
_EMBEDDING = "token_emb.emb_lookup.weight"
_POSITIONS = "pe.pe"


class HasShape(Protocol):
    """A tensor in memory or in a file, as far as its shape goes."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Its sizes."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes of an encoder. width: of the transformer. latent: dimensions of a latent. codebook: codewords per level."""

    layers: int
    heads: int
    width: int
    feed_forward: int
    latent: int
    levels: int
    codebook: int


RELEASED = EncoderConfig(layers=12, heads=8, width=512, feed_forward=2048, latent=128, levels=16, codebook=2048)


def layer_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of one transformer layer."""
    d, ff = config.width, config.feed_forward
    return {
        "self_attn.in_proj_weight": (3 * d, d),
        "self_attn.in_proj_bias": (3 * d,),
        "self_attn.out_proj.weight": (d, d),
        "self_attn.out_proj.bias": (d,),
        "linear1.weight": (ff, d),
        "linear1.bias": (ff,),
        "linear2.weight": (d, ff),
        "linear2.bias": (d,),
        "norm1.weight": (d,),
        "norm1.bias": (d,),
        "norm2.weight": (d,),
        "norm2.bias": (d,),
    }


def encoder_shapes(config: EncoderConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of all tensors that encoding needs."""
    c = config
    shapes: dict[str, tuple[int, ...]] = {_EMBEDDING: (N_TOKENS, c.width), _POSITIONS: (MAX_BAR_WORDS, 1, c.width)}
    for i in range(c.layers):
        shapes |= {f"encoder.tr_encoder.layers.{i}.{name}": shape for name, shape in layer_shapes(c).items()}
    shapes |= {"enc_out_proj.weight": (c.latent, c.width), "enc_out_proj.bias": (c.latent,)}
    for q in range(c.levels):
        shapes[f"residual_sim_vq.layers.{q}.frozen_codebook"] = (c.codebook, c.latent)
        shapes[f"residual_sim_vq.layers.{q}.code_transform.weight"] = (c.latent, c.latent)
    return shapes


def find_checkpoint(name: str) -> Path:
    """The file of the encoder "bundled", "official" or a path. Raises WeightsError if it does not exist."""
    if name == "official":
        if not OFFICIAL_CHECKPOINT.exists():
            raise WeightsError(f"the official encoder is not at {OFFICIAL_CHECKPOINT}: run {command(DOWNLOAD)} first")
        return OFFICIAL_CHECKPOINT
    path = BUNDLED_CHECKPOINT if name == "bundled" else Path(name)
    if not path.is_file():
        meant = did_you_mean(name, ("bundled", "official"))
        raise WeightsError(
            f"encoder {name!r}: no file {path}{meant}; give bundled, official or the path of a checkpoint"
        )
    return path


def encoder_tensors(path: Path) -> tuple[EncoderConfig, dict[str, np.ndarray]]:
    """Read a checkpoint: the encoder's sizes and its tensors by name, float32, positions cut to the length of a bar.

    Raises WeightsError, naming the file and the first names, shapes or numbers that do not fit. Shapes are checked
    before any number is read.
    """
    with stored_tensors(path) as (stored, metadata):
        shapes = _needed_shapes(stored)
        config = _config_of(path, shapes, metadata)
        check_shapes(path, shapes, encoder_shapes(config))
        tensors = read_values(path, {name: stored[name] for name in shapes})
    return config, tensors | {_POSITIONS: np.ascontiguousarray(tensors[_POSITIONS][:MAX_BAR_WORDS])}


def save_encoder(
    path: Path, config: EncoderConfig, tensors: Mapping[str, np.ndarray], facts: Mapping[str, str]
) -> None:
    """Write an encoder as safetensors, with its sizes and the given facts as metadata.

    tensors: those of `encoder_shapes`; tensors that encoding does not need may be among them. Raises WeightsError if a
    name or shape does not fit.
    """
    check_shapes(path, _needed_shapes(tensors), encoder_shapes(config))
    metadata = {name: str(size) for name, size in asdict(config).items()} | dict(facts)
    write_tensors(path, tensors, metadata)


def shapes_of(tensors: Mapping[str, HasShape]) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _needed_shapes(tensors: Mapping[str, HasShape]) -> dict[str, tuple[int, ...]]:
    """The shapes of tensors that encoding needs, with positions cut to MAX_BAR_WORDS; the release has 20,480."""
    shapes = {name: shape for name, shape in shapes_of(tensors).items() if not name.startswith(NOT_NEEDED)}
    positions = shapes.get(_POSITIONS, ())
    if len(positions) == 3:
        shapes[_POSITIONS] = (min(positions[0], MAX_BAR_WORDS), *positions[1:])
    return shapes


def check_shapes(
    path: Path, shapes: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]], show: int = 3
) -> None:
    """Raise WeightsError, naming the first tensors that are missing, unexpected, or of the wrong shape."""
    faults = [f"{name} is missing" for name in expected if name not in shapes]
    faults += [
        f"{name} is {short(shapes[name])}, not {short(shape)}"
        for name, shape in expected.items()
        if name in shapes and shapes[name] != shape
    ]
    faults += [f"{short(name)} is not a name of MuseTok's" for name in shapes if name not in expected]
    if faults:
        more = f" and {len(faults) - show} more" if len(faults) > show else ""
        raise WeightsError(f"{path}: does not fit MuseTok's tokenizer: {'; '.join(faults[:show])}{more}")


def _config_of(path: Path, shapes: Mapping[str, tuple[int, ...]], metadata: Mapping[str, str]) -> EncoderConfig:
    """The sizes read from some of the shapes; `check_shapes` then checks all of them."""

    def size(name: str, axis: int) -> int:
        if len(shapes.get(name, ())) <= axis:
            raise WeightsError(f"{path}: does not fit MuseTok's tokenizer: {name} is missing or has too few dimensions")
        if not shapes[name][axis]:
            raise WeightsError(f"{path}: does not fit MuseTok's tokenizer: {name} is empty")
        return shapes[name][axis]

    def count(prefix: str) -> int:
        return len({name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)})

    width = size(_EMBEDDING, 1)
    heads = metadata.get("heads", str(RELEASED.heads if width >= RELEASED.width else 4))
    n_heads = int(heads) if heads.isascii() and heads.isdecimal() and len(heads) < 10 else 0
    if n_heads == 0 or width % n_heads:
        raise WeightsError(f"{path}: width {short(width)} can't be split into {short(heads)} attention heads")
    return EncoderConfig(
        layers=count("encoder.tr_encoder.layers."),
        heads=n_heads,
        width=width,
        feed_forward=size("encoder.tr_encoder.layers.0.linear1.weight", 0),
        latent=size("enc_out_proj.weight", 0),
        levels=count("residual_sim_vq.layers."),
        codebook=size("residual_sim_vq.layers.0.frozen_codebook", 0),
    )
