"""Parts annotated by processes, each of which does one part after the other, from its rows to its files.

The main process hands out parts, counts songs and waits. A file may crash the process that does its part, keep it busy
for ever, or make it fill the memory: the part is then done again by a new process, carefully, where the songs are
converted by yet another process, which finds the one to blame (musetok_bridge/worker_processes.py). So the tables are
the same as if all parts had been done carefully, and only the rare part that holds such a file takes longer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, cast

from tqdm import tqdm

from musetok_bridge.conversion import Guard, end_with_parent, silence_native_code
from musetok_bridge.worker_processes import STARTS, cause_of_end, pause_after, start_deaf_to_interrupts
from pipeline.parts import LOOK_AGAIN, PartQueue
from pipeline.processors import keep_freed_memory
from pipeline.records import PartRecord
from pipeline.settings import GO_ON, UserError

from .annotation_settings import AnnotationSettings
from .annotator import Annotator, annotate_part
from .part_files import remove_unfinished

open_annotator: Callable[[AnnotationSettings], Annotator] = partial(Annotator, reopened=True)  # in each process


class Task(NamedTuple):
    """A part to do. carefully: with the songs converted by another process."""

    part: int
    carefully: bool


class Fault(NamedTuple):
    """Why a part can't be done. is_users: whether `text` is the line for the user, not a traceback."""

    text: str
    is_users: bool


class PartProcesses:
    """Processes that annotate parts, each one part after the other; they start when there is a part to do.

    run: as for annotate_part. number: of processes.
    """

    def __init__(self, settings: AnnotationSettings, run: str, number: int):
        self._processes = [_PartProcess(settings, run) for _ in range(number)]

    def annotate(
        self, queue: PartQueue, progress: Callable[[int], None] = lambda songs: None
    ) -> Generator[PartRecord, None, None]:
        """Annotate the parts of a queue; yields the record of each when it is finished.

        progress: as for Annotator. Raises UserError if a part can't be done; finished ones are kept.
        """
        look_at = 0.0  # by time.monotonic(): when the queue is asked again after it had no part that is free
        while True:
            for process in self._processes:
                if process.part is not None:
                    process.go_on()
                elif time.monotonic() >= look_at:
                    if (part := queue.take()) is None:
                        look_at = time.monotonic() + LOOK_AGAIN
                    else:
                        process.begin(part)
            at_work = [process for process in self._processes if process.part is not None]
            if not at_work:
                if queue.is_empty:
                    return
                queue.wait()
                continue
            pauses = [process.pause for process in at_work if process.connection is None]
            if not queue.is_empty and len(at_work) < len(self._processes):
                pauses.append(LOOK_AGAIN)
            by_connection = {process.connection: process for process in at_work if process.connection is not None}
            for connection in wait(list(by_connection), min(pauses, default=None)):
                answer = by_connection[cast("Connection", connection)].answer()
                if isinstance(answer, PartRecord):
                    look_at = 0.0
                    yield answer
                else:
                    progress(answer)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        for process in self._processes:
            process.end()


class _PartProcess:
    """A process that annotates parts, as the main process sees it.

    part: what it is doing, None if it is idle. connection: to the process; None if there is none.
    """

    def __init__(self, settings: AnnotationSettings, run: str):
        self.part: int | None = None
        self.connection: Connection | None = None
        self._settings, self._run = settings, run
        self._process: multiprocessing.process.BaseProcess | None = None
        self._deaths = self._songs = 0  # at this part
        self._begins_at = 0.0  # again, by time.monotonic()

    @property
    def pause(self) -> float:
        """Seconds before its part is begun again."""
        return max(0.0, self._begins_at - time.monotonic())

    def begin(self, part: int) -> None:
        """Have a part done. Raises UserError if no process can be started."""
        self.part, self._deaths = part, 0
        if self.connection is None:
            self._start()
        self._send(Task(part, carefully=False))

    def go_on(self) -> None:
        """Have a new process do the part carefully if the last one ended, and the pause is over."""
        if self.part is not None and self.connection is None and not self.pause:
            self._start()
            self._send(Task(self.part, carefully=True))

    def answer(self) -> PartRecord | int:
        """What the process has sent: the number of songs that it has done since the last one, or a part's record.

        If it ended, the songs done are taken back. Raises UserError if the part can't be done.
        """
        try:
            answer: PartRecord | Fault | int = cast("Connection", self.connection).recv()
        except (EOFError, OSError):
            self._count_death()
            undone, self._songs = -self._songs, 0
            return undone
        if isinstance(answer, Fault):
            raise UserError(answer.text) if answer.is_users else RuntimeError(f"part {self.part:05d}: {answer.text}")
        if isinstance(answer, PartRecord):
            self.part, self._songs = None, 0
        else:
            self._songs += answer
        return answer

    def end(self) -> None:
        """End the process, whatever it is doing, and remove what it leaves unfinished."""
        if self._process is not None and self.connection is not None:
            self._process.kill()
            self._process.join()
            self.connection.close()
            self._process = self.connection = None
            if self.part is not None:
                with contextlib.suppress(OSError):  # whoever does the part next will remove it, or say why not
                    remove_unfinished(self._settings.folder, self.part)

    def _count_death(self) -> None:
        """Let the part begin again, after a pause if that was tried already. Raises UserError if it was too often."""
        self._deaths += 1
        if self._deaths == STARTS:
            cause = cause_of_end(self._process)
            raise UserError(
                f"part {self.part:05d}: its process ended {STARTS} times ({cause}), perhaps for lack of memory; {GO_ON}"
            )
        self.end()
        # whatever ends processes may be over soon
        self._begins_at = time.monotonic() + (pause_after(self._deaths - 1) if self._deaths > 1 else 0.0)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked copy of a process with threads can hang
        try:
            ours, theirs = context.Pipe()
            with closing(theirs):  # so that the connection ends with the process
                process = context.Process(target=_serve, args=(theirs, open_annotator, self._settings, self._run))
                start_deaf_to_interrupts(process)
        except OSError as error:
            raise UserError(f"compute.workers: a process can't be started ({error}); {GO_ON}") from error
        self.connection, self._process = ours, process

    def _send(self, task: Task) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the next answer will tell
            cast("Connection", self.connection).send(task)


def _serve(
    connection: Connection, opened: Callable[[AnnotationSettings], Annotator], settings: AnnotationSettings, run: str
) -> None:
    """The main loop of a process: does the parts that it receives."""
    end_with_parent()
    silence_native_code()
    keep_freed_memory()
    tqdm.set_lock(threading.RLock())  # its own is for all processes, and one that is killed leaves it to the system
    careful = replace(settings, compute=replace(settings.compute, workers="1"))
    annotator: Annotator | None = None
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            if annotator is None:
                annotator = opened(careful)
                guard = Guard(settings.limits.seconds, settings.limits.memory_mb)
            answer: PartRecord | Fault = annotate_part(
                annotator, run, task.part, connection.send, None if task.carefully else guard
            )
        except UserError as error:
            answer = Fault(str(error), is_users=True)
        except MemoryError:
            os._exit(1)  # the part is done again, carefully
        except Exception:
            answer = Fault(traceback.format_exc(), is_users=False)
        connection.send(answer)
