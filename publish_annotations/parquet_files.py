"""From the CSV tables of a split to Arrow tables of whole songs, a row group of each kind at a time.

Part after part, song after song, bar after bar, in the order of the dataset. The tables are streamed side by side, so
that memory holds a group and some blocks of text, however long a part or a split is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.files import file_digest
from pipeline.settings import UserError, first_line
from process_gigamidi.part_files import table_path

from .annotated_splits import AnnotatedSplit, verify_command
from .published_columns import BARS, Column, schema_of, songs_columns, type_in_csv


class Group(NamedTuple):
    """Some songs and all of their bars, as the two published tables."""

    songs: pa.Table
    bars: pa.Table


def song_groups(split: AnnotatedSplit, most_bars: int) -> Iterator[Group]:
    """The songs of a split in their order, in groups of at most so many bars, but of one song at least.

    Raises UserError if a table isn't what its part's record says, or can't be what 01_annotate.py writes.
    """
    columns = songs_columns(split.described)
    bars = _Rows(_read(split, "bars", BARS), schema_of(BARS))
    in_csv = [column for column in columns if column.over_bars is None]
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
        if column.over_bars is None
        else pa.ListArray.from_arrays(offsets, bars[column.over_bars].combine_chunks())
        for column in columns
    ]
    return Group(pa.Table.from_arrays(arrays, schema=schema_of(columns)), bars)


def _read(split: AnnotatedSplit, kind: str, columns: Sequence[Column]) -> Iterator[pa.Table]:
    """The rows of all parts' tables of a kind, a block of text at a time; nothing of one that was changed."""
    types = {column.name: type_in_csv(column) for column in columns}
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
    if not pa.types.is_list(column.type):
        return cells.cast(column.type)
    texts = cells.dictionary_encode()
    item = column.type.value_type
    lists = pa.array([_members(text, pa.types.is_integer(item)) for text in texts.dictionary.to_pylist()], column.type)
    return lists.take(texts.indices)


def _members(text: str, numbers: bool) -> list[Any]:
    """What a cell lists: a JSON list's members, or the text itself. numbers: whole ones; what isn't one is None."""
    members: Any = None
    if text.lstrip().startswith("["):
        try:
            members = json.loads(text)
        except (ValueError, RecursionError):  # a style that happens to begin with a bracket
            members = None
    members = members if isinstance(members, list) else [text]
    if numbers:
        return [int(m) if isinstance(m, (int, float)) and m == m // 1 and abs(m) < 2**63 else None for m in members]
    texts = (m if m is None or isinstance(m, str) else json.dumps(m, ensure_ascii=False) for m in members)
    return [None if m is None else m.encode(errors="replace").decode() for m in texts]
