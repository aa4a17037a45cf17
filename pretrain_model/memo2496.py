"""Memo2496: 2,496 songs, rated once a second from their start.

`{valence,arousal}_all_average.csv` are curves in [−1, 1], a row a song: `song_id,sample_0ms,sample_1000ms,…`;
`songs_info_all.csv` maps `song_id` to `file_name`. The set has audio only; the user transcribes it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from pipeline.files import RawData

from .pretrain_settings import SetSettings
from .rated_files import (
    SONG_COLUMNS,
    column_of,
    needed_columns,
    needed_file,
    read_cells,
    set_files,
    song_id,
    song_midi,
    wide_curves,
)
from .rated_set import RatedSet
from .rated_songs import RatedSong, as_kind, prepare_songs

_INFO = "songs_info_all.csv"


def prepare_memo2496(block: SetSettings, folder: Path) -> RatedSet:
    """The songs: curves, or else their means. A MIDI file has the name of the song's `file_name` or its id.

    Raises UserError if the layout isn't Memo2496's or no song has a MIDI file.
    """
    raw, midis = set_files(block, folder), song_midi(block)
    files = (needed_file(block, raw, f"{dimension}_all_average.csv") for dimension in ("valence", "arousal"))
    curves = wide_curves(raw, *files)
    known = _songs_info(raw)
    songs = []
    for song, curve in curves.items():
        stem, artist, title = known.get(song, ("", "", ""))
        midi = midis.of_song((stem, song, f"memo2496_{song}"))
        songs.append(RatedSong(song, midi, as_kind(block, curve), "", artist, title, f"memo2496 {song}"))
    return prepare_songs(block, folder, songs, midis.raw)


def _songs_info(raw: RawData) -> dict[str, tuple[str, str, str]]:
    """What is known of songs: id -> stem of the file's name, artist and title, empty if unknown."""
    if not (names := raw.find(_INFO)):
        return {}
    cells = read_cells(raw, names[0])
    table = needed_columns(raw, names[0], cells, song_id=SONG_COLUMNS, file_name=("filename", "file"))
    for column, usual in {"artist": ("artist", "artistname"), "title": ("title", "trackname", "songname")}.items():
        header = column_of(cells, usual)
        table[column] = "" if header is None else cells[header].str.strip()
    ids, files = table["song_id"].map(song_id), table["file_name"].map(_stem)
    return dict(zip(ids, zip(files, table["artist"], table["title"], strict=True), strict=True))


def _stem(file_name: str) -> str:
    return PurePosixPath(file_name.strip().replace("\\", "/")).stem if file_name.strip() else ""
