"""Valence and arousal by style: counts, means, spreads, quartiles and quadrant shares over bars.

Conventions:
- A song counts in every style that it names, once for each; a song that names none counts in '(none)' of that column.
  A song that stands in the annotations twice counts twice, with its bars.
- All statistics are over bars, so a long song weighs more than a short one. sd is the population's (ddof 0).
- Quartiles are numpy's (linear between order statistics) of the values rounded to STEP, so they are within STEP / 2 of
  the exact ones. Counting values on this fixed grid keeps memory flat (some 32 kB a style) and lets parts be added up.
- Quadrants of the circumplex model (J. A. Russell, 1980), as EMOPIA numbers them: Q1 V+ A+, Q2 V− A+, Q3 V− A−,
  Q4 V+ A−. Zero counts as positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from tqdm import tqdm

from musetok_bridge.settings import UserError

from .annotation_tables import Part, read_bars, read_songs, style_columns, style_names
from .figures import one_line

STEP = 0.001
_GRID = np.linspace(-1.0, 1.0, 2001)
OVERALL = ("(all)", "(all)")
NO_STYLE = "(none)"

StyleKey = tuple[str, str]  # style column, style


@dataclass(frozen=True)
class Tally:
    """What is kept of a set of bars; the tallies of two sets add up to that of both.

    For arrays of shape (2, ...) row 0 is valence, row 1 arousal.
    """

    n_songs: int
    n_bars: int
    sums: np.ndarray  # (2,)
    squares: np.ndarray  # (2,) sums of squares
    quadrants: np.ndarray  # (4,) bars in Q1 .. Q4
    histogram: np.ndarray  # (2, 2001) bars nearest to each point of the grid

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.n_songs + other.n_songs,
            self.n_bars + other.n_bars,
            self.sums + other.sums,
            self.squares + other.squares,
            self.quadrants + other.quadrants,
            self.histogram + other.histogram,
        )


def tally_bars(affect: np.ndarray, n_songs: int = 0) -> Tally:
    """Count bars. affect: (n, 2), columns valence and arousal, in [−1, 1]."""
    negative_valence, negative_arousal = (affect < 0).T
    quadrant = np.where(negative_arousal, np.where(negative_valence, 2, 3), np.where(negative_valence, 1, 0))
    nearest = np.rint((affect + 1.0) / STEP).astype(np.int64)  # (n, 2) index into the grid
    return Tally(
        n_songs,
        len(affect),
        affect.sum(axis=0),
        np.square(affect).sum(axis=0),
        np.bincount(quadrant, minlength=4),
        np.stack([np.bincount(column, minlength=len(_GRID)) for column in nearest.T]),
    )


def quantiles(counts: np.ndarray, q: Sequence[float]) -> np.ndarray:
    """Quantiles of values counted on the grid, by linear interpolation between order statistics; nan if there are none.

    counts: (2001,) how many values lie at each grid point; q: fractions in [0, 1].
    """
    total = int(counts.sum())
    if total == 0:
        return np.full(len(q), np.nan)
    place = np.asarray(q) * (total - 1)  # where the quantile stands among the sorted values, counted from 0
    below = np.floor(place)
    up_to = np.cumsum(counts)
    lower = _GRID[np.searchsorted(up_to, below, side="right")]
    upper = _GRID[np.searchsorted(up_to, np.ceil(place), side="right")]
    return lower + (place - below) * (upper - lower)


def tally_styles(parts: Sequence[Part], progress: bool = False) -> dict[StyleKey, Tally]:
    """Go through finished parts one after the other and count the bars of every style of every style column.

    Returns tallies by (style column, style), OVERALL first. UserError if there is no bar at all.
    """
    columns = style_columns(parts)
    tallies: dict[StyleKey, Tally] = {OVERALL: tally_bars(np.empty((0, 2)))}
    for part in tqdm(parts, desc="parts", unit="part", disable=None if progress else True):
        for key, tally in _tally_part(part, columns):
            tallies[key] = tallies[key] + tally if key in tallies else tally
    if tallies[OVERALL].n_bars == 0:
        folder = parts[0].bars.parent.parent
        raise UserError(f"{folder}: no bar was annotated; the reasons stand in {folder / 'failures'}")
    return tallies


def statistics_table(tallies: dict[StyleKey, Tally]) -> pd.DataFrame:
    """The overall row, then each column's styles, those with most songs first. Cells are empty without bars."""
    rows = pd.DataFrame([_row(key, tally) for key, tally in tallies.items()])
    column_order = {column: i for i, column in enumerate(dict.fromkeys(column for column, _ in tallies))}
    rows["order"] = rows["style_column"].map(column_order)
    rows = rows.sort_values(["order", "n_songs", "n_bars", "style"], ascending=[True, False, False, True])
    return rows.drop(columns="order").reset_index(drop=True)


