"""The columns of a table of ratings: under which names they are recognised, and what their cells mean."""

from __future__ import annotations

import difflib
from dataclasses import asdict

import pandas as pd

from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.settings import UserError, one_line
from song_sources.song_identity import musicbrainz_id, spotify_id

from .pretrain_settings import SetSettings
from .rated_files import column_of, numbers, plain_name, song_id
from .xmidi import SIDES

# a column of TableColumns -> its usual names, as of `plain_name`, the surest first
USUAL: dict[str, tuple[str, ...]] = {
    "file": ("file", "midi", "filename", "midifile", "midifilename", "path"),
    "md5": ("md5", "midimd5"),
    "spotify_id": ("spotifyid", "sid", "spotifytrackid", "spotifyuri", "spotifyurl"),
    "musicbrainz_id": ("mbid", "musicbrainzid", "recordingmbid", "musicbrainzrecordingid"),
    "artist": ("artist", "artistname", "performer"),
    "title": ("title", "track", "trackname", "tracktitle", "songtitle", "songname", "name"),
    "tempo": ("tempo", "bpm"),
    "valence": ("valence", "valencemean", "valencetags"),
    "arousal": ("arousal", "arousalmean", "arousaltags"),
    "quadrant": ("quadrant", "mood", "emotion", "label", "4q"),
    "seconds": ("seconds",),
    "bar_number": ("barnumber", "bar"),
    "valence_sd": ("valencesd", "valencestd"),
    "arousal_sd": ("arousalsd", "arousalstd"),
    "n_raters": ("nraters", "numberofemotiontags", "raters", "numberofraters"),
    "split": ("split", "subset"),
}
NUMBERS = ("tempo", "valence", "arousal", "seconds", "bar_number", "valence_sd", "arousal_sd", "n_raters")
QUADRANTS = {"1": (1, 1), "2": (-1, 1), "3": (-1, -1), "4": (1, -1)}
# a word or quadrant -> sides of valence and arousal; 0 is unsure
SIDES_OF = (
    SIDES | QUADRANTS | {f"q{q}": sides for q, sides in QUADRANTS.items()} | dict.fromkeys(("relaxed", "calm"), (1, -1))
)
SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_GROUP = "group"


def standard_columns(block: SetSettings, raw: RawData, name: str, cells: pd.DataFrame) -> pd.DataFrame:
    """A table's columns under the names of USUAL, cleaned, and `group`, if block.group names a column.

    Columns that it lacks are missing, and all are if it has no ratings. Raises UserError if the settings name one that
    is not there, or a cell does not say what its column is of.
    """
    where = f"{raw.path}: {name}"
    headers = {}
    for column, named in asdict(block.columns).items():
        setting = f"sets.{block.name}.columns.{column}"
        header = column_of(cells, USUAL[column], where) if named is None else _named(where, cells, named, setting)
        if header is not None:
            headers[column] = header
    table = pd.DataFrame(index=cells.index)
    if not {*DIMENSIONS, "quadrant"} & {*headers}:
        return table
    for column, header in headers.items():
        table[column] = numbers(cells[header], where) if column in NUMBERS else cells[header].str.strip()
    _clean(table)
    if "split" in table:
        _check_splits(where, table["split"])
    if block.group is not None and not (block.group == "song" and column_of(cells, ("song",), where) is None):
        known = table.get(block.group)
        setting = f"sets.{block.name}.group"
        table[_GROUP] = cells[_named(where, cells, block.group, setting)] if known is None else known.astype(str)
    return table


def _clean(table: pd.DataFrame) -> None:
    """Bring ids into one form, and empty the cells of spreads and numbers of raters that can't be."""
    for column in ("valence_sd", "arousal_sd"):
        if column in table:
            table[column] = table[column].where(table[column] >= 0)
    if "n_raters" in table:
        table["n_raters"] = table["n_raters"].where(table["n_raters"] > 0)
    clean = {"md5": str.casefold, "spotify_id": spotify_id, "musicbrainz_id": musicbrainz_id}
    for column, cleaned in clean.items():
        if column in table:
            table[column] = table[column].map(cleaned)


def _check_splits(where: str, splits: pd.Series) -> None:
    """Raise UserError, with the row, if a split is not empty and none of SPLIT_NAMES."""
    unknown = (splits != "") & ~splits.str.casefold().isin([*SPLIT_NAMES])
    if unknown.any():
        row = splits.index[unknown][0]
        raise UserError(
            f"{where}, row {row}: the split is {one_line(splits[row], 40)!r}, which is none of "
            f"{', '.join(SPLIT_NAMES)}; correct or empty it, or rename the column"
        )


def _named(where: str, cells: pd.DataFrame, wanted: str, setting: str) -> str:
    """The header that a setting names, exactly or but for blanks, marks and case.

    Raises UserError if there is none, or several.
    """
    if [*cells.columns].count(wanted) == 1:
        return wanted
    if (header := column_of(cells, (plain_name(wanted),), where)) is not None:
        return header
    near = difflib.get_close_matches(wanted, [*cells.columns], n=1, cutoff=0.0)
    hint = f"the nearest is {near[0]}" if near else "it has none"
    raise UserError(f"{where} has no column {wanted} ({hint}); set {setting}")


def check_quadrants(where: str, quadrants: pd.Series) -> None:
    """Raise UserError, with the row, if a quadrant is 0: then they may be counted from 0. where: the file."""
    first = quadrants.map(song_id).str.casefold().isin(("0", "q0"))
    if first.any():
        row = quadrants.index[first][0]
        raise UserError(f"{where}, row {row}: a quadrant is {quadrants[row]}, but quadrants are 1 to 4; correct them")


def sides(quadrants: pd.Series) -> pd.DataFrame:
    """The sides of valence and arousal of quadrants (1 to 4, Q1 to Q4) or words, NaN where unclear."""
    found = [SIDES_OF.get(song_id(cell).casefold(), (None, None)) for cell in quadrants]
    return pd.DataFrame(found, columns=["valence", "arousal"], index=quadrants.index, dtype=float)
