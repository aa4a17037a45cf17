"""Memo2496: 2,496 songs, rated once a second from their start.

`{valence,arousal}_all_average.csv` are curves in [−1, 1], a row a song: `song_id,sample_0ms,sample_1000ms,…`;
`songs_info_all.csv` maps `song_id` to `file_name`. The set has audio only; the user transcribes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from pipeline.files import RawData

from .pretrain_settings import SetSettings
from .rated_files import (
    SONG_COLUMNS,
    MidiFiles,
    column_of,
    needed_columns,
    needed_pair,
    read_cells,
    set_files,
    song_id,
    song_midi,
    wide_curves,
)
from .rated_set import RatedSet
from .rated_songs import RatedSong, as_kind, leave_out, prepare_songs

_INFO = "songs_info_all.csv"


def prepare_memo2496(block: SetSettings, folder: Path) -> RatedSet:
    """The songs: curves, or else their means. A MIDI file has the name of the song's `file_name` or its id.

    A file that is one song's by `file_name` is no other's by its id. A song with several rows in a file is left out, as
    are those that have one file: it is not known which is right. Raises UserError if the layout isn't Memo2496's, a
    value is outside its scale, or no song has a MIDI file.
    """
    raw, midis = set_files(block, folder), song_midi(block)
    curves, twice = wide_curves(raw, *needed_pair(block, raw, "_all_average.csv"))
    known, unclear = _songs_info(raw)
    files, shared = _files(midis, {song: known.get(song, ("",))[0] for song in (*curves, *known)})
    songs = []
    left_out = dict.fromkeys([*twice, *(song for song in curves if song in {*unclear, *shared})])
    for song, curve in curves.items():
        if song not in left_out:
            _, artist, title = known.get(song, ("", "", ""))
            songs.append(RatedSong(song, files[song], as_kind(block, curve), "", artist, title, f"memo2496 {song}"))
    return leave_out(prepare_songs(block, folder, songs, midis.raw), left_out, "listed_twice")


def _files(midis: MidiFiles, stems: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """The MIDI file of each song, empty if it has none, and the songs that have one together with others.

    stems: id -> what its file is called, empty if unknown.
    """
    named = {song: midis.of_song((stem,)) for song, stem in stems.items()}
    claims = Counter(named.values())
    files = {}
    for song, file in named.items():
        by_id = (midis.of_song((stem,)) for stem in (song, f"memo2496_{song}") if not file)
        files[song] = file or next((other for other in by_id if other and other not in claims), "")
    return files, [song for song, file in named.items() if file and claims[file] > 1]


def _songs_info(raw: RawData) -> tuple[dict[str, tuple[str, str, str]], list[str]]:
    """What is known of songs: id -> stem of the file's name, artist and title, empty if unknown.

    With the ids of which rows say different things.
    """
    if not (names := raw.find(_INFO)):
        return {}, []
    cells = read_cells(raw, names[0])
    table = needed_columns(raw, names[0], cells, song_id=SONG_COLUMNS, file_name=("filename", "file"))
    for column, usual in {"artist": ("artist", "artistname"), "title": ("title", "trackname", "songname")}.items():
        header = column_of(cells, usual, f"{raw.path}: {names[0]}")
        table[column] = "" if header is None else cells[header].str.strip()
    table["song_id"], table["file_name"] = table["song_id"].map(song_id), table["file_name"].map(_stem)
    table = table.drop_duplicates()
    known = {str(song): (str(file), str(artist), str(title)) for song, file, artist, title in table.to_numpy()}
    return known, [*table.loc[table["song_id"].duplicated(), "song_id"].unique()]


def _stem(file_name: str) -> str:
    return PurePosixPath(file_name.strip().replace("\\", "/")).stem if file_name.strip() else ""
