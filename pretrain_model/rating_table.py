"""Tables of ratings: any CSV with valence and arousal, or a quadrant or word, of songs.

A table's songs come with their MIDI files, which it lists in a column `file`, or are found by identity: md5, Spotify
id, MusicBrainz id, or artist and title. Listed files may be rated as a whole, by bars (`bar_number`) or over time
(`seconds`, a curve). Columns are recognised by their usual names (table_columns.py) or named by sets.NAME.columns.
Values are kept in the table's own unit; of a quadrant or word only the sides of zero are known, 0 for unsure.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.settings import UserError, counted, note
from song_sources.song_identity import song_key

from .pretrain_settings import SPLITS, SetSettings
from .rated_files import MidiFiles, read_cells, set_files, song_midi
from .rated_set import LEFT_OUT, PIECES, RATINGS, WANTED, RatedSet, outside_main_split, split_of
from .rated_songs import RatedSong, count_set, left_out_counts, prepare_songs
from .rating_curves import VALUES
from .table_columns import NUMBERS, SPLIT_NAMES, USUAL, check_quadrants, sides, standard_columns

_IDS = ("md5", "spotify_id", "musicbrainz_id")
_NAMES = ("artist", "title")
_TIMES = ("seconds", "bar_number")
_LONGEST_NAME = 140  # bytes of a piece's name; file systems take 255, of which an unfinished file's name needs some 60


def prepare_table(block: SetSettings, folder: Path) -> RatedSet:
    """The table's files with their ratings if their MIDI files are there, else `wanted`, songs to find by identity.

    A song whose rows are in several splits stays in that with most of them. Raises UserError if a column is missing,
    the kind of ratings is not that of the settings, or no row can be used.
    """
    raw = _source(block, folder)
    table = _read(block, raw)
    found = _values(block, raw, table)
    midis = _midis(block, raw, table)
    if midis is not None and {*_TIMES} <= {*table.columns}:
        raise UserError(f"{raw.path}: columns seconds and bar_number, and ratings are read by one; rename the other")
    over_time = next((column for column in _TIMES if column in table), "") if midis is not None else ""
    _check_times(block, raw, over_time, midis is not None)
    _note_unused(block, over_time, midis is not None)
    reason = pd.Series("", index=table.index)
    if not over_time:
        reason[found.isna().all(axis=1)] = "quadrant_unclear" if _by_quadrant(block, table) else "no_rating"
    table[[*DIMENSIONS]] = found
    texts = [column for column in (*USUAL, "group") if column not in NUMBERS]
    table = (
        table.reindex(columns=[*NUMBERS, *texts]).astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))
    )
    table["group"] = _groups(table)
    table["split"] = _splits(block, table)
    used = table[reason == ""]
    elsewhere = outside_main_split(used["group"], used["split"])
    reason[elsewhere[elsewhere].index] = "song_in_two_splits"
    if midis is not None:
        return _with_files(block, folder, table, reason, midis, over_time)
    return _by_identity(block, raw, table, reason)


class _OneFile(RawData):
    """A single file as RawData: it alone, in its folder."""

    def __init__(self, path: Path) -> None:
        self.path, self.names, self._zip = path.parent, [path.name], None


def _source(block: SetSettings, folder: Path) -> RawData:
    path = None if block.path is None else Path(block.path)
    return _OneFile(path) if path and path.is_file() and not zipfile.is_zipfile(path) else set_files(block, folder)


def _read(block: SetSettings, raw: RawData) -> pd.DataFrame:
    """The rows of all CSVs, under the names of USUAL as far as they have them. Raises UserError if none has ratings."""
    names = raw.names if isinstance(raw, _OneFile) else [n for n in raw.names if n.lower().endswith((".csv", ".tsv"))]
    tables = []
    for name in names:
        table = standard_columns(block, raw, name, read_cells(raw, name))
        if not {*DIMENSIONS, "quadrant"} & {*table.columns}:
            note(f"{raw.path}: {name} has no column valence, arousal or quadrant: it is not read")
            continue
        if _by_quadrant(block, table):
            check_quadrants(f"{raw.path}: {name}", table["quadrant"])
        if "split" not in table and (split := SPLIT_NAMES.get(PurePosixPath(name).stem.casefold())):
            table["split"] = split
        tables.append(table)
    if not tables:
        setting = f"sets.{block.name}.columns"
        raise UserError(f"{raw.path}: no CSV with a column valence, arousal or quadrant; name them by {setting}")
    table = pd.concat(tables, ignore_index=True)
    texts = [column for column in table if column not in NUMBERS]
    return table.fillna(dict.fromkeys(texts, ""))


def _by_quadrant(block: SetSettings, table: pd.DataFrame) -> bool:
    """Whether ratings are those of the column quadrant, and not valence and arousal."""
    return "quadrant" in table and (block.rated_as == "sign" or not {*DIMENSIONS} & {*table.columns})


def _values(block: SetSettings, raw: RawData, table: pd.DataFrame) -> pd.DataFrame:
    """Valence and arousal, NaN where there is none. Raises UserError if a quadrant is to be more than a sign."""
    if not _by_quadrant(block, table):
        return table.reindex(columns=[*DIMENSIONS]).astype(float)
    if block.rated_as != "sign":
        raise UserError(f"{raw.path}: the ratings are quadrants or words, so set sets.{block.name}.kind to sign")
    return sides(table["quadrant"])


def _midis(block: SetSettings, raw: RawData, table: pd.DataFrame) -> MidiFiles | None:
    """The MIDI files that the table lists; None if its songs are to be found by identity."""
    if block.midi is not None:
        if "file" not in table:
            raise UserError(f"{raw.path}: no column with names of files; set sets.{block.name}.columns.file")
        return song_midi(block)
    found = MidiFiles(raw)
    if found.names and "file" in table:
        return found
    if not {*_IDS} & {*table.columns} and not {*_NAMES} <= {*table.columns}:
        raise UserError(
            f"{raw.path}: no column with md5, Spotify or MusicBrainz ids, or artist and title, to find songs by; "
            f"name it by sets.{block.name}.columns, or give MIDI files by a column file and sets.{block.name}.midi"
        )
    return None


def _check_times(block: SetSettings, raw: RawData, over_time: str, with_files: bool) -> None:
    """Raise UserError if ratings over time are read as ratings of whole pieces, or the other way around."""
    kind = f"sets.{block.name}.kind"
    if block.rated_as == "curve" and not over_time:
        lacking = "no column seconds or bar_number" if with_files else "no MIDI files that a column file lists"
        raise UserError(f"{raw.path}: {lacking}, which a curve needs; set {kind} to point, sign or rank")
    if over_time and block.rated_as in ("point", "rank"):
        raise UserError(f"{raw.path}: the ratings are over time (column {over_time}), so set {kind} to curve")


def _note_unused(block: SetSettings, over_time: str, with_files: bool) -> None:
    """Note the settings that the table's columns leave without use; unused_settings.py has those of other reasons."""
    if with_files and block.match_by:
        note(f"sets.{block.name}.match_by is not used: the table lists its songs' files")
    if over_time == "bar_number" and block.lag:
        note(f"sets.{block.name}.lag is not used: the ratings are of bars, not over seconds")


