"""Which songs are the same: by the artist and title, or the ids, that different sources write differently."""

from __future__ import annotations

import re
import unicodedata

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
_GUEST = re.compile(r"\b(feat|ft|featuring)\b\.?\s+\S.*", re.DOTALL)
_ARTICLE = re.compile(r"\bthe\b")
# what streaming services put behind a title
_EDITION = re.compile(r"\s[-–—]\s.*\b(version|remaster|remastered|mix|edit|mono|stereo|single|live)\b.*", re.DOTALL)
_LONGEST = 300  # characters of a name that count; real ones have fewer
ID_WORD = re.compile(r"[0-9A-Za-z_-]+")  # what an id may be made of
_SPOTIFY_ID = re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{22}(?![0-9A-Za-z])")
_MUSICBRAINZ_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ACCENTS = re.compile("[\u0300-\u036f]")


def song_key(artist: str, title: str) -> str:
    """What songs of the same artist and title have in common; empty if one of the two is.

    Letters and digits only, case folded and without accents; without what stands in brackets, guests ("feat. …"), "the"
    and editions (" - Remastered 2009").
    """
    names = _letters(artist), _letters(title)
    return "|".join(names) if all(names) else ""


def spotify_id(text: str) -> str:
    """The Spotify id in a text, which may be an id, an address or a URI; empty if there is none."""
    return _only_id(_SPOTIFY_ID.findall(text), text)


def musicbrainz_id(text: str) -> str:
    """The MusicBrainz id in a text, which may be an id or an address, in lower case; empty if there is none."""
    return _only_id(_MUSICBRAINZ_ID.findall(text), text).lower()


def _only_id(found: list[str], text: str) -> str:
    if found:
        return found[-1]  # an address ends with the id
    text = text.strip()
    return text if ID_WORD.fullmatch(text) else ""


def _letters(text: str) -> str:
    """The letters and digits of a name; of one that would lose all, those of the whole text."""
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text[:_LONGEST])).casefold()
    kept, before = text, ""
    while kept != before:  # brackets within brackets
        kept, before = _BRACKETS.sub(" ", kept), kept
    for left_out in (_GUEST, _EDITION, _ARTICLE):
        kept = left_out.sub(" ", kept)
    return _alphanumeric(kept) or _alphanumeric(text)


def _alphanumeric(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())
