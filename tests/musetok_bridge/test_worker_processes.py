from __future__ import annotations

import contextlib
import ctypes
import errno
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from guarded_conversion import in_guarded_processes

from musetok_bridge import conversion, worker_processes
from musetok_bridge.conversion import Failure
from musetok_bridge.worker_processes import FIRST_PAUSE, LONGEST_PAUSE, SONGS_PER_TASK, STARTS, pause_after
from pipeline.settings import UserError
from song_sources.song_rows import Row


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_processes, "FIRST_PAUSE", 0.0)


def echo(music: bytes | None) -> Failure:
    """Answers with what it was given; b"die N" ends the process with exit code N, b"hang" never answers."""
    text = (music or b"").decode(errors="replace")
    if text.startswith("die"):
        os._exit(int(text.split()[1]))
    if text == "hang":
        threading.Event().wait()
    if text == "eat":
        eaten = [bytearray(10_000_000) for _ in range(100)]
        return Failure("echo", f"ate {len(eaten)} times 10 MB")
    if text == "hang in native code":
        ctypes.PyDLL(None).sleep(3600)  # holds the interpreter meanwhile
    if text == "deaf to interrupts?":
        return Failure("echo", str(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])))
    return Failure("echo", text)


def answers(songs: list[bytes], workers: int = 2, seconds: float = 20) -> list[str]:
    return [answer.reason for _, answer in in_guarded_processes(songs, echo, workers, seconds, 100)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_answers_come_in_the_order_of_the_songs(workers: int) -> None:
    songs = [str(i).encode() for i in range(5 * SONGS_PER_TASK + 3)]
    assert answers(songs, workers) == [song.decode() for song in songs]


def test_a_song_that_ends_its_process_fails_with_the_cause_and_its_neighbours_are_converted() -> None:
    songs = [b"a", b"die 7", b"b", b"die 9", b"die 9", b"c"]
    assert answers(songs) == [
        "a",
        "crashed: exit code 7 in the process that converted it",
        "b",
        *["crashed: exit code 9 in the process that converted it"] * 2,
        "c",
    ]


def test_processes_are_deaf_to_interrupts_from_their_first_instruction_on() -> None:
    """Otherwise ctrl-C while they start prints a traceback for each of them."""
    assert answers([b"deaf to interrupts?"] * 3 * SONGS_PER_TASK, workers=2) == ["True"] * 3 * SONGS_PER_TASK
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_process_that_is_handed_no_more_songs_ends_by_itself() -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=conversion.serve_conversions, args=(theirs, echo, 20, 100))
    process.start()
    theirs.close()
    assert ours.poll(60) and ours.recv() == conversion.READY
    ours.send([b"a", b"b"])
    assert [ours.recv().reason for _ in range(2)] == ["a", "b"]
    ours.close()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux holds a process to its memory")
def test_a_song_that_fills_the_memory_fails_as_too_large_and_its_neighbours_are_converted() -> None:
    assert answers([b"a", b"eat", b"b"]) == ["a", "too_large: over 100 MB of memory", "b"]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux holds a process to its memory")
def test_a_song_that_does_not_fit_in_the_memory_is_too_large() -> None:
    assert answers([b"a", bytes(300_000_000), b"b"]) == ["a", "too_large: over 100 MB of memory", "b"]


def die_of_everything(music: bytes | None) -> Failure:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def test_processes_that_die_of_every_file_end_the_run_with_one_line(without_pauses: None) -> None:
    with pytest.raises(UserError, match=r"compute.workers: .*die whatever they convert \(crashed: SIGKILL"):
        list(in_guarded_processes([b"a"], die_of_everything, 1, 20, 100))


def test_what_was_read_before_the_source_failed_is_converted() -> None:
    def failing() -> Iterator[bytes]:
        yield from [b"a"] * 50
        raise UserError("the connection is lost")

    found = []
    with pytest.raises(UserError, match="the connection is lost"):
        for _, answer in in_guarded_processes(failing(), echo, 2, 20, 100):
            found.append(answer.reason)
    assert found == ["a"] * 3 * SONGS_PER_TASK