def _groups(table: pd.DataFrame) -> pd.Series:
    """What keeps rows together: the group column, or artist and title, or the first identity, or the row."""
    keys = [song_key(str(artist), str(title)) for artist, title in table[[*_NAMES]].itertuples(index=False)]
    group = table["group"].str.strip()
    for fallback in (pd.Series(keys, index=table.index), *(table[name] for name in (*_IDS, "file"))):
        group = group.where(group != "", fallback)
    return group.where(group != "", "row " + table.index.astype(str).to_series(index=table.index))


def _splits(block: SetSettings, table: pd.DataFrame) -> pd.Series:
    """train, val or test: that of the row, or of others of its group, or drawn where the table has none."""
    given = table["split"].str.casefold().map(SPLIT_NAMES)
    given = given.fillna(table["group"].map(given.groupby(table["group"]).first()))
    drawn = {group: split_of(group, block) for group in table.loc[given.isna(), "group"].unique()}
    return given.fillna(table["group"].map(drawn))


def _with_files(
    block: SetSettings, folder: Path, table: pd.DataFrame, reason: pd.Series, midis: MidiFiles, over_time: str
) -> RatedSet:
    """The pieces and their ratings. reason: why a row is left out, empty if it isn't."""
    table["midi"] = table["file"].map({file: midis.listed(file) if file else "" for file in table["file"].unique()})
    key = table["midi"].where(table["midi"] != "", table["file"])
    names = _piece_names(key.unique())
    reason[(reason == "") & (table["file"] == "")] = "no_file"
    if not over_time:
        rated = reason == ""
        reason[rated & key.where(rated).duplicated()] = "listed_twice"
    songs = []
    for file, part in table[reason == ""].groupby(key, sort=False):
        columns = [*VALUES] if not over_time else [over_time, *VALUES]
        values = part[columns].astype(float).dropna(subset=[over_time] if over_time else []).reset_index(drop=True)
        first = part.iloc[0]
        group, artist, title, split = (str(first[name]) for name in ("group", "artist", "title", "split"))
        song = RatedSong(names[str(file)], str(first["midi"]), values, group, artist, title, split=split)
        songs.append(song)
    setting = "path" if block.midi is None else "midi"
    found = prepare_songs(block, folder, songs, midis.raw, setting)
    piece = key.map(names).where(key != "", _labels(table))
    if over_time == "bar_number":
        reason[(reason == "") & _is_no_bar(table.assign(piece=piece), found.ratings)] = "not_a_bar"
        first = table.groupby(key)["bar_number"].min()
        if (first[first.notna()] == 1).all():
            note(
                f"sets.{block.name}: the ratings of every piece begin at bar 1, and bars are counted from 0; if yours "
                "are from 1, take 1 from bar_number"
            )
    rows = pd.DataFrame({"piece": piece, "reason": reason})[reason != ""]
    left_out = pd.concat([found.left_out, rows], ignore_index=True)[[*LEFT_OUT]]
    found = replace(found, left_out=left_out)
    return replace(found, counts=count_set(found))


