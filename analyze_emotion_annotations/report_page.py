"""A report as one self-contained HTML file: its tables, plots and song curves, its style sheet and its script.

Titles, artists and styles come from strangers' files, so they reach the page in two ways only: escaped in the HTML,
or in a block of JSON that can't end its own element, from which the script makes text nodes. The page's Content
Security Policy allows no other script or style, no loading from any address, and no making of HTML from text.

Sortable tables, curves and the player are our own scripts, under 45 kB in all. Libraries for them add hundreds of
kilobytes to every report, and many set styles or make HTML in ways that this policy forbids.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jinja2 import Environment
from markupsafe import Markup

from pipeline.templates import template_environment

from .played_notes import Sound
from .song_curves import Song

Cell = str | int | float | None | tuple[float, float, float]

_FILES = Path(__file__).parent / "report_page_files"
_SCRIPTS = ("elements.js", "tables.js", "curves.js", "player.js", "song_panel.js", "page.js")
_MEDIA_TYPES = {"png": "image/png", "svg": "image/svg+xml"}
# Unprintable characters, and marks that change the direction of the text after them; tab and line feed are allowed.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@dataclass(frozen=True)
class TableColumn:
    """A column of a table. decimals: of the number shown, which for a share is a percentage."""

    key: str
    label: str
    kind: Literal["text", "count", "signed", "share", "number", "seconds"]  # signed: +0.21; share: a fraction, as 21 %
    help: str = ""  # shown when the pointer rests on the label
    decimals: int = 2


@dataclass(frozen=True)
class Table:
    """Rows of cells in the order of the columns.

    A cell of a text column is a text. Any other cell is a number, None, or (value, low, high), a value with its 95 %
    interval, which is sorted by the value. No two columns share a label. song_of_row: for each row the md5 of the song
    that it draws when chosen, "" for none; () if no row draws a song. sort_by: key of the column that the rows are
    first sorted by; "" keeps their order.
    """

    name: str
    caption: str
    columns: tuple[TableColumn, ...]
    rows: tuple[tuple[Cell, ...], ...]
    song_of_row: tuple[str, ...] = ()
    sort_by: str = ""
    descending: bool = True


@dataclass(frozen=True)
class ReportPlot:
    """A plot as an image file. alt: a description for readers who can't see it.

    narrow: the plot as a narrow window shows it, in the same form; None if it has no layout of its own for that.
    """

    name: str
    caption: str
    alt: str
    image: bytes
    form: Literal["png", "svg"]
    narrow: bytes | None = None


@dataclass(frozen=True)
class Section:
    """A section of the report; paragraphs, facts, tables and plots are shown in this order."""

    name: str
    heading: str
    paragraphs: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()  # (label, value), such as ("songs", "3,299")
    tables: tuple[Table, ...] = ()
    plots: tuple[ReportPlot, ...] = ()


@dataclass(frozen=True)
class Report:
    """Everything that the page shows and plays.

    made_with: the provenance as JSON text. sounds: by md5; of a song that is not among them nothing is said or played.
    """

    title: str
    subtitle: str
    sections: tuple[Section, ...]
    curves: tuple[Song, ...]
    made_with: str
    sounds: Mapping[str, Sound] = field(default_factory=dict)


def render(report: Report) -> str:
    """The page as HTML text that can be encoded as UTF-8.

    Raises ValueError if a row has more or fewer cells than its table has columns, a cell is not of its column's kind, a
    table is sorted by a column that it doesn't have, a song has no bars or arrays of different lengths, or two
    sections, tables, plots or columns of a table share a name.
    """
    _check(report)
    style = (_FILES / "page.css").read_text(encoding="utf-8")
    script = "\n".join((_FILES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            report=report,
            policy=_policy(style, script),
            style=Markup(style),  # style and script are our own files, so they need no escaping
            script=Markup(script),
            data=Markup(_json_block(_data(report))),
        )
    )


def _environment() -> Environment:
    """The template engine: all text except Markup is escaped, and its unprintable characters are replaced."""

    def printable(value: Any) -> Any:
        is_foreign = isinstance(value, str) and not isinstance(value, Markup)
        return _UNPRINTABLE.sub("\ufffd", value) if is_foreign else value

    environment = template_environment(_FILES, finalize=printable)
    environment.filters |= {
        "identifier": _identifier,
        "data_address": _data_address,
        "name_of_table": lambda name: Markup(html.escape(name)),
    }
    return environment


def _policy(style: str, script: str) -> Markup:
    def source(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    return Markup(
        f"default-src 'none'; img-src data:; style-src {source(style)}; script-src {source(script)}; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _data_address(image: bytes, form: str) -> str:
    return f"data:{_MEDIA_TYPES[form]};base64,{base64.b64encode(image).decode()}"


def _data(report: Report) -> dict[str, Any]:
    """The data from which the script makes tables and curves."""
    return {
        "tables": {table.name: _table(table) for section in report.sections for table in section.tables},
        "songs": {curve.md5: _curve(curve, report.sounds.get(curve.md5)) for curve in report.curves},
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "caption": table.caption,
        "columns": [asdict(column) for column in table.columns],
        "rows": [[_cell(cell) for cell in row] for row in table.rows],
        "songs": table.song_of_row,
        "sortBy": table.sort_by,
        "descending": table.descending,
    }


def _cell(cell: Cell) -> Any:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Sequence):
        value, low, high = map(_number, cell)
        return None if value is None else value if low is None or high is None else [value, low, high]
    return _number(cell)


def _number(value: Any) -> int | float | None:
    """A number as Python's int, or float of six digits; None if it is unknown (None, nan, infinite)."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value == int(value) else float(f"{value:.6g}")


