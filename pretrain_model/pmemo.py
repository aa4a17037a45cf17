"""PMEmo: choruses of pop songs, rated twice a second from 15 s on, and as a whole (Zhang et al., ICMR 2018).

`dynamic_annotations.csv` has a row a moment, `musicId,frameTime,Arousal(mean),Valence(mean)`,
`static_annotations.csv` a row a song, all in [0, 1]; `*_annotations_std.csv`, where they are there, the raters'
standard deviations. `metadata.csv` may tell artist and title. The set has audio only; the user transcribes it.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData

from .pretrain_settings import SetSettings
from .rated_files import (
    SONG_COLUMNS,
    check_scale,
    column_of,
    needed_columns,
    needed_file,
    numbers,
    read_cells,
    set_files,
    song_id,
    song_midi,
)
from .rated_set import RatedSet
from .rated_songs import RatedSong, as_kind, leave_out, prepare_songs
from .rating_curves import VALUES

_TIME = ("frametime", "time", "seconds")


def prepare_pmemo(block: SetSettings, folder: Path) -> RatedSet:
    """The choruses: curves, or else a rating of each whole chorus, from the static file where it is there.

    A chorus with several rows in the static file is left out: it is not known which is right. Raises
    UserError if the layout isn't PMEmo's, a value is outside its scale, or no song has a MIDI file.
    """
    raw, midis = set_files(block, folder), song_midi(block)
    static = block.rated_as != "curve" and raw.find("static_annotations.csv")
    if static:
        rated, twice = _read(raw, static[0])
    else:
        dynamic, twice = _read(raw, needed_file(block, raw, "dynamic_annotations.csv"), timed=True)
        rated = {song: as_kind(block, curve) for song, curve in dynamic.items()}
    known = _metadata(raw)
    songs = []
    for song, table in rated.items():
        artist, title = known.get(song, ("", ""))
        midi = midis.of_song((song, f"pmemo_{song}"))
        songs.append(RatedSong(song, midi, table, "", artist, title, f"pmemo {song}"))
    return leave_out(prepare_songs(block, folder, songs, midis.raw), twice, "listed_twice")


def _read(raw: RawData, name: str, timed: bool = False) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """One file's ratings, in [−1, 1], with the standard deviations beside it: id -> VALUES, and seconds if timed.

    Ratings of one moment are averaged. With the ids of several rows, if not timed, which are not among the songs.
    """
    time = {"seconds": _TIME} if timed else {}
    keys = ["song", *time]
    table = _numbers(raw, name, valence=("valencemean", "valence"), arousal=("arousalmean", "arousal"), **time)
    for dimension in DIMENSIONS:
        check_scale(f"{raw.path}: {name}", table["song"], table[dimension], 0, 1)
        table[dimension] = 2 * table[dimension] - 1
    table, twice = _one_a_key(table, keys)
    if spreads := raw.find(name.rpartition("/")[2].replace(".csv", "_std.csv")):
        usual = {"valence_sd": ("valencestd", "valence"), "arousal_sd": ("arousalstd", "arousal")}
        spread, _ = _one_a_key(_numbers(raw, spreads[0], **usual, **time), keys)
        spread[[*usual]] *= 2
        table = table.merge(spread, on=keys, how="left")
    table = table.reindex(columns=[*keys, *VALUES])
    by_song = {str(song): part.drop(columns="song").reset_index(drop=True) for song, part in table.groupby("song")}
    return by_song, twice


def _one_a_key(table: pd.DataFrame, keys: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """A table with one row a moment, the mean of several; of songs without times none, and their ids."""
    if len(keys) > 1:
        return table.groupby(keys, as_index=False, dropna=False).mean(), []
    again = table["song"].duplicated(keep=False)
    return table[~again].copy(), [*table.loc[again, "song"].unique()]


def _numbers(raw: RawData, name: str, **wanted: tuple[str, ...]) -> pd.DataFrame:
    """A file's columns as numbers, after `song`, the song's id."""
    cells = needed_columns(raw, name, read_cells(raw, name), song=SONG_COLUMNS, **wanted)
    cells["song"] = cells["song"].map(song_id)
    table = cells.assign(**{column: numbers(cells[column], f"{raw.path}: {name}") for column in wanted})
    return table[table["song"] != ""]


def _metadata(raw: RawData) -> dict[str, tuple[str, str]]:
    """id -> artist and title, as far as `metadata.csv` has them."""
    if not (names := raw.find("metadata.csv")):
        return {}
    cells = read_cells(raw, names[0])
    where = f"{raw.path}: {names[0]}"
    headers = [column_of(cells, usual, where) for usual in (SONG_COLUMNS, ("artist",), ("title",))]
    if any(header is None for header in headers):
        return {}
    songs, artists, titles = (cells[header].str.strip() for header in headers)
    return {song_id(song): (artist, title) for song, artist, title in zip(songs, artists, titles, strict=True)}
