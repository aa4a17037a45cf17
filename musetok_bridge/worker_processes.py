"""Conversion in separate processes, in the dataset's order, whatever a file does to the process that reads it.

symusic is native code: a file may crash it, keep it busy for ever, or make it fill the memory. A thread here looks
after each process: it sends songs and receives one result after the other, so it knows which song a process died of,
and restarts that process only. A song is blamed only after it has ended a fresh process as well.

Pools of libraries were looked at and not taken: concurrent.futures breaks as a whole when one process dies; pebble
survives that, but does not find the song to blame, gives it no second try, and handled 1,530 songs a second where this
handled 7,900.

`prefetch` runs a stage in a thread some items ahead of the stage that takes them, so that waiting for a network or a
disk, and native code that releases the interpreter, overlap with the next stage.
"""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import closing
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import Empty, Full, Queue, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from pipeline.settings import GO_ON, UserError

from .conversion import READY, Converted, Failure, serve_conversions

if TYPE_CHECKING:
    from typing import TypeAlias

    from song_sources.song_rows import Row, Source

    from .conversion import Convert

    ConvertedRow: TypeAlias = tuple[Row, Converted | Failure]


SONGS_PER_TASK = 16  # enough that sending a task costs little compared to doing it
BYTES_PER_TASK = 1_000_000  # unless one song alone has more
TASKS_AHEAD = 8  # per worker: conversion goes on while the encoder is at work
ATTEMPTS = 2  # at a song: the first death may have had another cause
STARTS = 8  # of a process in vain, while no process converts a song, before the run ends: half a minute of pauses
SECONDS_TO_START = 120
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0  # seconds between two starts (pause_after)
# A whole note of middle C: a process that dies of this one would die of any file.
HARMLESS = bytes.fromhex("4d546864000000060000000101e04d54726b0000000c00903c508f003c0000ff2f00")
_POLL = 0.1  # seconds between two checks of whether a prefetch has been stopped or has ended
_LAST_ITEM = 5.0  # seconds to wait for a stage that is stopped in the middle of an item
Item = TypeVar("Item")


class Batch(Protocol):
    """Results for some rows of a part."""

    @property
    def ends_part(self) -> bool:
        """Whether they are the part's last."""


BatchT = TypeVar("BatchT", bound=Batch)


class RowsOfPart(NamedTuple):
    """A task: rows of one part that a worker gets at once. ends_part: whether they are the part's last."""

    part: int
    rows: list[Row]
    ends_part: bool


class SongsOfPart(NamedTuple):
    """The rows of a task, each with the result of its conversion."""

    part: int
    songs: list[ConvertedRow]
    ends_part: bool


class Converters:
    """Processes that convert; they start when there is something to convert.

    convert: a function of a song's bytes that can be pickled. A song that takes over `seconds` becomes a Failure with
    `timeout`, one that needs over `memory_mb` (10⁶ bytes on top of what the process has; enforced on Linux only)
    `too_large`, one that kills its process `crashed`. With 0 workers songs are converted here, without these guards.
    """

    def __init__(self, convert: Convert, workers: int, seconds: float, memory_mb: int):
        self._convert = convert
        progress = _Progress()
        self._workers = [_Worker(convert, seconds, memory_mb, progress) for _ in range(workers)]
        self._idle: SimpleQueue[_Worker] = SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(max(1, workers))

    def in_order(self, tasks: Generator[RowsOfPart, None, None]) -> Generator[SongsOfPart, None, None]:
        """Convert the rows of tasks; yields the tasks in their order, each as soon as it is done.

        With workers a thread takes tasks ahead, so that waiting for one doesn't hold up those before it. An error of
        the tasks' generator is raised after all tasks before it were yielded. Raises UserError if processes can't be
        started.
        """
        ahead = self._submitted(tasks)
        if self._workers:
            ahead = prefetch(ahead, len(self._workers) * TASKS_AHEAD)
        with contextlib.closing(ahead):
            for task, future in ahead:
                results = zip(task.rows, future.result(), strict=True)
                songs = [(row, _not_read(row) if row.read_error else result) for row, result in results]
                yield SongsOfPart(task.part, songs, task.ends_part)

    def _submitted(
        self, tasks: Generator[RowsOfPart, None, None]
    ) -> Generator[tuple[RowsOfPart, Future[list[Converted | Failure]]], None, None]:
        with contextlib.closing(tasks):
            for task in tasks:
                yield task, self._submit([row.music for row in task.rows])

    def _submit(self, songs: Sequence[bytes | None]) -> Future[list[Converted | Failure]]:
        if self._workers:
            return self._threads.submit(self._convert_in_worker, songs)
        future: Future[list[Converted | Failure]] = Future()
        future.set_result([self._convert(music) for music in songs])
        return future

    def _convert_in_worker(self, songs: Sequence[bytes | None]) -> list[Converted | Failure]:
        """Have an idle worker convert songs."""
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