def in_short(table: pd.DataFrame, styles_a_column: int = 10) -> str:
    """The table as text for a terminal: each column's largest styles, means and quadrant shares."""
    lines = [f"{'':34}{'songs':>9}{'bars':>12}{'valence':>9}{'arousal':>9}{'Q1':>7}{'Q2':>7}{'Q3':>7}{'Q4':>7}"]
    for column, rows in table.groupby("style_column", sort=False):
        lines.append(str(column))
        for row in rows.head(styles_a_column).to_dict("records"):
            means = "".join(f"{row[name]:>+9.3f}" for name in ("valence_mean", "arousal_mean"))
            shares = "".join(f"{row[f'share_q{quadrant}']:>7.1%}" for quadrant in (1, 2, 3, 4))
            lines.append(f"  {one_line(row['style'], 30):32}{row['n_songs']:>9,}{row['n_bars']:>12,}{means}{shares}")
        if len(rows) > styles_a_column:
            lines.append(f"  … and {len(rows) - styles_a_column:,} more in the file")
    return "\n".join(lines)


def _tally_part(part: Part, columns: Sequence[str]) -> Iterable[tuple[StyleKey, Tally]]:
    songs = read_songs(part, columns)
    keys, styles_of_song = _memberships(songs, columns)
    no_bars = np.empty((0, 2))
    for key, count in zip(keys, np.bincount(styles_of_song["style"], minlength=len(keys)), strict=True):
        yield key, tally_bars(no_bars, int(count))
    # a file that occurs twice has its bars here twice; the styles of its first row hold for all of them
    first_rows = pd.Series(songs.index, index=songs["md5"])
    first_rows = first_rows[~first_rows.index.duplicated()]
    for bars in read_bars(part, ["md5", "valence", "arousal"]):
        if bars.empty:  # every song of the part failed
            continue
        bars["song"] = bars["md5"].map(first_rows)
        strangers = bars.loc[bars["song"].isna(), "md5"]
        if len(strangers):
            raise UserError(f"{part.bars}: bars of {strangers.iloc[0]}, a song that {part.songs} lacks; annotate again")
        counted = styles_of_song.merge(bars, on="song").sort_values("style", kind="stable")  # a row a bar and style
        styles, starts = np.unique(counted["style"], return_index=True)
        pieces = np.split(counted[["valence", "arousal"]].to_numpy(), starts[1:])
        for style, affect in zip(styles, pieces, strict=True):
            yield keys[style], tally_bars(affect)


def _memberships(songs: pd.DataFrame, columns: Sequence[str]) -> tuple[list[StyleKey], pd.DataFrame]:
    """Keys of the styles in a part, and pairs (song, style): row of the song, place of the key."""
    places: dict[StyleKey, int] = {OVERALL: 0}
    pairs = [(song, 0) for song in songs.index]
    for column in columns:
        names_of = {cell: style_names(cell) or [NO_STYLE] for cell in songs[column].unique()}
        for song, cell in songs[column].items():
            pairs += [(song, places.setdefault((column, name), len(places))) for name in names_of[cell]]
    return list(places), pd.DataFrame(pairs, columns=["song", "style"], dtype="int64")


def _row(key: StyleKey, tally: Tally) -> dict[str, object]:
    row: dict[str, object] = {
        "style_column": key[0],
        "style": key[1],
        "n_songs": tally.n_songs,
        "n_bars": tally.n_bars,
    }
    n = tally.n_bars or np.nan
    for i, affect in enumerate(("valence", "arousal")):
        mean = tally.sums[i] / n
        row[f"{affect}_mean"] = mean
        row[f"{affect}_sd"] = np.sqrt(np.maximum(tally.squares[i] / n - mean**2, 0.0))  # rounding may dip below 0
        quartiles = quantiles(tally.histogram[i], (0.25, 0.5, 0.75))
        row |= {f"{affect}_{name}": value for name, value in zip(("q25", "median", "q75"), quartiles, strict=True)}
    return row | {f"share_q{i + 1}": count / n for i, count in enumerate(tally.quadrants)}
