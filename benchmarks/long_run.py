"""A long run: memory over time, and how busy the machine is.

    python benchmarks/long_run.py --data DIR --songs 20000 --out FOLDER

The music is repeated under new md5s until there are so many songs, and annotated by 01_annotate.py in a process of its
own, which is looked at once a second: the memory of it and all its conversion processes (proportional set size, so
that shared pages count once), and the processor time they have taken. FOLDER gets memory.csv and memory.png; `--set`
goes on to 01_annotate.py. Linux only.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from measured_music import music_folder

from musetok_bridge.provenance import midi_md5
from musetok_bridge.settings import PROJECT_ROOT, UserError, load_settings
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.gigamidi_source import open_source

ROW_GROUP = 500
TICKS = os.sysconf("SC_CLK_TCK")  # of processor time, a second


def repeat_music(data: str, split: str, n_songs: int, folder: Path) -> None:
    """Write a folder of Parquet with so many songs: those of the data over and over, each time under another md5."""
    where = [f"dataset.path={data}", f"dataset.split={split}"]
    source = open_source(load_settings(AnnotationSettings, "gigamidi.yaml", overrides=where).dataset)
    songs = [
        {"md5": row.md5, "music": row.music, **{column: row.described.get(column) for column in source.columns}}
        for row in source.all_rows()
    ]
    schema = pa.Table.from_pylist(songs).schema
    with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
        numbered = enumerate(islice(cycle(songs), n_songs))
        while group := list(islice(numbered, ROW_GROUP)):
            renamed = [song | {"md5": midi_md5(f"{number} {song['md5']}".encode())} for number, song in group]
            writer.write_table(pa.Table.from_pylist(renamed, schema))


def processes(root: int) -> list[int]:
    """A process and all that came from it."""
    found = [root]
    for pid in found:
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(child) for child in children.read_text().split()]
    return found


def looked_at(pid: int) -> tuple[float, float]:
    """Memory in MB and processor time in seconds of a process; nothing of one that has ended."""
    try:
        memory = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    return int(memory[1]) / 1000 if memory else 0.0, (int(fields[11]) + int(fields[12])) / TICKS


def watch(command: list[str]) -> pd.DataFrame:
    """Run a command; a row a second: seconds, memory_mb of all, cpu_main and cpu_workers in seconds so far."""
    rows = []
    began = time.perf_counter()
    with subprocess.Popen(command) as running:
        while running.poll() is None:
            main, *workers = (looked_at(pid) for pid in processes(running.pid))
            rows.append(
                {
                    "seconds": time.perf_counter() - began,
                    "memory_mb": main[0] + sum(memory for memory, _ in workers),
                    "cpu_main": main[1],
                    "cpu_workers": sum(cpu for _, cpu in workers),
                }
            )
            time.sleep(1)
    if running.returncode:
        raise UserError(f"01_annotate.py ended with code {running.returncode}")
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame, path: Path) -> None:
    """The curve of the memory."""
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(table["seconds"], table["memory_mb"], color="#0072b2")
    axes.set(xlabel="seconds", ylabel="memory of all processes, MB", ylim=(0, None))
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Read the command line, run, and say what was seen."""
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
            table = watch([*script, *(word for setting in own for word in ("--set", setting))])
    except UserError as error:
        sys.exit(f"error: {error}")
    table.round(2).to_csv(out / "memory.csv", index=False)
    draw(table, out / "memory.png")
    # from when all processes have started to when the first of them ends
    at_work = table[(table["seconds"] > 5) & (table.index <= table["cpu_workers"].idxmax())]
    spent = at_work.iloc[-1] - at_work.iloc[0]
    cores = os.cpu_count() or 1
    took, main_busy, workers_busy = spent["seconds"], spent["cpu_main"], spent["cpu_workers"]
    seconds, memory = table["seconds"].max(), table["memory_mb"]
    print(f"{arguments.songs:,} songs in {seconds:.0f} s, {arguments.songs / seconds:.0f} a second")
    print(f"memory: at most {memory.max():.0f} MB, median {memory.median():.0f} MB")
    print(f"busy: {(main_busy + workers_busy) / took / cores:.0%} of {cores} cores; of one core the main process")
    print(f"{main_busy / took:.0%}, the processes that convert {workers_busy / took:.0%}")
    print(f"the curve is in {out / 'memory.png'}")


if __name__ == "__main__":
    main()
