"""How time and memory of the statistics grow with the number of bars, on repeated annotations of real songs.

    python benchmarks/statistics_at_size.py --annotations DIR --bars 2500000 5000000 10000000 20000000

DIR is a folder that 01_annotate.py wrote. Its parts are repeated under new md5s until the number of bars is
reached, and 01_statistics.py runs on them as a user starts it. Time and peak memory are those of that process,
including its start.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from analyze_emotion_annotations.annotation_tables import Part, finished_parts
from pipeline.settings import PROJECT_ROOT, UserError


def repeated(parts: list[Part], folder: Path, least_bars: int) -> int:
    """Write the parts repeatedly until there are at least least_bars bars; returns the number of bars."""
    for kind in ("bars", "songs"):
        (folder / kind).mkdir(parents=True)
    n_bars = number = turn = 0
    while n_bars < least_bars:
        for part in parts:
            names: dict[str, str] = {}
            for kind, path in (("songs", part.songs), ("bars", part.bars)):
                with path.open(encoding="utf-8") as old, (folder / kind / f"part-{number:05d}.csv").open("w") as new:
                    new.write(next(old))
                    for line in old:
                        md5 = line[:32]
                        if md5 not in names:
                            names[md5] = hashlib.md5(f"{md5} {turn}".encode(), usedforsecurity=False).hexdigest()
                        new.write(names[md5] + line[32:])
                        n_bars += kind == "bars"
            number += 1
        turn += 1
    return n_bars


def measured(folder: Path) -> tuple[float, float]:
    """Run 01_statistics.py on a folder; returns seconds and peak memory in 10^6 bytes."""
    script = PROJECT_ROOT / "analyze_emotion_annotations" / "01_statistics.py"
    where = ["--set", f"input.dir={folder}", "--set", f"output.dir={folder / 'analysis'}"]
    began = time.perf_counter()
    run = subprocess.Popen([sys.executable, str(script), *where], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(run.pid, 0)
    if status:
        raise UserError(f"{script.name} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - began, used.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", type=Path, required=True, help="a folder that 01_annotate.py wrote")
    parser.add_argument("--bars", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000], help="how many bars")
    arguments = parser.parse_args()
    try:
        parts, _ = finished_parts(arguments.annotations)
        print("| bars | CSV, MB | s | µs a bar | memory, MB |\n|---|---|---|---|---|")
        for least in arguments.bars:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary) / "annotations"
                n_bars = repeated(parts, folder, least)
                size = sum(path.stat().st_size for path in folder.glob("*/*.csv")) / 1e6
                seconds, memory = measured(folder)
                print(
                    f"| {n_bars:,} | {size:,.0f} | {seconds:.0f} | {1e6 * seconds / n_bars:.2f} | {memory:,.0f} |",
                    flush=True,
                )
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
