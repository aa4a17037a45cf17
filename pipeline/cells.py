"""The cells of the CSV tables: how a value becomes text and is read back, and what a stranger's value may be.

A text or list is the same for every reader: no line break, no null, no letter that is not Unicode, no more than
LONGEST_TEXT characters, and nothing that a spreadsheet would run.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any

import numpy as np

from .annotations import COPIED_COUNT, COPIED_COUNTS, COUNT, RATING, TEXT, Kind

LONGEST_TEXT = 1_000  # characters of a text in a table; the members of a list of texts have as many together
LONGEST_LIST = 100_000  # characters of a list that is given as JSON
LONGEST_MD5 = 100  # characters of a song's md5; what is longer is no name of a song
LONGEST_CELL = 40_000  # characters of any cell: a list as JSON takes some for each of its members
MOST_NUMBERS = 1_000  # numbers in a list
UNREADABLE = object()  # a value of the source that can't be read at all

# A spreadsheet takes a cell that begins with one of these for a formula, and a title could then run a command. Such a
# text is written after an apostrophe, as OWASP advises ("CSV Injection"), and so is one in which apostrophes precede
# them, so that taking the first apostrophe off gives back every text. A second column with the raw text was not chosen:
# the spreadsheet would run that one.
GUARDED = r"^'('*[=+\-@＝＋－＠])"  # a guarded text; its group 1 is the text itself. Python, Arrow and DuckDB take it
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")  # a line break or a null in a title breaks some readers of CSV
_WRITTEN_UP_TO = 2  # the texts of smaller numbers are kept; larger ones are rare


def written(kind: Kind, values: Iterable[Any]) -> list[str]:
    """The values of a column as CSV fields; equal texts are converted only once."""
    if isinstance(values, np.ndarray):
        if kind == RATING:
            return four_decimals(values)
        values = values.tolist()
        if kind == COUNT:
            return list(map(str, values))
    if kind.decimals is not None:
        as_number = f"{{:z.{kind.decimals}f}}".format  # as in `cell`, which takes twice as long
        return [as_number(value) if value is not None and value == value else "" for value in values]
    fields: dict[Any, str] = {}
    return [
        fields[value] if value in fields else fields.setdefault(value, csv_field(cell(kind, value))) for value in values
    ]


def cell(kind: Kind, value: Any) -> str:
    """One value as the text of a cell: no minus sign before a zero, None and NaN as an empty text, texts guarded."""
    if kind.decimals is not None and value is not None and value == value:
        return f"{value:z.{kind.decimals}f}"
    return guarded(as_text(value)) if kind == TEXT else as_text(value)


def guarded(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula; the pattern GUARDED undoes it."""
    return f"'{text}" if _FORMULA.match(text) else text


def four_decimals(values: np.ndarray) -> list[str]:
    """Numbers (n,) as texts with four decimals; no minus sign before a zero."""
    if not (np.abs(values) < _WRITTEN_UP_TO).all():
        return [f"{value:z.4f}" for value in values.tolist()]
    parts = np.rint(values.astype(np.float64) * 10_000).astype(np.int64)
    return _texts_of_four_decimals()[parts + _WRITTEN_UP_TO * 10_000].tolist()


@cache  # made when something is first written: most programs that import the contract only read
def _texts_of_four_decimals() -> np.ndarray:
    end = _WRITTEN_UP_TO * 10_000
    return np.array([f"{part / 10_000:z.4f}" for part in range(-end, end + 1)], dtype=object)


def csv_field(text: str) -> str:
    """A text as a field of a CSV row, quoted where necessary."""
    row = io.StringIO()
    csv.writer(row, lineterminator="").writerow([text, ""])
    return row.getvalue()[:-1]


def as_text(value: Any) -> str:
    """A value as text on one line: a list as JSON, None or NaN as an empty text.

    Bytes and letters that can't be read are replaced, and a text is cut after LONGEST_TEXT characters.
    """
    if value is None or value != value:  # NaN is not equal to itself
        return ""
    if isinstance(value, list):
        return json.dumps(value, ensure_ascii=False, default=str)
    return as_unicode(_CONTROL.sub(" ", _as_str(value)[:LONGEST_TEXT]))


def _as_str(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def as_unicode(text: str) -> str:
    """The text with ? for what is no letter of Unicode, such as half of a pair."""
    return text.encode(errors="replace").decode()


def is_missing(value: Any) -> bool:
    """Whether a cell of the source is empty: null, NaN, or a text without letters."""
    return value is None or value == "" or value != value  # NaN is not equal to itself


def fitted(kind: Kind, value: Any) -> Any:
    """A value of the source as a value of its column; None if it is missing or doesn't fit.

    A number is a whole one within the column's type, also if it was written as text. A list of texts keeps the first
    members that have LONGEST_TEXT characters together; of a longer text the beginning is kept.
    """
    if is_missing(value) or value is UNREADABLE:
        return None
    if kind == COPIED_COUNT:
        return _whole_number(value, bits=32)
    if not kind.is_list:
        return as_text(value)
    listed = value if isinstance(value, list) else _listed(value)
    if listed is None:
        return None
    if kind == COPIED_COUNTS:
        numbers = [_whole_number(member, bits=64) for member in listed[:MOST_NUMBERS]]
        fits = len(listed) <= MOST_NUMBERS and numbers.count(None) == sum(map(is_missing, listed))
        return numbers if fits else None
    texts, left = [], LONGEST_TEXT
    for text in (as_text(member) for member in listed if not is_missing(member)):
        if len(text) > left:
            break
        texts.append(text)
        left -= len(text)
    return texts


def _listed(value: Any) -> list[Any] | None:
    """The members of a list that is given as a text of JSON; None if it is too long to be one."""
    text = _as_str(value)
    return members(text) if len(text) <= LONGEST_LIST else None


def _whole_number(value: Any, bits: int) -> int | None:
    """A number, or its digits as text, as a signed whole number of so many bits; None if it is none."""
    if isinstance(value, str | bytes):
        text = as_text(value).strip()
        value = int(text.partition(".")[0]) if re.fullmatch(r"[+-]?[0-9]{1,19}(\.0*)?", text) else None
    is_whole = type(value) is int or (type(value) is float and value.is_integer())
    return int(value) if is_whole and -(1 << bits - 1) <= value < 1 << bits - 1 else None


def members(text: str) -> list[Any]:
    """The members of the JSON list that a cell holds; a cell that holds no list is its own only member."""
    if text.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):  # not JSON: a style that happens to begin with a bracket
            found = json.loads(text)
            if isinstance(found, list):
                return [as_unicode(member) if isinstance(member, str) else member for member in found]
    return [text]


def style_names(text: str) -> list[str]:
    """The styles named in a cell of a style column, each once."""
    stripped = (member.strip() for member in members(text) if isinstance(member, str))
    return list(dict.fromkeys(name for name in stripped if name))
