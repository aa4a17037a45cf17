"""Files of rated sets: their CSVs, as different hands wrote them, and the MIDI file of a song.

Headers are told apart by their letters and digits alone, so "Arousal(mean)" and " arousal_mean" are the same. Cells are
texts until they are asked for as numbers; what is no finite number is NaN.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from musetok_bridge.midi_file import MIDI_SUFFIXES
from pipeline.files import RawData, raw_data
from pipeline.settings import UserError, first_line, one_line

from .pretrain_settings import SetSettings

_SEPARATORS = ",;\t"
_SAMPLE = re.compile(r"sample_?(\d+(?:\.\d+)?)ms")
_WHOLE = re.compile(r"(\d+)\.0+")
SONG_COLUMNS = ("songid", "musicid", "id")


def set_files(block: SetSettings, folder: Path) -> RawData:
    """The set's own files, at block.path or downloaded to folder/downloads. Raises UserError if it has neither."""
    setting = f"sets.{block.name}.path"
    if block.path is not None:
        return RawData(block.path, setting)
    if block.url is None:
        raise UserError(f"{setting} is not set: give a zip or a folder of {block.adapter}'s files")
    return raw_data(None, block.url, block.md5, folder / "downloads", block.name)


def plain_name(header: str) -> str:
    """What headers of one meaning have in common: letters and digits, case folded."""
    return "".join(letter for letter in header.casefold() if letter.isalnum())


def song_id(cell: str) -> str:
    """A song's id as text, without what a spreadsheet adds: "115" for " 115.0"."""
    cell = cell.strip()
    whole = _WHOLE.fullmatch(cell)
    return whole[1] if whole else cell


def numbers(cells: pd.Series) -> pd.Series:
    """Cells as floats, NaN for what is no finite number."""
    found = pd.to_numeric(cells.str.strip(), errors="coerce").astype(float)
    return found.where(np.isfinite(found))


def read_cells(raw: RawData, name: str) -> pd.DataFrame:
    """A CSV's cells as texts, blanks around headers removed. Raises UserError if it is no table.

    Commas, semicolons or tabs; UTF-8 with or without a byte order mark, else Latin-1. Empty cells beyond the header's
    are dropped. Between semicolons, the comma of a number is a decimal point and becomes one.
    """
    content = raw.read(name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    first = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    separator = max(_SEPARATORS, key=first.count)
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True) if any(row)]
    except csv.Error as error:
        raise UserError(f"{raw.path}: {name} is no CSV ({first_line(error)}); get the file again") from None
    if len(rows) < 2:
        raise UserError(f"{raw.path}: {name} has no rows below its header; get the file again")
    header = [cell.strip() for cell in rows[0]]
    width = len(header)
    for number, row in enumerate(rows[1:], start=2):
        if any(cell.strip() for cell in row[width:]):
            raise UserError(f"{raw.path}: {name}, row {number} has more cells than the header; put texts in quotes")
    table = pd.DataFrame([(row + [""] * width)[:width] for row in rows[1:]], columns=header, dtype=str)
    table = table.loc[:, [bool(cell) for cell in header]]
    table = table.loc[:, ~table.columns.duplicated()]
    return table.replace(r"^(\s*-?\d*),(\d+\s*)$", r"\1.\2", regex=True) if separator == ";" else table


def column_of(table: pd.DataFrame, names: Iterable[str]) -> str | None:
    """The header of the first of `names` (as of `plain_name`) that a table has; None if it has none of them."""
    known = {plain_name(header): header for header in reversed([*table.columns])}
    return next((known[name] for name in names if name in known), None)


def needed_columns(raw: RawData, name: str, table: pd.DataFrame, **wanted: Sequence[str]) -> pd.DataFrame:
    """A table's columns under the given names. wanted: name -> what it may be called. Raises UserError without one."""
    found = {column: column_of(table, names) for column, names in wanted.items()}
    for column, header in found.items():
        if header is None:
            there = one_line(", ".join(table.columns), 100)
            raise UserError(f"{raw.path}: {name} has no column {column}, only {there}; is this the right file?")
    return pd.DataFrame({column: table[header] for column, header in found.items()})


