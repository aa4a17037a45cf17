"""The songs that are wanted by rated sets, and which of them a song of a stream is.

Identities are tried from the surest to the least sure: md5, Spotify id, MusicBrainz id, artist and title. For each set
the first that finds rows decides, so that a weak identity never adds to what a sure one has found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from pipeline.files import file_digest
from pipeline.settings import UserError, command
from pretrain_model.rated_set import PREPARE, read_set_table, table_path
from song_sources.song_identities import SongIdentity
from song_sources.song_identity import musicbrainz_id, song_key, spotify_id

IDENTITIES = ("md5", "spotify_id", "musicbrainz_id", "artist_title")  # the surest first
SCORED = ("spotify_id", "musicbrainz_id")  # those that GigaMIDI found by a match with a score
_SUFFIX = "_wanted.csv"


class Match(NamedTuple):
    """A row of a set that a song belongs to. tempo: of the row, quarters a minute; NaN if it has none."""

    set: str
    row: str
    matched_by: str
    tempo: float


class _WantedRow(NamedTuple):
    set: str
    row: str
    tempo: float


class WantedSongs:
    """The wanted rows of all sets. tables: the table WANTED of each set by its name, `row` as text."""

    def __init__(self, tables: Mapping[str, pd.DataFrame], least_score: float):
        """least_score: as in the settings."""
        self.tables = tables
        self._least_score = least_score
        self._by: dict[str, dict[str, list[_WantedRow]]] = {by: defaultdict(list) for by in IDENTITIES}
        for name, table in tables.items():
            tempos = table["tempo"].where(table["tempo"] > 0).tolist()
            for row, tempo in zip(table.itertuples(), tempos, strict=True):
                wanted = _WantedRow(name, str(row.row), tempo)
                keys = (
                    str(row.md5).strip().lower(),
                    spotify_id(str(row.spotify_id)),
                    musicbrainz_id(str(row.musicbrainz_id)),
                    song_key(str(row.artist), str(row.title)),
                )
                for by, key in zip(IDENTITIES, keys, strict=True):
                    if key:
                        self._by[by][key].append(wanted)

    def matches(self, song: SongIdentity) -> list[Match]:
        """The rows that a song belongs to, each once, in the order of the sets and their rows."""
        found: dict[str, dict[str, Match]] = {}
        for by in IDENTITIES:
            rows_by_key = self._by[by]
            if not rows_by_key or (by in SCORED and not self._is_scored_enough(song)):
                continue
            rows = {row for key in _keys(song, by) for row in rows_by_key.get(key, ())}
            new = {row.set for row in rows} - found.keys()
            for row in rows:
                if row.set in new:
                    found.setdefault(row.set, {})[row.row] = Match(row.set, row.row, by, row.tempo)
        return [match for name in sorted(found) for _, match in sorted(found[name].items())]

    def _is_scored_enough(self, song: SongIdentity) -> bool:
        return self._least_score == 0 or (song.score is not None and song.score >= self._least_score)


def _keys(song: SongIdentity, by: str) -> tuple[str, ...]:
    if by == "md5":
        return (song.md5,) if song.md5 else ()
    if by == "spotify_id":
        return song.spotify
    if by == "musicbrainz_id":
        return song.musicbrainz
    return tuple(song_key(*names) for names in song.names)


def wanted_sets(folder: Path) -> list[str]:
    """The names of the sets in a folder that are found by identity. Raises UserError if there are none."""
    names = sorted(path.name.removesuffix(_SUFFIX) for path in folder.glob(f"*{_SUFFIX}"))
    if not names:
        raise UserError(
            f"ratings.dir: {folder} has no *{_SUFFIX}, the songs to look for: run {command(PREPARE)} first, with a "
            "set of ratings that has no MIDI files"
        )
    return names


def read_wanted(folder: Path, names: list[str]) -> dict[str, pd.DataFrame]:
    """The table WANTED of each set, `row` as text and numbers as numbers. Raises UserError if one can't be used."""
    tables = {}
    for name in names:
        table = read_set_table(folder, name, "wanted")
        path = table_path(folder, name, "wanted")
        table["row"] = table["row"].astype(str)
        numbers = ("tempo", "valence", "arousal", "valence_sd", "arousal_sd", "n_raters")
        try:
            table = table.assign(**{column: table[column].astype(float) for column in numbers})
        except ValueError:
            raise UserError(f"{path}: a tempo or rating is no number; run {command(PREPARE)} again") from None
        if (again := table["row"].duplicated()).any():
            row = table["row"][again].iloc[0]
            raise UserError(f"{path}: two rows are called {row!r}; run {command(PREPARE)} again")
        tables[name] = table
    return tables


def wanted_digests(folder: Path, names: list[str]) -> dict[str, str]:
    """sha256 of the wanted table of each set, by the table's file name."""
    paths = [table_path(folder, name, "wanted") for name in names]
    return {path.name: file_digest(path) for path in paths}
