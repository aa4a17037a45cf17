"""Prints the annotations of the same songs by two heads side by side: means over each song.

    python samples/print_two_heads.py FOLDER FOLDER

Each FOLDER was written by process_gigamidi/01_annotate.py. A song that one head could not annotate has no number there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

MEANS = ["valence_mean", "arousal_mean"]
LONGEST_TITLE = 40


def songs(folder: Path) -> pd.DataFrame:
    """The songs of a folder by md5, with their titles and means."""
    tables = [pd.read_csv(path) for path in sorted((folder / "songs").glob("*.csv"))]
    return pd.concat(tables).set_index("md5")


def head_of(folder: Path) -> str:
    """The head that annotated a folder."""
    return str(json.loads((folder / "run.json").read_text("utf-8"))["settings"]["model"]["head"])


def main() -> None:
    """Print the table, and how far both agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs=2, type=Path)
    first, second = parser.parse_args().folder
    left, right = songs(first), songs(second)
    both = left[MEANS].join(right[MEANS].add_suffix(" of the second"), how="outer")
    both.insert(0, "title", left["title"].combine_first(right["title"]))
    both["title"] = both["title"].fillna("").str.slice(0, LONGEST_TITLE)
    names = [f"{dimension}, {head_of(folder)}" for folder in (first, second) for dimension in ("valence", "arousal")]
    both.columns = pd.Index(["song", *names])
    print("The same songs by two heads:")
    print(both.to_string(index=False, float_format="{:.2f}".format, na_rep="none"))
    for k, dimension in enumerate(("valence", "arousal")):
        r = both.iloc[:, 1 + k].corr(both.iloc[:, 3 + k])
        print(f"{dimension}: r = {r:.2f} between the two, over {both.iloc[:, 3 + k].notna().sum()} songs")


if __name__ == "__main__":
    main()
