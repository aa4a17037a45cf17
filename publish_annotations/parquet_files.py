"""The Parquet files of a split in the Hub's layout, made from its CSV tables.

The tables are streamed side by side, part after part, song after song, bar after bar, in the order of the dataset, so
that memory holds a row group and some blocks of text, however long a part or a split is. A split's files are
bars/train-00000-of-00017.parquet … and songs/train-00000-of-00017.parquet …: those of a number hold the same songs.
Every row group holds whole songs and has a Bloom filter of their md5s, so that a reader who looks for one song can pass
over the others'. The same tables give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from tqdm import tqdm

from pipeline.annotations import BARS, COPIED_COUNT, Column, members, published_songs, table_path
from pipeline.files import file_digest
from pipeline.settings import UserError, first_line

from .annotated_splits import AnnotatedSplit, verify_command
from .card_statistics import Group, Statistics
from .export_settings import DataSettings

# Some 1,600 songs of GigaMIDI make a row group: 8 kB, and one group in a hundred is read for nothing.
_BLOOM = {"md5": {"ndv": 4096, "fpp": 0.01}}
_WRITING = {
    "compression": "zstd",
    "bloom_filter_options": _BLOOM,
    "write_page_index": True,
    "use_content_defined_chunking": True,  # so that the Hub keeps once what two exports have in common
}


def song_groups(split: AnnotatedSplit, most_bars: int) -> Iterator[Group]:
    """The songs of a split in their order, in groups of at most so many bars, but of one song at least.

    Raises UserError if a table isn't what its part's record says, or can't be what 01_annotate.py writes.
    """
    columns = published_songs(split.described)
    bars = _Rows(_read(split, "bars", BARS), schema_of(BARS))
    in_csv = [column for column in columns if column.of_bars is None]
    for songs in _in_groups(_read(split, "songs", in_csv), most_bars):
        try:
            group = _joined(split, songs, bars.take(int(_n_bars(songs).sum())), columns)
        except (ValueError, IndexError) as error:  # pyarrow's errors of what a value can't be are ValueErrors
            raise _wrong(split, f"some of its songs can't be read ({first_line(error)})") from error
        yield group
    if bars.take(1).num_rows:
        raise _wrong(split, "there are more bars than its songs have")


class _Rows:
    """Rows of tables that come one after the other, taken in any portions."""

    def __init__(self, tables: Iterator[pa.Table], schema: pa.Schema):
        self._tables = tables
        self._waiting = schema.empty_table()

    def take(self, n: int) -> pa.Table:
        """The next n rows; fewer where there are no more."""
        pieces, n_rows = [self._waiting], self._waiting.num_rows
        while n_rows < n and (table := next(self._tables, None)) is not None:
            pieces.append(table)
            n_rows += table.num_rows
        rows = pa.concat_tables(pieces)
        self._waiting = rows.slice(n)
        return rows.slice(0, n)


def _in_groups(tables: Iterator[pa.Table], most_bars: int) -> Iterator[pa.Table]:
    """The rows of the songs' tables anew, in groups of at most so many bars, but of one song at least."""
    waiting: list[pa.Table] = []
    for table in tables:
        songs = pa.concat_tables([*waiting, table])
        last = np.cumsum(_n_bars(songs))  # each song's last bar, counted over all songs at hand
        begin = before = 0
        while begin < len(last) and last[-1] - before > most_bars:
            end = max(begin + 1, int(np.searchsorted(last, before + most_bars, side="right")))
            yield songs.slice(begin, end - begin)
            begin, before = end, int(last[end - 1])
        waiting = [songs.slice(begin)]
    for songs in waiting:
        if songs.num_rows:
            yield songs


def _joined(split: AnnotatedSplit, songs: pa.Table, bars: pa.Table, columns: Sequence[Column]) -> Group:
    """The two published tables of some songs: bars as they are, songs with their bars' numbers as lists."""
    n_bars = _n_bars(songs)
    if bars.num_rows != n_bars.sum():
        raise _wrong(split, "there are fewer bars than its songs have")
    song_of_bar = np.repeat(np.arange(len(n_bars)), n_bars)
    if not songs["md5"].take(pa.array(song_of_bar)).combine_chunks().equals(bars["md5"].combine_chunks()):
        raise _wrong(split, "the bars are not those of the songs, song after song")
    if any(column.null_count for column in bars.columns):
        raise _wrong(split, "some cells of its bars are empty")
    offsets = pa.array(np.append(0, np.cumsum(n_bars)), pa.int32())
    arrays = [
        _as_published(songs[column.name].combine_chunks(), column)
        if column.of_bars is None
        else pa.ListArray.from_arrays(offsets, bars[column.of_bars].combine_chunks())
        for column in columns
    ]
    return Group(pa.Table.from_arrays(arrays, schema=schema_of(columns)), bars)


def _read(split: AnnotatedSplit, kind: str, columns: Sequence[Column]) -> Iterator[pa.Table]:
    """The rows of all parts' tables of a kind, a block of text at a time; nothing of one that was changed."""
    types = {column.name: _type_in_csv(column) for column in columns}
    # Only an empty cell means nothing: NA, null and None are names of songs.
    how = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=True
    )
    for record in split.records:
        path = table_path(split.folder, kind, record.part)
        try:
            if file_digest(path) != record.sha256[kind]:
                raise _wrong(split, f"{path.relative_to(split.folder)} was changed since it was written")
            with pa.csv.open_csv(path, convert_options=how) as blocks:
                for block in blocks:
                    yield pa.Table.from_batches([block])
        except (OSError, pa.ArrowException) as error:
            raise _wrong(split, f"{path.relative_to(split.folder)} can't be read ({first_line(error)})") from error


