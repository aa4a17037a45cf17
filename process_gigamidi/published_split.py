"""The Parquet files of a split in the Hub's layout, and what was counted while they were written.

A split's files are bars/train-00000-of-00017.parquet … and songs/train-00000-of-00017.parquet …: those of a number
hold the same songs. Every row group holds whole songs and has a Bloom filter of their md5s, so that a reader who looks
for one song can pass over the others'. The same tables give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
from tqdm import tqdm

from pipeline.settings import UserError
from publish_annotations.annotated_splits import AnnotatedSplit, verify_command
from publish_annotations.card_statistics import Statistics
from publish_annotations.export_settings import DataSettings
from publish_annotations.parquet_files import Group, song_groups

# Some 1,600 songs of GigaMIDI make a row group: 8 kB, and one group in a hundred is read for nothing.
_BLOOM = {"md5": {"ndv": 4096, "fpp": 0.01}}
_WRITING = {
    "compression": "zstd",
    "bloom_filter_options": _BLOOM,
    "write_page_index": True,
    "use_content_defined_chunking": True,  # so that the Hub keeps once what two exports have in common
}


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
