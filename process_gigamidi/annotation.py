"""Valence and arousal of every bar of a dataset: rows -> bars -> latents -> predictions -> tables, part by part.

Rows are read and converted some way ahead in worker processes, while here the bars of many songs at a time are
encoded and their latents given to the head. What a part's tables hold depends on its rows and the weights only: batches
never cross a part's border, and songs stand in the order of the dataset however many workers there are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import groupby, islice, repeat
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from musetok_bridge import load_encoder
from musetok_bridge.encoder import BarEncoder
from musetok_bridge.settings import UserError
from pretrain_model.head import Head, HeadInput, load_head

from .annotation_settings import AnnotationSettings
from .conversion import Converted, Failure, convert_song
from .gigamidi_source import Row, Source, open_source
from .part_files import PartTables, Totals, count_part, parts_done
from .run_record import begin_or_continue, what_decides, write_record
from .worker_processes import converted_in_order

Song = tuple[Row, Converted | Failure]


class Models(NamedTuple):
    """What turns bars into valence and arousal. encoder: None where the head reads no latents."""

    encoder: BarEncoder | None
    head: Head


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
        _rows_to_do(source, settings, done),
        partial(convert_song, bars=settings.bars, limits=settings.limits, with_features=models.head.reads_features),
        settings.compute.workers,
        settings.limits.seconds,
        settings.limits.memory_mb,
    )
    with closing(Progress(source, settings, totals)) as progress, closing(songs):
        for part, songs_of_part in groupby(songs, lambda song: song[0].number // settings.output.songs_per_part):
            totals.add(annotate_part(part, songs_of_part, source.columns, models, settings, progress))
            done.add(part)
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


def annotate_part(
    part: int,
    songs: Iterable[Song],
    columns: tuple[str, ...],
    models: Models,
    settings: AnnotationSettings,
    progress: Progress,
) -> Totals:
    """Annotate the converted songs of one part and write its tables; returns its totals."""
    tables = PartTables(columns)
    for batch in _batches(songs, settings.compute.bars_per_batch):
        before = replace(tables.totals)
        for row, outcome, predicted in _predicted(batch, models):
            if isinstance(outcome, Failure):
                which = row.file or ("" if row.md5 else row.described.get("title") or f"row {row.number}")
                tables.add_failure(row.md5, outcome.stage, outcome.reason + (f" ({which})" if which else ""))
            else:
                tables.add_song(row.md5, outcome.bars, outcome.duration_seconds, predicted, row.described)
        progress.add(tables.totals.since(before))
    tables.write(settings.folder, part)
    return tables.totals


def _batches(songs: Iterable[Song], bars_per_batch: int) -> Iterator[list[Song]]:
    """Cut songs into lists that hold at least bars_per_batch bars, but the last."""
    batch: list[Song] = []
    n_bars = 0
    for song in songs:
        batch.append(song)
        n_bars += len(song[1].bars) if isinstance(song[1], Converted) else 0
        if n_bars >= bars_per_batch:
            yield batch
            batch, n_bars = [], 0
    if batch:
        yield batch


def _predicted(batch: list[Song], models: Models) -> Iterator[tuple[Row, Converted | Failure, np.ndarray]]:
    """Encode and predict the bars of all songs together; gives each song's (n, 4), empty for a failure."""
    songs = [outcome for _, outcome in batch if isinstance(outcome, Converted)]
    latents: Iterable[np.ndarray | None] = repeat(None, len(songs))
    if models.encoder and songs:
        latents = [latents for _, latents in models.encoder.encode([song.bars for song in songs])]
    inputs = [HeadInput(song.features, of_song) for song, of_song in zip(songs, latents, strict=True)]
    predictions = iter(models.head.predict(inputs))
    for row, outcome in batch:
        predicted = next(predictions) if isinstance(outcome, Converted) else np.empty((0, 4), np.float32)
        if not np.isfinite(predicted).all():
            outcome = Failure("predict", "not_finite: the model gives no number for some bar")
        yield row, outcome, predicted


def _rows_to_do(source: Source, settings: AnnotationSettings, done: set[int]) -> Iterator[Row]:
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
