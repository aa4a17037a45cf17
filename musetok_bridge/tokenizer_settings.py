"""The settings of `config/musetok.yaml`, which explains each of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.settings import FilePath, Range

from .checkpoint import OFFICIAL_CHECKPOINT, EncoderConfig


@dataclass(frozen=True)
class DownloadSettings:
    """The source and the target folder of MuseTok's release."""

    file_id: str
    dir: FilePath | None
    zip: FilePath | None
    keep_zip: bool

    @property
    def folder(self) -> Path:
        """The folder for the zip and the encoder."""
        return OFFICIAL_CHECKPOINT.parent if self.dir is None else Path(self.dir)


@dataclass(frozen=True)
class CorpusSettings:
    """The music that a tokenizer is trained on."""

    path: FilePath | None
    validation_share: Annotated[float, Range(0.01, 0.5)]


@dataclass(frozen=True)
class SizeSettings:
    """Sizes of the tokenizer to train."""

    layers: Annotated[int, Range(1, 24)]
    heads: Annotated[int, Range(1, 16)]
    width: Annotated[int, Range(32, 1024)]
    feed_forward: Annotated[int, Range(32, 4096)]
    latent: Annotated[int, Range(8, 512)]
    levels: Annotated[int, Range(1, 32)]
    codebook: Annotated[int, Range(16, 32767)]
    decoder_layers: Annotated[int, Range(1, 24)]

    def encoder_config(self) -> EncoderConfig:
        """The sizes of the encoder alone."""
        return EncoderConfig(
            self.layers, self.heads, self.width, self.feed_forward, self.latent, self.levels, self.codebook
        )


@dataclass(frozen=True)
class TrainingSettings:
    """How a tokenizer is trained."""

    max_steps: Annotated[int, Range(1, 10_000_000)]
    max_minutes: Annotated[float, Range(0.01, 10_000)]
    words_per_batch: Annotated[int, Range(128, 1_000_000)]
    optimizer: Literal["muon", "adamw"]
    learning_rate: Annotated[float, Range(1e-6, 0.1)]
    warmup_steps: Annotated[int, Range(0, 100_000)]
    weight_decay: Annotated[float, Range(0, 1)]
    plain_steps: Annotated[int, Range(0, 100_000)]
    commitment: Annotated[float, Range(0, 10)]
    fewer_levels: Annotated[float, Range(0, 1)]
    transpose: Annotated[int, Range(0, 12)]
    validate_every: Annotated[int, Range(1, 100_000)]
    validation_bars: Annotated[int, Range(10, 1_000_000)]
    decoded_bars: Annotated[int, Range(1, 1_000_000)]
    patience: Annotated[int, Range(1, 1000)]
    seed: Annotated[int, Range(0, 2**31 - 1)]
    start_from: FilePath | None
    device: str
    dtype: Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class QualitySettings:
    """How much of the held-out music a trained tokenizer is measured on."""

    reconstructed_bars: Annotated[int, Range(1, 1_000_000)]
    beams: Annotated[int, Range(1, 64)]
    rounds: Annotated[int, Range(1, 64)]


@dataclass(frozen=True)
class OutputSettings:
    """The folder for results."""

    dir: FilePath


@dataclass(frozen=True)
class TokenizerSettings:
    """Everything in `config/musetok.yaml`."""

    download: DownloadSettings
    corpus: CorpusSettings
    model: SizeSettings
    training: TrainingSettings
    quality: QualitySettings
    output: OutputSettings


SETTINGS_FILE = "musetok.yaml"
