"""The tables of the report, made from the data frames of an analysis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from pipeline.annotations import DIMENSIONS, QUADRANTS
from pipeline.cells import style_names

from .report_page import Cell, Table, TableColumn

_MEANS = tuple(
    TableColumn(
        f"{dimension}_mean", f"mean {dimension}", "signed", f"mean {dimension} of bars, with its 95 % interval", 3
    )
    for dimension in DIMENSIONS
)
_MEASURES = (
    *(
        TableColumn(f"{dimension}_{name}", f"{dimension} {name}", "signed" if signed else "number", help, decimals)
        for dimension in DIMENSIONS
        for name, signed, help, decimals in (
            ("sd", False, f"standard deviation of {dimension} over bars", 3),
            ("q25", True, f"a quarter of the bars have a lower {dimension}", 3),
            ("median", True, f"half of the bars have a lower {dimension}", 3),
            ("q75", True, f"three quarters of the bars have a lower {dimension}", 3),
            ("change", False, f"mean absolute change of {dimension} from bar to bar", 4),
        )
    ),
    *(
        TableColumn(f"share_{q.name.lower()}", q.name, "share", f"share of bars that are {q.words}", 1)
        for q in QUADRANTS
    ),
)


def group_table(rows: pd.DataFrame, name: str, caption: str, heading: str) -> Table:
    """A row for each group, in the given order, with all its statistics. heading: what a group is, e.g. style.

    The means of valence and arousal come first, side by side, so that a narrow window shows both.
    """
    columns = (
        TableColumn("name", heading, "text"),
        TableColumn("n_songs", "songs", "count"),
        *_MEANS,
        TableColumn("n_bars", "bars", "count"),
        *_MEASURES,
    )
    cells = [
        (
            str(row["name"]),
            int(row["n_songs"]),
            *(_interval(row, column.key) for column in _MEANS),
            int(row["n_bars"]),
            *(_interval(row, column.key) for column in _MEASURES),
        )
        for row in rows.to_dict("records")
    ]
    return Table(name, caption, columns, tuple(cells))


def comparison_table(rows: pd.DataFrame, name: str, caption: str) -> Table:
    """A row for each pair of groups and dimension."""
    several = rows["grouping"].nunique() > 1
    columns = (
        *([TableColumn("grouping", "feature", "text")] if several else []),
        TableColumn("group_a", "group A", "text"),
        TableColumn("group_b", "group B", "text"),
        TableColumn("dimension", "dimension", "text"),
        TableColumn("difference", "difference", "signed", "mean over songs of A minus that of B", 3),
        TableColumn("effect", "effect", "signed", "Hedges' g, with its 95 % interval", 2),
        TableColumn("p_holm", "p (Holm)", "number", "p of Welch's test after Holm's correction", 4),
        TableColumn("songs_a", "songs in A", "count"),
        TableColumn("songs_b", "songs in B", "count"),
    )
    keys = [column.key for column in columns]
    cells = [
        tuple(_interval(row, key) if key == "effect" else _cell(row[key]) for key in keys)
        for row in rows.to_dict("records")
    ]
    return Table(name, caption, columns, tuple(cells))


def song_table(rows: pd.DataFrame, name: str, caption: str) -> Table:
    """A row for each song of each list; choosing a row draws the song's curve."""
    columns = (
        TableColumn("list", "list", "text"),
        TableColumn("title", "title", "text"),
        TableColumn("artist", "artist", "text"),
        TableColumn("valence", "mean valence", "signed", "mean over the song's bars"),
        TableColumn("arousal", "mean arousal", "signed", "mean over the song's bars"),
        TableColumn("style", "style", "text"),
        TableColumn("n_bars", "bars", "count"),
        TableColumn("valence_sd", "valence sd", "number", "standard deviation over the song's bars"),
        TableColumn("arousal_sd", "arousal sd", "number", "standard deviation over the song's bars"),
        TableColumn("valence_change", "valence change", "number", "mean absolute change from bar to bar", 3),
        TableColumn("arousal_change", "arousal change", "number", "mean absolute change from bar to bar", 3),
    )
    rows = rows.assign(
        title=rows["title"].where(rows["title"] != "", rows["md5"]),
        style=[", ".join(style_names(c)) for c in rows["style"]],
    )
    cells = [tuple(_cell(row[column.key]) for column in columns) for row in rows.to_dict("records")]
    return Table(name, caption, columns, tuple(cells), tuple(rows["md5"].str.lower()))


def count_table(name: str, caption: str, labels: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A table of counts. labels: of its columns. rows: a name, then its counts."""
    columns = [TableColumn(labels[0], labels[0], "text"), *(TableColumn(label, label, "count") for label in labels[1:])]
    cells: list[tuple[Cell, ...]] = [(str(row[0]), *(int(n) for n in row[1:])) for row in rows]
    return Table(name, caption, tuple(columns), tuple(cells))


def text_table(name: str, caption: str, rows: Iterable[tuple[str, str]]) -> Table:
    """A table of two columns. rows: a name and its value."""
    return Table(
        name, caption, (TableColumn("what", "what", "text"), TableColumn("value", "value", "text")), tuple(rows)
    )


def _interval(row: Any, key: str) -> Cell:
    """A value with its 95 % interval if it has one; None if the value is unknown."""
    value, low, high = (row[name] for name in (key, f"{key}_low", f"{key}_high"))
    if value != value or low != low or high != high:  # nan is not equal to itself
        return _cell(value)
    return float(value), float(low), float(high)


def _cell(value: Any) -> Cell:
    if isinstance(value, str):
        return value
    return None if value is None or value != value else value
