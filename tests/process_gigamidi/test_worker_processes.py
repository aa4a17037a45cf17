from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from musetok_bridge.settings import UserError
from process_gigamidi import worker_processes
from process_gigamidi.conversion import Failure
from process_gigamidi.gigamidi_source import Row
from process_gigamidi.worker_processes import SONGS_PER_TASK, converted_in_order


def rows(songs: list[bytes]) -> Iterator[Row]:
    return (Row(i, "", song, {}) for i, song in enumerate(songs))


def echo(music: bytes | None) -> Failure:
    """Answers with what it was given; b"die N" ends the process with exit code N, b"hang" never answers."""
    text = (music or b"").decode()
    if text.startswith("die"):
        os._exit(int(text.split()[1]))
    if text == "hang":
        threading.Event().wait()
    if text == "eat":
        bytearray(10**12)
    return Failure("echo", text)


def answers(songs: list[bytes], workers: int = 2, seconds: float = 20) -> list[str]:
    return [answer.reason for _, answer in converted_in_order(rows(songs), echo, workers, seconds, 100)]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_answers_come_in_the_order_of_the_songs(workers: int) -> None:
    songs = [str(i).encode() for i in range(5 * SONGS_PER_TASK + 3)]
    assert answers(songs, workers) == [song.decode() for song in songs]


def test_a_song_that_ends_its_process_is_told_by_how_and_its_neighbours_are_converted() -> None:
    songs = [b"a", b"die 7", b"b", b"die 9", b"die 9", b"eat", b"c"]
    assert answers(songs) == [
        "a",
        "crashed: exit code 7 in the process that converted it",
        "b",
        *["crashed: exit code 9 in the process that converted it"] * 2,
        "too_large: over 100 MB of memory",
        "c",
    ]


def test_any_number_of_such_songs_in_a_row_stops_nothing() -> None:
    found = answers([b"die 1"] * 4 + [b"alive"], workers=1)
    assert len(found) == 5 and found[-1] == "alive"


def test_a_song_that_hangs_is_given_up() -> None:
    assert answers([b"a", b"hang", b"b"], seconds=1) == ["a", "timeout: over 1 seconds", "b"]


def die_the_first_time(marks: Path, music: bytes | None) -> Failure:
    """Kills its own process at every song it has not met before."""
    mark = marks / (music or b"").decode()
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return Failure("echo", mark.name)


def test_a_death_that_a_song_is_not_to_blame_for_does_not_cost_it(tmp_path: Path) -> None:
    songs = [str(i).encode() for i in range(4)]
    found = list(converted_in_order(rows(songs), partial(die_the_first_time, tmp_path), 2, 20, 100))
    assert [answer.reason for _, answer in found] == ["0", "1", "2", "3"]


def test_a_song_larger_than_a_task_is_handed_over_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_processes, "BYTES_PER_TASK", 10)
    songs = [b"1" * 4, b"2" * 4, b"3" * 4, b"4" * 30, b"5"]
    cut = [[len(row.music or b"") for row in task] for task in worker_processes._tasks(rows(songs))]
    assert cut == [[4, 4], [4], [30], [1]]


class CannotBeUnpickled:
    """Stands for an installation in which a new process can't start working."""

    def __reduce__(self) -> tuple[object, tuple[int]]:
        return os._exit, (3,)


def test_processes_that_end_as_they_begin_end_the_run_with_one_line() -> None:
    with pytest.raises(UserError, match=r"compute.workers: .*ended as it began \(exit code 3\)"):
        list(converted_in_order(rows([b"a"]), CannotBeUnpickled(), 1, 20, 100))  # type: ignore[arg-type]


def processes() -> set[str]:
    return {
        child
        for task in Path("/proc/self/task").iterdir()
        for child in (task / "children").read_text().split()
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()
    }


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the processes")
def test_leaving_early_ends_the_processes_whatever_they_are_doing() -> None:
    before = processes()
    found = converted_in_order(rows([b"a"] * SONGS_PER_TASK + [b"hang"] * 40), echo, 2, 3600, 100)
    next(found)
    assert len(processes() - before) >= 1
    found.close()
    deadline = time.monotonic() + 60
    while processes() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not processes() - before
