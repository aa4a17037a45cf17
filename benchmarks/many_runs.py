"""The cost of sharing the work: one run, several runs in one folder, and a Ray cluster on this machine.

    python benchmarks/many_runs.py --data DIR --songs 20000

The music is repeated under new md5s until the number of songs is reached, and annotated in each way, always with as
many processes as cores. Prints the seconds of each including its start, the ratio to one run, and whether
the tables are the same.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measured_music import music_folder, repeat_music

from pipeline.files import file_digest
from pipeline.settings import PROJECT_ROOT, UserError

CORES = os.cpu_count() or 1
ONE_EACH = ("compute.workers=1",)
RAY = ("compute.engine=ray",)
WAYS: dict[str, tuple[int, tuple[str, ...]]] = {  # number of runs, and their settings
    f"one run, {CORES} processes": (1, (f"compute.workers={CORES}",)),
    f"{CORES} runs share the folder, 1 process in each": (CORES, ONE_EACH),
    f"Ray, {CORES} tasks at once": (1, RAY),
}


def run_seconds(n_runs: int, settings: list[str]) -> float:
    """The seconds that n_runs equal runs take at the same time. Raises CalledProcessError if one fails."""
    script = str(PROJECT_ROOT / "process_gigamidi" / "01_annotate.py")
    command = [sys.executable, script, *(word for setting in settings for word in ("--set", setting))]
    began = time.perf_counter()
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(n_runs)]
    for run in runs:
        if run.wait():
            raise subprocess.CalledProcessError(run.returncode, command)
    return time.perf_counter() - began


def main() -> None:
    """Read the command line, run each way, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set or folder; default: the bundled samples")
    parser.add_argument("--split", default="train", help="train, validation or test; default train")
    parser.add_argument("--songs", type=int, default=20_000, help="songs to annotate; default 20000")
    arguments = parser.parse_args()
    try:
        with music_folder(arguments.data) as data, tempfile.TemporaryDirectory() as folder:
            songs = Path(folder, "songs")
            songs.mkdir()
            repeat_music(data, arguments.split, arguments.songs, songs)
            print("| way | seconds | ratio | tables |\n|---|---|---|---|")
            first: tuple[float, list[str]] | None = None
            for number, (way, (n_runs, settings)) in enumerate(WAYS.items()):
                out = Path(folder, f"out-{number}")
                seconds = run_seconds(n_runs, [f"dataset.path={songs}", f"output.dir={out}", *settings])
                tables = [file_digest(path) for path in sorted(out.rglob("*.csv"))]
                first = first or (seconds, tables)
                same = "the same" if tables == first[1] else "NOT THE SAME"
                print(f"| {way} | {seconds:.0f} | {seconds / first[0]:.2f} | {same} |", flush=True)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
