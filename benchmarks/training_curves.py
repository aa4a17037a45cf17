"""Curves of a tokenizer's training: its losses and the notes it gives back, over the minutes of all runs.

    python benchmarks/training_curves.py FIRST/losses.csv [NEXT/losses.csv …] --out docs/encoder_training.png

Takes losses.csv of musetok_bridge/02_train_tokenizer.py, of one run or of several that each began with the weights
of the one before (training.start_from), in this order. Prints the rows as a table, with steps and minutes counted over
all runs, and draws them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

FIGURES = {
    "training_loss": "training loss",
    "validation_loss": "validation loss",
    "exact_notes": "exact notes",
    "exact_bars": "exact bars",
}


def joined(files: list[Path]) -> pd.DataFrame:
    """The rows of all runs, with a column `run` from 0 and with steps and minutes since the start of the first."""
    runs = []
    steps = minutes = 0.0
    for number, file in enumerate(files):
        run = pd.read_csv(file).assign(run=number)
        run["step"] += steps
        run["minutes"] += minutes
        steps, minutes = run["step"].iloc[-1], run["minutes"].iloc[-1]
        runs.append(run)
    return pd.concat(runs, ignore_index=True)


def draw(table: pd.DataFrame, path: Path) -> None:
    """Plot losses above, and shares of notes and bars below."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    losses, shares = figure.subplots(2, sharex=True)
    for axes, names in ((losses, list(FIGURES)[:2]), (shares, list(FIGURES)[2:])):
        for name, colour in zip(names, ("#0072b2", "#d55e00"), strict=True):
            axes.plot(table["minutes"], table[name], color=colour, marker=".", label=FIGURES[name])
        for begun in table.groupby("run")["minutes"].max().iloc[:-1]:
            axes.axvline(begun, color="grey", linestyle=":")
        axes.grid(alpha=0.3)
        axes.set_ylim(0, None)
        axes.legend()
    losses.set_ylabel("nats a word")
    shares.set(xlabel="minutes of training", ylabel="share given back")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Read the command line, print the table and draw it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="losses.csv of each run, in order")
    parser.add_argument("--out", type=Path, required=True, help="the PNG to draw")
    arguments = parser.parse_args()
    table = joined(arguments.files)
    print(f"| run | step | minutes | {' | '.join(FIGURES.values())} |\n{'|---' * (3 + len(FIGURES))}|")
    for row in table.to_dict("records"):
        figures = " | ".join(f"{row[name]:.3f}" for name in FIGURES)
        print(f"| {row['run'] + 1} | {row['step']:,.0f} | {row['minutes']:.0f} | {figures} |")
    draw(table, arguments.out)
    print(f"plot: {arguments.out}")


if __name__ == "__main__":
    main()
