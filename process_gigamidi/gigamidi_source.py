"""The songs to annotate, as numbered rows in the dataset's order: from the Hub, a local copy, or MIDI files.

Of a dataset only the columns that are used are asked for, those of them that its release has: `md5` and `music` (the
bytes of a MIDI file), the style tags, title and artist. A MIDI file's md5 is that of its bytes, its title its path
within the folder.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from musetok_bridge.provenance import midi_md5
from musetok_bridge.scores import MIDI_SUFFIXES
from musetok_bridge.settings import UserError

from .annotation_settings import DatasetSettings
from .dataset_errors import as_user_error, quiet_libraries

STYLE_COLUMNS = (
    "music_styles_curated",
    "music_style_scraped",
    "music_style_audio_text_Discogs",
    "music_style_audio_text_Lastfm",
    "music_style_audio_text_Tagtraum",
)
DESCRIPTIVE_COLUMNS = (*STYLE_COLUMNS, "title", "artist")
ROWS_PER_READ = 64  # rows decoded at once


@dataclass(frozen=True)
class Row:
    """One song. number: its place in the dataset, from 0. music: None where there is nothing to read.

    file: its path within a folder of MIDI files, empty elsewhere.
    """

    number: int
    md5: str
    music: bytes | None
    described: Mapping[str, Any]
    file: str = ""


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    identity: what must stay the same for rows to be the same, as setting -> value. columns: the descriptive columns
    there are. n_rows: None if not known. rows: a function of a row's number that gives all rows from there on, and
    raises UserError if they can't be read any further.
    """

    identity: Mapping[str, str | None]
    columns: tuple[str, ...]
    n_rows: int | None
    rows: Callable[[int], Generator[Row, None, None]]


def open_source(settings: DatasetSettings, most_bytes: int | None = None) -> Source:
    """Find the songs that the settings name.

    most_bytes: a file keeps only so many of its bytes, and one more, which says that it is larger.

    Raises UserError if there are none: no access, no network, no such configuration, split or path.
    """
    if not settings.config.strip():
        raise UserError(
            "dataset.config: name a configuration, for instance v2.0.0: the Hub would give the first release"
        )
    if settings.path is None:
        revision = {"revision": settings.revision} if settings.revision else {}
        identity = {"dataset.name": settings.name, "dataset.revision": settings.revision}
        return _parquet_source(settings, settings.name, settings.config, identity, most_bytes, **revision)
    path = Path(settings.path).expanduser().resolve()
    if not path.exists():
        raise UserError(f"dataset.path: {settings.path} does not exist")
    if path.is_dir() and next(path.rglob("*.parquet"), None):
        folder, config = _local_dataset(path, settings.config)
        return _parquet_source(settings, str(folder), config, {"dataset.path": str(path)}, most_bytes)
    return _midi_source(path, most_bytes)


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
    settings: DatasetSettings,
    name: str,
    config: str | None,
    identity: Mapping[str, str | None],
    most_bytes: int | None,
    **revision: str,
) -> Source:
    def load(**options: Any) -> datasets.IterableDataset:
        try:
            with quiet_libraries():
                return datasets.load_dataset(name, config, split=settings.split, streaming=True, **revision, **options)
        except Exception as error:  # whatever libraries below raise, all of it is about this dataset
            raise as_user_error(error, settings) from error

    there = load().column_names or []
    if "music" not in there:
        raise UserError(f"{name}: there is no column 'music' with MIDI files; the columns are {', '.join(there)}")
    columns = tuple(column for column in DESCRIPTIVE_COLUMNS if column in there)
    dataset = load(columns=[column for column in there if column in ("md5", "music", *columns)])
    known_splits = dataset.info.splits or {}
    n_rows = known_splits[settings.split].num_examples if settings.split in known_splits else None

    def rows(start: int) -> Generator[Row, None, None]:
        tables = iter(dataset.skip(start).with_format("arrow").iter(batch_size=ROWS_PER_READ))
        number = start
        while True:
            try:
                table = next(tables, None)
            except Exception as error:  # as above; and nothing else runs in here
                raise as_user_error(error, settings) from error
            if table is None:
                return
            for values in table.to_pylist():
                yield _row(number, values, most_bytes)
                number += 1

    named = {**identity, "dataset.config": settings.config, "dataset.split": settings.split}
    return Source(named, columns, n_rows or None, rows)


def _row(number: int, values: dict[str, Any], most_bytes: int | None) -> Row:
    music = values.pop("music")
    music = music if isinstance(music, bytes) else None
    md5 = values.pop("md5", None) or ("" if music is None else midi_md5(music))
    if music is not None and most_bytes is not None:
        music = music[: most_bytes + 1]
    return Row(number, str(md5), music, values)


def _midi_source(path: Path, most_bytes: int | None) -> Source:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    files = [file for file in files if file.suffix.lower() in MIDI_SUFFIXES]
    if not files:
        kind = "is not a MIDI file" if path.is_file() else "holds neither Parquet nor MIDI files"
        raise UserError(f"dataset.path: {path} {kind} ({', '.join(MIDI_SUFFIXES)})")
    root = path if path.is_dir() else path.parent
    listing = "".join(f"{file.relative_to(root).as_posix()}\n{file.stat().st_size}\n" for file in files)
    identity = {"dataset.path": str(path), "files in dataset.path": midi_md5(listing.encode(errors="surrogateescape"))}

    def rows(start: int) -> Generator[Row, None, None]:
        for number, file in enumerate(files[start:], start):
            try:
                with file.open("rb") as opened:
                    music = opened.read(-1 if most_bytes is None else most_bytes + 1)
                    opened.seek(0)
                    md5 = hashlib.file_digest(opened, "md5").hexdigest()
            except OSError:
                music, md5 = None, ""
            name = file.relative_to(root).as_posix()
            yield Row(number, md5, music, {"title": name}, name)

    return Source(identity, ("title",), len(files), rows)
