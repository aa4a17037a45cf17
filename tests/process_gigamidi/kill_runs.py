"""Kills runs again and again until one finishes; for tests, in a process of its own.

    python kill_runs.py DATA FOLDER RUNS    kill -9 at random moments, at least RUNS times
    python kill_runs.py DATA FOLDER each    kill -9 before and after each file that comes to its place

Each run is a fork of this process, in which all is imported: so it is killed at its work, not while it starts. Prints
how many runs were killed. FOLDER/out is then as the last run left it.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from small_dataset import PlainEncoder, PlainHead, settings_for

import musetok_bridge.encoder
from pipeline.annotations import finished_parts
from process_gigamidi import prediction
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import AnnotationSettings

replace = Path.replace


def forked_run(settings: AnnotationSettings, first: Callable[[], None] = lambda: None) -> int:
    """Start a run; returns its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        first()
        annotate(settings)
        os._exit(0)
    finally:
        os._exit(1)


def was_killed(child: int) -> bool:
    """Wait for a run's end. Raises RuntimeError if it failed by itself."""
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a run failed")
    return os.WIFSIGNALED(status)


def kill_at_random(settings: AnnotationSettings, runs: int) -> int:
    """Kill this many runs; if the folder is finished before, it is emptied and annotated again."""
    moments = random.Random(0)
    killed = 0
    while killed < runs:
        child = forked_run(settings)
        time.sleep(moments.uniform(0.05, 0.6))
        os.kill(child, signal.SIGKILL)
        if was_killed(child):
            killed += 1
        elif killed < runs:
            shutil.rmtree(settings.folder)
    return killed


def kill_at_each_move(settings: AnnotationSettings) -> int:
    """Kill a run at its first move of a file, a new one at its second, and so on until one finishes."""
    for n in count():
        moves = count()

        def dying(path: Path, target: Path, at: int = n, moves: count[int] = moves) -> Path:
            move, late = divmod(at, 2)
            is_last = next(moves) == move
            if is_last and not late:
                os.kill(os.getpid(), signal.SIGKILL)
            moved = replace(path, target)
            if is_last:
                os.kill(os.getpid(), signal.SIGKILL)
            return moved

        def set_trap(dying: Callable[[Path, Path], Path] = dying) -> None:
            Path.replace = dying  # type: ignore[method-assign, assignment]

        shutil.rmtree(settings.folder, ignore_errors=True)
        if not was_killed(forked_run(settings, set_trap)):
            return n
        before = finished_parts(settings.folder)
        if was_killed(forked_run(settings)) or not before <= finished_parts(settings.folder):
            raise RuntimeError("the run that went on did not come through")
        check(settings)
    raise AssertionError


def check(settings: AnnotationSettings) -> None:
    """Exit if the tables differ from those of an undisturbed run."""
    whole = settings.folder.parent / "whole"
    for path in whole.rglob("*.csv"):
        if path.read_bytes() != (settings.folder / path.relative_to(whole)).read_bytes():
            raise RuntimeError(f"{path.name} is not the same")


def main() -> None:
    """Kill runs as the command line says, then let one finish."""
    data, folder, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    musetok_bridge.load_encoder = lambda *_: PlainEncoder()  # type: ignore[assignment]
    prediction.load_head = lambda *_: PlainHead()  # type: ignore[assignment]
    settings = settings_for(data, folder / "out")
    killed = kill_at_each_move(settings) if how == "each" else kill_at_random(settings, int(how))
    if was_killed(forked_run(settings)):
        raise RuntimeError("the last run did not come through")
    print(killed)


if __name__ == "__main__":
    main()
