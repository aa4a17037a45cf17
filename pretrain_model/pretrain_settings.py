"""The settings of the five scripts of this phase; config/pretrain.yaml has meanings, units and defaults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

from musetok_bridge.bridge_settings import EncoderSettings
from pipeline.arguments import did_you_mean
from pipeline.settings import ONE_OR_MORE, FilePath, Pattern, Range, SettingsError, command, next_command, note

from .known_sets import KNOWN_SETS, Adapter, Kind

SETTINGS_FILE = "pretrain.yaml"

ALL = "all"
SetNames = Annotated[tuple[str, ...], ONE_OR_MORE]
Identity = Literal["md5", "spotify_id", "musicbrainz_id", "artist_title"]
Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Predictor = Literal[
    "constant",
    "one_rater",
    "half_of_raters",
    "trees",
    "custom_mlp",
    "custom_mlp_mean",
    "latent_sequence",
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
    """Which of the sets are used, by their names; `all` for all of them."""

    datasets: SetNames
    train_on: SetNames
    same_songs: Literal["refuse", "together"]


@dataclass(frozen=True)
class QuadrantPoints:
    """The point (valence, arousal) in [−1, 1]² used as the rating of each of EMOPIA's quadrants."""

    Q1: Point = (0.8, 0.6)
    Q2: Point = (-0.6, 0.8)
    Q3: Point = (-0.8, -0.4)
    Q4: Point = (0.4, -0.6)


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table of ratings; None looks for a column of the usual names (rating_table.py)."""

    file: str | None = None
    md5: str | None = None
    spotify_id: str | None = None
    musicbrainz_id: str | None = None
    artist: str | None = None
    title: str | None = None
    tempo: str | None = None
    valence: str | None = None
    arousal: str | None = None
    quadrant: str | None = None
    seconds: str | None = None
    bar_number: str | None = None
    valence_sd: str | None = None
    arousal_sd: str | None = None
    n_raters: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class SetSettings:
    """A set of rated music: a block of `sets`. Settings that a block leaves out have these defaults."""

    name: Annotated[
        str,
        Pattern(r"(?!all\Z)(?a:[A-Za-z0-9][\w-]{0,39})", "a name of up to 40 letters, digits, _ and -, but not all"),
    ]
    adapter: Adapter
    path: FilePath | None = None
    midi: FilePath | None = None
    url: str | None = None
    md5: str | None = None
    kind: Kind | None = None
    group: str | None = None
    use: Literal["train", "measure"] = "train"
    weight: Annotated[float, Range(0, 1000)] = 1.0
    scale: Literal["common", "own"] = "own"
    teaches: Literal["all", "band"] = "all"
    lag: Annotated[float, Range(0, 30)] = 0.0
    points: QuadrantPoints = QuadrantPoints()
    alignment: Literal["number", "time", "equal_only"] = "number"
    split_seed: int = 1628
    val_share: Annotated[float, Range(0, 0.5)] = 0.15
    test_share: Annotated[float, Range(0, 0.5)] = 0.15
    columns: TableColumns = TableColumns()
    match_by: Annotated[tuple[Identity, ...], ONE_OR_MORE] = ()
    licence: str | None = None
    citation: str | None = None

    @property
    def rated_as(self) -> Kind:
        """The kind of its ratings. Raises SettingsError if its files can't be read as that."""
        known = KNOWN_SETS[self.adapter].kinds
        if self.kind is not None and self.kind not in known:
            raise SettingsError(f"'sets.{self.name}.kind' is {self.kind}: {self.adapter} has {', '.join(known)}")
        return self.kind or known[0]

    @property
    def has_source(self) -> bool:
        """Whether it says where its files are."""
        return self.path is not None or self.url is not None

    @property
    def has_split(self) -> bool:
        """Whether the set comes with train, val and test."""
        return KNOWN_SETS[self.adapter].has_split

    @property
    def grouped_by(self) -> str:
        """What groups its pieces, in one word."""
        return self.group or KNOWN_SETS[self.adapter].group

    @property
    def terms(self) -> dict[str, str]:
        """Its licence and what to cite."""
        known = KNOWN_SETS[self.adapter]
        return {"licence": self.licence or known.licence, "citation": self.citation or known.citation}


