"""DEAM: 45 s excerpts of songs, and some full songs, rated twice a second (Aljanaki, Yang and Soleymani, 2017).

`annotations averaged per song/dynamic (per second annotations)/{valence,arousal}.csv` are curves in [−1, 1] from 15 s
on, a row a song: `song_id,sample_15000ms,…`. `static_annotations_averaged_songs_*.csv` have a rating of the whole song,
1 to 9: `song_id, valence_mean, valence_std, arousal_mean, arousal_std`. The set has audio only; the user transcribes
it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.settings import UserError

from .pretrain_settings import SetSettings
from .rated_files import (
    SONG_COLUMNS,
    check_scale,
    needed_columns,
    needed_pair,
    numbers,
    read_cells,
    set_files,
    song_id,
    song_midi,
    wide_curves,
)
from .rated_set import RatedSet
from .rated_songs import RatedSong, as_kind, leave_out, prepare_songs
from .rating_curves import VALUES

_STATIC = "static_annotations_averaged_songs"
_MIDDLE, _HALF = 5.0, 4.0  # of the scale from 1 to 9


def prepare_deam(block: SetSettings, folder: Path) -> RatedSet:
    """The songs: curves, or else a rating of each whole song, from the static files where they are there.

    A song with several rows in a file is left out: it is not known which is right. Raises UserError if the layout
    isn't DEAM's, a value is outside its scale, or no song has a MIDI file.
    """
    raw, midis = set_files(block, folder), song_midi(block)
    rated, twice = ({}, []) if block.rated_as == "curve" else _static(raw)
    if not rated:
        curves, twice = wide_curves(raw, *needed_pair(block, raw, ".csv"))
        rated = {song: as_kind(block, curve) for song, curve in curves.items()}
    songs = [
        RatedSong(song, midis.of_song((song, f"deam_{song}")), table, recording=f"deam {song}")
        for song, table in rated.items()
    ]
    return leave_out(prepare_songs(block, folder, songs, midis.raw), twice, "listed_twice")


def _static(raw: RawData) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The ratings of whole songs, VALUES in [−1, 1]: id -> one row, or none if its cells are empty.

    With the ids of several rows, which are not among them.
    """
    found: dict[str, pd.DataFrame] = {}
    twice: list[str] = []
    files: dict[str, str] = {}
    for name in raw.names:
        path = PurePosixPath(name)
        if not path.name.startswith(_STATIC) or path.suffix != ".csv":
            continue
        if path.name in files:
            raise UserError(f"{raw.path}: {files[path.name]} and {name} have one name; remove one of the copies")
        files[path.name] = name
        table = _whole_songs(raw, name)
        values = table.reindex(columns=[*VALUES])
        for row, song in enumerate(table["song_id"]):
            if song in found:
                twice.append(song)
            found[song] = values.iloc[[row]].reset_index(drop=True)
    for song in dict.fromkeys(twice):
        del found[song]
    return found, [*dict.fromkeys(twice)]


def _whole_songs(raw: RawData, name: str) -> pd.DataFrame:
    """A static file's rows: song_id, means in [−1, 1] and standard deviations on that scale."""
    cells = needed_columns(
        raw,
        name,
        read_cells(raw, name),
        song_id=SONG_COLUMNS,
        valence=("valencemean",),
        arousal=("arousalmean",),
        valence_sd=("valencestd",),
        arousal_sd=("arousalstd",),
    )
    where = f"{raw.path}: {name}"
    songs = cells["song_id"].map(song_id)
    table = cells.drop(columns="song_id").apply(numbers, where=where)
    for column in DIMENSIONS:
        check_scale(where, songs, table[column], _MIDDLE - _HALF, _MIDDLE + _HALF)
        table[column] = (table[column] - _MIDDLE) / _HALF
        table[f"{column}_sd"] /= _HALF
    return table.assign(song_id=songs)[songs != ""]