def _not_read(row: Row) -> Failure:
    """Why a row has no music, if its bytes could not be read."""
    return Failure("read", f"not_read: {row.read_error}")


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


def tasks_of_parts(source: Source, parts: Iterable[int]) -> Generator[RowsOfPart, None, None]:
    """The rows of parts, cut into tasks."""
    for part in parts:
        with closing(source.rows(part)) as rows:
            yield from tasks_of_part(part, rows)


def batches_of_part(batch: BatchT, following: Iterator[BatchT]) -> Iterator[BatchT]:
    """All batches of a part: its first one, which was already taken, and those that follow until one ends the part."""
    yield batch
    while not batch.ends_part:
        batch = next(following)
        yield batch


class _Progress:
    """When a song was last converted by any of the processes, in seconds of time.monotonic."""

    last = -math.inf


class _Worker:
    """A process that converts, for the thread that looks after it."""

    def __init__(self, convert: Convert, seconds: float, memory_mb: int, progress: _Progress):
        self._convert = convert
        self._seconds = seconds
        self._memory_mb = memory_mb
        self._progress = progress
        self._closed = threading.Event()
        self._process: BaseProcess | None = None
        self._connection: Connection

    def convert(self, songs: Sequence[bytes | None]) -> list[Converted | Failure]:
        """Convert songs, restarting the process as often as needed."""
        if self._process is None:
            self._start()
        results: list[Converted | Failure] = []
        attempts = 0  # at the first song without a result
        while len(results) < len(songs):
            answers, failure = self._ask(songs[len(results) :])
            results += answers
            if failure is None:
                break
            if self._closed.is_set():
                raise CancelledError
            attempts = 1 if answers else attempts + 1
            self._start()
            if attempts == ATTEMPTS:
                self._insist(self._try_harmless)
                results.append(failure)
                attempts = 0
        return results

    def _ask(self, songs: Sequence[bytes | None]) -> tuple[list[Converted | Failure], Failure | None]:
        """The answers before the song that ended the process, and that song's failure; None if all went well."""
        answers: list[Converted | Failure] = []
        try:
            with contextlib.suppress(BrokenPipeError):  # its last answer may say why it has ended
                self._connection.send(songs)
            while len(answers) < len(songs):
                if not self._connection.poll(self._seconds):
                    return answers, Failure("convert", f"timeout: over {self._seconds:g} seconds")
                answer = self._connection.recv()
                if answer is None:
                    return answers, Failure("convert", f"too_large: over {self._memory_mb} MB of memory")
                answers.append(answer)
                self._progress.last = time.monotonic()
        except (EOFError, OSError):
            return answers, Failure(
                "convert", f"crashed: {cause_of_end(self._process)} in the process that converted it"
            )
        return answers, None

    def _start(self) -> None:
        """Start a process that is ready to work, in place of the old one."""
        self._insist(self._start_once)

    def _insist(self, attempt: Callable[[], str | None]) -> None:
        """Repeat an attempt, after growing pauses, until it succeeds; it returns why it failed, or None.

        Whatever kills processes may be over soon, and concern this one only. So an attempt counts only if no process
        has converted a song since the one before. Raises UserError after STARTS such attempts.
        """
        failed, tries, since = 0, 0, time.monotonic()
        while reason := attempt():
            tries += 1
            if self._progress.last > since:
                failed = 0
            failed, since = failed + 1, time.monotonic()
            if failed == STARTS:
                raise UserError(f"compute.workers: {reason}, perhaps for lack of memory; {GO_ON}")
            if self._closed.wait(pause_after(tries)):
                raise CancelledError

    def _try_harmless(self) -> str | None:
        """Why the process died of a file that kills none; None if it lives."""
        _, failure = self._ask([HARMLESS])
        if failure is None:
            return None
        self._start()
        return f"processes that convert songs die whatever they convert ({failure.reason})"

    def _start_once(self) -> str | None:
        """Start a process in place of the old one; why it did not live until it was ready, or None if it did."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None
        # spawn: a forked copy of a process in which torch has started its threads can hang
        context = multiprocessing.get_context("spawn")
        try:
            ours, theirs = context.Pipe()
            with closing(theirs):  # so that the connection ends with the process
                arguments = (theirs, self._convert, self._seconds, self._memory_mb)
                process = context.Process(target=serve_conversions, args=arguments, daemon=True)
                start_deaf_to_interrupts(process)
        except OSError as error:
            return f"a process can't be started ({error})"
        self._connection, self._process = ours, process
        if self._closed.is_set():
            process.kill()
        with contextlib.suppress(EOFError, OSError):
            if not ours.poll(SECONDS_TO_START):
                raise UserError(f"compute.workers: a process took over {SECONDS_TO_START} s to start; {GO_ON}")
            if ours.recv() == READY:
                return None
        return f"a process that converts songs ended as it started ({cause_of_end(self._process)})"

    def close(self) -> None:
        """End the process for good, whatever it is doing; a thread that waits for it wakes up."""
        self._closed.set()
        process = self._process  # the thread may be about to replace it
        if process is not None:
            process.kill()
            process.join()


def pause_after(tries: int) -> float:
    """Seconds to wait after so many tries in vain, 1 or more; each pause is twice the one before."""
    return min(FIRST_PAUSE * 2 ** min(tries - 1, 30), LONGEST_PAUSE)


def cause_of_end(process: BaseProcess | None) -> str:
    """The signal that ended a process, or its exit code."""
    code = None
    if process is not None:
        process.join(1)
        code = process.exitcode
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
        return f"exit code {code}"


def start_deaf_to_interrupts(process: BaseProcess) -> None:
    """Start a process that has SIGINT blocked from its first instruction on, since the main process handles ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        return process.start()
    resource_tracker.ensure_running()  # its own start lets the interrupts of this thread through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the new process inherits
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def prefetch(items: Generator[Item, None, None], most: int) -> Generator[Item, None, None]:
    """Run a generator in a thread, at most `most` items ahead; yields its items in their order.

    An error of the generator is raised here after the items before it. Closing this generator closes that one, in its
    thread.
    """
    made: Queue[Item] = Queue(most)
    stopped, finished = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def put(item: Item) -> None:
        while not stopped.is_set():
            try:
                return made.put(item, timeout=_POLL)
            except Full:
                continue

    def work() -> None:
        try:
            with closing(items):
                for item in items:
                    put(item)
                    if stopped.is_set():
                        return
        except BaseException as error:  # KeyboardInterrupt too, if the stage raises it
            errors.append(error)
        finally:
            finished.set()

    thread = threading.Thread(target=work, daemon=True)  # so that one that hangs can't keep a run from ending
    thread.start()
    try:
        yield from _taken(made, finished)
        if errors:
            raise errors[0]
    finally:
        stopped.set()
        thread.join(_LAST_ITEM)


def _taken(made: Queue[Item], finished: threading.Event) -> Iterator[Item]:
    """The items, until the thread has finished and the queue is empty."""
    while True:
        try:
            yield made.get(timeout=_POLL)
        except Empty:
            if finished.is_set() and made.empty():
                return
