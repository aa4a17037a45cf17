"""The settings of the five scripts of this phase; config/pretrain.yaml has meanings, units and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pipeline.settings import FilePath, Range

SETTINGS_FILE = "pretrain.yaml"

DatasetName = Literal["emopia", "vgmidi"]
Choice = Literal["emopia", "vgmidi", "both"]
Split = Literal["train", "val", "test"]
Predictor = Literal[
    "constant",
    "one_rater",
    "half_of_raters",
    "trees",
    "custom_mlp",
    "listener_heard",
    "listener_whole",
    "listener_whole_cautious",
    "listener_whole_and_latents",
]
Point = Annotated[tuple[float, float], Range(-1, 1)]


@dataclass(frozen=True)
class OutputSettings:
    """The folder for results."""

    dir: FilePath


@dataclass(frozen=True)
class DataSettings:
    """Which of the two datasets are used."""

    datasets: Choice
    train_on: Choice


@dataclass(frozen=True)
class QuadrantPoints:
    """The point (valence, arousal) in [−1, 1]² used as the rating of each of EMOPIA's quadrants."""

    Q1: Point
    Q2: Point
    Q3: Point
    Q4: Point


@dataclass(frozen=True)
class EmopiaSettings:
    """The source of EMOPIA and the points of its quadrants."""

    path: FilePath | None
    url: str
    md5: str | None
    points: QuadrantPoints


@dataclass(frozen=True)
class VgmidiSettings:
    """The source of VGMIDI, how its measures are aligned with bars, and how games are split."""

    path: FilePath | None
    url: str
    md5: str | None
    alignment: Literal["number", "time", "equal_only"]
    split_seed: int
    val_share: Annotated[float, Range(0, 0.5)]
    test_share: Annotated[float, Range(0, 0.5)]


@dataclass(frozen=True)
class TaggedSettings:
    """The source of songs with listeners' tags; without one, none are used."""

    path: FilePath | None


@dataclass(frozen=True)
class ModelSettings:
    """The encoder that makes the latents."""

    encoder: FilePath
    device: str
    dtype: Literal["float32", "mixed", "bfloat16"]


@dataclass(frozen=True)
class ExtractSettings:
    """How latents are extracted."""

    batch_pieces: Annotated[int, Range(1, 10_000)]


@dataclass(frozen=True)
class TrainSettings:
    """Which head is trained; all settings except head are for CustomMLP; the seed also draws samples in 05."""

    head: Literal["listener", "custom_mlp"]
    size: Literal["small", "normal", "large"]
    dropout: Annotated[float, Range(0, 0.9)]
    loss: Literal["mse", "smooth_l1"]
    quadrants: Literal["points", "signs"]
    learning_rate: Annotated[float, Range(1e-7, 1)]
    weight_decay: Annotated[float, Range(0, 1)]
    batch_size: Annotated[int, Range(1, 1_000_000)]
    max_epochs: Annotated[int, Range(1, 100_000)]
    patience: Annotated[int, Range(1, 100_000)]
    seed: Annotated[int, Range(0, 2**63 - 1)]


@dataclass(frozen=True)
class ListenerSettings:
    """How the listener (train.head: listener) is trained."""

    splits: tuple[Split, ...]
    reads: Literal["performance", "performance_and_latents"]
    context: Literal["whole", "heard"]
    penalty_level: Annotated[float, Range(0.001, 1e6)]
    penalty_motion: Annotated[float, Range(0.001, 1e6)]
    penalty_band: Annotated[float, Range(0.001, 1e6)]
    sign_weight: Annotated[float, Range(0, 1e3)]


@dataclass(frozen=True)
class EvaluateSettings:
    """Which head is evaluated, and on which splits."""

    head: FilePath
    splits: tuple[Split, ...]


@dataclass(frozen=True)
class CrossValidateSettings:
    """What 05_cross_validate.py compares, its folds and its bootstrap samples."""

    predictors: tuple[Predictor, ...]
    folds: Annotated[int, Range(2, 20)]
    resamples: Annotated[int, Range(100, 100_000)]


@dataclass(frozen=True)
class PretrainSettings:
    """All settings of config/pretrain.yaml."""

    output: OutputSettings
    data: DataSettings
    emopia: EmopiaSettings
    vgmidi: VgmidiSettings
    tagged: TaggedSettings
    model: ModelSettings
    extract: ExtractSettings
    train: TrainSettings
    listener: ListenerSettings
    evaluate: EvaluateSettings
    cross_validate: CrossValidateSettings

    @property
    def folder(self) -> Path:
        """The output folder: labels, MIDI files and everything made from them."""
        return Path(self.output.dir)

    @property
    def head_folder(self) -> Path:
        """The folder to which 03_train.py writes the head and its record."""
        return self.folder / "head"


def chosen(choice: Choice) -> tuple[DatasetName, ...]:
    """The datasets that a choice names, in a fixed order."""
    return ("emopia", "vgmidi") if choice == "both" else (choice,)