@dataclass(frozen=True)
class PrepareSettings:
    """What 01_prepare_datasets.py draws."""

    plots: Annotated[int, Range(0, 10_000)]
    plot_head: FilePath


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
    latent_components: Annotated[int, Range(1, 512)]
    latent_weight: Annotated[float, Range(0.01, 10)]
    context: Literal["whole", "heard"]
    penalty_level: Annotated[float, Range(0.001, 1e6)]
    penalty_motion: Annotated[float, Range(0.001, 1e6)]
    penalty_band: Annotated[float, Range(0.001, 1e6)]
    sign_weight: Annotated[float, Range(0, 1e3)]
    largest_set: Annotated[int, Range(10, 10_000_000)]


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
    compare_sets: bool


@dataclass(frozen=True)
class PretrainSettings:
    """All settings of config/pretrain.yaml."""

    output: OutputSettings
    data: DataSettings
    sets: tuple[SetSettings, ...]
    prepare: PrepareSettings
    model: EncoderSettings
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
        """The folder to which 03_train.py writes the head and its record, one for each kind of head."""
        return self.folder / ("head" if self.train.head == "listener" else f"head_{self.train.head}")

    def to_prepare(self) -> list[SetSettings]:
        """The sets of data.datasets that have a source. Raises SettingsError if a name is unknown or none is left."""
        return self._named("data.datasets", self.data.datasets, lambda block: block.has_source)

    def annotate_command(self, head: str, reads_latents: bool) -> str:
        """What to type to annotate music with a trained head, given by its name or path."""
        needs = {"model.head": head}
        if reads_latents and self.model.encoder != "bundled":
            needs["model.encoder"] = self.model.encoder
        return f"{next_command('process_gigamidi/01_annotate.py', needs)} --set dataset.path=MUSIC"

    def prepared(self) -> list[SetSettings]:
        """The sets of data.datasets that have a source, or were prepared when they had one.

        Of `all`, sets of which no song is found are left out, with a note. Raises SettingsError if a name is unknown or
        none is left.
        """
        return self._found("data.datasets", self.data.datasets)

    def trained_on(self) -> list[SetSettings]:
        """The sets of data.train_on to learn from, as `prepared`."""
        chosen = self._found("data.train_on", self.data.train_on)
        if not (learned := [block for block in chosen if block.use == "train"]):
            raise SettingsError("'data.train_on' names no set with use: train, so there is nothing to learn from")
        return learned

    def _found(self, setting: str, names: tuple[str, ...]) -> list[SetSettings]:
        chosen = self._named(setting, names, lambda block: block.has_source or self._is_prepared(block))
        found = [block for block in chosen if not self._is_to_be_found(block)]
        if ALL not in names or not found:  # a set that is named is an error where its pieces are read
            return chosen
        for block in chosen:
            if block not in found:
                note_not_found(self.folder, block.name)
        return found

    def _named(
        self, setting: str, names: tuple[str, ...], is_usable: Callable[[SetSettings], bool]
    ) -> list[SetSettings]:
        known = {block.name: block for block in self.sets}
        for name in names:
            if name not in (*known, ALL):
                meant = did_you_mean(name, (*known, ALL))
                raise SettingsError(
                    f"'{setting}' names {name!r}{meant}, which is not in sets: {', '.join(known)}, or {ALL}"
                )
        wanted = known if ALL in names else names
        chosen = [block for block in self.sets if block.name in wanted]
        found = [block for block in chosen if is_usable(block)]
        if lacking := [block.name for block in chosen if block not in found and ALL not in names]:
            raise SettingsError(f"'{setting}' names {lacking[0]}, which has no path: set sets.{lacking[0]}.path")
        if not found:
            raise SettingsError(f"'{setting}' names no set with a path or url")
        return found

    def _is_prepared(self, block: SetSettings) -> bool:
        return any(self._has(block, kind) for kind in ("pieces", "wanted"))

    def _is_to_be_found(self, block: SetSettings) -> bool:
        return self._has(block, "wanted") and not self._has(block, "pieces")

    def _has(self, block: SetSettings, kind: str) -> bool:
        return (self.folder / f"{block.name}_{kind}.csv").exists()


@cache
def note_not_found(folder: Path, name: str) -> None:
    """Say, once in a run, that a set is left out since none of its songs is found."""
    find = command("process_gigamidi/03_match_ratings.py")
    note(f"{name}: none of its songs is found in {folder}, so it is left out; to find some, run {find}")
