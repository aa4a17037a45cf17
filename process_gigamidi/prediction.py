"""From bars to valence and arousal: the encoder and the head, over the bars of many songs at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from pretrain_model.head import Head, HeadInput, load_head

from .annotation_settings import AnnotationSettings, ModelSettings
from .conversion import Converted, Failure, convert_song
from .worker_processes import Converters, SongsOfPart

if TYPE_CHECKING:
    from musetok_bridge.bars import Bars
    from musetok_bridge.encoder import BarEncoder

    from .song_rows import Row
    from .worker_processes import Song


class Annotated(NamedTuple):
    """A song with its n bars and their predictions, (n, 4), the columns PREDICTED."""

    row: Row
    bars: Bars
    duration_seconds: float
    predicted: np.ndarray


class Failed(NamedTuple):
    """A row that has no annotation, and why. stage: read, parse, convert or predict; reason: one line."""

    row: Row
    stage: str
    reason: str


class PredictedSongs(NamedTuple):
    """Songs of one part, and the columns PREDICTED, (n, 4), of those that were converted."""

    part: int
    songs: list[Song]
    predicted: list[np.ndarray]
    ends_part: bool

    def annotated(self) -> Iterator[Annotated | Failed]:
        """What became of each song, in their order; it has failed if the model gives no number for one of its bars."""
        predicted = iter(self.predicted)
        for row, converted in self.songs:
            if isinstance(converted, Failure):
                yield Failed(row, *converted)
            elif np.isfinite(columns := next(predicted)).all():
                yield Annotated(row, converted.bars, converted.duration_seconds, columns)
            else:
                yield Failed(row, "predict", "not_finite: the model gives no number for some bar")


class Models(NamedTuple):
    """What turns bars into valence and arousal. encoder: None where the head reads no latents."""

    encoder: BarEncoder | None
    head: Head

    @property
    def digests(self) -> dict[str, str | None]:
        """Of the weights, by the setting that names them."""
        return {"model.encoder": self.encoder.digest if self.encoder else None, "model.head": self.head.digest}

    def reader(self) -> Callable[[Sequence[Converted]], list[HeadInput]]:
        """A function of songs that gives what the head reads of them; bars that it has seen are not encoded again."""
        encoder = self.encoder
        if encoder is None:
            return lambda songs: [HeadInput(song.performance) for song in songs]
        from musetok_bridge.encoder import SeenBars  # and torch, as in load_models

        seen = SeenBars()

        def read(songs: Sequence[Converted]) -> list[HeadInput]:
            encoded = encoder.encode([song.bars for song in songs], seen)
            return [HeadInput(song.performance, latents) for song, (_, latents) in zip(songs, encoded, strict=True)]

        return read


def load_models(model: ModelSettings) -> Models:
    """Load the head, and the encoder if it reads latents. Raises UserError if they can't be loaded or don't match."""
    head = load_head(model.head, model.device)
    if not head.reads_latents:
        if model.encoder != "bundled":
            print(f"note: head {model.head!r} reads no latents: model.encoder is not used", file=sys.stderr)
        return Models(None, head)
    from musetok_bridge import load_encoder  # imports torch: where nothing is encoded, all starts without it

    encoder = load_encoder(model.encoder, model.device, model.dtype)
    head.check_encoder(encoder)
    return Models(encoder, head)


def converters_for(models: Models, settings: AnnotationSettings) -> Converters:
    """Processes that convert songs to what the models read."""
    limits = settings.limits
    convert = partial(convert_song, bars=settings.bars, limits=limits, perform=models.head.performance)
    return Converters(convert, settings.compute.workers, limits.seconds, limits.memory_mb)


def predict_songs(
    converted: Generator[SongsOfPart, None, None], models: Models, bars_per_batch: int
) -> Generator[PredictedSongs, None, None]:
    """Predict the bars of songs, at least bars_per_batch at a time; no batch crosses a part's border.

    What a part's predictions are so depends on its rows only.
    """
    # A head without an encoder has little to do, and threads that wait for work would take the processors from the
    # processes that convert.
    with closing(converted), threadpool_limits(1, "blas") if models.encoder is None else nullcontext():
        read = models.reader()
        songs: list[Song] = []
        n_bars = 0
        for part, more, ends_part in converted:
            songs += more
            n_bars += sum(len(outcome.bars) for _, outcome in more if isinstance(outcome, Converted))
            if n_bars < bars_per_batch and not ends_part:
                continue
            played = [outcome for _, outcome in songs if isinstance(outcome, Converted)]
            yield PredictedSongs(part, songs, models.head.predict(read(played)), ends_part)
            songs, n_bars = [], 0
            if ends_part:
                read = models.reader()
