"""Mutate files, convert them in guarded processes, count how they end, and keep those that ended badly.

    python tests/process_gigamidi/fuzz.py --data DIR --split train --mutations 1000000 --keep FOLDER

DIR is what `dataset.path` takes; without it the files that come with the project are mutated. The exit code is 1 if a
file ended neither as bars that can be true nor as a named reason, or did not end at all.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from checked_conversion import REASONS, convert_and_check
from guarded_conversion import in_guarded_processes
from mutated_midi import MUTATIONS, Mutated, bundled_files, mutations

from musetok_bridge.conversion import Converted, Failure
from pipeline.settings import load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from song_sources.gigamidi_source import open_source

CHECKPOINTS = (0.1, 0.5, 1.0)  # of a run, at which the memory is read


def outcomes(
    files: Iterable[Mutated], settings: AnnotationSettings, workers: int
) -> Iterator[tuple[Mutated, Converted | Failure]]:
    """Convert files in guarded processes, and check the bars: each with its outcome, in order."""
    convert = partial(convert_and_check, bars=settings.bars, limits=settings.limits)
    limits = settings.limits
    begun: deque[Mutated] = deque()

    def taken() -> Iterator[bytes]:
        for file in files:
            begun.append(file)
            yield file.music

    for _, outcome in in_guarded_processes(taken(), convert, workers, limits.seconds, limits.memory_mb):
        yield begun.popleft(), outcome


def reason_of(outcome: Converted | Failure) -> str:
    """The word for how a file ended."""
    return "bars" if isinstance(outcome, Converted) else outcome.reason.split(":")[0]


def processes_started() -> int:
    """How many processes this one has started: multiprocessing numbers them."""
    return max((int(child.name.rsplit("-")[-1]) for child in multiprocessing.active_children()), default=0)


def megabytes(pid: int | str, field: str) -> float:
    """A figure of a process's memory: VmRSS, what it has now, or VmHWM, the most it had; nan outside Linux."""
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    except OSError:
        found = None
    return int(found[1]) / 1000 if found else float("nan")


def print_table(counts: Counter[tuple[str, str]]) -> None:
    """How the files of each mutation ended, and all of them."""
    totals: Counter[str] = Counter()
    for (_, reason), count in counts.items():
        totals[reason] += count
    reasons = [reason for reason, _ in totals.most_common()]
    print("| mutation | " + " | ".join(reasons) + " |")
    print("|---|" + "---|" * len(reasons))
    for name in [mutation.__name__ for mutation in MUTATIONS]:
        print(f"| {name} | " + " | ".join(f"{counts[name, reason]:,}" for reason in reasons) + " |")
    print("| all | " + " | ".join(f"{totals[reason]:,}" for reason in reasons) + " |")


def main() -> None:
    """Mutate, convert, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set or folder; default: the files that come with the project")
    parser.add_argument("--split", default="train", help="train, validation or test; default train")
    parser.add_argument("--mutations", type=int, default=100_000, help="how many; default 100,000")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers; default 0")
    parser.add_argument("--workers", type=int, default=2, help="processes; default 2")
    parser.add_argument("--keep", type=Path, help="folder for files that crash, hang, bloat or show a fault of ours")
    arguments = parser.parse_args()
    where = [f"dataset.path={arguments.data}", f"dataset.split={arguments.split}"] if arguments.data else []
    settings = load_settings(AnnotationSettings, SETTINGS_FILE, None, where)
    files = bundled_files()
    if arguments.data:
        files = [row.music for row in open_source(settings.dataset).all_rows() if row.music]
    counts: Counter[tuple[str, str]] = Counter()
    n, started, began = 0, 0, time.perf_counter()
    checkpoints = [round(part * arguments.mutations) for part in CHECKPOINTS]
    mutated = mutations(files, arguments.mutations, arguments.seed)
    for n, (file, outcome) in enumerate(outcomes(mutated, settings, arguments.workers), 1):
        reason = reason_of(outcome)
        counts[file.by, reason] += 1
        is_bad = reason in ("crashed", "timeout", "too_large") or reason not in REASONS | {"bars"}
        if is_bad:
            print(f"{file.by}: {outcome.reason}", flush=True)  # type: ignore[union-attr]
        if arguments.keep and is_bad:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"{reason}-{hashlib.md5(file.music).hexdigest()}.mid").write_bytes(file.music)
        if n in checkpoints:
            started = processes_started()
            peak = max((megabytes(child.pid, "VmHWM") for child in multiprocessing.active_children()), default=0)  # type: ignore[arg-type]
            ours = megabytes("self", "VmRSS")
            print(f"after {n:,} files: {ours:.0f} MB here, workers {peak:.0f} MB at most", flush=True)
    seconds = time.perf_counter() - began
    print_table(counts)
    lost = arguments.mutations - n
    print(f"{max(0, started - arguments.workers)} worker processes died, {lost} files gave no outcome")
    print(f"{arguments.mutations:,} mutations of {len(files):,} files, {arguments.mutations / seconds:,.0f} a second")
    sys.exit(bool({reason for _, reason in counts} - REASONS - {"bars"} or lost))


if __name__ == "__main__":
    main()
