"""One run of 03_encode.py: codes and latents of every bar of a dataset, part by part.

A thread reads rows, processes convert them, a second thread encodes the bars of many songs at a time, and the main
thread writes. A part's files depend on its rows, the encoder and the settings only: no batch mixes songs of two parts.
Parts that are finished are skipped, and several runs share out the parts.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, NamedTuple, Never

from tqdm import tqdm

from pipeline.annotations import RUN_RECORD, finished_parts
from pipeline.files import provenance, remove_abandoned_below
from pipeline.parts import (
    PartClaims,
    begin_or_continue,
    begun_record,
    cannot_write,
    parts_to_do,
    what_is_left,
)
from pipeline.progress import songs_bar
from pipeline.records import RecordError, digest_of
from pipeline.settings import UserError, counted, duration_line, note, say
from song_sources.gigamidi_source import MidiSource, open_source, pinned_as_begun
from song_sources.song_rows import Row, Source

from .bridge_settings import number_of
from .conversion import Converted, Failure, convert_song
from .encoder import BarEncoder, SeenBars
from .encoding_settings import EncodingSettings
from .latent_files import Counts, EncodedSong, FileFormat, finish_part, part_files, read_part
from .worker_processes import Converters, SongsOfPart, batches_of_part, prefetch, tasks_of_part, tasks_of_parts

SCRIPT = "musetok_bridge/03_encode.py"
FORMAT = 1  # of the files
BATCHES_AHEAD = 2
SONGS_TO_MEASURE = 32  # from which disk and time are estimated
BARS_TO_MEASURE = 1_000


class EncodedSongs(NamedTuple):
    """Songs of one part, and those of its rows that failed, with the stage and the reason."""

    part: int
    songs: list[EncodedSong]
    failures: list[tuple[Row, Failure]]
    ends_part: bool


class Encoding:
    """A dataset, an encoder and a folder, as the settings name them. Raises UserError if one can't be used."""

    def __init__(self, settings: EncodingSettings):
        dataset = pinned_as_begun(settings.dataset, lambda: decided_in(settings.folder))
        self.settings = settings = replace(settings, dataset=dataset)
        self.source = open_dataset(settings)
        self.encoder = settings.model.load()
        self.format = file_format(settings, self.source, self.encoder)
        self.decides = what_decides(settings, self.source.identity, self.encoder)
        self.run = digest_of(self.decides)

    def encode(self) -> Counts:
        """Encode the parts that are not finished, and those that other runs leave; returns the counts of the folder."""
        settings, folder, source = self.settings, self.settings.folder, self.source
        begin_or_continue(
            folder,
            self.decides,
            lambda: decided_in(folder),
            lambda: provenance(settings, SCRIPT, decides=self.decides, parts=source.n_parts),
        )
        remove_abandoned_below(folder / "latents")  # of runs that were killed
        done = finished_parts(folder)
        to_do = [part for part in range(source.n_parts) if part not in done]
        say(f"{settings.dataset.title}: {counted(source.n_parts, 'part')}, {len(to_do):,} to do, into {folder}")
        limits = settings.limits
        convert = partial(convert_song, bars=settings.bars, limits=limits, perform=None, needs_pitch=True)
        converters = Converters(convert, number_of(settings.compute.workers), limits.seconds, limits.memory_mb)
        with closing(converters), closing(PartClaims(folder)) as claims:
            if to_do:
                self._say_what_it_takes(converters, to_do)
            parts = parts_to_do(to_do, claims)
            with closing(songs_bar("encoding", source.n_rows, self._n_rows_of(done))) as bar:
                for part, counts in _logged(self._finished(converters, parts, bar), len(to_do)):
                    claims.release(part)
                    if counts.failures and not counts.songs:
                        note(f"part {part:05d}: no song could be encoded; see {folder / 'failures'}")
        totals = Counts()
        for part in range(source.n_parts):
            totals.add(read_part(folder, part, self.run, self.format.files).counts)
        return totals

    def _n_rows_of(self, parts: Iterable[int]) -> int:
        """The number of songs, encoded or not, in finished parts."""
        counts = [read_part(self.settings.folder, part, self.run, self.format.files).counts for part in parts]
        return sum(some.songs + some.failures for some in counts)

    def _finished(
        self, converters: Converters, parts: Iterable[int], progress: tqdm[Never]
    ) -> Generator[tuple[int, Counts], None, None]:
        """Encode parts; yields the number and counts of each when it is finished. progress: counts songs."""
        folder, converted = self.settings.folder, converters.in_order(tasks_of_parts(self.source, parts))
        try:
            with closing(prefetch(self._encoded(converted), BATCHES_AHEAD)) as batches:
                for batch in batches:
                    with part_files(folder, batch.part, self.format) as files:
                        for encoded in batches_of_part(batch, batches):
                            files.add(encoded.songs)
                            for row, failure in encoded.failures:
                                files.add_failure(row, *failure)
                            progress.update(len(encoded.songs) + len(encoded.failures))
                    finish_part(folder, batch.part, self.run, files.counts, self.format.files)
                    yield batch.part, files.counts
        except OSError as error:
            raise cannot_write(folder, error) from error

    def _encoded(self, converted: Generator[SongsOfPart, None, None]) -> Generator[EncodedSongs, None, None]:
        """Encode the bars of songs, in batches of at least bars_per_batch bars or all that a part has left."""
        with closing(converted):
            waiting: list[tuple[Row, Converted]] = []
            failures: list[tuple[Row, Failure]] = []
            seen, n_bars = SeenBars(), 0
            for part, songs, ends_part in converted:
                for row, result in songs:
                    if isinstance(result, Converted):
                        waiting.append((row, result))
                        n_bars += len(result.bars)
                    else:
                        failures.append((row, result))
                if n_bars < self.settings.compute.bars_per_batch and not ends_part:
                    continue
                encoded = self.encoder.encode([song.bars for _, song in waiting], seen)
                found = [
                    EncodedSong(row, song.bars.bar_number, codes, latents)
                    for (row, song), (codes, latents) in zip(waiting, encoded, strict=True)
                ]
                yield EncodedSongs(part, found, failures, ends_part)
                waiting, failures, n_bars = [], [], 0
                if ends_part:
                    seen = SeenBars()

    def _say_what_it_takes(self, converters: Converters, parts: list[int]) -> None:
        """Say how much disk and time the parts will take, from the first songs of the first of them.

        The time is that of encoding: conversion goes on beside it and takes a tenth.
        """
        if self.source.n_rows is not None and self.source.n_rows <= SONGS_TO_MEASURE:
            return
        with closing(self.source.rows(parts[0])) as rows:
            some = list(islice(rows, SONGS_TO_MEASURE))
        with closing(converters.in_order(tasks_of_part(parts[0], some))) as tasks:
            converted = [result for task in tasks for _, result in task.songs if isinstance(result, Converted)]
        bars = [song.bars for song in converted]
        before = [0, *accumulate(map(len, bars))]
        measured = [song for song, n_before in zip(bars, before, strict=False) if n_before < BARS_TO_MEASURE]
        if not bars:
            return
        began = time.monotonic()
        self.encoder.encode(measured)
        encoding, n_encoded = time.monotonic() - began, sum(map(len, measured))
        n_bars = sum(map(len, bars)) / len(some)  # of a song, on average
        n_rows = self.source.n_rows
        n_songs = 1000 if n_rows is None else round(n_rows * len(parts) / self.source.n_parts)
        size = n_songs * n_bars * self.format.bytes_per_bar
        seconds = n_songs * n_bars * encoding / n_encoded
        say(
            f"{'every thousand' if n_rows is None else f'{n_songs:,}'} songs: about {n_songs * n_bars:,.0f} bars, "
            f"{size / 1e6:,.0f} MB on disk and {duration_line(seconds)}, as the first {len(some)} tell"
        )
        free = shutil.disk_usage(self.settings.folder).free
        if n_rows is not None and size > free:
            note(f"{self.settings.folder}: there are only {free / 1e6:,.0f} MB free; output.latents can be less")


