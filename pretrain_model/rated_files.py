"""Files of rated sets: their CSVs, as different hands wrote them, and the MIDI file of a song.

Headers are told apart by their letters and digits alone, so "Arousal(mean)" and " arousal_mean" are the same. Cells are
texts until they are asked for as numbers; the empty ones, words such as NA and what is infinite are then NaN, and any
other text is an error. A row's label is its number in a spreadsheet, where the header is row 1.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from pipeline.annotations import DIMENSIONS, MIDI_SUFFIXES
from pipeline.files import RawData, raw_data
from pipeline.settings import UserError, one_line

from .pretrain_settings import SetSettings

_SEPARATORS = ",;\t"
_SAMPLE = re.compile(r"sample_?(\d+(?:\.\d+)?)ms")
_WHOLE = re.compile(r"(\d+)\.0+")
_DECIMAL_COMMA = r"^(\s*[+-]?\d*),(\d+(?:[eE][+-]?\d+)?\s*)$"
_NO_VALUE = ("", "-", "nan", "na", "n/a", "null", "none")  # cells without a number, in any case
_ROUNDED = 1e-6  # by so much may a value be beyond its scale
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


def numbers(cells: pd.Series, where: str) -> pd.Series:
    """Cells as floats, NaN for those without a finite number. where: the file, for messages.

    Raises UserError, with the row and the column, if a cell has another text, such as "abc" or "1:00".
    """
    texts = cells.str.strip()
    found = pd.to_numeric(texts, errors="coerce").astype(float)
    unclear = found.isna() & ~texts.str.casefold().isin(_NO_VALUE)
    if unclear.any():
        row = cells.index[unclear][0]
        raise UserError(
            f"{where}, row {row}: {cells.name} is {one_line(texts[row], 40)!r}, which is no number; correct or empty it"
        )
    return found.where(np.isfinite(found))


def check_scale(where: str, songs: pd.Series, values: pd.Series, least: float, most: float) -> None:
    """Raise UserError, with the song, if one of its values is outside a set's scale. where: the file, for messages."""
    outside = (values < least - _ROUNDED) | (values > most + _ROUNDED)
    if outside.any():
        song, value = song_id(songs[outside].iloc[0]), values[outside].iloc[0]
        raise UserError(
            f"{where}: song {song} has {value:g} in {values.name}, where values are from {least:g} to {most:g}; "
            "is this the right file?"
        )


def read_cells(raw: RawData, name: str) -> pd.DataFrame:
    """A CSV's cells as texts, blanks around headers removed. Raises UserError if it is no table.

    Commas, semicolons or tabs; UTF-8 with or without a byte order mark, UTF-16 with one, else Latin-1. Empty cells
    beyond the header's are dropped. Where commas do not separate cells, that of a number is a decimal point and becomes
    one.
    """
    where = f"{raw.path}: {name}"
    text = _text(raw, name)
    first = re.sub(r'"[^"]*"', "", text.lstrip().partition("\n")[0])
    separator = max(_SEPARATORS, key=first.count)
    rows = _rows(where, text, separator)
    if len(rows) < 2:
        raise UserError(f"{where} has no rows below its header; get the file again")
    (_, first_row), *below = rows.items()
    header = [cell.strip() for cell in first_row]
    width = len(header)
    for number, row in below:
        if any(cell.strip() for cell in row[width:]):
            raise UserError(f"{where}, row {number} has more cells than the header; put texts in quotes")
    cells = [(row + [""] * width)[:width] for _, row in below]
    table = pd.DataFrame(cells, columns=header, index=[number for number, _ in below], dtype=str)
    table = table.loc[:, [bool(cell) for cell in header]]
    return table if separator == "," else table.replace(_DECIMAL_COMMA, r"\1.\2", regex=True)


def _text(raw: RawData, name: str) -> str:
    """A file's text, with lines that end in \\n. Raises UserError if it is no text."""
    content = raw.read(name)
    is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0" if is_utf_16 else content.decode("latin-1")
    if "\0" in text:
        raise UserError(f"{raw.path}: {name} is no text in UTF-8, UTF-16 or Latin-1; save it as CSV in UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _rows(where: str, text: str, separator: str) -> dict[int, list[str]]:
    """The rows that are not empty, by their number from 1 on. Raises UserError if a quote is not closed."""
    rows = csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=True)
    number, found = 0, {}
    try:
        for number, row in enumerate(rows, start=1):
            if any(row):
                found[number] = row
    except csv.Error as error:
        why = one_line(str(error), 80)
        raise UserError(
            f"{where}, row {number + 1}: a quote is not closed, or closed within its cell ({why}); put quotes around "
            "whole cells, and double those inside"
        ) from None
    return found


