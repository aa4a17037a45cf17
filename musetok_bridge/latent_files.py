"""The files of codes and latents of a dataset's bars, part by part.

    run.json                          what made the folder: dataset, encoder, settings
    songs/part-00000.csv              SONG_COLUMNS: a row for each encoded song
    failures/part-00000.csv           FAILURES: a row for each song that could not be encoded, and why
    latents/part-00000.parquet        a row for each bar: md5, bar_number, codes, latent (output.files: parquet)
    latents/NAME.safetensors          a file for each song: bar_number, codes, latents (output.files: safetensors)
    parts/part-00000.json             the record that finishes the part, with the digests of its tables

and the same for every other part. NAME is the path of a MIDI file, or for songs of a dataset part-00000/MD5, for one
that is there before part-00000/MD5-2, and so on. Every file is written under a temporary name and moved to its place,
the record last.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.annotations import FAILURES, TEXT, names, record_path
from pipeline.cells import as_text, as_unicode, cell
from pipeline.files import atomic_write, file_digest, midi_md5, remove_abandoned, write_json, write_tensors
from pipeline.json_files import read_json
from pipeline.records import RecordError
from pipeline.settings import first_line, one_line
from song_sources.song_rows import Row

# file: of the song's codes and latents, below the folder. sha256: of that file; empty for Parquet, which the record has
SONG_COLUMNS = ("md5", "title", "n_bars", "file", "sha256")
_MD5 = re.compile(r"[0-9a-f]{32}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KINDS: dict[str, type[np.floating[Any]]] = {"float32": np.float32, "float16": np.float16}
LONGEST_NAME = 160  # bytes of a title; with its ending, and the writer's while it is written, it stays below 255


class EncodedSong(NamedTuple):
    """A song of n bars. bar_number: (n,). codes: int16 (n, levels). latents: float32 (n, width)."""

    row: Row
    bar_number: np.ndarray
    codes: np.ndarray
    latents: np.ndarray


@dataclass
class Counts:
    """What a part, or several, hold."""

    songs: int = 0
    bars: int = 0
    failures: int = 0

    def add(self, other: Counts) -> None:
        """Add the counts of another."""
        self.songs, self.bars = self.songs + other.songs, self.bars + other.bars
        self.failures += other.failures


@dataclass(frozen=True)
class EncodedPart:
    """The record of a finished part. run: digest of what decides. sha256: of its tables, by their paths."""

    part: int
    run: str
    counts: Counts
    sha256: dict[str, str]


@dataclass(frozen=True)
class FileFormat:
    """How codes and latents are written.

    files, latents: as in the settings. by_title: whether songs are called by the paths of their MIDI files. levels,
    width: of a bar's codes and latent. metadata: of every file, the encoder that made it.
    """

    files: str
    latents: str
    by_title: bool
    levels: int
    width: int
    metadata: Mapping[str, str]

    @property
    def kind(self) -> type[np.floating[Any]] | None:
        """The number format of latents; None if they are not written."""
        return _KINDS.get(self.latents)

    @property
    def bytes_per_bar(self) -> int:
        """What a bar takes on disk, about: its number, codes and latent."""
        return 4 + 2 * self.levels + (np.dtype(self.kind).itemsize * self.width if self.kind else 0)

    def schema(self) -> pa.Schema:
        """The columns of a Parquet file."""
        columns = [("md5", pa.string()), ("bar_number", pa.int32()), ("codes", pa.list_(pa.int16(), self.levels))]
        if self.by_title:
            columns.append(("title", pa.string()))
        if self.kind:
            columns.append(("latent", pa.list_(pa.from_numpy_dtype(self.kind), self.width)))
        return pa.schema(columns, metadata=dict(self.metadata))


def part_paths(part: int, files: str) -> list[str]:
    """The paths of a part's tables below the folder. files: safetensors or parquet."""
    paths = [f"songs/part-{part:05d}.csv", f"failures/part-{part:05d}.csv"]
    return [*paths, f"latents/part-{part:05d}.parquet"] if files == "parquet" else paths


def song_file(row: Row, part: int, by_title: bool, taken: Container[str]) -> str:
    """The path of a song's file below the folder, by its title if that is a MIDI file's path, else by its part and md5.

    A dataset may hold anything as md5: what is none is replaced by that of the bytes. A title that is too long, or that
    a table can't hold as it is, is replaced by the md5. taken: paths of other songs of the part.
    """
    if by_title and as_text(row.name) == row.name and len(PurePath(row.name).name.encode()) <= LONGEST_NAME:
        return f"latents/{row.name}.safetensors"
    md5 = row.md5 if _MD5.fullmatch(row.md5) else midi_md5(row.music or b"")
    suffixes = chain([""], (f"-{n}" for n in count(2)))
    paths = (f"latents/part-{part:05d}/{md5}{suffix}.safetensors" for suffix in suffixes)
    return next(path for path in paths if path not in taken)


