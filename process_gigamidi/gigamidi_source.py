"""The songs to annotate, in numbered parts: from the Hub, a local copy, or MIDI files.

A part is a fixed number of row groups of the dataset's Parquet files, in their order, so it is the same for every
reader; in a folder of MIDI files every FILES_PER_GROUP files count as a row group. Only columns that are used are read,
as far as the release has them: `md5`, `music` (the bytes of a MIDI file), and the descriptive columns of
pipeline/annotations.py, such as style tags, title and artist.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
from huggingface_hub import HfApi

from musetok_bridge.scores import MIDI_SUFFIXES
from pipeline.annotations import DESCRIPTIVE, names
from pipeline.files import midi_md5
from pipeline.settings import UserError

from .annotation_settings import DatasetSettings
from .midi_files import is_midi, midi_files_below, midi_row
from .song_rows import Row, Source
from .source_faults import quiet_libraries, tried, tried_items

ROWS_PER_READ = 64  # rows that are decoded at once
FILES_PER_GROUP = 100  # MIDI files that count as one row group
FOOTER_END = 8  # bytes at the end of a Parquet file: the length of its footer in four, and b"PAR1"


def open_source(
    settings: DatasetSettings, groups_per_part: int = 1, max_bytes: int | None = None, retry_opening: bool = False
) -> Source:
    """Open the dataset that the settings name.

    max_bytes: of a larger file only this many bytes and one more are kept, by which its reader knows that it is too
    large. retry_opening: whether to try again if it can't be opened; reading is always tried again.

    Raises UserError if it can't be opened: no access, no network, no such configuration, split or path.
    """
    if not settings.config.strip():
        raise UserError(
            "dataset.config: name a configuration, for instance v2.0.0: the Hub would give the first release"
        )
    # source_faults.py tries again and says so; the library's own retries would come on top, in silence.
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
    datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 0
    source = _open(settings, groups_per_part, max_bytes, retry_opening)
    if settings.limit is not None:
        source.cut_off(settings.limit)
    return source


def _open(settings: DatasetSettings, groups_per_part: int, max_bytes: int | None, retry_opening: bool) -> Source:
    if settings.path is None:
        return ParquetSource(settings, groups_per_part, max_bytes, settings.name, settings.config, retry_opening)
    path = Path(settings.path).expanduser().resolve()
    if not path.exists():
        raise UserError(f"dataset.path: {settings.path} does not exist")
    if path.is_dir() and next(path.rglob("*.parquet"), None):
        folder, config = _local_dataset(path, settings.config)
        return ParquetSource(settings, groups_per_part, max_bytes, str(folder), config, retry_opening)
    return MidiSource(settings, groups_per_part, max_bytes, path)


def pinned(settings: DatasetSettings) -> DatasetSettings:
    """The settings with the commit that the revision names on the Hub now; for a local copy, the settings unchanged.

    Raises UserError if the Hub doesn't answer.
    """
    if settings.path is not None:
        return settings

    def commit() -> str | None:
        return HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(settings.name, revision=settings.revision).sha

    return replace(settings, revision=tried(commit, replace(settings, retry_seconds=0)))


def _local_dataset(path: Path, config: str) -> tuple[Path, str | None]:
    """The folder to load and its configuration; None for Parquet files without configurations."""
    try:
        with quiet_libraries():
            configs = datasets.get_dataset_config_names(str(path))
    except Exception:  # a release that the README lists may be missing here while this one is not
        configs = []
    if config in configs:
        return path, config
    if next((path / config).glob("**/*.parquet"), None):
        return path / config, None
    if configs == ["default"]:
        return path, None
    found = f"it has {', '.join(configs)}" if configs else "files that its README lists are missing"
    raise UserError(f"dataset.config: {path} has no configuration {config!r}; {found}")


class ParquetSource(Source):
    """Rows of Parquet files: a dataset on the Hub, a local copy of one, or a folder of such files."""

    def __init__(
        self,
        settings: DatasetSettings,
        groups_per_part: int,
        max_bytes: int | None,
        name: str,
        config: str | None,
        retry_opening: bool,
    ):
        """name, config: the arguments of `datasets.load_dataset`. The others are those of `open_source`."""
        self._name, self._config, self._settings = name, config, settings
        opening = settings if retry_opening else replace(settings, retry_seconds=0)
        self._in_dataset = tried(lambda: self._load().column_names or [], opening)
        if "music" not in self._in_dataset:
            found = ", ".join(self._in_dataset)
            raise UserError(f"{name}: there is no column 'music' with MIDI files; the columns are {found}")
        self._files = _data_files(settings, name, config)
        columns = tuple(column for column in names(DESCRIPTIVE) if column in self._in_dataset)
        used = [column for column in self._in_dataset if column in ("md5", "music", *columns)]
        self._dataset = tried(lambda: self._load(columns=used), opening, self._where)
        splits = self._dataset.info.splits or {}
        n_rows = splits[settings.split].num_examples if settings.split in splits else None
        identity = {
            **_identity(settings, self._files),
            "dataset.config": settings.config,
            "dataset.split": settings.split,
        }
        super().__init__(
            settings, groups_per_part, max_bytes, identity, columns, n_rows or None, self._dataset.num_shards
        )

    def group_rows(self, group: int) -> Generator[Row, None, None]:
        """Yield the rows of a row group. Raises UserError if they can't be read on."""
        number = 0
        for table in self._tables(group, self._dataset):
            for values in table.to_pylist():
                yield _row(values, self._max_bytes, f"row {number} of row group {group}")
                number += 1

    def group_md5s(self, group: int) -> list[str]:
        """The md5s of a row group's rows. Raises UserError if they can't be read."""
        if "md5" in self._in_dataset:
            found = [md5 for table in self._tables(group, self._md5s) for md5 in table["md5"].to_pylist()]
            if all(found):
                return found
        return [row.md5 for row in self.group_rows(group)]

    @cached_property
    def _md5s(self) -> datasets.IterableDataset:
        return tried(lambda: self._load(columns=["md5"]), self._settings, self._where)

    def _load(self, columns: list[str] | None = None) -> datasets.IterableDataset:
        """The dataset with only these columns and a shard for each row group; without `columns`, all as it is."""
        # Without pre_buffer: pyarrow's threads that fetch columns ahead go on after a fault, and one that still runs
        # when the program ends aborts it.
        one_by_one = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
        how: dict[str, Any] = {"split": self._settings.split, "streaming": True, "fragment_scan_options": one_by_one}
        if self._settings.path is None:
            how["revision"] = self._settings.revision
        if columns is None:
            return datasets.load_dataset(self._name, self._config, **how)
        how |= {"columns": columns, "batch_size": ROWS_PER_READ}
        return datasets.load_dataset(self._name, self._config, **how).reshard()

    def _tables(self, group: int, groups: datasets.IterableDataset) -> Generator[pa.Table, None, None]:
        def begin() -> Iterator[pa.Table]:
            shard = groups.shard(num_shards=groups.num_shards, index=group, contiguous=True)
            return iter(shard.with_format("arrow").iter(batch_size=ROWS_PER_READ))

        return tried_items(begin, self._settings, partial(self._where, group))

    def _where(self, group: int | None = None) -> str:
        """The place of a fault, as far as it is known: `, row group N of FILE`, `, FILE`, or nothing."""
        in_file = group
        for file in self._files:
            try:
                n_groups = pq.read_metadata(file).num_row_groups
            except (OSError, pa.ArrowException):
                return f", {file.name}"
            if in_file is not None:
                if in_file < n_groups:
                    return f", row group {in_file} of {file.name}"
                in_file -= n_groups
        return "" if group is None else f", row group {group}"


