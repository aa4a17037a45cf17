"""The tables that 01_statistics.py writes, and what it prints of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.files import write_table
from pipeline.settings import one_line

from .analysis import Analysis
from .song_groups import ALL


def write_results(found: Analysis, folder: Path) -> list[Path]:
    """Write the tables of an analysis as CSV; returns their paths."""
    of_styles, of_features = (
        found.table[found.table["kind"].isin(("all", kind))].drop(columns="kind") for kind in ("style", "feature")
    )
    names = found.table[["grouping", "name"]]
    courses = found.courses.join(names, on="g").drop(columns="g")
    tables = {
        "statistics_by_style": of_styles.rename(columns={"grouping": "style_column", "name": "style"}),
        "statistics_by_feature": of_features.rename(columns={"grouping": "feature", "name": "class"}),
        "comparisons": _with_small_numbers(found.comparisons.drop(columns="kind"), ("p", "p_holm")),
        "courses": courses[["grouping", "name", *(c for c in courses if c not in ("grouping", "name"))]],
        "songs_to_look_at": found.songs.drop(columns="part"),
    }
    paths = []
    for name, table in tables.items():
        paths.append(folder / f"{name}.csv")
        write_table(paths[-1], table, decimals=6)
    return paths


def _with_small_numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with columns in three significant digits, as text: decimals would make nothing of small ones."""
    return table.assign(**{column: table[column].map("{:.3g}".format) for column in columns})


def in_short(table: pd.DataFrame, groups_a_grouping: int = 10) -> str:
    """The table as text for a terminal: each grouping's first groups, means with their intervals, quadrant shares."""
    lines = [f"{'':34}{'songs':>9}{'bars':>12}  {'valence':<24}{'arousal':<24}{'Q1':>7}{'Q2':>7}{'Q3':>7}{'Q4':>7}"]
    for grouping, rows in table.groupby("grouping", sort=False):
        if len(rows) == 1 and grouping != ALL:
            continue  # all songs are in one group: nothing that the first line doesn't say
        lines.append(str(grouping))
        for row in rows.head(groups_a_grouping).to_dict("records"):
            means = "".join(f"{_with_interval(row, name):<24}" for name in ("valence_mean", "arousal_mean"))
            shares = "".join(f"{row[f'share_q{quadrant}']:>7.1%}" for quadrant in (1, 2, 3, 4))
            lines.append(f"  {one_line(row['name'], 30):32}{row['n_songs']:>9,}{row['n_bars']:>12,}  {means}{shares}")
        if len(rows) > groups_a_grouping:
            lines.append(f"  … and {len(rows) - groups_a_grouping:,} more in the file")
    return "\n".join(lines)


def _with_interval(row: Mapping[Hashable, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = "" if low != low else f" ({low:+z.3f} {high:+z.3f})"  # nan is not equal to itself
    return f"{row[name]:+z.3f}{interval}"