def _curve(curve: Song, sound: Sound | None) -> dict[str, Any]:
    unknown = np.full(len(curve.bar_number), np.nan)
    return {
        "title": curve.title,
        "artist": curve.artist,
        "duration": _rounded([curve.duration_seconds], 2)[0],
        "bar": _rounded(curve.bar_number, 0),
        "seconds": _rounded(curve.start_seconds, 2),
        "valence": _rounded(curve.valence, 3),
        "arousal": _rounded(curve.arousal, 3),
        "valenceErrorSd": _rounded(unknown if curve.valence_error_sd is None else curve.valence_error_sd, 3),
        "arousalErrorSd": _rounded(unknown if curve.arousal_error_sd is None else curve.arousal_error_sd, 3),
        "notes": _rounded(unknown if curve.n_notes is None else curve.n_notes, 0),
        "played": sound.notes if sound else "",
        "whySilent": sound.why_silent if sound else "",
    }


def _rounded(values: Iterable[float], decimals: int) -> list[int | float | None]:
    rounded = np.round(np.asarray(values, dtype=np.float64), decimals)
    return [
        None if not math.isfinite(value) else int(value) if value == int(value) else value for value in rounded.tolist()
    ]


def _json_block(record: Any) -> str:
    """JSON in ASCII without <, > and &, so that it contains nothing that an HTML parser acts on."""
    text = json.dumps(record, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _identifier(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _check(report: Report) -> None:
    tables = [table for section in report.sections for table in section.tables]
    plots = [plot for section in report.sections for plot in section.plots]
    for table in tables:
        if any(len(row) != len(table.columns) for row in table.rows):
            raise ValueError(f"table {table.name}: a row has more or fewer cells than there are columns")
        if table.song_of_row and len(table.song_of_row) != len(table.rows):
            raise ValueError(f"table {table.name}: {len(table.song_of_row)} songs for {len(table.rows)} rows")
        for i, column in enumerate(table.columns):
            cells = [row[i] for row in table.rows if row[i] is not None]
            if any(isinstance(cell, str) != (column.kind == "text") for cell in cells):
                raise ValueError(f"table {table.name}: a cell of {column.key} is not of its kind, {column.kind}")
        labels = [column.label for column in table.columns]
        if len(set(labels)) < len(labels):
            raise ValueError(f"table {table.name}: two columns share a label: {', '.join(labels)}")
        if table.sort_by and table.sort_by not in {column.key for column in table.columns}:
            raise ValueError(f"table {table.name}: no column {table.sort_by} to sort by")
    for curve in report.curves:
        arrays = [value for value in vars(curve).values() if isinstance(value, np.ndarray)]
        if not len(curve.bar_number) or any(array.shape != arrays[0].shape for array in arrays):
            raise ValueError(f"song {curve.md5}: no bars, or arrays of different lengths")
    for parts in (report.sections, tables, plots):
        names = [_identifier(part.name) for part in parts]
        if len(set(names)) < len(names):
            raise ValueError(f"two sections, tables or plots share a name: {', '.join(names)}")
