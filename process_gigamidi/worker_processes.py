"""Conversion in processes of their own, in the dataset's order, whatever a file does to the process that reads it.

symusic is native code: a file may crash it, keep it busy for ever, or make it fill the memory. Each process is minded
by a thread here, which hands it songs and takes one answer after the other; so it is known which song a process died
of, and only that process is started anew. What a song is charged with, it has done to a fresh process too.

Stages prefetch: each runs in a thread of its own some items ahead of the stage that takes them, so that what waits for
a network or a disk, or leaves the interpreter to native code, runs while the next stage is at work.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, Full, Queue, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from pipeline.settings import UserError

from .annotation_settings import GO_ON
from .conversion import READY, Converted, Failure, _work

if TYPE_CHECKING:
    from typing import TypeAlias

    from .song_rows import Row

    Convert: TypeAlias = Callable[[bytes | None], Converted | Failure]

    Song: TypeAlias = tuple[Row, Converted | Failure]


SONGS_PER_TASK = 16  # enough that handing a task over costs little beside it
BYTES_PER_TASK = 1_000_000  # unless one song alone has more
TASKS_AHEAD = 8  # per worker: conversion goes on while the encoder is at work
ATTEMPTS = 2  # at a song, each in a fresh process, and at starting one: the first death may have been another's fault
SECONDS_TO_START = 120
# A whole note of middle C: a process that dies of this one would die of any file.
HARMLESS = bytes.fromhex("4d546864000000060000000101e04d54726b0000000c00903c508f003c0000ff2f00")
Item = TypeVar("Item")

_LOOK_UP = 0.1  # seconds between two looks at whether anyone still wants what is made
_LAST_ITEM = 5.0  # seconds to wait for a stage that is stopped in the middle of an item


class RowsOfPart(NamedTuple):
    """Rows of one part that are handed to a worker at once. ends_part: none follow."""

    part: int
    rows: list[Row]
    ends_part: bool


class SongsOfPart(NamedTuple):
    """Rows of one part, each with what its conversion gave."""

    part: int
    songs: list[Song]
    ends_part: bool


class Converters:
    """Processes that convert; they start when there is something to convert.

    convert: a function of a song's bytes that can be pickled. A song that takes over `seconds` is a Failure `timeout`,
    one that needs over `memory_mb` megabytes (10⁶ bytes, on top of what the process has; held to on Linux) `too_large`,
    one that kills its process `crashed`. With 0 workers songs are converted here, and nothing guards against them.
    """

    def __init__(self, convert: Convert, workers: int, seconds: float, memory_mb: int):
        self._convert = convert
        self._workers = [_Worker(convert, seconds, memory_mb) for _ in range(workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(max(1, workers))

    def in_order(self, tasks: Generator[RowsOfPart, None, None]) -> Generator[SongsOfPart, None, None]:
        """Convert the rows of tasks; give them in their order, each as soon as it is done.

        A thread takes tasks some way ahead: one that is long in coming holds up none that came before. What the tasks'
        generator raises is raised when all tasks before have been given. Raises UserError if processes can't be
        started.
        """
        ahead = prefetch(self._submitted(tasks), max(1, len(self._workers) * TASKS_AHEAD))
        with contextlib.closing(ahead):
            for task, future in ahead:
                yield SongsOfPart(task.part, list(zip(task.rows, future.result(), strict=True)), task.ends_part)

    def _submitted(
        self, tasks: Generator[RowsOfPart, None, None]
    ) -> Generator[tuple[RowsOfPart, Future[list[Converted | Failure]]], None, None]:
        with contextlib.closing(tasks):
            for task in tasks:
                yield task, self._submit([row.music for row in task.rows])

    def _submit(self, songs: Sequence[bytes | None]) -> Future[list[Converted | Failure]]:
        if self._workers:
            return self._threads.submit(self._minded, songs)
        future: Future[list[Converted | Failure]] = Future()
        future.set_result([self._convert(music) for music in songs])
        return future

    def _minded(self, songs: Sequence[bytes | None]) -> list[Converted | Failure]:
        """Have a worker that is idle convert songs."""
        worker = self._idle.get()
        try:
            return worker.convert(songs)
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for worker in self._workers:
            worker.close()
        self._threads.shutdown(cancel_futures=True)


def tasks_of_part(part: int, rows: Iterable[Row]) -> Generator[RowsOfPart, None, None]:
    """Cut the rows of a part into tasks of SONGS_PER_TASK, fewer where they have many bytes; one if there are none."""
    task: list[Row] = []
    n_bytes = 0
    for row in rows:
        size = len(row.music or b"")
        if task and (len(task) == SONGS_PER_TASK or n_bytes + size > BYTES_PER_TASK):
            yield RowsOfPart(part, task, ends_part=False)
            task, n_bytes = [], 0
        task.append(row)
        n_bytes += size
    yield RowsOfPart(part, task, ends_part=True)


class _Worker:
    """A process that converts, as the thread that minds it sees it."""

    def __init__(self, convert: Convert, seconds: float, memory_mb: int):
        self._convert = convert
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._closed = False
        self._process: BaseProcess | None = None
        self._connection: Connection

    def convert(self, songs: Sequence[bytes | None]) -> list[Converted | Failure]:
        """Convert songs, in as many processes as it takes."""
        if self._process is None:
            self._start()
        results: list[Converted | Failure] = []
        attempts = 0  # at the first song without a result
        while len(results) < len(songs):
            answers, failure = self._ask(songs[len(results) :])
            results += answers
            if failure is None:
                break
            if self._closed:
                raise CancelledError
            attempts = 1 if answers else attempts + 1
            self._start()
            if attempts == ATTEMPTS:
                if self._ask([HARMLESS])[1]:
                    raise UserError(
                        f"compute.workers: processes that convert songs die whatever they convert ({failure.reason}), "
                        f"perhaps for want of memory; {GO_ON}"
                    )
                results.append(failure)
                attempts = 0
        return results

    def _ask(self, songs: Sequence[bytes | None]) -> tuple[list[Converted | Failure], Failure | None]:
        """The answers up to the song that ended the process, and what that one's failure is; None if all went well."""
        answers: list[Converted | Failure] = []
        try:
            with contextlib.suppress(BrokenPipeError):  # why it takes no more may stand in its last answer
                self._connection.send(songs)
            while len(answers) < len(songs):
                if not self._connection.poll(self._seconds):
                    return answers, Failure("convert", f"timeout: over {self._seconds:g} seconds")
                answer = self._connection.recv()
                if answer is None:
                    return answers, Failure("convert", f"too_large: over {self._memory_mb} MB of memory")
                answers.append(answer)
        except (EOFError, OSError):
            return answers, Failure("convert", f"crashed: {self._last_words()} in the process that converted it")
        return answers, None

    def _last_words(self) -> str:
        """The signal that ended the process, or its exit code."""
        assert self._process is not None
        self._process.join(1)
        code = self._process.exitcode
        try:
            return signal.Signals(-(code or 0)).name
        except ValueError:
            return f"exit code {code}"

    def _start(self) -> None:
        """Have a process that can work, a new one if there was one; another if something ends it as it begins."""
        for _ in range(ATTEMPTS):
            if self._began():
                return
            if self._closed:
                raise CancelledError
        raise UserError(
            f"compute.workers: a process that converts songs ended as it began ({self._last_words()}), perhaps for "
            f"want of memory; {GO_ON}"
        )

    def _began(self) -> bool:
        """Start a process in the place of the one there was; whether it lived until it could work."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
        # spawn: a forked copy of a process in which torch has started its threads can hang
        context = multiprocessing.get_context("spawn")
        try:
            self._connection, theirs = context.Pipe()
            work = (theirs, self._convert, self._seconds, self._memory_mb)
            process = context.Process(target=_work, args=work, daemon=True)
            process.start()
        except OSError as error:
            raise UserError(f"compute.workers: a process can't be started ({error}); {GO_ON}") from error
        theirs.close()  # so that the end of the process is the end of the connection
        self._process = process
        if self._closed:
            process.kill()
        with contextlib.suppress(EOFError, OSError):
            if not self._connection.poll(SECONDS_TO_START):
                raise UserError(f"compute.workers: a process took over {SECONDS_TO_START} s to start; {GO_ON}")
            return self._connection.recv() == READY
        return False

    def close(self) -> None:
        """End the process for good, whatever it is doing, and with it what its thread is waiting for."""
        self._closed = True
        if self._process is not None:
            self._process.kill()
            self._process.join()


def prefetch(items: Generator[Item, None, None], most: int) -> Generator[Item, None, None]:
    """Give the items as they are made, in their order, in a thread that is at most so many of them ahead.

    What the items' generator raises is raised here, after all items that were made before it. Closing this generator
    closes that one, in its thread.
    """
    made: Queue[Item] = Queue(most)
    stopped, finished = threading.Event(), threading.Event()
    trouble: list[BaseException] = []

    def put(item: Item) -> None:
        while not stopped.is_set():
            try:
                return made.put(item, timeout=_LOOK_UP)
            except Full:
                continue

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    put(item)
                    if stopped.is_set():
                        return
        except BaseException as error:  # KeyboardInterrupt too, if that is what the stage says
            trouble.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=work, daemon=True)  # one that hangs must not keep a run from ending
    thread.start()
    try:
        yield from _taken(made, finished)
        if trouble:
            raise trouble[0]
    finally:
        stopped.set()
        thread.join(_LAST_ITEM)


def _taken(made: Queue[Item], finished: threading.Event) -> Iterator[Item]:
    """What was made, until no more comes."""
    while True:
        try:
            yield made.get(timeout=_LOOK_UP)
        except Empty:
            if finished.is_set() and made.empty():
                return