def _wrong(split: AnnotatedSplit, what: str) -> UserError:
    return UserError(f"{split.folder}: {what}; to have it mended: {verify_command(split.folder)}")


def _n_bars(songs: pa.Table) -> np.ndarray:
    return songs["n_bars"].to_numpy().astype(np.int64)


def _as_published(cells: pa.Array, column: Column) -> pa.Array:
    """A column as it was read from CSV, in its published type. Of lists each distinct text is parsed once."""
    kind = arrow_type(column)
    if not column.kind.is_list:
        return cells.cast(kind)
    texts = cells.dictionary_encode()
    of_numbers = pa.types.is_integer(kind.value_type)
    lists = pa.array([_listed(text, of_numbers) for text in texts.dictionary.to_pylist()], kind)
    return lists.take(texts.indices)


def _listed(text: str, numbers: bool) -> list[Any]:
    """What a cell lists. numbers: whole ones; what isn't one is None."""
    if numbers:
        return [
            int(m) if isinstance(m, (int, float)) and m == m // 1 and abs(m) < 2**63 else None for m in members(text)
        ]
    texts = (m if m is None or isinstance(m, str) else json.dumps(m, ensure_ascii=False) for m in members(text))
    return [None if m is None else m.encode(errors="replace").decode() for m in texts]


def arrow_type(column: Column) -> pa.DataType:
    """The type of a published column."""
    item = pa.type_for_alias(column.kind.arrow)
    return pa.list_(item) if column.kind.is_list else item


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The schema of a published table of these columns."""
    return pa.schema([(column.name, arrow_type(column)) for column in columns])


def _type_in_csv(column: Column) -> pa.DataType:
    """The type as which a column is read from CSV: lists as the JSON text that they are there."""
    if column.kind.is_list:
        return pa.string()
    return pa.float64() if column.kind == COPIED_COUNT else arrow_type(column)


@dataclass
class Written:
    """What was written of a split as one kind of table. bytes_in_memory: of its Arrow tables; files: their paths."""

    files: list[Path]
    rows: int = 0
    bytes_in_memory: int = 0


class SplitFiles:
    """The files of a split while they grow, in FOLDER/bars and FOLDER/songs. A block that ends well finishes them."""

    def __init__(self, folder: Path, split: str, bars_per_file: int):
        self.written = {kind: Written([]) for kind in Group._fields}
        self._folder = folder
        self._split = split
        self._most = bars_per_file
        self._bars = 0  # in the files that are open
        self._open: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> SplitFiles:
        return self

    def __exit__(self, error: object, *about: object) -> None:
        if error is None:
            self._finish()
        for writer in self._open.values():
            writer.is_open = (
                False  # else it tries to end its file when it is collected, on a full disk once more in vain
            )

    def write(self, group: Group) -> None:
        """Write a row group of each kind."""
        if self._bars + group.bars.num_rows > self._most:
            self._close_files()
        for kind, table in group._asdict().items():
            written = self.written[kind]
            if kind not in self._open:
                path = self._folder / kind / f"{self._split}-{len(written.files):05d}.parquet"
                path.parent.mkdir(exist_ok=True)
                self._open[kind] = pq.ParquetWriter(path, table.schema, **_WRITING)
                written.files.append(path)
            self._open[kind].write_table(table, row_group_size=table.num_rows)
            written.rows += table.num_rows
            written.bytes_in_memory += table.nbytes
        self._bars += group.bars.num_rows

    def _finish(self) -> None:
        """Close the files and give them names that say how many there are."""
        self._close_files()
        for written in self.written.values():
            n = len(written.files)
            written.files = [path.rename(path.with_stem(f"{path.stem}-of-{n:05d}")) for path in written.files]

    def _close_files(self) -> None:
        for writer in self._open.values():
            writer.close()
        self._open = {}
        self._bars = 0


class PublishedSplit(NamedTuple):
    """A split as it was written. written: of each kind of table."""

    split: AnnotatedSplit
    statistics: Statistics
    written: dict[str, Written]


def publish_split(split: AnnotatedSplit, folder: Path, settings: DataSettings) -> PublishedSplit:
    """Write the files of a split into folder/bars and folder/songs, and count what is in them.

    Raises UserError if its tables aren't what 01_annotate.py wrote.
    """
    statistics = Statistics()
    with (
        SplitFiles(folder, split.name, settings.bars_per_file) as files,
        tqdm(desc=split.name, total=split.totals.songs, unit=" songs", leave=False, disable=None) as bar,
    ):
        for group in song_groups(split, settings.bars_per_row_group):
            try:
                statistics.add(group)
            except ValueError as error:
                raise UserError(f"{split.folder}: {error}; see which: {verify_command(split.folder)}") from error
            files.write(group)
            bar.update(group.songs.num_rows)
    return PublishedSplit(split, statistics, files.written)