def _is_no_bar(table: pd.DataFrame, ratings: pd.DataFrame) -> pd.Series:
    """Which rows rate a bar that their piece lacks, or part of a bar; pieces that are left out have none.

    table: with `piece`. ratings: RATINGS of the pieces, which have all bars with a rating that are there.
    """
    there = pd.MultiIndex.from_frame(ratings[["piece", "bar_number"]].astype({"bar_number": float}))
    rated = table["bar_number"].notna() & table[[*DIMENSIONS]].notna().any(axis=1)
    known = pd.MultiIndex.from_frame(table[["piece", "bar_number"]]).isin(there)
    return rated & table["piece"].isin(ratings["piece"]) & ~known


def _piece_names(files: Iterable[str]) -> dict[str, str]:
    """File -> the name of its piece, unique whatever the case of its letters, and not too long for a file's name.

    It is the file's name without its ending; if others have that, with its folders; if others have that, too, with its
    ending, and with a number at last. Names of the last two forms are noted.
    """
    files = [str(file) for file in files]
    forms = [_forms(file) for file in files]
    levels = np.zeros(len(files), dtype=int)
    for _ in range(2):
        folded = [_folded(form[level]) for form, level in zip(forms, levels, strict=True)]
        levels = np.minimum(levels + pd.Series(folded, dtype=str).duplicated(keep=False).to_numpy(), 2)
    wanted = [form[level] for form, level in zip(forms, levels, strict=True)]
    names: dict[str, str] = {}
    taken: set[str] = set()
    known = {_folded(name) for name in wanted}
    for file, name in zip(files, wanted, strict=True):
        numbered = (f"{name}_{number}" for number in count(2))
        free = (other for other in numbered if _folded(other) not in taken and _folded(other) not in known)
        names[file] = name if _folded(name) not in taken else next(free)
        taken.add(_folded(names[file]))
    if long := [names[file] for file, level in zip(files, levels, strict=True) if level == 2]:
        note(f"{counted(len(long), 'piece')} named with the file's ending, since others have the same name: {long[0]}")
    return names


def _forms(file: str) -> tuple[str, str, str]:
    """What a file's piece may be called: its name, with its folders, and with its ending as well."""
    path = PurePosixPath(file)
    whole = re.sub(r"[/\\]", "__", file)
    return _shortened(path.stem), _shortened(whole.removesuffix(path.suffix)), _shortened(whole)


def _shortened(name: str) -> str:
    """A name as the start of a file's name, which systems limit in bytes; one that is cut keeps a digest of itself."""
    encoded = name.encode(errors="surrogateescape")
    if len(encoded) <= _LONGEST_NAME:
        return name
    return f"{encoded[: _LONGEST_NAME - 9].decode(errors='ignore')}_{hashlib.sha256(encoded).hexdigest()[:8]}"


def _folded(name: str) -> str:
    """A name as file systems compare it that tell neither case nor the ways to write é."""
    return unicodedata.normalize("NFC", name).casefold()


def _by_identity(block: SetSettings, raw: RawData, table: pd.DataFrame, reason: pd.Series) -> RatedSet:
    """The rows that are to be found, restricted to the identities of block.match_by if it names some."""
    wanted = table.assign(row=table.index).reindex(columns=[*WANTED])
    unused = [name for name in _IDS if block.match_by and name not in block.match_by]
    if block.match_by and "artist_title" not in block.match_by:
        unused += _NAMES
    wanted[unused] = ""
    known = (wanted[[*_IDS]] != "").any(axis=1) | (wanted[[*_NAMES]] != "").all(axis=1)
    reason[(reason == "") & ~known] = "no_identity"
    label = _labels(table)
    left_out = pd.DataFrame({"piece": label, "reason": reason})[reason != ""].reset_index(drop=True)
    wanted = wanted[reason == ""].reset_index(drop=True)
    counts = {"rows to find": len(wanted), "groups": wanted["group"].nunique()}
    counts |= {f"rows in {split}": int((wanted["split"] == split).sum()) for split in SPLITS}
    counts |= left_out_counts(left_out)
    if wanted.empty:
        why = ", ".join(f"{n:,} {word}" for word, n in left_out["reason"].value_counts().items())
        raise UserError(f"{raw.path}: no row has a rating and an identity ({why}); set sets.{block.name}.columns")
    empty = pd.DataFrame(columns=[*PIECES]), pd.DataFrame(columns=[*RATINGS])
    return RatedSet(*empty, left_out, wanted=wanted, counts=counts)


def _labels(table: pd.DataFrame) -> pd.Series:
    """What to call rows: artist and title, or else an id, or else the row's number."""
    texts = table[[*_NAMES, *_IDS]]
    label = (texts["artist"] + " - " + texts["title"]).where((texts[[*_NAMES]] != "").all(axis=1), "")
    for name in _IDS:
        label = label.where(label != "", texts[name])
    return label.where(label != "", "row " + table.index.astype(str).to_series(index=table.index))
