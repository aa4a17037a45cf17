"""Songs found among the annotations: their bars, with what their curves are drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.settings import UserError, one_line

from .annotation_tables import Part, failure_reasons, read_bars, read_songs
from .song_curves import Song

_BAR_COLUMNS = ("md5", "bar_number", "start_seconds", "valence", "arousal")
_MAY_BE_MISSING = ("valence_sd", "arousal_sd", "n_notes")  # in older tables, or those of others
_SONG_COLUMNS = ("title", "artist", "duration_seconds")


def find_songs(parts: Sequence[Part], md5s: Sequence[str], first: int) -> list[Song]:
    """The songs of the given md5s, or the first songs if none is given. UserError if a given one is not there."""
    wanted = [md5.lower() for md5 in dict.fromkeys(md5s)]
    songs: dict[str, Song] = {}
    for part in parts:
        missing = [md5 for md5 in wanted if md5 not in songs]
        if wanted and not missing:
            break
        songs |= {song.md5: song for song in _songs_of_part(part, missing, 0 if wanted else first - len(songs))}
        if not wanted and len(songs) >= first:
            break
    lacking = [md5 for md5 in wanted if md5 not in songs]
    if lacking:
        raise UserError(_why_lacking(parts[0].songs.parent.parent, lacking))
    if not songs:
        raise UserError(f"{parts[0].songs.parent.parent}: no bar was annotated; the reasons stand in its failures/")
    return [songs[md5] for md5 in wanted or songs]


def _songs_of_part(part: Part, md5s: Sequence[str], first: int) -> Iterator[Song]:
    """The songs of a part that are among the md5s and, if none are given, the first that have bars."""
    table = read_songs(part, _SONG_COLUMNS).drop_duplicates("md5").set_index("md5")
    chosen = [md5 for md5 in table.index if md5.lower() in md5s] if md5s else list(table.index[:first])
    if not chosen:
        return
    bars = pd.concat([rows[rows["md5"].isin(chosen)] for rows in read_bars(part, _BAR_COLUMNS, _MAY_BE_MISSING)])
    bars = bars.drop_duplicates(["md5", "bar_number"]).sort_values(["md5", "bar_number"])
    for md5 in chosen:
        its = bars[bars["md5"] == md5]
        if len(its):
            row = table.loc[md5]
            columns = {name: its[name].to_numpy() for name in its.columns if name != "md5"}
            duration = float(row.get("duration_seconds", np.nan))
            yield Song(md5.lower(), row.get("title", ""), row.get("artist", ""), duration, **columns)


def _why_lacking(folder: Path, md5s: Sequence[str]) -> str:
    """One line that names every md5 that has no annotations and, where it is known, the reason."""
    reasons = failure_reasons(folder, md5s)
    named = [f"{md5}: {one_line(reasons.get(md5, 'not among its songs'), 150)}" for md5 in md5s]
    return f"{folder} has no annotations of {'; '.join(named)}"
