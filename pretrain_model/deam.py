"""DEAM: 45 s excerpts of songs, and some full songs, rated twice a second (Aljanaki, Yang and Soleymani, 2017).

`annotations averaged per song/dynamic (per second annotations)/{valence,arousal}.csv` are curves in [−1, 1] from 15 s
on, a row a song: `song_id,sample_15000ms,…`. `static_annotations_averaged_songs_*.csv` have a rating of the whole song,
1 to 9: `song_id, valence_mean, valence_std, arousal_mean, arousal_std`. The set has audio only; the user transcribes
it.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.files import RawData

from .pretrain_settings import SetSettings
from .rated_files import (
    SONG_COLUMNS,
    needed_columns,
    needed_file,
    numbers,
    read_cells,
    set_files,
    song_id,
    song_midi,
    wide_curves,
)
from .rated_set import RatedSet
from .rated_songs import RatedSong, as_kind, prepare_songs
from .rating_curves import VALUES

_STATIC = "static_annotations_averaged_songs"
_MIDDLE, _HALF = 5.0, 4.0  # of the scale from 1 to 9


def prepare_deam(block: SetSettings, folder: Path) -> RatedSet:
    """The songs: curves, or else a rating of each whole song, from the static files where they are there.

    Raises UserError if the layout isn't DEAM's or no song has a MIDI file.
    """
    raw, midis = set_files(block, folder), song_midi(block)
    rated = {} if block.rated_as == "curve" else _static(raw)
    if not rated:
        files = (needed_file(block, raw, f"{dimension}.csv") for dimension in ("valence", "arousal"))
        rated = {song: as_kind(block, curve) for song, curve in wide_curves(raw, *files).items()}
    songs = [
        RatedSong(song, midis.of_song((song, f"deam_{song}")), table, recording=f"deam {song}")
        for song, table in rated.items()
    ]
    return prepare_songs(block, folder, songs, midis.raw)


def _static(raw: RawData) -> dict[str, pd.DataFrame]:
    """The ratings of whole songs, VALUES in [−1, 1]: id -> one row, or none if its cells are empty."""
    found = {}
    for name in raw.names:
        path = PurePosixPath(name)
        if not path.name.startswith(_STATIC) or path.suffix != ".csv":
            continue
        cells = read_cells(raw, name)
        columns = needed_columns(
            raw,
            name,
            cells,
            song_id=SONG_COLUMNS,
            valence=("valencemean",),
            arousal=("arousalmean",),
            valence_sd=("valencestd",),
            arousal_sd=("arousalstd",),
        )
        values = columns.drop(columns="song_id").apply(numbers)
        for column in ("valence", "arousal"):
            values[column] = (values[column] - _MIDDLE) / _HALF
            values[f"{column}_sd"] /= _HALF
        values = values.reindex(columns=[*VALUES])
        for row, song in enumerate(columns["song_id"]):
            found[song_id(song)] = values.iloc[[row]].reset_index(drop=True)
    return found
