"""A long run: memory and open files over time, processor use, size of the output, and time to resume.

    python benchmarks/long_run.py --data DIR --songs 20000 --out FOLDER

The music is repeated under new md5s until the number of songs is reached, and annotated by 01_annotate.py in a separate
process. Once a second it is measured: the memory of it and all its conversion processes (proportional set size, so that
shared pages count once), their open files, and their processor time. Then the last tenth of the parts is removed and
the command is run again, to measure the time until it begins its first part and to check that the parts are the same
as before. Writes memory.csv and memory.png to FOLDER; `--set` is passed on to 01_annotate.py. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from measured_music import music_folder, repeat_music

from pipeline.annotations import RECORDS, TABLES, finished_parts, record_path, table_path
from pipeline.records import PartRecord, read_record
from pipeline.settings import PROJECT_ROOT, UserError

TICKS = os.sysconf("SC_CLK_TCK")  # ticks of processor time per second


def processes(root: int) -> list[int]:
    """The ids of a process and all its descendants."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def resources(pid: int) -> tuple[float, float, int]:
    """Memory in MB, processor time in seconds and open files of a process; zeros if it has ended."""
    try:
        memory = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0.0, 0.0, 0
    return int(memory[1]) / 1000 if memory else 0.0, (int(fields[11]) + int(fields[12])) / TICKS, files


def watch(command: list[str]) -> pd.DataFrame:
    """Run a command; one row a second: seconds, memory_mb and open_files of all processes, cpu_main and cpu_workers."""
    rows = []
    began = time.perf_counter()
    with subprocess.Popen(command) as running:
        while running.poll() is None:
            main, *workers = (resources(pid) for pid in processes(running.pid))
            rows.append(
                {
                    "seconds": time.perf_counter() - began,
                    "memory_mb": main[0] + sum(memory for memory, _, _ in workers),
                    "open_files": main[2] + sum(files for _, _, files in workers),
                    "cpu_main": main[1],
                    "cpu_workers": sum(cpu for _, cpu, _ in workers),
                }
            )
            time.sleep(1)
    if running.returncode:
        raise UserError(f"01_annotate.py ended with code {running.returncode}")
    return pd.DataFrame(rows)


def resumed(command: list[str], folder: Path) -> tuple[int, int, float, bool]:
    """Remove the last tenth of the parts and run the command again.

    Returns the number of parts kept, the number removed, the seconds from the command to the start of the first new
    table, and whether the new tables equal the removed ones.
    """
    done = sorted(finished_parts(folder))
    again = done[len(done) * 9 // 10 :]
    before: dict[int, PartRecord] = {part: read_record(folder, part) for part in again}
    for part in again:
        for path in (record_path(folder, part), *(table_path(folder, kind, part) for kind in TABLES)):
            path.unlink()
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        while running.poll() is None and not next((folder / "bars").glob(".part-*.partial"), None):
            time.sleep(0.01)
        seconds = time.perf_counter() - began
    same = all(read_record(folder, part) == record for part, record in before.items())
    return len(done) - len(again), len(again), seconds, same and not running.returncode


def draw(table: pd.DataFrame, path: Path) -> None:
    """Plot memory over time."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(table["seconds"], table["memory_mb"], color="#0072b2")
    axes.set(xlabel="seconds", ylabel="memory of all processes, MB", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Read the command line, run, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set or folder; default: the bundled samples")
    parser.add_argument("--split", default="train", help="train, validation or test; default train")
    parser.add_argument("--songs", type=int, default=20_000, help="songs to annotate; default 20000")
    parser.add_argument("--out", default="output/long_run", help="folder of memory.csv and memory.png")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of 01_annotate.py")
    arguments = parser.parse_args()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    script = [sys.executable, str(PROJECT_ROOT / "process_gigamidi" / "01_annotate.py")]
    try:
        with music_folder(arguments.data) as data, tempfile.TemporaryDirectory() as folder:
            songs, annotations = Path(folder, "songs"), Path(folder, "annotations")
            songs.mkdir()
            repeat_music(data, arguments.split, arguments.songs, songs)
            own = [f"dataset.path={songs}", f"output.dir={annotations}", *arguments.set]
            command = [*script, *(word for setting in own for word in ("--set", setting))]
            table = watch(command)
            sizes = {
                kind: [path.stat().st_size for path in (annotations / kind).iterdir()] for kind in (*TABLES, RECORDS)
            }
            kept, made_again, seconds_to_resume, same = resumed(command, annotations)
    except UserError as error:
        sys.exit(f"error: {error}")
    table.round(2).to_csv(out / "memory.csv", index=False)
    draw(table, out / "memory.png")
    # from when all processes have started to when the first of them ends
    busy = table[(table["seconds"] > 5) & (table.index <= table["cpu_workers"].idxmax())]
    spent = busy.iloc[-1] - busy.iloc[0]
    cores = os.cpu_count() or 1
    took, main_busy, workers_busy = spent["seconds"], spent["cpu_main"], spent["cpu_workers"]
    seconds, memory = table["seconds"].max(), table["memory_mb"]
    print(f"{arguments.songs:,} songs in {seconds:.0f} s, {arguments.songs / seconds:.0f} a second")
    print(f"memory: at most {memory.max():.0f} MB, median {memory.median():.0f} MB")
    if took > 0:  # a very short run has no such interval
        print(f"busy: {(main_busy + workers_busy) / took / cores:.0%} of {cores} cores; of one core the main process")
        print(f"{main_busy / took:.0%}, the processes that convert {workers_busy / took:.0%}")
    print(f"open files of all processes: at most {table['open_files'].max()}")
    written = (f"{kind} {len(files)} files, {sum(files) / 1e6:,.1f} MB" for kind, files in sizes.items())
    print(f"the output folder: {'; '.join(written)}")
    print(f"resuming with {kept} parts done: {seconds_to_resume:.1f} s to the first of {made_again} new ones, ", end="")
    print("which are the same as before" if same else "WHICH ARE NOT THE SAME AS BEFORE")
    print(f"the plot of the memory is {out / 'memory.png'}")


if __name__ == "__main__":
    main()
