"""How far valence, arousal and their expected errors move within songs, against how far songs lie apart.

    python benchmarks/movement.py ANNOTATIONS

ANNOTATIONS is a folder that process_gigamidi/01_annotate.py wrote. Prints a line for each number: the standard
deviation within a song (the median over songs, and the range of 80 % of them), between the means of songs, and the
share of the variance of all bars that lies within songs; and how many songs keep one sign, and one quadrant.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from pipeline.annotations import DIMENSIONS, finished_parts, table_path

LEAST_BARS = 8  # shorter songs are left out
NUMBERS = (*DIMENSIONS, *(f"{dimension}_error_sd" for dimension in DIMENSIONS))


def movement(bars: pd.DataFrame) -> pd.DataFrame:
    """A row for each of NUMBERS. bars: a row for each bar, with md5 and NUMBERS."""
    songs = bars.groupby("md5")
    rows = []
    for number in NUMBERS:
        within, means = songs[number].std(ddof=0), songs[number].mean()
        rest = bars[number] - songs[number].transform("mean")
        low, high = songs[number].min(), songs[number].max()
        rows.append(
            {
                "number": number,
                "mean over bars": bars[number].mean(),
                "sd within a song, median": within.median(),
                "from": within.quantile(0.1),
                "to": within.quantile(0.9),
                "highest less lowest bar, median": (high - low).median(),
                "sd of song means": means.std(ddof=0),
                "variance within songs": (rest**2).mean() / bars[number].var(ddof=0),
                "songs of one sign": ((low >= 0) | (high < 0)).mean(),
            }
        )
    return pd.DataFrame(rows)


def share_in_one_quadrant(bars: pd.DataFrame) -> float:
    """The share of the songs whose bars all lie in one quadrant."""
    signs = bars[list(DIMENSIONS)] >= 0
    return float((signs.groupby(bars["md5"]).nunique() == 1).all(axis=1).mean())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, metavar="ANNOTATIONS")
    folder = parser.parse_args().annotations
    parts = sorted(finished_parts(folder))
    bars = pd.concat([pd.read_csv(table_path(folder, "bars", part)) for part in parts], ignore_index=True)
    bars = bars[bars.groupby("md5")["md5"].transform("size") >= LEAST_BARS]
    print(f"{bars['md5'].nunique():,} songs of {LEAST_BARS} bars or more, {len(bars):,} bars\n")
    table = movement(bars)
    print("| " + " | ".join(table.columns) + " |\n" + "|---" * len(table.columns) + "|")
    for row in table.itertuples(index=False):
        print("| " + " | ".join(value if isinstance(value, str) else f"{value:.3f}" for value in row) + " |")
    print(f"\nsongs with all bars in one quadrant: {share_in_one_quadrant(bars):.3f}")
