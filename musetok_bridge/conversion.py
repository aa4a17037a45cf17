"""Converts the bytes of a MIDI file to bars of words, and holds the main loop of the processes that do so.

Whatever the bytes are, the result is the song's bars or a Failure with the reason. Nothing here imports torch or
datasets, so that these processes start fast and stay small.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from threadpoolctl import threadpool_limits

from pipeline.settings import reason_line

with contextlib.suppress(ImportError):  # not on Windows
    import resource

from .bars import Bars, ReadBars, read_bars
from .bridge_settings import BarSettings, LimitSettings
from .scores import UnusableScore, read_midi

if TYPE_CHECKING:
    from typing import TypeAlias

    Perform: TypeAlias = Callable[[ReadBars], Any]
    Convert: TypeAlias = Callable[[bytes | None], "Converted | Failure"]


_DATA_IN_STATM = 5  # which number of /proc/self/statm is the memory of data, in pages (proc(5))
READY = "ready"  # the first message of a process that converts


class Converted(NamedTuple):
    """A song as bars. performance: what `perform` made of the song; None without it."""

    bars: Bars
    performance: Any


class Failure(NamedTuple):
    """Why a song can't be used. stage: read, parse, convert or predict; reason: one line."""

    stage: str
    reason: str


def convert_song(
    music: bytes | None, bars: BarSettings, limits: LimitSettings, perform: Perform | None, needs_pitch: bool = False
) -> Converted | Failure:
    """Convert the bytes of one MIDI file. Raises MemoryError, and nothing else, whatever the bytes are.

    perform: what else to make of a song, such as its features; None to leave that out.
    needs_pitch: refuse drums alone.
    """
    if not music:
        return Failure("read", "no_music: there are no bytes to read")
    stage = "parse"
    try:
        read = read_midi(music, limits)
        stage = "convert"
        song = read_bars(read, **asdict(bars), limits=limits)
        if needs_pitch and not song.bars.n_notes.any():
            return Failure(stage, "no_pitch: drums alone, which have no words for the encoder to read")
        return Converted(song.bars, perform(song) if perform else None)
    except UnusableScore as error:
        return Failure(stage, reason_line(str(error)))
    except MemoryError:
        raise
    except Exception as error:
        return internal_failure(stage, error)


def internal_failure(stage: str, error: Exception) -> Failure:
    """The failure of a song that our code stumbles over: it costs this song only, and its row shows it."""
    return Failure(stage, reason_line(f"internal: {type(error).__name__}: {error}"))


def serve_conversions(connection: Connection, convert: Convert, seconds: float, memory_mb: int) -> None:
    """The main loop of a process that converts: receives lists of songs and sends each result as soon as it is there.

    Sends READY first. When a song needs more memory than `memory_mb` (10⁶ bytes on top of what the process has), sends
    None and ends. A song that takes over twice `seconds` ends it too, in case no one is left to do so.
    """
    end_with_parent()
    threadpool_limits(1, "blas")  # there are as many such processes as processors
    _set_data_limit(_data_limit(memory_mb))
    connection.send(READY)
    silence_native_code()  # the song's row reports it
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


class Guard:
    """Ends this process if some work in it takes too long, or the process too much memory.

    seconds: for each piece of work. memory_mb: 10⁶ bytes on top of what the process has when the guard is made. What
    other work has left behind counts, so what stays within this limit stays within it in a fresh process, too.
    """

    def __init__(self, seconds: float, memory_mb: int):
        self._seconds = seconds
        self._most = _data_limit(memory_mb)

    def convert(self, music: bytes | None, convert: Convert) -> Converted | Failure:
        """Convert a song."""
        with self.watch():
            return convert(music)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Hold what is done here to the limits."""
        _alarm(self._seconds)
        try:
            with _limited_to(self._most):
                yield
        except MemoryError:
            os._exit(1)
        finally:
            _alarm(0)


def memory_limit(memory_mb: int) -> contextlib.AbstractContextManager[None]:
    """Let what is done here take so much memory, 10⁶ bytes on top of what the process has; MemoryError beyond."""
    return _limited_to(_data_limit(memory_mb))


@contextlib.contextmanager
def _limited_to(most: int | None) -> Iterator[None]:
    before = _set_data_limit(most)
    try:
        yield
    finally:
        if before is not None:
            resource.setrlimit(resource.RLIMIT_DATA, before)


def _alarm(seconds: float) -> None:
    """End the process after so many seconds, whatever it is doing; 0 cancels.

    The operating system does it: native code that hangs may hold the interpreter, and with it every thread here.
    """
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _data_limit(memory_mb: int) -> int | None:
    """So much on top of the memory that the process has, in bytes; None where the system doesn't tell (not Linux)."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[_DATA_IN_STATM])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize() + memory_mb * 1_000_000


def _set_data_limit(most: int | None) -> tuple[int, int] | None:
    """Let the process allocate at most so much, where the system can enforce it; returns the limits before."""
    if most is None:
        return None
    before = resource.getrlimit(resource.RLIMIT_DATA)
    hard = before[1]
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    return before


def silence_native_code() -> None:
    """Let nothing that native code prints before it crashes reach the terminal; Python's own messages still do."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def end_with_parent() -> None:
    """End this process, deaf to interrupts, when the main process ends; one that was killed can't tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles ctrl-C
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