def read_wide(raw: RawData, name: str) -> dict[str, pd.Series]:
    """A CSV with a row a song and a column a sample (`sample_15500ms`): id -> values by seconds.

    Raises UserError if it has no such columns.
    """
    table = read_cells(raw, name)
    songs = needed_columns(raw, name, table, song_id=SONG_COLUMNS)["song_id"]
    matches = {header: _SAMPLE.fullmatch(header.replace(" ", "")) for header in map(str, table.columns)}
    samples = {float(found[1]) / 1000: header for header, found in matches.items() if found}
    if not samples:
        raise UserError(f"{raw.path}: {name} has no columns such as sample_15000ms; is this the right file?")
    values, seconds = table[[*samples.values()]].apply(numbers).to_numpy(), [*samples]
    rows = zip(songs, values, strict=True)
    return {song_id(song): pd.Series(row, index=seconds) for song, row in rows if song.strip()}


def wide_curves(raw: RawData, valence: str, arousal: str) -> dict[str, pd.DataFrame]:
    """The curves of songs in two wide CSVs: id -> seconds, valence, arousal. valence, arousal: names in `raw`."""
    of_valence, of_arousal = read_wide(raw, valence), read_wide(raw, arousal)
    curves = {}
    for song in dict.fromkeys([*of_valence, *of_arousal]):
        empty = pd.Series(dtype=float)
        both = {"valence": of_valence.get(song, empty), "arousal": of_arousal.get(song, empty)}
        curves[song] = pd.DataFrame(both).rename_axis("seconds").sort_index().reset_index()
    return curves


def needed_file(block: SetSettings, raw: RawData, ending: str) -> str:
    """The name of a file in `raw`, by the end of its path. Raises UserError if it is not there."""
    if not (found := raw.find(ending)):
        raise UserError(f"{raw.path}: no {ending} inside; set sets.{block.name}.path to a zip or folder with it")
    return found[0]


class MidiFiles:
    """The MIDI files of a zip or a folder, found by name. raw: that they are in."""

    def __init__(self, raw: RawData) -> None:
        self.raw = raw
        self.names = [name for name in raw.names if PurePosixPath(name).suffix.lower() in MIDI_SUFFIXES]
        self._named: defaultdict[str, list[str]] = defaultdict(list)
        for name in self.names:
            path = _path(name)
            self._named[path.name].append(name)
            self._named[path.stem].append(name)

    def of_song(self, stems: Iterable[str]) -> str:
        """The file with the first of some names, without its ending; empty if there is none.

        Raises UserError if there are several.
        """
        return next((found for stem in stems if stem and (found := self.listed(stem))), "")

    def listed(self, file: str) -> str:
        """The file that a table lists, by its path, or by its name if folders differ; empty if there is none.

        Raises UserError if several have the name and the path does not tell them apart.
        """
        path = _path(file.strip().replace("\\", "/"))
        candidates = self._named.get(path.name, [])
        endings = {path.parts, path.with_suffix("").parts} if path.suffix.lower() in MIDI_SUFFIXES else {path.parts}
        same = [name for name in candidates if _ends_with(name, endings)] or candidates
        if whole := [name for name in same if _path(name) == path]:
            return whole[0]
        if len(same) > 1:
            raise UserError(f"{self.raw.path}: {same[0]} and {same[1]} both fit {file}; rename or remove one of them")
        return same[0] if same else ""


def _path(name: str) -> PurePosixPath:
    """A file's path, its letters composed: macOS writes é as two characters."""
    return PurePosixPath(unicodedata.normalize("NFC", name))


def _ends_with(name: str, endings: Iterable[tuple[str, ...]]) -> bool:
    path = _path(name)
    own = (path.parts, path.with_suffix("").parts)
    return any(parts[-len(ending) :] == ending for ending in endings for parts in own)


def song_midi(block: SetSettings) -> MidiFiles:
    """The user's MIDI files of a set that has none, at block.midi. Raises UserError if there are none."""
    setting = f"sets.{block.name}.midi"
    if block.midi is None:
        raise UserError(
            f"{setting} is not set: {block.adapter} has audio only, so give a zip or a folder of its songs' "
            "transcriptions, named by the song's id (115.mid)"
        )
    found = MidiFiles(RawData(block.midi, setting))
    if not found.names:
        raise UserError(f"{found.raw.path}: no MIDI file inside; set {setting} to a zip or a folder of them")
    return found
