"""Songs in Parquet files: which columns are used, and how a row of them becomes a Row.

Only columns that are used are read, as far as the release has them: `md5`, `music` (the bytes of a MIDI file, alone or
in a structure that has them as `bytes`, the Hub's form of an audio file), and the descriptive columns of
pipeline/annotations.py. What strangers wrote is checked here, before anything else sees it: texts are decoded with
replacement and cut, and values that don't fit the type of their column are left empty and counted.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.annotations import DESCRIPTIVE, kind_of, names
from pipeline.cells import LONGEST_MD5, UNREADABLE, as_text, fitted, is_missing
from pipeline.files import midi_md5
from pipeline.settings import UserError, one_line

from .dataset_settings import DatasetSettings
from .song_identities import IDENTITY_COLUMNS, SongIdentity, identity_of_row
from .song_rows import Row, Source

ROWS_PER_READ = 64  # rows that are decoded at once
_MUSIC, _BYTES, _MD5 = "music", "bytes", "md5"
_HEX_MD5 = re.compile("[0-9a-fA-F]{32}")
_NAME = re.compile(rf"\w[\w.:/+=-]{{0,{LONGEST_MD5 - 1}}}", re.ASCII)


def check_music(schema: pa.Schema, name: str) -> None:
    """Raise UserError if a dataset's column of music is missing or can't hold bytes. name: of the dataset or file."""
    if schema.names.count(_MUSIC) != 1:
        found, many = one_line(", ".join(schema.names), 500), "more than one" if _MUSIC in schema.names else "no"
        raise UserError(f"{name}: there is {many} column 'music' with MIDI files; the columns are {found}")
    music = schema.field(_MUSIC).type
    if pa.types.is_struct(music):
        index = music.get_field_index(_BYTES)
        music = music.field(index).type if index >= 0 else music
    if pa.types.is_dictionary(music):
        music = music.value_type
    binary = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    if not any(is_binary(music) for is_binary in binary):
        raise UserError(
            f"{name}: its column 'music' holds {one_line(str(music), 60)}, not the bytes of MIDI files: "
            "take another dataset or release, or a folder of MIDI files"
        )


class ParquetSource(Source):
    """Rows of Parquet files. in_dataset: the names of all columns; the other arguments are those of Source."""

    def __init__(
        self,
        settings: DatasetSettings,
        groups_per_part: int,
        max_bytes: int | None,
        identity: dict[str, str | None],
        in_dataset: Sequence[str],
        n_rows: int | None,
        n_groups: int,
    ):
        columns = tuple(column for column in names(DESCRIPTIVE) if column in in_dataset)
        self._has_md5 = _MD5 in in_dataset
        super().__init__(settings, groups_per_part, max_bytes, identity, columns, n_rows, n_groups)

    @abstractmethod
    def tables(self, group: int, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of a row group, some at a time: those of these columns that it has.

        Raises UserError if they can't be read on.
        """

    def group_rows(self, group: int) -> Generator[Row, None, None]:
        """Yield the rows of a row group. Raises UserError if they can't be read on."""
        number = 0
        for table in self.tables(group, [_MUSIC, _MD5, *self.columns]):
            for values in _rows_of(table):
                yield _row(values, self.columns, self._max_bytes, f"row {number} of row group {group}")
                number += 1

    def group_md5s(self, group: int) -> list[str]:
        """The md5s of a row group's rows. Raises UserError if they can't be read."""
        if self._has_md5:
            tables = list(self.tables(group, [_MD5]))
            found = [_md5_text(row[_MD5]) for table in tables if _MD5 in table.column_names for row in _rows_of(table)]
            if all(found) and len(found) == sum(table.num_rows for table in tables):
                return found
        return [row.md5 for row in self.group_rows(group)]

    def group_identities(self, group: int) -> list[SongIdentity]:
        """As for Source. The music is read only if a row has no md5."""
        if self._has_md5:
            n_rows, found = 0, []
            for table in self.tables(group, [_MD5, *IDENTITY_COLUMNS]):
                n_rows += table.num_rows
                found += [identity_of_row(_md5_text(row.get(_MD5)), row) for row in _rows_of(table)]
            if all(identity.md5 for identity in found) and len(found) == n_rows:
                return found
        return [
            identity_of_row(_md5_text(row.get(_MD5)) or _computed_md5(row[_MUSIC]), row)
            for table in self.tables(group, [_MUSIC, _MD5, *IDENTITY_COLUMNS])
            for row in _rows_of(table)
        ]


def _row(values: dict[str, Any], columns: Sequence[str], max_bytes: int | None, position: str) -> Row:
    music = values[_MUSIC] if isinstance(values[_MUSIC], bytes) else None
    written = _md5_text(values.get(_MD5))
    computed = _computed_md5(music)
    given = {column: values.get(column) for column in columns}
    described = {column: fitted(kind_of(column), value) for column, value in given.items()}
    return Row(
        md5=written or computed,
        music=music if music is None or max_bytes is None else music[: max_bytes + 1],
        described=described,
        name="" if written or computed else as_text(described.get("title")) or position,
        has_other_bytes=bool(music is not None and _HEX_MD5.fullmatch(written) and written.lower() != computed),
        n_emptied=sum(described[column] is None and not is_missing(value) for column, value in given.items()),
    )


def _computed_md5(music: Any) -> str:
    """The md5 of the bytes of a file; empty if there are none."""
    return midi_md5(music) if isinstance(music, bytes) else ""


def _md5_text(md5: Any) -> str:
    """An md5 as text; an empty one if there is none, or one that can't be the name of a song."""
    if isinstance(md5, bytes):
        md5 = md5.decode("ascii") if _HEX_MD5.fullmatch(md5.decode("latin-1")) else md5.hex()
    text = as_text(md5).strip()
    return text if _NAME.fullmatch(text) else ""


def _rows_of(table: pa.Table) -> Iterator[dict[str, Any]]:
    """The rows of a table as dictionaries, music as bytes."""
    columns = {name: _values(column) for name, column in zip(table.column_names, table.columns, strict=True)}
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _values(column: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_struct(column.type) and column.type.get_field_index(_BYTES) >= 0:
        column = pc.struct_field(column, _BYTES)
    try:
        return column.to_pylist()
    except (ValueError, OverflowError):  # a text that is not UTF-8, or a date that Python doesn't have
        return [_value(cell) for cell in column]


def _value(cell: pa.Scalar) -> Any:
    """The value of a cell: letters that can't be read are replaced; UNREADABLE if it is nothing that Python has."""
    try:
        return cell.as_py()
    except UnicodeDecodeError:
        if isinstance(cell, pa.DictionaryScalar):
            return _value(cell.value)
        if isinstance(cell, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
            return [_value(member) for member in cell.values]
        if hasattr(cell, "as_buffer"):
            return cell.as_buffer().to_pybytes().decode(errors="replace")
    except (ValueError, OverflowError):
        pass
    return UNREADABLE
