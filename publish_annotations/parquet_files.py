"""The Parquet files of a split in the Hub's layout, made from its CSV tables.

The tables of bars and of songs are streamed together in the order of the dataset, so that memory holds a row group and
some blocks of text, however long a part or a split is. A split's files are bars/train-00000-of-00017.parquet … and
songs/train-00000-of-00017.parquet …; two files of the same number hold the same songs. Every row group holds whole
songs and has a Bloom filter of their md5s, so that a reader who looks for one song can skip the other row groups. The
same tables make the same files, byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from pipeline.annotations import (
    BARS,
    DESCRIPTIVE,
    DIMENSIONS,
    PUBLISHED_BARS,
    TEXT,
    Column,
    published_songs,
    table_path,
)
from pipeline.cells import GUARDED, members
from pipeline.files import file_digest
from pipeline.progress import counting_bar
from pipeline.settings import UserError, first_line

from .annotated_splits import AnnotatedSplit, verify_command
from .bar_statistics import Ranks, RowGroup, Statistics, count_values
from .export_settings import DataSettings

# A row group is about 1,600 songs of GigaMIDI. The filter takes 8 kB, and one group in a hundred is read in vain.
_BLOOM = {"md5": {"ndv": 4096, "fpp": 0.01}}
_WRITING = {
    "compression": "zstd",
    "bloom_filter_options": _BLOOM,
    "write_page_index": True,
    "use_content_defined_chunking": True,  # so that the Hub stores only once what two exports have in common
}


def ranks_over(splits: Sequence[AnnotatedSplit]) -> Ranks:
    """The ranks of bars among those of all splits. Raises UserError as `row_groups` does."""
    counts = np.zeros((2, 1), np.int64)
    rated = [column for column in BARS if column.name in DIMENSIONS]
    n_bars = sum(split.totals.bars for split in splits)
    with counting_bar("ranking", "bars", n_bars) as bar:
        for split in splits:
            for bars in _read(split, "bars", rated):
                counts = counts + count_values(bars)
                bar.update(bars.num_rows)
    return Ranks(counts)


def row_groups(split: AnnotatedSplit, most_bars: int, ranks: Ranks) -> Iterator[RowGroup]:
    """The songs of a split in order, in groups of at most `most_bars` bars; a longer song is a group of its own.

    ranks: over the bars of all splits. Raises UserError if a table differs from its part's record, or isn't as
    01_annotate.py writes it.
    """
    columns = published_songs(split.described)
    bars = _Rows(_read(split, "bars", BARS), schema_of(BARS))
    in_csv = [column for column in columns if column.listed_column is None]
    for songs in _grouped(_read(split, "songs", in_csv), most_bars):
        try:
            group = _joined_group(split, songs, _ranked(bars.take(int(_n_bars(songs).sum())), ranks), columns)
        except (ValueError, IndexError) as error:  # pyarrow's errors about invalid values are ValueErrors
            raise _invalid(split, f"some of its songs can't be read ({first_line(error)})") from error
        yield group
    if bars.take(1).num_rows:
        raise _invalid(split, "it has more bars than the n_bars of its songs add up to")


class _Rows:
    """The rows of successive tables, taken in portions of any size."""

    def __init__(self, tables: Iterator[pa.Table], schema: pa.Schema):
        self._tables = tables
        self._waiting = schema.empty_table()

    def take(self, n: int) -> pa.Table:
        """The next n rows, or all that are left if they are fewer."""
        pieces, n_rows = [self._waiting], self._waiting.num_rows
        while n_rows < n and (table := next(self._tables, None)) is not None:
            pieces.append(table)
            n_rows += table.num_rows
        rows = pa.concat_tables(pieces)
        self._waiting = rows.slice(n)
        return rows.slice(0, n)


def _ranked(bars: pa.Table, ranks: Ranks) -> pa.Table:
    """Bars with their ranks, as they are published."""
    return pa.Table.from_arrays([*bars.columns, *map(pa.array, ranks.of(bars))], schema=schema_of(PUBLISHED_BARS))


def _grouped(tables: Iterator[pa.Table], most_bars: int) -> Iterator[pa.Table]:
    """The rows of tables of songs, in groups of at most `most_bars` bars; a longer song is a group of its own."""
    waiting: list[pa.Table] = []
    for table in tables:
        songs = pa.concat_tables([*waiting, table])
        last = np.cumsum(_n_bars(songs))  # each song's last bar, counted over all songs in memory
        begin = before = 0
        while begin < len(last) and last[-1] - before > most_bars:
            end = max(begin + 1, int(np.searchsorted(last, before + most_bars, side="right")))
            yield songs.slice(begin, end - begin)
            begin, before = end, int(last[end - 1])
        waiting = [songs.slice(begin)]
    for songs in waiting:
        if songs.num_rows:
            yield songs


def _joined_group(split: AnnotatedSplit, songs: pa.Table, bars: pa.Table, columns: Sequence[Column]) -> RowGroup:
    """A row group of both published tables: bars as they are, and songs with the columns of their bars as lists."""
    n_bars = _n_bars(songs)
    if bars.num_rows != n_bars.sum():
        raise _invalid(split, "it has fewer bars than the n_bars of its songs add up to")
    song_of_bar = np.repeat(np.arange(len(n_bars)), n_bars)
    if not songs["md5"].take(pa.array(song_of_bar)).combine_chunks().equals(bars["md5"].combine_chunks()):
        raise _invalid(split, "its bars are not those of its songs, in the same order")
    if any(column.null_count for column in bars.columns):
        raise _invalid(split, "some cells of its bars are empty")
    offsets = pa.array(np.append(0, np.cumsum(n_bars)), pa.int32())
    arrays = [
        _as_published(songs[column.name].combine_chunks(), column)
        if column.listed_column is None
        else pa.ListArray.from_arrays(offsets, bars[column.listed_column].combine_chunks())
        for column in columns
    ]
    return RowGroup(pa.Table.from_arrays(arrays, schema=schema_of(columns)), bars)


def _read(split: AnnotatedSplit, table: str, columns: Sequence[Column]) -> Iterator[pa.Table]:
    """The rows of all parts of a table, one block of text at a time.

    Raises UserError, before any of its rows, for a table that was changed since it was written.
    """
    types = {column.name: _type_in_csv(column) for column in columns}
    # Only an empty cell is null: NA, null and None are names of songs.
    options = pa.csv.ConvertOptions(
        column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=True
    )
    for record in split.records:
        path = table_path(split.folder, table, record.part)
        bars_left = record.totals.bars
        try:
            if not path.is_file():
                raise _invalid(split, f"{path.relative_to(split.folder)} is missing")
            if file_digest(path) != record.sha256[table]:
                raise _invalid(split, f"{path.relative_to(split.folder)} was changed since it was written")
            with pa.csv.open_csv(path, convert_options=options) as blocks:
                for block in blocks:
                    rows = _without_guards(pa.Table.from_batches([block]), columns)
                    _check_numbers(rows, columns)
                    if table == "songs":  # before anything is made of the size that n_bars claims
                        bars_left -= pc.sum(rows["n_bars"]).as_py() or 0
                        if bars_left < 0:
                            raise ValueError("its songs have more bars than the part's record says")
                    yield rows
        except (OSError, ValueError, pa.ArrowException) as error:
            raise _invalid(split, f"{path.relative_to(split.folder)} can't be read ({first_line(error)})") from error


def _check_numbers(rows: pa.Table, columns: Sequence[Column]) -> None:
    """Raise ValueError if a number is out of its column's range; cells of the source's columns may be empty."""
    for column in columns:
        cells = rows[column.name]
        if (pa.types.is_integer(cells.type) or pa.types.is_floating(cells.type)) and len(cells):
            values = cells.drop_null().to_numpy() if column in DESCRIPTIVE else cells.to_numpy()
            if not column.holds(values).all():
                raise ValueError(f"a cell of {column.name} is out of its range")


def _without_guards(rows: pa.Table, columns: Sequence[Column]) -> pa.Table:
    """The rows, texts without the apostrophe that guards them from spreadsheets."""
    for i, column in enumerate(columns):
        if column.kind == TEXT and column in DESCRIPTIVE:
            rows = rows.set_column(i, column.name, pc.replace_substring_regex(rows[column.name], GUARDED, r"\1"))
    return rows


def _invalid(split: AnnotatedSplit, problem: str) -> UserError:
    return UserError(f"{split.folder}: {problem}; see what is wrong: {verify_command(split.folder)}")


def _n_bars(songs: pa.Table) -> np.ndarray:
    return songs["n_bars"].to_numpy().astype(np.int64)


def _as_published(cells: pa.Array, column: Column) -> pa.Array:
    """A column that was read from CSV, in its published type. Each distinct text of a list is parsed once."""
    as_type = arrow_type(column)
    if not column.kind.is_list:
        return cells.cast(as_type)
    texts = cells.dictionary_encode()
    whole_numbers = pa.types.is_integer(as_type.value_type)
    lists = pa.array([_list_members(text, whole_numbers) for text in texts.dictionary.to_pylist()], as_type)
    return lists.take(texts.indices)


def _list_members(text: str, whole_numbers: bool) -> list[Any]:
    """The members of a cell that holds a list, either whole numbers (anything else becomes None) or texts."""
    if whole_numbers:
        return [
            int(m) if isinstance(m, (int, float)) and m == m // 1 and abs(m) < 2**63 else None for m in members(text)
        ]
    texts = (m if m is None or isinstance(m, str) else json.dumps(m, ensure_ascii=False) for m in members(text))
    return [None if m is None else m.encode(errors="replace").decode() for m in texts]


def arrow_type(column: Column) -> pa.DataType:
    """The Arrow type of a published column."""
    item = pa.type_for_alias(column.kind.arrow)
    return pa.list_(item) if column.kind.is_list else item


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The schema of a published table of these columns."""
    return pa.schema([(column.name, arrow_type(column)) for column in columns])


