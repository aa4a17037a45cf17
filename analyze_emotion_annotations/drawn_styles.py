"""Which styles the pictures show, and how each looks in all of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import pandas as pd

from pipeline.settings import UserError, one_line

from .figures import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY_BLUE, VERMILLION
from .song_groups import ALL, NO_STYLE, RARE

# 6 colours and 11 shapes in step give 66 different pairs, and neighbours differ in both; black and grey have a meaning
_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY_BLUE)
_LONGEST_NAME = 24  # letters that fit beside every picture
_SHAPES = "osD^vP<X>ph"
_NAMED = {RARE: ("rare styles", GREY, "o"), NO_STYLE: ("no style given", GREY, "s"), ALL: ("all songs", BLACK, "*")}


@dataclass(frozen=True)
class DrawnStyle:
    """A group of songs in the pictures. row: of the table of statistics, whose index is also its g."""

    name: str
    colour: str
    shape: str
    row: pd.Series

    @property
    def g(self) -> int:
        """Its number among the groups."""
        return int(str(self.row.name))

    @property
    def songs(self) -> str:
        """How many songs it has, in words."""
        return f"{self.row['n_songs']:,} song{'s'[: self.row['n_songs'] != 1]}"

    @property
    def symbol(self) -> dict[str, Any]:
        """How matplotlib is to draw its marker."""
        size = {"*": 15, "P": 11, "X": 11}.get(self.shape, 10)
        return {"color": self.colour, "marker": self.shape, "markersize": size, "markeredgecolor": "white"}


def choose_column(table: pd.DataFrame, wanted: str | None) -> str:
    """The style column to draw: the wanted one, else the first that names a style, else that of the overall row."""
    styles = table[table["kind"] == "style"]
    if wanted is None:
        named = styles.loc[styles["name"] != NO_STYLE, "grouping"]
        return str(named.iloc[0]) if len(named) else ALL
    columns = list(dict.fromkeys(styles["grouping"]))
    if wanted not in columns:
        known = ", ".join(columns) or "none"
        raise UserError(f"styles.column: the annotations have no column {wanted}; their style columns: {known}")
    return wanted


def styles_to_draw(table: pd.DataFrame, column: str, most: int) -> list[DrawnStyle]:
    """The styles of a column, most songs first, at most so many; then rare ones, songs without a style, and all songs.

    table: group_statistics.
    """
    of_column = table[(table["grouping"] == column) & (column != ALL)]
    apart = of_column["name"].isin(_NAMED)
    named = of_column[~apart].sort_values(["n_songs", "name"], ascending=[False, True])[:most]
    drawn = [
        DrawnStyle(one_line(str(row["name"]), _LONGEST_NAME), colour, shape, row)
        for (_, row), colour, shape in zip(named.iterrows(), cycle(_COLOURS), cycle(_SHAPES), strict=False)
    ]
    others = [of_column[of_column["name"] == name] for name in (RARE, NO_STYLE)] if drawn else []
    others.append(table[table["grouping"] == ALL])
    for rows in others:
        for _, row in rows.iterrows():
            drawn.append(DrawnStyle(*_NAMED[str(row["name"])], row))
    return drawn