def test_any_number_of_such_songs_in_a_row_stops_nothing() -> None:
    found = answers([b"die 1"] * 4 + [b"alive"], workers=1)
    assert len(found) == 5 and found[-1] == "alive"


def test_a_song_that_hangs_is_given_up() -> None:
    assert answers([b"a", b"hang", b"b"], seconds=1) == ["a", "timeout: over 1 seconds", "b"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the processes")
def test_a_process_that_hangs_in_native_code_ends_even_if_the_main_process_is_gone() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}  # for guarded_conversion
    minder = subprocess.Popen([sys.executable, __file__], env=environment, stdout=subprocess.PIPE, text=True)
    assert minder.stdout and minder.stdout.readline() == "hanging\n"
    children = [
        child
        for task in Path(f"/proc/{minder.pid}/task").iterdir()
        for child in (task / "children").read_text().split()
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
    ]
    assert children
    minder.kill()
    minder.wait()
    deadline = time.monotonic() + 60
    while any(is_running(child) for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(child) for child in children)


def is_running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def die_the_first_time(marks: Path, music: bytes | None) -> Failure:
    """Kills its own process at every song that it has not seen before."""
    mark = marks / (music or b"").decode()
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Failure("echo", mark.name)


def test_a_death_that_a_song_is_not_to_blame_for_does_not_cost_it(tmp_path: Path) -> None:
    songs = [str(i).encode() for i in range(4)]
    found = list(in_guarded_processes(songs, partial(die_the_first_time, tmp_path), 2, 20, 100))
    assert [answer.reason for _, answer in found] == ["0", "1", "2", "3"]


def test_a_song_larger_than_a_task_is_handed_over_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_processes, "BYTES_PER_TASK", 10)
    songs = [b"1" * 4, b"2" * 4, b"3" * 4, b"4" * 30, b"5"]
    tasks = list(worker_processes.tasks_of_part(7, (Row("", song, {}) for song in songs)))
    assert [[len(row.music or b"") for row in task.rows] for task in tasks] == [[4, 4], [4], [30], [1]]
    assert [(task.part, task.ends_part) for task in tasks] == [(7, False)] * 3 + [(7, True)]


