"""The songs to annotate, in numbered parts: from the Hub, a local copy, or MIDI files.

A part is so many row groups of the dataset's Parquet files, in their order, whoever reads it and whenever; of a
folder of MIDI files each FILES_PER_GROUP count as a row group. Of a dataset only the columns that are used are asked
for, those of them that its release has: `md5` and `music` (the bytes of a MIDI file), the style tags, title and artist,
and what says how the music was made: the number of tracks, tempo, NOMML (how far onsets are from a metric grid, a
number a track) and the category of the instruments.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
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
from .midi_files import Row, is_midi, midi_files_below, midi_row
from .source_faults import quiet_libraries, tried, tried_items

ROWS_PER_READ = 64  # rows decoded at once
FILES_PER_GROUP = 100  # MIDI files that count as one row group
FOOTER_END = 8  # bytes at the end of a Parquet file: the length of its footer in four, and b"PAR1"


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    identity: what must stay the same for rows to be the same, as setting -> value. columns: the descriptive columns
    there are. n_rows: None if not known. n_groups: row groups. last_group: how many rows of the last one are taken;
    None takes all. group_rows, group_md5s: functions of a row group's number, which raise UserError where it can't be
    read.
    """

    identity: Mapping[str, str | None]
    columns: tuple[str, ...]
    n_rows: int | None
    n_groups: int
    groups_per_part: int
    last_group: int | None
    group_rows: Callable[[int], Generator[Row, None, None]]
    group_md5s: Callable[[int], list[str]]

    @property
    def n_parts(self) -> int:
        """How many parts there are."""
        return -(-self.n_groups // self.groups_per_part)

    def rows(self, part: int) -> Generator[Row, None, None]:
        """The rows of a part. Raises UserError if they can't be read any further."""
        for group in self._groups(part):
            with closing(self.group_rows(group)) as rows:
                yield from islice(rows, self._taken(group))

    def all_rows(self) -> Generator[Row, None, None]:
        """The rows of all parts. Raises UserError if they can't be read any further."""
        for part in range(self.n_parts):
            yield from self.rows(part)

    def md5s(self, part: int) -> list[str]:
        """The md5s of a part's rows, in their order. Raises UserError if they can't be read."""
        return [md5 for group in self._groups(part) for md5 in self.group_md5s(group)[: self._taken(group)]]

    def _groups(self, part: int) -> range:
        return range(part * self.groups_per_part, min((part + 1) * self.groups_per_part, self.n_groups))

    def _taken(self, group: int) -> int | None:
        return self.last_group if group == self.n_groups - 1 else None


def open_source(
    settings: DatasetSettings, groups_per_part: int = 1, most_bytes: int | None = None, patient: bool = False
) -> Source:
    """Find the songs that the settings name.

    most_bytes: a file keeps only so many of its bytes, and one more, which says that it is larger. patient: whether
    opening is tried again, as reading always is: when a run begins, someone is there to be told.

    Raises UserError if there are none: no access, no network, no such configuration, split or path.
    """
    if not settings.config.strip():
        raise UserError(
            "dataset.config: name a configuration, for instance v2.0.0: the Hub would give the first release"
        )
    # Pauses and their limit are those of source_faults.py; the library's own would come on top, unannounced.
    datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
    datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0
    datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 0
    if settings.path is None:
        source = _parquet_source(settings, settings.name, settings.config, most_bytes, patient)
    else:
        path = Path(settings.path).expanduser().resolve()
        if not path.exists():
            raise UserError(f"dataset.path: {settings.path} does not exist")
        if path.is_dir() and next(path.rglob("*.parquet"), None):
            folder, config = _local_dataset(path, settings.config)
            source = _parquet_source(settings, str(folder), config, most_bytes, patient)
        else:
            source = _midi_source(path, settings, most_bytes)
    source = replace(source, groups_per_part=groups_per_part)
    return source if settings.limit is None else _first_rows(source, settings.limit)


def pinned(settings: DatasetSettings) -> DatasetSettings:
    """The settings with the commit that the revision now stands for on the Hub; those of a local copy as they are.

    Raises UserError if the Hub doesn't say.
    """
    if settings.path is not None:
        return settings

    def commit() -> str | None:
        return HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(settings.name, revision=settings.revision).sha

    return replace(settings, revision=tried(commit, replace(settings, retry_seconds=0)))


def _first_rows(source: Source, limit: int) -> Source:
    """The source cut off after so many rows."""
    left = limit
    for group in range(source.n_groups):
        n_rows = len(source.group_md5s(group))
        if n_rows >= left:
            return replace(source, n_rows=limit, n_groups=group + 1, last_group=left)
        left -= n_rows
    return replace(source, n_rows=limit - left)


def _local_dataset(path: Path, config: str) -> tuple[Path, str | None]:
    """The folder to load and the configuration to ask it for; None for Parquet files without configurations."""
    try:
        with quiet_libraries():
            names = datasets.get_dataset_config_names(str(path))
    except Exception:  # not every release that the README lists is here; this one may be
        names = []
    if config in names:
        return path, config
    if next((path / config).glob("**/*.parquet"), None):
        return path / config, None
    if names == ["default"]:
        return path, None
    found = f"it has {', '.join(names)}" if names else "files that its README lists are missing"
    raise UserError(f"dataset.config: {path} has no configuration {config!r}; {found}")


def _parquet_source(
    settings: DatasetSettings, name: str, config: str | None, most_bytes: int | None, patient: bool
) -> Source:
    revision = {} if settings.path else {"revision": settings.revision}
    opening = settings if patient else replace(settings, retry_seconds=0)

    # A row group's columns one after the other: threads of pyarrow that fetch them ahead would go on after a fault, and
    # one that is still at it when the program ends takes it down with an abort.
    one_by_one = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)

    def load(**options: Any) -> datasets.IterableDataset:
        where = {"split": settings.split, "streaming": True, **revision}
        return datasets.load_dataset(name, config, fragment_scan_options=one_by_one, **where, **options)

    there = tried(lambda: load().column_names or [], opening)
    if "music" not in there:
        raise UserError(f"{name}: there is no column 'music' with MIDI files; the columns are {', '.join(there)}")
    files = _data_files(settings, name, config)
    columns = tuple(column for column in names(DESCRIPTIVE) if column in there)
    used = [column for column in there if column in ("md5", "music", *columns)]
    where = partial(_place, files)
    dataset = tried(lambda: load(columns=used, batch_size=ROWS_PER_READ).reshard(), opening, where)
    md5s = cache(lambda: tried(lambda: load(columns=["md5"], batch_size=ROWS_PER_READ).reshard(), settings, where))
    known_splits = dataset.info.splits or {}
    n_rows = known_splits[settings.split].num_examples if settings.split in known_splits else None

    def tables(group: int, groups: datasets.IterableDataset) -> Generator[pa.Table, None, None]:
        def begin() -> Iterator[pa.Table]:
            shard = groups.shard(num_shards=groups.num_shards, index=group, contiguous=True)
            return iter(shard.with_format("arrow").iter(batch_size=ROWS_PER_READ))

        return tried_items(begin, settings, partial(where, group))

    def group_rows(group: int) -> Generator[Row, None, None]:
        number = 0
        for table in tables(group, dataset):
            for values in table.to_pylist():
                yield _row(values, most_bytes, f"row {number} of row group {group}")
                number += 1

    def group_md5s(group: int) -> list[str]:
        if "md5" in there:
            found = [md5 for table in tables(group, md5s()) for md5 in table["md5"].to_pylist()]
            if all(found):
                return found
        return [row.md5 for row in group_rows(group)]

    return Source(
        {**_identity(settings, files), "dataset.config": settings.config, "dataset.split": settings.split},
        columns,
        n_rows or None,
        dataset.num_shards,
        1,
        None,
        group_rows,
        group_md5s,
    )