def _type_in_csv(column: Column) -> pa.DataType:
    """The Arrow type in which a column is read from CSV, where a list is JSON text."""
    return pa.string() if column.kind.is_list else arrow_type(column)


@dataclass
class Written:
    """What was written of a split for one kind of table. bytes_in_memory: size of its Arrow tables."""

    files: list[Path]
    rows: int = 0
    bytes_in_memory: int = 0


class SplitFiles:
    """Writes the files of a split to FOLDER/bars and FOLDER/songs; a block that ends without an error finishes them."""

    def __init__(self, folder: Path, split: str, bars_per_file: int):
        self.written = {kind: Written([]) for kind in RowGroup._fields}
        self._folder = folder
        self._split = split
        self._most = bars_per_file
        self._bars = 0  # in the open files
        self._open: dict[str, pq.ParquetWriter] = {}

    def __enter__(self) -> SplitFiles:
        return self

    def __exit__(self, error: object, *about: object) -> None:
        if error is None:
            self._finish()
        for writer in self._open.values():
            writer.is_open = False  # or garbage collection would try to end the file, which fails on a full disk

    def write(self, group: RowGroup) -> None:
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
        """Close the files and rename them, since their names include the number of files."""
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
    """A split as it was written. written: by kind of table, bars and songs."""

    split: AnnotatedSplit
    statistics: Statistics
    written: dict[str, Written]


def publish_split(split: AnnotatedSplit, folder: Path, settings: DataSettings, ranks: Ranks) -> PublishedSplit:
    """Write the files of a split into folder/bars and folder/songs, and compute its statistics.

    ranks: over the bars of all splits. Raises UserError if its tables are not as 01_annotate.py wrote them.
    """
    statistics = Statistics()
    with (
        SplitFiles(folder, split.name, settings.bars_per_file) as files,
        counting_bar(f"writing {split.name}", "songs", split.totals.songs) as bar,
    ):
        for group in row_groups(split, settings.bars_per_row_group, ranks):
            statistics.add(group)
            files.write(group)
            bar.update(group.songs.num_rows)
    return PublishedSplit(split, statistics, files.written)