def column_of(table: pd.DataFrame, names: Iterable[str], where: str) -> str | None:
    """The header of the first of `names` (as of `plain_name`) that a table has; None if it has none of them.

    where: the table's file, for messages. Raises UserError if two columns have that name.
    """
    known: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, header in enumerate(table.columns, start=1):
        known[plain_name(str(header))].append((number, header))
    same = next((known[name] for name in names if name in known), [])
    if len(same) > 1:
        (one, first), (other, second), *_ = same
        raise UserError(
            f"{where} has {first!r} in column {one} and {second!r} in column {other}, and one name means one column; "
            "rename or remove one of them"
        )
    return same[0][1] if same else None


def needed_columns(raw: RawData, name: str, table: pd.DataFrame, **wanted: Sequence[str]) -> pd.DataFrame:
    """A table's columns under the given names. wanted: name -> what it may be called. Raises UserError without one."""
    where = f"{raw.path}: {name}"
    found = {column: column_of(table, names, where) for column, names in wanted.items()}
    for column, header in found.items():
        if header is None:
            there = one_line(", ".join(table.columns), 100)
            raise UserError(f"{where} has no column {column}, only {there}; is this the right file?")
    return pd.DataFrame({column: table[header] for column, header in found.items()})


def read_wide(raw: RawData, name: str) -> tuple[dict[str, pd.Series], list[str]]:
    """A CSV with a row a song and a column a sample (`sample_15500ms`): id -> values in [−1, 1] by seconds.

    With the ids of several rows, which are not among the songs: it is not known which row is right. Raises UserError if
    it has no such columns or a value is outside the scale.
    """
    where = f"{raw.path}: {name}"
    table = read_cells(raw, name)
    ids = needed_columns(raw, name, table, song_id=SONG_COLUMNS)["song_id"].map(song_id)
    table, ids = table[ids != ""], ids[ids != ""]
    matches = [(header, _SAMPLE.fullmatch(header.replace(" ", ""))) for header in map(str, table.columns)]
    samples = [(float(found[1]) / 1000, header) for header, found in matches if found]
    if not samples:
        raise UserError(f"{where} has no columns such as sample_15000ms; is this the right file?")
    by_time: dict[float, str] = {}
    for seconds, header in samples:
        if seconds in by_time:
            raise UserError(f"{where} has columns {by_time[seconds]} and {header} of one time; remove one of them")
        by_time[seconds] = header
    values = table[[*by_time.values()]].apply(numbers, where=where)
    for _, column in values.items():
        check_scale(where, ids, column, -1, 1)
    once = (~ids.duplicated(keep=False)).to_numpy()
    rows = zip(ids[once], values.to_numpy()[once], strict=True)
    return {song: pd.Series(row, index=[*by_time]) for song, row in rows}, [*ids[~once].unique()]


def wide_curves(raw: RawData, valence: str, arousal: str) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """The curves of songs in two wide CSVs: id -> seconds, valence, arousal, and the ids that one of them has twice.

    valence, arousal: names in `raw`.
    """
    (of_valence, twice), (of_arousal, also_twice) = read_wide(raw, valence), read_wide(raw, arousal)
    twice = [*dict.fromkeys([*twice, *also_twice])]
    curves = {}
    for song in dict.fromkeys([*of_valence, *of_arousal]):
        if song in twice:
            continue
        empty = pd.Series(dtype=float)
        both = {"valence": of_valence.get(song, empty), "arousal": of_arousal.get(song, empty)}
        curves[song] = pd.DataFrame(both).rename_axis("seconds").sort_index().reset_index()
    return curves, twice


def needed_pair(block: SetSettings, raw: RawData, ending: str) -> tuple[str, str]:
    """The names of valence's and arousal's file in one folder of `raw`: `valence` and `arousal` before an ending.

    Raises UserError if there is no such folder, or if there are several.
    """
    valence, arousal = (raw.find(f"{dimension}{ending}") for dimension in DIMENSIONS)
    by_folder = {PurePosixPath(name).parent: name for name in arousal}
    pairs = [(name, by_folder[folder]) for name in valence if (folder := PurePosixPath(name).parent) in by_folder]
    if not pairs:
        one, other = (needed_file(block, raw, f"{dimension}{ending}") for dimension in DIMENSIONS)
        raise UserError(f"{raw.path}: {one} and {other} are not in one folder; put both there")
    if len(pairs) > 1:
        (one, _), (other, _) = pairs[:2]
        raise UserError(f"{raw.path}: {one} and {other} both have arousal beside them; remove one of the copies")
    return pairs[0]


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