def file_format(settings: EncodingSettings, source: Source, encoder: BarEncoder) -> FileFormat:
    """How a run writes its files."""
    by_title = isinstance(source, MidiSource)
    metadata = {"encoder_digest": encoder.digest, "encoder_name": encoder.name, "dtype": encoder.dtype}
    metadata["levels"] = str(encoder.levels)
    return FileFormat(settings.output.files, settings.output.latents, by_title, encoder.levels, encoder.width, metadata)


def open_dataset(settings: EncodingSettings) -> Source:
    """The dataset that the settings name. Raises UserError if it can't be read or is empty."""
    path, folder = settings.dataset.path, settings.folder.resolve()
    if path and settings.output.files == "parquet" and folder.is_relative_to(Path(path).resolve()):
        raise UserError(
            f"output.dir: {settings.folder} is in {path}, where its Parquet would be read as music: move it"
        )
    source = open_source(settings.dataset, settings.output.row_groups_per_part, settings.limits.file_bytes)
    if not source.n_parts or source.n_rows == 0:
        raise UserError(f"{settings.dataset.path or settings.dataset.name}: there are no songs in it")
    return source


def what_decides(settings: EncodingSettings, identity: Mapping[str, str | None], encoder: BarEncoder) -> dict[str, Any]:
    """Everything that a part's files depend on. identity: that of the Source."""
    return {
        "format": FORMAT,
        **identity,
        "dataset.limit": settings.dataset.limit,
        "model.encoder": encoder.digest,
        "model.dtype": encoder.dtype,
        "model.levels": encoder.levels,
        **{f"bars.{name}": value for name, value in asdict(settings.bars).items()},
        **{f"limits.{name}": value for name, value in asdict(settings.limits).items()},
        "compute.bars_per_batch": settings.compute.bars_per_batch,
        **{f"output.{name}": value for name, value in asdict(settings.output).items() if name != "dir"},
    }


