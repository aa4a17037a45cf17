"""From the bytes of a MIDI file to bars of words, and the process in which that is done.

Whatever the bytes hold, the answer is the song's bars or a Failure that says why there are none. Nothing here imports
torch or datasets, so that the processes that convert start fast and stay small.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from musetok_bridge.bars import Bars, score_to_bars
from musetok_bridge.scores import UnusableScore, read_score, seconds_at

from .annotation_settings import BarSettings, LimitSettings

if TYPE_CHECKING:
    from typing import TypeAlias

    import symusic.core

    from pretrain_model.head import Performance

    Perform: TypeAlias = Callable[[symusic.core.ScoreTick, Bars, LimitSettings], Performance]

    Convert: TypeAlias = "Callable[[bytes | None], Converted | Failure]"


LONGEST_REASON = 200  # characters


class Converted(NamedTuple):
    """A song as bars.

    duration_seconds: where its last event ends, under its tempo map; never before its last bar begins, into which the
    onset of a note just before the bar line is rounded. performance: what the head reads beside the bars' words.
    """

    bars: Bars
    duration_seconds: float
    performance: Performance | None


class Failure(NamedTuple):
    """Why a song has no annotation. stage: read, parse, convert or predict; reason: one line."""

    stage: str
    reason: str


def convert_song(
    music: bytes | None, bars: BarSettings, limits: LimitSettings, perform: Perform | None
) -> Converted | Failure:
    """Convert the bytes of one MIDI file. Never raises for what the bytes hold, but MemoryError.

    perform: a head's `performance`.
    """
    if not music:
        return Failure("read", "no_music: there are no bytes to read")
    stage = "parse"
    try:
        score = read_score(music, limits)
        stage = "convert"
        converted = score_to_bars(score, **asdict(bars), limits=limits)
        end_tick = max(score.end(), int(converted.start_tick[-1]))
        seconds = float(seconds_at(score, np.array([end_tick]))[0])
        if not math.isfinite(seconds):
            return Failure(stage, "no_time: its tempos give no time in seconds")
        return Converted(converted, seconds, perform(score, converted, limits) if perform else None)
    except UnusableScore as error:
        return Failure(stage, one_line(str(error)))
    except MemoryError:
        raise
    except Exception as error:  # a fault of ours must cost this song only, and be seen in its row
        return Failure(stage, one_line(f"internal: {type(error).__name__}: {error}"))


def one_line(text: str) -> str:
    """The text in one line of at most LONGEST_REASON characters."""
    return " ".join(text.split())[:LONGEST_REASON]


READY = "ready"


def _work(connection: Connection, convert: Convert, seconds: float, memory_mb: int) -> None:
    """What the process does: take songs, answer each, and None in the place of one that there is no memory for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # ctrl-C is the main process's to deal with
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit_memory(memory_mb)
    connection.send(READY)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what native code cries as it dies; the song's row tells it
    with contextlib.suppress(EOFError, OSError):
        try:
            while True:
                for song in connection.recv():
                    _alarm(2 * seconds)
                    answer = convert(song)
                    _alarm(0)
                    connection.send(answer)
        except MemoryError:
            connection.send(None)


def _alarm(seconds: float) -> None:
    """End the process after so long, whatever it is doing; 0: don't. For when there is no one left to mind it.

    The system does it: native code that hangs may hold the interpreter, and with it every thread here.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(memory_mb: int) -> None:
    """Let no more than so much be allocated on top of what there is, where the system can hold to it (Linux)."""
    try:
        import resource

        status = Path("/proc/self/status").read_text(encoding="ascii")
    except (ImportError, OSError):
        return
    found = re.search(r"VmData:\s+(\d+) kB", status)
    if found:
        most = int(found[1]) * 1024 + memory_mb * 1_000_000
        limits = resource.getrlimit(resource.RLIMIT_DATA)
        lowest = min([most, *(limit for limit in limits if limit != resource.RLIM_INFINITY)])
        resource.setrlimit(resource.RLIMIT_DATA, (lowest, limits[1]))


def _end_with_parent() -> None:
    """End when the main process does, however it ended: a killed one can't tell its workers."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
