"""Who a song is, by what a dataset or a file's path says of it: md5, ids of services, artist and title.

Whatever strangers wrote in these columns, the result is short texts: ids are the words of letters, digits, - and _ in a
column, whether it holds a text, an address, a list, or a list written as text. An id is looked up among those that
are wanted, so a word that is none finds nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pipeline.annotations import TEXT
from pipeline.cells import UNREADABLE, as_text, fitted, is_missing

from .song_identity import ID_WORD

SPOTIFY, MUSICBRAINZ = "audio_text_matches_sid", "audio_text_matches_mbid"
SCORE = "audio_text_matches_score"
IDENTITY_COLUMNS = ("title", "artist", SPOTIFY, MUSICBRAINZ, SCORE)  # and md5, by which every song is known
MOST_IDS = 1_000  # words that are kept of a column; real lists have fewer than fifty
_COPY_NUMBER = re.compile(r"\.\d+$")  # the second file of a song in Lakh is "Title.1.mid"


@dataclass(frozen=True)
class SongIdentity:
    """What is known of a song. An empty text or tuple means that nothing is.

    md5: in lower case. names: artist and title, more than one pair if a path can be read in several ways. musicbrainz:
    ids in lower case. score: how well the dataset's own match with the services fits; None if it is not known.
    """

    md5: str
    names: tuple[tuple[str, str], ...] = ()
    spotify: tuple[str, ...] = ()
    musicbrainz: tuple[str, ...] = ()
    score: float | None = None


def identity_of_row(md5: str, values: Mapping[str, Any]) -> SongIdentity:
    """The identity of a row. values: by column, anything that a dataset may hold; missing columns are left out."""
    artist, title = (fitted(TEXT, values.get(column)) or "" for column in ("artist", "title"))
    return SongIdentity(
        md5=md5.lower(),
        names=((artist, title),) if artist and title else (),
        spotify=_words(values.get(SPOTIFY)),
        musicbrainz=tuple(word.lower() for word in _words(values.get(MUSICBRAINZ))),
        score=score_of(values.get(SCORE)),
    )


def identity_of_file(md5: str, path: str) -> SongIdentity:
    """The identity of a MIDI file by its path within its folder: "Artist - Title.mid" or "Artist/Title.mid"."""
    file = PurePosixPath(path.replace("_", " "))
    title = _COPY_NUMBER.sub("", file.stem)
    artist, dash, after = title.partition(" - ")
    names = [(artist, after)] if dash else []
    if file.parent.name:
        names.append((file.parent.name, title))
    return SongIdentity(md5.lower(), tuple((as_text(artist), as_text(title)) for artist, title in names))


def score_of(value: Any) -> float | None:
    """A score as a finite number, of a list the largest; None if it is missing or no number."""
    if isinstance(value, list):
        return max((score for score in map(score_of, value[:MOST_IDS]) if score is not None), default=None)
    if isinstance(value, bool) or value is UNREADABLE or is_missing(value):
        return None
    try:
        score = float(as_text(value) if isinstance(value, bytes | str) else value)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def _words(value: Any) -> tuple[str, ...]:
    """The different words in a cell, at most MOST_IDS."""
    if value is UNREADABLE or is_missing(value):
        return ()
    members: Iterable[Any] = value[:MOST_IDS] if isinstance(value, list) else (value,)
    found = dict.fromkeys(word for member in members for word in ID_WORD.findall(_text(member)))
    return tuple(found)[:MOST_IDS]


def _text(value: Any) -> str:
    return "" if value is UNREADABLE else as_text(value)