class PartFiles:
    """The files of a part, open for writing; `part_files` makes one."""

    def __init__(
        self, folder: Path, part: int, format_: FileFormat, tables: Mapping[str, Any], parquet: pq.ParquetWriter | None
    ):
        self.counts = Counts()
        self._part, self._taken = part, set[str]()
        self._folder, self._format, self._parquet = folder, format_, parquet
        self._part_file = f"latents/part-{part:05d}.parquet"
        self._tables = tables
        self._tables["songs"].writerow(SONG_COLUMNS)
        self._tables["failures"].writerow(names(FAILURES))

    def add(self, songs: Sequence[EncodedSong]) -> None:
        """Write songs that were encoded together; in Parquet they are a row group."""
        for song in songs:
            name, digest = self._part_file, ""
            if not self._parquet:
                name, digest = self._write_song(song)
            row = (
                cell(TEXT, song.row.md5),
                cell(TEXT, song.row.name if self._format.by_title else ""),
                len(song.bar_number),
                cell(TEXT, name),
                digest,
            )
            self._tables["songs"].writerow(row)
            self.counts.add(Counts(songs=1, bars=len(song.bar_number)))
        if self._parquet and songs:
            self._parquet.write_table(self._table(songs))

    def add_failure(self, row: Row, stage: str, reason: str) -> None:
        """Write a row for a song that could not be encoded."""
        reason += f" ({row.name})" if row.name else ""
        self._tables["failures"].writerow([cell(TEXT, text) for text in (row.md5, stage, reason)])
        self.counts.add(Counts(failures=1))

    def _write_song(self, song: EncodedSong) -> tuple[str, str]:
        """Write a song's file; returns its path below the folder and its digest."""
        tensors = {"bar_number": song.bar_number.astype(np.int32), "codes": song.codes}
        if kind := self._format.kind:
            tensors["latents"] = song.latents.astype(kind)
        metadata = {**self._format.metadata, "md5": as_unicode(song.row.md5)}
        for by_title in (self._format.by_title, False):
            name = song_file(song.row, self._part, by_title, self._taken)
            path = self._folder / name
            try:
                write_tensors(path, tensors, metadata)
            except (FileExistsError, IsADirectoryError, NotADirectoryError):
                if not by_title:  # a.mid beside a folder a.mid.safetensors
                    raise
            else:
                break
        on_disk(path)
        self._taken.add(name)
        return name, file_digest(path)

    def _table(self, songs: Sequence[EncodedSong]) -> pa.Table:
        """The bars of songs as rows."""
        sizes = [len(song.bar_number) for song in songs]
        columns = [
            pa.array(np.repeat([as_unicode(song.row.md5) for song in songs], sizes), pa.string()),
            pa.array(np.concatenate([song.bar_number for song in songs]), pa.int32()),
            _lists(np.concatenate([song.codes for song in songs])),
        ]
        if self._format.by_title:
            columns.append(pa.array(np.repeat([as_unicode(song.row.name) for song in songs], sizes), pa.string()))
        if kind := self._format.kind:
            columns.append(_lists(np.concatenate([song.latents for song in songs]).astype(kind)))
        return pa.Table.from_arrays(columns, schema=self._format.schema())


@contextmanager
def part_files(folder: Path, part: int, format_: FileFormat) -> Iterator[PartFiles]:
    """The files of a part to fill, which get their names if the block ends without an error. Raises OSError."""
    with ExitStack() as places:
        temporary = {}
        for path in part_paths(part, format_.files):
            remove_abandoned(folder / path)
            temporary[path] = places.enter_context(atomic_write(folder / path))
        with ExitStack() as opened:
            tables: dict[str, Any] = {}
            parquet = None
            for path, written in temporary.items():
                if path.endswith(".parquet"):
                    parquet = opened.enter_context(pq.ParquetWriter(written, format_.schema(), compression="zstd"))
                else:
                    file = opened.enter_context(written.open("w", encoding="utf-8", errors="replace", newline=""))
                    tables[path.split("/")[0]] = csv.writer(file, lineterminator="\n")
            yield PartFiles(folder, part, format_, tables, parquet)
        for written in temporary.values():
            on_disk(written)


def on_disk(path: Path) -> None:
    """Wait until a file's content is on the disk, so that a crash can't leave a finished part without it."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _lists(values: np.ndarray) -> pa.FixedSizeListArray:
    """Rows of an array as lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def finish_part(folder: Path, part: int, run: str, counts: Counts, files: str) -> EncodedPart:
    """Write and return the record of a part whose files are written. Raises OSError if that fails."""
    remove_abandoned(record_path(folder, part))
    digests = {path: file_digest(folder / path) for path in part_paths(part, files)}
    record = EncodedPart(part, run, counts, digests)
    write_json(record_path(folder, part), asdict(record))
    return record


def read_part(folder: Path, part: int, run: str, files: str) -> EncodedPart:
    """The record of a finished part. Raises RecordError if it is not one that this run would write.

    files: safetensors or parquet.
    """
    path = record_path(folder, part)
    try:
        found = read_json(path)
        record = EncodedPart(found["part"], found["run"], Counts(**found["counts"]), dict(found["sha256"]))
        counts = asdict(record.counts).values()
        if not all(type(count) is int and count >= 0 for count in counts) or (record.part, record.run) != (part, run):
            raise ValueError("it belongs to another run")
        if list(record.sha256) != part_paths(part, files) or not all(map(_SHA256.fullmatch, record.sha256.values())):
            raise ValueError("it lacks the digest of a table")
    except (OSError, KeyError, TypeError, ValueError) as error:
        why = first_line(error) if isinstance(error, ValueError) else "it can't be read"
        raise RecordError(
            f"{path}: not the record of a finished part ({one_line(why, 100)}); remove it and run again"
        ) from None
    return record