class MidiSource(Source):
    """MIDI files of a folder and all folders below it, or one file; FILES_PER_GROUP of them count as a row group."""

    def __init__(self, settings: DatasetSettings, groups_per_part: int, max_bytes: int | None, path: Path):
        self._midis = [file for file in [path] if is_midi(file)] if path.is_file() else midi_files_below(path)
        if not self._midis:
            kind = "is not a MIDI file" if path.is_file() else "holds neither Parquet nor MIDI files"
            raise UserError(f"dataset.path: {path} {kind} ({', '.join(MIDI_SUFFIXES)})")
        self._root = path if path.is_dir() else path.parent
        listing = "".join(f"{self._title(file)}\n{file.stat().st_size}\n" for file in self._midis)
        identity = {"files in dataset.path": midi_md5(listing.encode(errors="surrogateescape"))}
        n_files = len(self._midis)
        n_groups = -(-n_files // FILES_PER_GROUP)
        super().__init__(settings, groups_per_part, max_bytes, identity, ("title",), n_files, n_groups)

    def group_rows(self, group: int) -> Generator[Row, None, None]:
        """Yield the files of a row group as rows. Raises UserError if one can't be read."""
        for file in self._midis[group * FILES_PER_GROUP : (group + 1) * FILES_PER_GROUP]:
            yield tried(partial(midi_row, file, self._title(file), self._max_bytes), self._settings)

    def group_md5s(self, group: int) -> list[str]:
        """The md5s of a row group's files. Raises UserError if one can't be read."""
        return [row.md5 for row in self.group_rows(group)]

    def _title(self, file: Path) -> str:
        return file.relative_to(self._root).as_posix()


def _data_files(settings: DatasetSettings, name: str, config: str | None) -> list[Path]:
    """The Parquet files of the split in a local copy; an empty list for the Hub."""
    if settings.path is None:
        return []
    with quiet_libraries():
        builder = datasets.load_dataset_builder(name, config)
    return [Path(file) for file in (builder.config.data_files or {}).get(settings.split, [])]


def _identity(settings: DatasetSettings, files: Sequence[Path]) -> dict[str, str | None]:
    """What identifies a dataset: on the Hub its commit; for a local copy, which may be moved, a digest of its files.

    The digest is over the name, length and footer of each file; a footer holds the position, length and extremes of
    everything in the file.
    """
    if settings.path is None:
        return {"dataset.name": settings.name, "dataset.revision": settings.revision}
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - FOOTER_END))
            footer = int.from_bytes(file.read(4), "little") + FOOTER_END
            file.seek(max(0, size - footer))
            digest.update(f"{path.name}\n{size}\n".encode(errors="surrogateescape"))
            digest.update(file.read())
    return {"files in dataset.path": digest.hexdigest()}


def _row(values: dict[str, Any], max_bytes: int | None, position: str) -> Row:
    music = values.pop("music")
    music = music if isinstance(music, bytes) else None
    md5 = values.pop("md5", None) or ("" if music is None else midi_md5(music))
    if music is not None and max_bytes is not None:
        music = music[: max_bytes + 1]
    return Row(str(md5), music, values, "" if md5 else values.get("title") or position)