def _data_files(settings: DatasetSettings, name: str, config: str | None) -> list[Path]:
    """The Parquet files of a local copy's split; none of what is on the Hub."""
    if settings.path is None:
        return []
    with quiet_libraries():
        builder = datasets.load_dataset_builder(name, config)
    return [Path(file) for file in (builder.config.data_files or {}).get(settings.split, [])]


def _identity(settings: DatasetSettings, files: Sequence[Path]) -> dict[str, str | None]:
    """What says that a dataset is the same: its commit on the Hub; of a local copy, which may be moved, its files.

    Of each file name, length and footer, which holds the place, the length and the extremes of all that is in it.
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


def _place(files: Sequence[Path], group: int | None = None) -> str:
    """Where in the dataset something can't be read, as far as that is known: the file, and the row group in it."""
    in_file = group
    for file in files:
        try:
            n_groups = pq.read_metadata(file).num_row_groups
        except (OSError, pa.ArrowException):
            return f", {file.name}"
        if in_file is not None:
            if in_file < n_groups:
                return f", row group {in_file} of {file.name}"
            in_file -= n_groups
    return "" if group is None else f", row group {group}"


def _row(values: dict[str, Any], most_bytes: int | None, place: str) -> Row:
    music = values.pop("music")
    music = music if isinstance(music, bytes) else None
    md5 = values.pop("md5", None) or ("" if music is None else midi_md5(music))
    if music is not None and most_bytes is not None:
        music = music[: most_bytes + 1]
    return Row(str(md5), music, values, "" if md5 else values.get("title") or place)


def _midi_source(path: Path, settings: DatasetSettings, most_bytes: int | None) -> Source:
    files = [file for file in [path] if is_midi(file)] if path.is_file() else midi_files_below(path)
    if not files:
        kind = "is not a MIDI file" if path.is_file() else "holds neither Parquet nor MIDI files"
        raise UserError(f"dataset.path: {path} {kind} ({', '.join(MIDI_SUFFIXES)})")
    root = path if path.is_dir() else path.parent
    listing = "".join(f"{file.relative_to(root).as_posix()}\n{file.stat().st_size}\n" for file in files)

    def group_rows(group: int) -> Generator[Row, None, None]:
        for file in files[group * FILES_PER_GROUP : (group + 1) * FILES_PER_GROUP]:
            yield tried(partial(midi_row, file, file.relative_to(root).as_posix(), most_bytes), settings)

    identity = {"files in dataset.path": midi_md5(listing.encode(errors="surrogateescape"))}
    n_groups = -(-len(files) // FILES_PER_GROUP)
    return Source(
        identity,
        ("title",),
        len(files),
        n_groups,
        1,
        None,
        group_rows,
        lambda group: [row.md5 for row in group_rows(group)],
    )
