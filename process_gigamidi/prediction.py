"""Predicts valence and arousal with the encoder and the head, for the bars of many songs at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from musetok_bridge.bridge_settings import number_of
from musetok_bridge.conversion import (
    Converted,
    Failure,
    Guard,
    convert_song,
    internal_failure,
    memory_limit,
)
from musetok_bridge.worker_processes import Converters, SongsOfPart
from pipeline.settings import note
from pretrain_model.features import song_features
from pretrain_model.head import Head, HeadInput, load_head
from pretrain_model.played_songs import Played

from .annotation_settings import AnnotationSettings, ModelSettings
from .trained_on import RatedSetFacts, trained_on

if TYPE_CHECKING:
    from musetok_bridge.bars import Bars, ReadBars
    from musetok_bridge.encoder import BarEncoder
    from musetok_bridge.worker_processes import ConvertedRow
    from song_sources.song_rows import Row


MOST_BARS = 4096  # that a head without an encoder gets at once: more take memory and save no time


class Annotated(NamedTuple):
    """A song with its n bars. predicted: (n, 4), with the columns head.PREDICTED."""

    row: Row
    bars: Bars
    predicted: np.ndarray


class Failed(NamedTuple):
    """A song that can't be annotated, and why. stage: read, parse, convert or predict; reason: one line."""

    row: Row
    stage: str
    reason: str


class PredictedSongs(NamedTuple):
    """Songs of one part. predicted: for each that was converted (n, 4), with the columns head.PREDICTED, or why not."""

    part: int
    songs: list[ConvertedRow]
    predicted: Sequence[np.ndarray | Failure]
    ends_part: bool

    def annotated(self) -> Iterator[Annotated | Failed]:
        """Each song as Annotated or Failed, in order. A prediction that is not finite makes its song Failed."""
        predicted = iter(self.predicted)
        for row, converted in self.songs:
            if isinstance(converted, Failure):
                yield Failed(row, *converted)
            elif isinstance(columns := next(predicted), Failure):
                yield Failed(row, *columns)
            elif np.isfinite(columns).all():
                yield Annotated(row, converted.bars, columns)
            else:
                yield Failed(row, "predict", "not_finite: the model gives no number for some bar")


class Models(NamedTuple):
    """The models that predict. encoder: None if the head reads no latents."""

    encoder: BarEncoder | None
    head: Head

    @property
    def digests(self) -> dict[str, str | None]:
        """Digests of the weights, by the setting that names them; the head's first, as it decides on the encoder."""
        return {"model.head": self.head.digest, "model.encoder": self.encoder.digest if self.encoder else None}

    @property
    def fewer_levels(self) -> int | None:
        """The levels of the encoder that the head reads; None if it reads all or none."""
        encoder = self.encoder
        return None if encoder is None or encoder.levels == encoder.all_levels else encoder.levels

    @property
    def trained_on(self) -> list[RatedSetFacts]:
        """The rated sets that the head learned from; empty if its file doesn't say."""
        return trained_on(self.head.facts)

    def predictor(self, guard: Guard | None) -> Callable[[Sequence[Converted]], Sequence[np.ndarray | Failure]]:
        """A function that predicts the bars of songs. It remembers bars that it has encoded, and encodes each once.

        guard: as for _predict_without_encoder.
        """
        encoder, head = self.encoder, self.head
        if encoder is None:
            return partial(_predict_without_encoder, head, guard)
        from musetok_bridge.encoder import SeenBars  # and torch, as in load_models

        seen = SeenBars()

        def predict(songs: Sequence[Converted]) -> Sequence[np.ndarray | Failure]:
            encoded = encoder.encode([song.bars for song in songs], seen)
            pairs = zip(songs, encoded, strict=True)
            return head.predict([HeadInput(song.performance, latents) for song, (_, latents) in pairs])

        return predict