def begun_with(folder: Path) -> dict[str, Any] | None:
    """run.json of a folder, with `decides` and `settings`; None if it was not begun.

    Raises RecordError if it is damaged or another's.
    """
    wrong = RecordError(f"output.dir: {folder / RUN_RECORD} is not a record that {SCRIPT} wrote; take another folder")
    record = begun_record(folder, SCRIPT, wrong)
    if record is not None and not isinstance(record.get("settings"), dict):
        raise wrong
    return record


def decided_in(folder: Path) -> dict[str, Any] | None:
    """What decided when a folder was begun; None if it was not. Raises RecordError as begun_with."""
    record = begun_with(folder)
    return record and dict(record["decides"])


def _logged(finished: Iterable[tuple[int, Counts]], n_parts: int) -> Iterator[tuple[int, Counts]]:
    """Finished parts, with a line printed for each. n_parts: those that are to be done."""
    began, n_bars = time.monotonic(), 0
    for n_done, (part, counts) in enumerate(finished, 1):
        n_bars += counts.bars
        seconds = max(time.monotonic() - began, 1e-3)
        line = f"part {part:05d}: {counts_line(counts)}; {n_bars / seconds:,.0f} bars a second"
        say(line + what_is_left(n_parts - n_done, n_done, seconds))
        yield part, counts


def counts_line(counts: Counts) -> str:
    """The numbers of songs, bars and failures, as the end of a sentence."""
    failed = f", {counts.failures:,} failed" if counts.failures else ""
    return f"{counted(counts.songs, 'song')} encoded, {counted(counts.bars, 'bar')}{failed}"
