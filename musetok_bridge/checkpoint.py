"""Reading a MuseTok tokenizer checkpoint as data: which tensors an encoder has, and whether a file holds them.

A checkpoint is MuseTok's own `.pt` state dict or a `.safetensors` file with the same names. It may also hold the
decoder and an unused copy of one encoder layer, which are ignored. The tensors' names and shapes give every size except
the number of attention heads, which is in the metadata of a safetensors file; without metadata it is taken to be eight,
as in the release, or four if the width is smaller than the release's.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from pipeline.files import write_tensors
from pipeline.settings import PROJECT_ROOT, UserError, first_line

from .vocabulary import MAX_BAR_WORDS, N_TOKENS

CHECKPOINT_FOLDER = Path(__file__).resolve().parent / "weights"
BUNDLED_CHECKPOINT = CHECKPOINT_FOLDER / "bundled_encoder.safetensors"
OFFICIAL_CHECKPOINT = PROJECT_ROOT / "weights" / "musetok" / "encoder.safetensors"

NOT_NEEDED = ("decoder.", "dec_out_proj.", "encoder.tr_encoder_layer.")
_EMBEDDING = "token_emb.emb_lookup.weight"
_POSITIONS = "pe.pe"


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
    """The file of the encoder "bundled", "official" or a path. Raises UserError if it does not exist."""
    if name == "official":
        if not OFFICIAL_CHECKPOINT.exists():
            raise UserError(
                f"the official encoder is not at {OFFICIAL_CHECKPOINT}: run musetok_bridge/01_download_musetok.py first"
            )
        return OFFICIAL_CHECKPOINT
    path = BUNDLED_CHECKPOINT if name == "bundled" else Path(name)
    if not path.is_file():
        raise UserError(f"encoder {name!r}: no file {path}; give bundled, official or the path of a checkpoint")
    return path


def encoder_tensors(path: Path) -> tuple[EncoderConfig, dict[str, np.ndarray]]:
    """Read a checkpoint: the encoder's sizes and its tensors by name, float32, positions cut to the length of a bar.

    Raises UserError, naming the file and the first names or shapes that do not fit.
    """
    tensors, metadata = read_tensors(path)
    tensors = _cut_positions({name: v for name, v in tensors.items() if not name.startswith(NOT_NEEDED)})
    config = _config_of(path, tensors, metadata)
    check_shapes(path, tensors, encoder_shapes(config))
    return config, {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in tensors.items()}


def read_tensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All tensors of a `.safetensors` or `.pt` file, and its metadata (empty for `.pt`). No code in it is run."""
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                state, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
        else:
            state, metadata = torch.load(path, map_location="cpu", weights_only=True), None
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"{path}: can't be read as a checkpoint of plain tensors ({first_line(error)})") from None
    if not isinstance(state, Mapping) or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise UserError(f"{path}: not a state dict; a checkpoint maps names to tensors and holds nothing else")
    return {str(name): values.detach().float().numpy() for name, values in state.items()}, metadata or {}


def save_encoder(
    path: Path, config: EncoderConfig, tensors: Mapping[str, np.ndarray], facts: Mapping[str, str]
) -> None:
    """Write an encoder as safetensors, with its sizes and the given facts as metadata.

    tensors: those of `encoder_shapes`; tensors that encoding does not need may be among them. Raises UserError if a
    name or shape does not fit.
    """
    needed = {name: values for name, values in tensors.items() if not name.startswith(NOT_NEEDED)}
    check_shapes(path, _cut_positions(needed), encoder_shapes(config))
    metadata = {name: str(size) for name, size in asdict(config).items()} | dict(facts)
    write_tensors(path, tensors, metadata)


def _cut_positions(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors with positions cut to MAX_BAR_WORDS; the release has 20,480."""
    positions = tensors.get(_POSITIONS)
    if positions is None or positions.ndim != 3:
        return tensors
    return tensors | {_POSITIONS: positions[:MAX_BAR_WORDS]}


def check_shapes(
    path: Path, tensors: Mapping[str, np.ndarray], expected: Mapping[str, tuple[int, ...]], show: int = 3
) -> None:
    """Raise UserError, naming the first tensors that are missing, unexpected, or of the wrong shape."""
    faults = [f"{name} is missing" for name in expected if name not in tensors]
    faults += [
        f"{name} is {tuple(tensors[name].shape)}, not {shape}"
        for name, shape in expected.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    faults += [f"{name} is not a name of MuseTok's" for name in tensors if name not in expected]
    if faults:
        more = f" and {len(faults) - show} more" if len(faults) > show else ""
        raise UserError(f"{path}: does not fit MuseTok's tokenizer: {'; '.join(faults[:show])}{more}")


def _config_of(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> EncoderConfig:
    """The sizes read from some of the tensors; `check_shapes` then checks all of them."""

    def size(name: str, axis: int) -> int:
        if name not in tensors or tensors[name].ndim <= axis:
            raise UserError(f"{path}: does not fit MuseTok's tokenizer: {name} is missing or has too few dimensions")
        return int(tensors[name].shape[axis])

    def count(prefix: str) -> int:
        return len({name[len(prefix) :].split(".")[0] for name in tensors if name.startswith(prefix)})

    width = size(_EMBEDDING, 1)
    heads = metadata.get("heads", str(RELEASED.heads if width >= RELEASED.width else 4))
    if not heads.isdecimal() or int(heads) < 1 or width % int(heads):
        raise UserError(f"{path}: width {width} can't be split into {heads} attention heads")
    return EncoderConfig(
        layers=count("encoder.tr_encoder.layers."),
        heads=int(heads),
        width=width,
        feed_forward=size("encoder.tr_encoder.layers.0.linear1.weight", 0),
        latent=size("enc_out_proj.weight", 0),
        levels=count("residual_sim_vq.layers."),
        codebook=size("residual_sim_vq.layers.0.frozen_codebook", 0),
    )