def _predict_without_encoder(
    head: Head, guard: Guard | None, songs: Sequence[Converted]
) -> Sequence[np.ndarray | Failure]:
    """Predictions for songs: as the processes that converted them made them, or for songs given as Played made here.

    guard: ends this process if that exceeds its limits. If a song raises an error, each is predicted alone, and only
    that one fails.
    """
    if not any(isinstance(song.performance, Played) for song in songs):
        return [song.performance for song in songs]
    try:
        with guard.watch() if guard else nullcontext():
            return head.predict([HeadInput(song.performance) for song in songs])
    except MemoryError:
        raise
    except Exception as error:
        if len(songs) == 1:
            return [internal_failure("convert", error)]
        return [found for song in songs for found in _predict_without_encoder(head, guard, [song])]


def predict_song(head: Head, memory_mb: int, song: ReadBars) -> np.ndarray:
    """The columns head.PREDICTED of a song's bars, (n, 4), by a head that reads no latents.

    memory_mb: what this may take on top of the memory that the process has, as converting the song may.
    """
    with memory_limit(memory_mb), np.errstate(all="ignore"):  # what is not finite then is the failure of its song
        return head.predict([HeadInput(Played.of(song))])[0]


def load_models(model: ModelSettings, reopened: bool = False) -> Models:
    """Load the head, and the encoder if the head reads latents.

    reopened: whether another process of the run has loaded them, and said what there is to note. Raises UserError if
    loading fails or they don't match.
    """
    head = load_head(model.head, model.device, model.motion)
    if not head.reads_latents:
        unused = {"model.encoder": model.encoder != "bundled", "model.levels": model.levels is not None}
        for name in (name for name, is_set in unused.items() if is_set and not reopened):
            note(f"head {model.head!r} reads no latents: {name} is not used")
        head.check_width(0)
        return Models(None, head)
    encoder = replace(model, levels=None).load()
    head.check_digest(encoder)
    if levels := model.levels or head.levels:
        encoder = encoder.first_levels(levels)
    head.check_encoder(encoder)
    head.check_width(encoder.width)
    return Models(encoder, head)


def converters_for(models: Models, settings: AnnotationSettings, guard: Guard | None = None) -> Converters:
    """Processes that convert songs to the inputs of the models, or, without an encoder, predict them as well.

    guard: if given, songs are converted in this process, which it ends if one exceeds the limits. What is converted in
    this process is not predicted song by song, but by `predict_songs` many at a time.
    """
    limits, head = settings.limits, models.head
    workers = 0 if guard else number_of(settings.compute.workers)
    perform: Callable[[ReadBars], Any] | None = None
    if head.reads_performance and not head.reads_latents:
        perform = partial(predict_song, head, limits.memory_mb) if workers else Played.of
    elif head.reads_performance:
        perform = song_features
    convert = partial(convert_song, bars=settings.bars, limits=limits, perform=perform, needs_pitch=head.reads_latents)
    if guard:
        convert = partial(guard.convert, convert=convert)
    return Converters(convert, workers, limits.seconds, limits.memory_mb)


def predict_songs(
    converted: Generator[SongsOfPart, None, None],
    models: Models,
    bars_per_batch: int,
    guard: Guard | None = None,
) -> Generator[PredictedSongs, None, None]:
    """Predict the bars of songs, in batches of at least bars_per_batch bars or all that a part has left.

    No batch mixes songs of two parts, so that a part's predictions depend on its rows only. Without an encoder
    MOST_BARS are enough. guard: ends this process where predicting a batch exceeds its limits.
    """
    if models.encoder is None:
        bars_per_batch = min(bars_per_batch, MOST_BARS)
    # A head without an encoder has little to do, and BLAS threads that spin while they wait would take processor time
    # from the processes that convert.
    with closing(converted), threadpool_limits(1, "blas") if models.encoder is None else nullcontext():
        predict = models.predictor(guard)
        songs: list[ConvertedRow] = []
        n_bars = 0
        for part, more, ends_part in converted:
            songs += more
            n_bars += sum(len(result.bars) for _, result in more if isinstance(result, Converted))
            if n_bars < bars_per_batch and not ends_part:
                continue
            converted_songs = [result for _, result in songs if isinstance(result, Converted)]
            with np.errstate(all="ignore"):  # what is not finite then is the failure of its song
                predicted = predict(converted_songs)
            yield PredictedSongs(part, songs, predicted, ends_part)
            songs, n_bars = [], 0
            if ends_part:
                predict = models.predictor(guard)