class CannotBeUnpickled:
    """Like an installation in which a new process can't start."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def end_the_first_times(marks: Path, times: int) -> object:
    """Ends a process as it starts, the given number of times, by the signal of an operator or of a lack of memory."""
    begun = len(list(marks.iterdir()))
    if begun < times:
        (marks / str(begun)).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return echo


class EndsTheFirstTimes:
    def __init__(self, marks: Path, times: int):
        self._arguments = (marks, times)

    def __reduce__(self) -> tuple[object, tuple[Path, int]]:
        return end_the_first_times, self._arguments


@pytest.mark.parametrize("times", [1, STARTS - 1])
def test_a_process_that_ends_as_it_begins_is_started_again(times: int, tmp_path: Path, without_pauses: None) -> None:
    found = list(in_guarded_processes([b"1"], EndsTheFirstTimes(tmp_path, times), 1, 20, 100))  # type: ignore[arg-type]
    assert [answer.reason for _, answer in found] == ["1"]
    assert len(list(tmp_path.iterdir())) == times


def test_processes_that_end_as_they_begin_end_the_run_with_one_line(without_pauses: None) -> None:
    with pytest.raises(UserError, match=r"compute.workers: .*ended as it started \(exit code 3\)"):
        list(in_guarded_processes([b"a"], CannotBeUnpickled(), 1, 20, 100))  # type: ignore[arg-type]


def starts_in_vain(worker: worker_processes._Worker, monkeypatch: pytest.MonkeyPatch, most: int = 100) -> int:
    """How often a worker tries to start a process that never starts."""
    tried: list[float] = []

    def start_once() -> str | None:
        tried.append(time.monotonic())
        return "killed" if len(tried) < most else None

    monkeypatch.setattr(worker, "_start_once", start_once)
    with contextlib.suppress(UserError):
        worker._start()
    return len(tried)


class _Ticking(worker_processes._Progress):
    """Another process converts a song all the time."""

    @property
    def last(self) -> float:  # type: ignore[override]
        return math.inf


def test_starts_in_vain_do_not_count_while_other_processes_convert(
    monkeypatch: pytest.MonkeyPatch, without_pauses: None
) -> None:
    alone = worker_processes._Worker(echo, 20, 100, worker_processes._Progress())
    assert starts_in_vain(alone, monkeypatch) == STARTS
    among_others = worker_processes._Worker(echo, 20, 100, _Ticking())
    assert starts_in_vain(among_others, monkeypatch) == 100


def test_a_process_that_the_system_can_not_start_yet_is_started_later(
    monkeypatch: pytest.MonkeyPatch, without_pauses: None
) -> None:
    start = BaseProcess.start
    refused: list[BaseProcess] = []

    def start_later(process: BaseProcess) -> None:
        if len(refused) < STARTS - 1:
            refused.append(process)
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        start(process)

    monkeypatch.setattr(BaseProcess, "start", start_later)
    assert answers([b"a", b"b"], workers=1) == ["a", "b"]
    refused.clear()
    monkeypatch.setattr(worker_processes, "STARTS", STARTS - 2)
    with pytest.raises(UserError, match=r"compute.workers: a process can't be started \(.*unavailable\)"):
        answers([b"a"], workers=1)


def test_the_pauses_before_a_run_ends_take_half_a_minute() -> None:
    pauses = [min(FIRST_PAUSE * 2**n, LONGEST_PAUSE) for n in range(STARTS - 1)]
    assert 20 < sum(pauses) < 40


def die_the_first_times_of_harmless(marks: Path, music: bytes | None) -> Failure:
    """Dies of one song always, and a few times of the file that shows whether a process lives."""
    if music == worker_processes.HARMLESS and len(list(marks.iterdir())) < 3:
        (marks / str(len(list(marks.iterdir())))).touch()
        os._exit(9)
    return echo(b"alive" if music == worker_processes.HARMLESS else music)


def test_a_process_that_is_killed_after_a_song_that_kills_it_is_tried_again(
    tmp_path: Path, without_pauses: None
) -> None:
    convert = partial(die_the_first_times_of_harmless, tmp_path)
    found = list(in_guarded_processes([b"die 7", b"b"], convert, 1, 20, 100))
    assert [answer.reason for _, answer in found] == ["crashed: exit code 7 in the process that converted it", "b"]


def test_leaving_does_not_wait_for_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_processes, "FIRST_PAUSE", 3600)
    monkeypatch.setattr(worker_processes, "LONGEST_PAUSE", 3600)
    worker = worker_processes._Worker(echo, 20, 100, worker_processes._Progress())
    threading.Timer(0.2, worker.close).start()
    with pytest.raises(CancelledError):
        starts_in_vain(worker, monkeypatch)


def text_of(path: Path) -> str:
    """The content of a file of /proc; empty if its thread or process has just ended."""
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def processes() -> set[str]:
    return {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in text_of(task / "children").split()
        if "spawn_main" in text_of(Path(f"/proc/{child}/cmdline"))
    }


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the processes")
def test_leaving_early_ends_the_processes_whatever_they_are_doing() -> None:
    before = processes()
    found = in_guarded_processes([b"a"] * SONGS_PER_TASK + [b"hang"] * 40, echo, 2, 3600, 100)
    next(found)
    assert len(processes() - before) >= 1
    found.close()
    deadline = time.monotonic() + 60
    while processes() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes() - before


def _hang() -> None:
    """For the test of killing the main process: a main process whose worker hangs."""
    threading.Timer(3, lambda: print("hanging", flush=True)).start()
    answers([b"hang in native code"], workers=1, seconds=4)


if __name__ == "__main__":
    _hang()


def test_pauses_grow_to_a_bound_however_many_tries_there_were() -> None:
    assert [pause_after(tries) for tries in (1, 2, 3, 5_000)] == [0.25, 0.5, 1.0, LONGEST_PAUSE]
