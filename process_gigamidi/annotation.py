"""Valence and arousal of every bar of a dataset: rows -> bars -> latents -> predictions -> tables, part by part.

All stages are at work at once: a thread reads rows, processes convert them, another thread encodes and predicts the
bars of many songs at a time, and here they are written. What a part's tables hold depends on its rows and the weights
only: batches never cross a part's border, and songs stand in the order of the dataset however many workers there are.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, groupby, islice, pairwise
from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from musetok_bridge import load_encoder
from musetok_bridge.encoder import BarEncoder, SeenBars
from musetok_bridge.settings import UserError
from pretrain_model.head import Head, HeadInput, load_head

from .annotation_settings import AnnotationSettings
from .conversion import Converted, Failure, convert_song
from .gigamidi_source import Row, Source, open_source
from .part_files import PartTables, Totals, count_part, parts_done
from .run_record import begin_or_continue, what_decides, write_record
from .worker_processes import converted_in_order
from .working_ahead import working_ahead

ROWS_AHEAD = 64
BATCHES_AHEAD = 2

Song = tuple[Row, Converted | Failure]


class Batch(NamedTuple):
    """Songs of one part, and the columns PREDICTED, (n, 4), of those that were converted."""

    part: int
    ends_part: bool
    songs: list[Song]
    predicted: list[np.ndarray]


class Models(NamedTuple):
    """What turns bars into valence and arousal. encoder: None where the head reads no latents."""

    encoder: BarEncoder | None
    head: Head

    def read(self, songs: Sequence[Converted], seen: SeenBars) -> list[HeadInput]:
        """What the head reads of songs; bars that were seen are not encoded again."""
        if self.encoder is None:
            return [HeadInput(song.performance) for song in songs]
        encoded = self.encoder.encode([song.bars for song in songs], seen)
        return [HeadInput(song.performance, latents) for song, (_, latents) in zip(songs, encoded, strict=True)]


def annotate(settings: AnnotationSettings) -> Totals:
    """Annotate a dataset into settings.folder, going on where a run before was stopped; returns the totals of all runs.

    Raises UserError if the dataset, the weights or the folder can't be used; parts that are whole stay so.
    """
    models = load_models(settings)
    source = open_source(settings.dataset, settings.limits.file_bytes)
    digests = {"model.encoder": models.encoder.digest if models.encoder else None, "model.head": models.head.digest}
    decides = what_decides(settings, source.identity, digests)
    parts = begin_or_continue(settings, decides)
    done = parts_done(settings.folder)
    totals = Totals()
    for part in sorted(done):
        totals.add(count_part(settings.folder, part))
    if parts is not None and done == set(range(parts)):
        return totals
    songs = converted_in_order(
        working_ahead(_rows_to_do(source, settings, done), ROWS_AHEAD),
        partial(convert_song, bars=settings.bars, limits=settings.limits, perform=models.head.performance),
        settings.compute.workers,
        settings.limits.seconds,
        settings.limits.memory_mb,
    )
    batches = working_ahead(_predicted(songs, models, settings), BATCHES_AHEAD)
    with closing(Progress(source, settings, totals)) as progress, closing(batches):
        tables = PartTables(source.columns)
        for batch in batches:
            before = replace(tables.totals)
            _tabulate(batch, tables)
            progress.add(tables.totals.since(before))
            if batch.ends_part:
                tables.write(settings.folder, batch.part)
                totals.add(tables.totals)
                done.add(batch.part)
                tables = PartTables(source.columns)
    if not done:
        raise UserError(f"{settings.dataset.path or settings.dataset.name}: there are no songs in it")
    write_record(settings, decides, totals, parts=len(done))
    return totals


def load_models(settings: AnnotationSettings) -> Models:
    """Load the head, and the encoder if it reads latents. Raises UserError if they can't be loaded or don't match."""
    model = settings.model
    head = load_head(model.head, model.device)
    if not head.reads_latents:
        if model.encoder != "bundled":
            print(f"note: head {model.head!r} reads no latents: model.encoder is not used", file=sys.stderr)
        return Models(None, head)
    encoder = load_encoder(model.encoder, model.device, model.dtype)
    head.check_encoder(encoder)
    return Models(encoder, head)


def _predicted(
    songs: Generator[Song, None, None], models: Models, settings: AnnotationSettings
) -> Generator[Batch, None, None]:
    """Encode and predict the bars of many songs at a time; no batch crosses a part's border."""
    with closing(songs), threads_of_torch(None if models.encoder else 1):
        for part, songs_of_part in groupby(songs, lambda song: song[0].number // settings.output.songs_per_part):
            seen = SeenBars()
            for batch, ends_part in _batches(songs_of_part, settings.compute.bars_per_batch):
                converted = [outcome for _, outcome in batch if isinstance(outcome, Converted)]
                yield Batch(part, ends_part, batch, models.head.predict(models.read(converted, seen)))


@contextmanager
def threads_of_torch(most: int | None) -> Iterator[None]:
    """Let torch compute with no more threads than that; None: with as many as it has.

    A head without an encoder has little to do, and torch's threads, waiting for work, would take the processors from
    the processes that convert.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(most or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _batches(songs: Iterable[Song], bars_per_batch: int) -> Iterator[tuple[list[Song], bool]]:
    """Cut songs into lists that hold at least bars_per_batch bars, but the last; and say which one is the last."""
    batch: list[Song] = []
    n_bars = 0
    for song, following in pairwise(chain(songs, [None])):
        assert song
        batch.append(song)
        n_bars += len(song[1].bars) if isinstance(song[1], Converted) else 0
        if n_bars >= bars_per_batch or not following:
            yield batch, not following
            batch, n_bars = [], 0


def _tabulate(batch: Batch, tables: PartTables) -> None:
    """Add each song to its table."""
    predictions = iter(batch.predicted)
    for row, outcome in batch.songs:
        predicted = next(predictions) if isinstance(outcome, Converted) else np.empty((0, 4), np.float32)
        if not np.isfinite(predicted).all():
            outcome = Failure("predict", "not_finite: the model gives no number for some bar")
        if isinstance(outcome, Failure):
            which = row.file or ("" if row.md5 else row.described.get("title") or f"row {row.number}")
            tables.add_failure(row.md5, outcome.stage, outcome.reason + (f" ({which})" if which else ""))
        else:
            tables.add_song(row.md5, outcome.bars, outcome.duration_seconds, predicted, row.described)


def _rows_to_do(source: Source, settings: AnnotationSettings, done: set[int]) -> Generator[Row, None, None]:
    """The rows of all parts that are not done, from the first such part on, up to the limit."""
    songs_per_part, limit = settings.output.songs_per_part, settings.dataset.limit
    first = next(part for part in range(len(done) + 1) if part not in done) * songs_per_part
    if limit is None or first < limit:
        with closing(source.rows(first)) as rows:
            for row in islice(rows, None if limit is None else limit - first):
                if row.number // songs_per_part not in done:
                    yield row


class Progress:
    """A progress bar of songs, with the bars annotated and the failures beside it."""

    def __init__(self, source: Source, settings: AnnotationSettings, done: Totals):
        lengths = [n for n in (source.n_rows, settings.dataset.limit) if n is not None]
        start = done.songs + done.failures
        self._bar = tqdm(
            desc="annotating", unit=" songs", total=min(lengths, default=None), initial=start, mininterval=1
        )
        self._totals = replace(done)

    def add(self, more: Totals) -> None:
        """Show that so much more is done."""
        self._totals.add(more)
        self._bar.set_postfix_str(f"{self._totals.bars:,} bars, {self._totals.failures:,} failures", refresh=False)
        self._bar.update(more.songs + more.failures)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()
