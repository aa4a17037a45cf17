"""From the bytes of a MIDI file to bars of words, in worker processes, in the order of the dataset.

The workers import neither torch nor datasets, so they start fast and stay small. A song that can't be converted comes
back as a Failure; nothing that one file holds stops the others.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from musetok_bridge.bars import Bars, UnusableScore, read_score, score_to_bars, seconds_at
from musetok_bridge.settings import UserError

if TYPE_CHECKING:
    from typing import TypeAlias

    from .gigamidi_source import Row

    Task: TypeAlias = list[Row]

SONGS_PER_TASK = 16  # enough that handing a task over costs little beside it
TASKS_AHEAD = 8  # per worker: conversion goes on while the encoder is at work
DEATHS_IN_A_ROW = 8  # of processes, each on another file, after which it is not the files
LONGEST_REASON = 200  # characters
GO_ON = "whole parts are kept, the same command goes on from there"


class Converted(NamedTuple):
    """A song as bars. duration_seconds: where its last event ends, under its tempo map."""

    bars: Bars
    duration_seconds: float


class Failure(NamedTuple):
    """Why a song has no annotation. stage: read, parse, convert or predict; reason: one line."""

    stage: str
    reason: str


def convert_song(music: bytes | None) -> Converted | Failure:
    """Convert the bytes of one MIDI file. Never raises for what the bytes hold."""
    if not music:
        return Failure("read", "no_music: there are no bytes to read")
    stage = "parse"
    try:
        score = read_score(music)
        stage = "convert"
        bars = score_to_bars(score)
        if not len(bars):
            return Failure(stage, "no_bars: nothing to annotate")
        seconds = float(seconds_at(score, np.array([score.end()]))[0])
        if not math.isfinite(seconds):
            return Failure(stage, "no_time: its tempos give no time in seconds")
        return Converted(bars, seconds)
    except UnusableScore as error:
        return Failure(stage, one_line(str(error)))
    except Exception as error:  # a fault of ours must cost this song only, and be seen in its row
        return Failure(stage, one_line(f"internal: {type(error).__name__}: {error}"))


def convert_songs(songs: Sequence[bytes | None]) -> list[Converted | Failure]:
    """Convert the files of one task."""
    return [convert_song(music) for music in songs]


def converted_in_order(rows: Iterable[Row], workers: int) -> Generator[tuple[Row, Converted | Failure], None, None]:
    """Convert the rows in `workers` processes (0: in this one), reading some way ahead; give them in their order.

    A file that kills the process that converts it is a Failure like any other. Raises UserError if processes die one
    after the other whatever they convert, as when memory runs out.
    """
    if workers == 0:
        yield from ((row, convert_song(row.music)) for row in rows)
        return
    pool = _Pool(workers)
    try:
        yield from _through_pool(pool, iter(rows), ahead=workers * TASKS_AHEAD)
    finally:
        pool.close()


class _Pool:
    """Worker processes that are started anew when one of them dies, which ends them all."""

    def __init__(self, workers: int):
        self._workers = workers
        self._deaths_in_a_row = 0
        self._start()

    def _start(self) -> None:
        # spawn: a forked copy of a process in which torch has started its threads can hang
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_start_worker)

    def close(self) -> None:
        self._executor.shutdown(cancel_futures=True)

    def submit(self, task: Task) -> Future[list[Converted | Failure]]:
        """Convert a task's files; the future raises BrokenProcessPool if a process died meanwhile."""
        try:
            return self._executor.submit(convert_songs, [row.music for row in task])
        except BrokenProcessPool as error:
            broken: Future[list[Converted | Failure]] = Future()
            broken.set_exception(error)
            return broken

    def convert_one_by_one(self, task: Task) -> list[Converted | Failure]:
        """Start anew and convert a task that may have been the death of a process, each file for itself."""
        self._restart()
        results: list[Converted | Failure] = []
        for row in task:
            try:
                results += self.submit([row]).result()
                self._deaths_in_a_row = 0
            except BrokenProcessPool:
                self._restart()
                self._deaths_in_a_row += 1
                results.append(Failure("convert", "crashed: the process that converted it died"))
                if self._deaths_in_a_row == DEATHS_IN_A_ROW:
                    raise UserError(
                        "conversion processes die one after the other, perhaps for want of memory (try a smaller "
                        f"compute.workers); {GO_ON}"
                    ) from None
        return results

    def _restart(self) -> None:
        self.close()  # waits until every future of the old processes has its end
        self._start()


def _through_pool(pool: _Pool, rows: Iterator[Row], ahead: int) -> Iterator[tuple[Row, Converted | Failure]]:
    tasks: deque[tuple[Task, Future[list[Converted | Failure]]]] = deque()
    while True:
        while len(tasks) < ahead and (task := list(islice(rows, SONGS_PER_TASK))):
            tasks.append((task, pool.submit(task)))
        if not tasks:
            return
        task, future = tasks.popleft()
        try:
            results = future.result()
        except BrokenProcessPool:
            results = pool.convert_one_by_one(task)
            tasks = deque((t, pool.submit(t) if f.cancelled() or f.exception() else f) for t, f in tasks)
        yield from zip(task, results, strict=True)


def one_line(text: str) -> str:
    """The text in one line of at most LONGEST_REASON characters."""
    return " ".join(text.split())[:LONGEST_REASON]


def _start_worker() -> None:
    """Leave ctrl-C to the main process, and end with it, however it ends: a killed one can't tell its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
