"""Parts annotated by processes, each of which does one part after the other, from its rows to its files.

The main process hands out parts, counts songs and waits. A file may crash the process that does its part, keep it busy
for ever, or make it fill the memory: the part is then done again by a new process, carefully, where the songs are
converted by yet another process, which finds the one to blame (musetok_bridge/worker_processes.py). So the tables are
the same as if all parts had been done carefully, and only the rare part that holds such a file takes longer.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import NamedTuple, cast

from musetok_bridge.bridge_settings import number_of
from musetok_bridge.conversion import end_with_parent, silence_native_code
from musetok_bridge.worker_processes import FIRST_PAUSE, LONGEST_PAUSE, STARTS, cause_of_end, start_deaf_to_interrupts
from pipeline.parts import LOOK_AGAIN, PartQueue
from pipeline.records import PartRecord
from pipeline.settings import GO_ON, UserError

from .annotation_settings import AnnotationSettings
from .annotator import Annotator, annotate_part
from .part_files import remove_unfinished

open_annotator: Callable[[AnnotationSettings], Annotator] = partial(Annotator, retry_opening=True)  # in each process


class Task(NamedTuple):
    """A part to do. carefully: with the songs converted by another process."""

    part: int
    carefully: bool


class Fault(NamedTuple):
    """Why a part can't be done. is_users: whether `text` is the line for the user, not a traceback."""

    text: str
    is_users: bool


def annotate_in_processes(
    settings: AnnotationSettings, run: str, queue: PartQueue, progress: Callable[[int], None]
) -> Generator[PartRecord, None, None]:
    """Annotate parts by settings.compute.workers processes; yields the record of each part when it is finished.

    run: as for annotate_part. progress: as for Annotator. Raises UserError if a part can't be done; finished ones are
    kept.
    """
    processes = [_PartProcess(settings, run) for _ in range(number_of(settings.compute.workers))]
    try:
        while True:
            for process in processes:
                if process.part is None and (part := queue.take()) is not None:
                    process.begin(part)
            busy = {process.connection: process for process in processes if process.part is not None}
            if not busy and queue.is_empty:
                return
            if not busy:
                queue.wait()
                continue
            others_may_finish = not queue.is_empty and len(busy) < len(processes)
            for connection in wait(list(busy), LOOK_AGAIN if others_may_finish else None):
                answer = busy[cast("Connection", connection)].answer()
                if isinstance(answer, PartRecord):
                    yield answer
                else:
                    progress(answer)
    finally:
        for process in processes:
            process.end()


class _PartProcess:
    """A process that annotates parts, as the main process sees it. part: what it is doing, None if it is idle."""

    def __init__(self, settings: AnnotationSettings, run: str):
        self.part: int | None = None
        self.connection: Connection
        self._settings, self._run = settings, run
        self._process: multiprocessing.process.BaseProcess | None = None
        self._deaths = self._songs = 0  # at this part

    def begin(self, part: int) -> None:
        """Have a part done. Raises UserError if no process can be started."""
        self.part, self._deaths = part, 0
        if self._process is None:
            self._start()
        self._send(Task(part, carefully=False))

    def answer(self) -> PartRecord | int:
        """What the process has sent: the number of songs that it has done since the last one, or a part's record.

        If it ended, a new one does the part again, and the songs done are taken back. Raises UserError if the part
        can't be done.
        """
        try:
            answer: PartRecord | Fault | int = self.connection.recv()
        except (EOFError, OSError):
            self._begin_again(cast("int", self.part))
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
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self.connection.close()
            self._process = None
            if self.part is not None:
                with contextlib.suppress(OSError):  # whoever does the part next will remove it, or say why not
                    remove_unfinished(self._settings.folder, self.part)

    def _begin_again(self, part: int) -> None:
        """Have a new process do the part carefully, after a pause if that was tried already."""
        self._deaths += 1
        if self._deaths > STARTS:
            cause = cause_of_end(self._process)
            raise UserError(
                f"part {part:05d}: its process ended {STARTS} times ({cause}), perhaps for lack of memory; {GO_ON}"
            )
        self.end()
        if self._deaths > 1:  # whatever ends processes may be over soon
            time.sleep(min(FIRST_PAUSE * 2 ** (self._deaths - 2), LONGEST_PAUSE))
        self._start()
        self._send(Task(part, carefully=True))

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a forked copy of a process with threads can hang
        try:
            self.connection, theirs = context.Pipe()
            with closing(theirs):  # so that the connection ends with the process
                self._process = context.Process(target=_serve, args=(theirs, open_annotator, self._settings, self._run))
                start_deaf_to_interrupts(self._process)
        except OSError as error:
            raise UserError(f"compute.workers: a process can't be started ({error}); {GO_ON}") from error

    def _send(self, task: Task) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, as the next answer will tell
            self.connection.send(task)


def _serve(
    connection: Connection, opened: Callable[[AnnotationSettings], Annotator], settings: AnnotationSettings, run: str
) -> None:
    """The main loop of a process: does the parts that it receives."""
    end_with_parent()
    silence_native_code()
    careful = replace(settings, compute=replace(settings.compute, workers="1"))
    annotator: Annotator | None = None
    while True:
        try:
            task: Task = connection.recv()
        except (EOFError, OSError):
            return
        try:
            annotator = annotator or opened(careful)
            answer: PartRecord | Fault = annotate_part(
                annotator, run, task.part, connection.send, here=not task.carefully
            )
        except UserError as error:
            answer = Fault(str(error), is_users=True)
        except Exception:
            answer = Fault(traceback.format_exc(), is_users=False)
        connection.send(answer)
