"""Mutate files, convert them in guarded processes, count how they end, and keep those that ended badly.

    python tests/process_gigamidi/fuzz.py --data DIR --split train --mutations 1000000 --keep FOLDER

DIR is what `dataset.path` takes; without it the files that come with the project are mutated. The exit code is 1 if a
file ended neither as bars that can be true nor as a named reason.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from checked_conversion import REASONS, convert_and_check
from guarded_conversion import in_guarded_processes
from mutated_midi import bundled_files, mutations

from pipeline.settings import load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.conversion import Converted, Failure
from process_gigamidi.gigamidi_source import open_source


def outcomes(
    files: Iterable[bytes], settings: AnnotationSettings, workers: int
) -> Iterator[tuple[bytes, Converted | Failure]]:
    """Convert files in guarded processes, and check the bars: each with its outcome, in order."""
    convert = partial(convert_and_check, bars=settings.bars, limits=settings.limits)
    limits = settings.limits
    for music, outcome in in_guarded_processes(files, convert, workers, limits.seconds, limits.memory_mb):
        yield music or b"", outcome


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
    counts: Counter[str] = Counter()
    began = time.perf_counter()
    for music, outcome in outcomes(mutations(files, arguments.mutations, arguments.seed), settings, arguments.workers):
        reason = "bars" if isinstance(outcome, Converted) else outcome.reason.split(":")[0]
        counts[reason] += 1
        is_bad = reason in ("crashed", "timeout", "too_large") or reason not in REASONS | {"bars"}
        if arguments.keep and is_bad:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            (arguments.keep / f"{reason}-{hashlib.md5(music).hexdigest()}.mid").write_bytes(music)
    seconds = time.perf_counter() - began
    for reason, count in counts.most_common():
        print(f"{reason:16s} {count:9,}")
    print(f"{arguments.mutations:,} mutations of {len(files):,} files, {arguments.mutations / seconds:,.0f} a second")
    sys.exit(bool(counts.keys() - REASONS - {"bars"}))


if __name__ == "__main__":
    main()
