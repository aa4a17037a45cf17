"""A head predicts valence and arousal from the bars of a piece. Here are its use and its file.

There are two kinds: the listener (listener.py), which reads performance features, and latents if trained so, in
the context of the piece; and CustomMLP (custom_mlp.py), which reads the latent of one bar. Columns
of every prediction are valence, then arousal, both in [−1, 1] (Russell's circumplex: valence from unpleasant to
pleasant, arousal from calm to excited), then the standard deviation of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import numpy as np
from safetensors import safe_open

from pipeline.annotations import DIMENSIONS
from pipeline.arguments import did_you_mean
from pipeline.files import tensors_digest, write_tensors
from pipeline.settings import UserError, WeightsError, first_line, one_line

from .bar_context import BarViews, view_bars
from .features import FEATURES, BarFeatures, features_of_songs
from .features import VERSION as FEATURES_VERSION
from .listener import Listener, Motion
from .played_songs import Played

if TYPE_CHECKING:
    from .custom_mlp import CustomMLP


PREDICTED = (*DIMENSIONS, "valence_error_sd", "arousal_error_sd")
_WEIGHTS = Path(__file__).resolve().parent / "weights"
BUNDLED_FILES = {
    "bundled": _WEIGHTS / "bundled_head.safetensors",  # the listener, context whole
    "bundled_heard": _WEIGHTS / "bundled_heard_head.safetensors",  # the listener, context heard
    "bundled_mlp": _WEIGHTS / "bundled_mlp_head.safetensors",  # CustomMLP on latents of the bundled encoder
}

_MOST_TENSORS = 1000  # far more than any head has
Values = TypeVar("Values")
Model: TypeAlias = "CustomMLP | Listener"
Performance: TypeAlias = Played | BarFeatures | BarViews
Project: TypeAlias = Callable[[np.ndarray], np.ndarray]  # latents (n, width) -> (n, d)


@dataclass(frozen=True)
class HeadInput:
    """What a head can read for the n bars of a piece; whatever it doesn't read may be None.

    performance: a song as it sounds, the features computed from it, or the views computed from these. latents: float32
    (n, width).
    """

    performance: Performance | None
    latents: np.ndarray | None = None

    def views(self, project: Project | None = None) -> BarViews:
        """The views that a listener reads, from the features and, with `project`, what that makes of the latents."""
        if project is None and isinstance(self.performance, BarViews):
            return self.performance
        values = self._features.values
        if project is not None:
            values = np.concatenate([values, project(_needed(self.latents, "latents"))], axis=1)
        return view_bars(values, self._features.edges, self._features.band)

    @property
    def _features(self) -> BarFeatures:
        return _needed(self.performance if isinstance(self.performance, BarFeatures) else None, "features")


class NamedEncoder(Protocol):
    """An encoder as far as it matters here: its name and the digest of its weights."""

    @property
    def name(self) -> str:
        """bundled, official or a path."""

    @property
    def digest(self) -> str:
        """sha256 of its weights, 64 hex digits."""

    @property
    def dtype(self) -> str:
        """The number format in which it computes."""

    @property
    def levels(self) -> int:
        """The levels of its quantizer whose codewords are summed to a latent."""

    @property
    def all_levels(self) -> int:
        """The levels of its quantizer."""


@dataclass(frozen=True)
class Head:
    """A head ready for use; `load_head` makes one.

    encoder_digest: of the encoder on whose latents it was trained, empty if it reads none. facts: the metadata of its
    file on how it was made.
    """

    name: str
    digest: str
    encoder_digest: str
    model: Model
    facts: Mapping[str, str]

    @property
    def reads_latents(self) -> bool:
        """Whether it needs the encoder."""
        return bool(self.encoder_digest)

    @property
    def levels(self) -> int | None:
        """The levels of the encoder's quantizer whose latents it was trained on; None if its file doesn't say: all."""
        return int(self.facts["levels"]) if "levels" in self.facts else None

    @property
    def reads_performance(self) -> bool:
        """Whether it needs the performance of a piece."""
        return isinstance(self.model, Listener)

    def predict(self, pieces: Sequence[HeadInput]) -> list[np.ndarray]:
        """The columns PREDICTED of the bars of each piece, float32 (n, 4)."""
        if isinstance(self.model, Listener):
            return [self.model.predict(piece.views(self.model.project)) for piece in _with_features(pieces)]
        return self.model.predict([_needed(piece.latents, "latents") for piece in pieces])

    def check_width(self, latent: int) -> None:
        """Raise WeightsError if this listener reads another number of values. latent: width of latents, or 0."""
        if not isinstance(self.model, Listener):
            return
        config = self.model.config
        reads = (config.width - config.components, config.latent)
        if reads != (len(FEATURES), latent):
            raise WeightsError(
                f"head {self.name!r} reads {reads[0]} features and {reads[1]} numbers of a latent, here a bar has "
                f"{len(FEATURES)} and {latent}: train a head"
            )

    def check_encoder(self, encoder: NamedEncoder) -> None:
        """Raise WeightsError if this head was trained on the latents of another encoder, or of other levels."""
        self.check_digest(encoder)
        if self.reads_latents and (levels := self.levels or encoder.all_levels) != encoder.levels:
            raise WeightsError(
                f"head {self.name!r} was trained on the latents of {levels} levels, not of the first {encoder.levels}: "
                f"set model.levels={levels}, or train a head"
            )

    def check_digest(self, encoder: NamedEncoder) -> None:
        """Raise WeightsError if this head was trained on the latents of another encoder."""
        if self.reads_latents and encoder.digest != self.encoder_digest:
            raise WeightsError(
                f"head {self.name!r} was trained on latents of encoder {self.encoder_digest[:12]}…, not of "
                f"{encoder.name!r} ({encoder.digest[:12]}…): use that encoder, or train a head"
            )


def _with_features(pieces: Sequence[HeadInput]) -> list[HeadInput]:
    """The pieces, with the features of those that are given as they sound."""
    features = iter(features_of_songs([p.performance for p in pieces if isinstance(p.performance, Played)]))
    return [replace(p, performance=next(features)) if isinstance(p.performance, Played) else p for p in pieces]


def _needed(values: Values | None, name: str) -> Values:
    if values is None:
        raise ValueError(f"this head reads {name}, and the piece has none")
    return values


def save_head(path: str | Path, model: Model, encoder_digest: str, facts: Mapping[str, str]) -> None:
    """Write a head as safetensors: its weights, and as metadata its kind and shape, its encoder's digest and `facts`.

    encoder_digest: empty if the head reads no latents.
    """
    shape = {name: str(value) for name, value in asdict(model.config).items()}
    tensors = {name: np.asarray(values, dtype=np.float32) for name, values in model.state_dict().items()}
    made = {"kind": model.kind, "encoder_digest": encoder_digest, "features": FEATURES_VERSION}
    write_tensors(path, tensors, dict(facts) | shape | made)


def load_head(name: str = "bundled", device: str = "cpu", motion: Motion = "full") -> Head:
    """Load a head.

    name: one of BUNDLED_FILES, or the path of a `.safetensors` file that `save_head` wrote. motion: the size of a
    listener's motion, full or cautious; other heads have none.

    A CustomMLP computes on the device; a listener, a few small products for each song, always on the CPU. Raises
    WeightsError if the file does not exist, holds no head, or the head reads features of another version.
    """
    path = BUNDLED_FILES.get(name, Path(name))
    if not path.is_file():
        known, meant = ", ".join(BUNDLED_FILES), did_you_mean(name, BUNDLED_FILES)
        raise WeightsError(
            f"head {name!r}: no file {path}{meant}; give one of {known}, or the path of a head.safetensors"
        )
    try:
        with safe_open(path, framework="numpy") as file:
            facts = file.metadata() or {}
            _check_facts(facts)
            tensors = _tensors(file)
        encoder_digest, version = facts["encoder_digest"], one_line(facts["features"], 20)
        if version != FEATURES_VERSION:
            raise WeightsError(
                f"{path}: reads features of version {version}, here they are {FEATURES_VERSION}: train it again"
            )
        model = _loaded(facts, tensors, device, motion)
        if isinstance(model, Listener) and bool(encoder_digest) != bool(model.config.latent):
            raise WeightsError(f"{path}: of an earlier version, or not whole: train it again")
    except UserError:
        raise
    except Exception as error:  # a damaged or hostile file can make a library raise nearly anything
        raise WeightsError(f"{path}: not a valence/arousal head ({one_line(first_line(error), 200)})") from None
    return Head(name, tensors_digest(tensors), encoder_digest, model, facts)


def _check_facts(facts: Mapping[str, str]) -> None:
    """Raise ValueError if metadata don't name a head that can be loaded."""
    kinds: dict[str | None, tuple[str, ...]] = {
        "listener": ("width", "context"),
        "custom_mlp": ("width", "size", "dropout"),
    }
    kind = facts.get("kind")
    if kind not in kinds:
        raise ValueError("its metadata name no kind of head (custom_mlp or listener)")
    for name in ("encoder_digest", "features", *kinds[kind]):
        if name not in facts:
            raise ValueError(f"its metadata lack {name!r}")
    width = facts["width"]
    if not (width.isascii() and width.isdecimal() and len(width) < 10 and int(width)):
        raise ValueError(f"its width is {width[:20]!r}")
    for name, least in (("levels", 1), ("latent", 0), ("components", 0)):
        number = facts.get(name, "1")
        if not (number.isascii() and number.isdecimal() and len(number) < 10 and int(number) >= least):
            raise ValueError(f"its {name} is {number[:20]!r}")


def _tensors(file: Any) -> dict[str, np.ndarray]:
    """The tensors of an open file. Raises ValueError unless all are float32, as `save_head` writes them, and finite."""
    names = file.keys()
    if len(names) > _MOST_TENSORS:
        raise ValueError(f"it holds {len(names):,} tensors")
    for name in names:
        dtype = file.get_slice(name).get_dtype()
        if dtype != "F32":
            raise ValueError(f"{one_line(name, 80)} holds {dtype}, not F32: 32-bit floating-point numbers")
    tensors = {name: file.get_tensor(name) for name in names}
    for name, values in tensors.items():
        if not np.isfinite(values).all():
            raise ValueError(f"{one_line(name, 80)} holds a number that is not finite")
    return tensors


def _loaded(facts: Mapping[str, str], tensors: Mapping[str, np.ndarray], device: str, motion: Motion) -> Model:
    if facts["kind"] == "listener":
        return Listener.load(facts, tensors, motion)
    from .custom_mlp import CustomMLP  # imports torch, which a listener does not need

    return CustomMLP.load(facts, tensors, device)
