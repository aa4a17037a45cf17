"""The MIDI files of songs, from where their annotations say that the music was read, if that is on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files import files_below, midi_md5
from pipeline.progress import progress_bar

from .song_curves import Song

LARGEST_FILE = 8_000_000  # bytes, the default of limits.file_bytes; of larger files nothing is heard
ON_THE_HUB = "its music was streamed from the Hub"
NOT_HERE = "its music is not where it was, or not on this machine"
NOT_FOUND = "its MIDI file is no longer where it was"
UNKNOWN = "the annotations don't say where its music is"
_PARQUET = ".parquet"


def music_of(songs: Sequence[Song], run: Mapping[str, Any]) -> tuple[dict[str, bytes], str]:
    """The bytes of the songs' MIDI files by md5, and a few words on why those that are missing can't be heard.

    run: run.json of the annotations, whose settings.dataset.path is a folder with Parquet files, a folder of MIDI files
    or a MIDI file, as `song_sources` opens it. From a folder of Parquet files the songs are taken by their md5; of MIDI
    files the titles are the paths, and the bytes must have the song's md5.
    """
    dataset = run.get("settings", {}).get("dataset")
    if not isinstance(dataset, dict):
        return {}, UNKNOWN
    if not isinstance(path := dataset.get("path"), str):
        return {}, ON_THE_HUB
    place = Path(path)
    try:
        is_folder = place.is_dir()
        if not is_folder and not place.is_file():
            return {}, NOT_HERE
    except (OSError, ValueError):  # it may not be entered, or no machine could have it
        return {}, NOT_HERE
    parquet = files_below(place, (_PARQUET,)) if is_folder else []
    if parquet:
        return _in_parquet(parquet, [song.md5 for song in songs]), NOT_FOUND
    found = ((song.md5, _in_folder(place if is_folder else place.parent, song)) for song in songs)
    return {md5: music for md5, music in found if music is not None}, NOT_FOUND


def _in_parquet(files: Sequence[Path], md5s: Sequence[str]) -> dict[str, bytes]:
    """The bytes of songs in the columns md5 and music of Parquet files; what can't be read is left out.

    Music is read of the row groups with these songs only: all of a data set's takes minutes.
    """
    found: dict[str, bytes] = {}
    missing = set(md5s)
    for file in progress_bar(files, "looking for the songs' music", "files", after=1):
        if not missing:
            break
        try:
            with pq.ParquetFile(file) as parquet:
                for group in range(parquet.num_row_groups):
                    found |= _in_row_group(parquet, group, missing)
                    missing -= found.keys()
        except (OSError, ValueError, KeyError, pa.ArrowException):  # damaged, or another table that lies in the folder
            continue
    return found


def _in_row_group(parquet: pq.ParquetFile, group: int, md5s: set[str]) -> dict[str, bytes]:
    """The bytes of those of the songs that are in a row group and not too large."""
    names = [str(md5).lower() for md5 in parquet.read_row_group(group, columns=["md5"])["md5"].to_pylist()]
    if md5s.isdisjoint(names):
        return {}
    found = {}
    for md5, music in zip(names, parquet.read_row_group(group, columns=["music"])["music"], strict=True):
        content = music.as_py() if md5 in md5s else None
        content = content.get("bytes") if isinstance(content, dict) else content  # the Hub's form of an audio file
        if isinstance(content, bytes) and len(content) <= LARGEST_FILE:
            found[md5] = content
    return found


def _in_folder(folder: Path, song: Song) -> bytes | None:
    """The bytes of a MIDI file whose path in the folder is the song's title; None if it isn't there or is another."""
    title = PurePosixPath(song.title)
    if not song.title or title.is_absolute() or ".." in title.parts:
        return None
    try:
        file = folder / title
        if not file.is_file():  # a named pipe would be waited for
            return None
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except (OSError, ValueError):
        return None
    return content if len(content) <= LARGEST_FILE and midi_md5(content) == song.md5 else None
