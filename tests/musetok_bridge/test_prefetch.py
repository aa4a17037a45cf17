"""Prefetching: the same items in the same order, no further ahead than allowed, and no thread left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator

import pytest

from musetok_bridge.worker_processes import prefetch


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def counting(made: list[int], most: int = 1000) -> Generator[int, None, None]:
    for k in range(most):
        made.append(k)
        yield k


def test_items_come_in_their_order() -> None:
    assert list(prefetch(counting([], 50), 3)) == list(range(50))


def test_it_works_ahead_but_not_too_far() -> None:
    made: list[int] = []
    items = prefetch(counting(made), 3)
    assert next(items) == 0
    wait_until(lambda: len(made) == 5)  # one taken, three in the queue, one that waits for room
    time.sleep(0.3)
    assert len(made) == 5
    items.close()


def test_what_was_made_before_an_error_is_given_before_it_is_raised() -> None:
    def breaks() -> Generator[int, None, None]:
        yield from (1, 2)
        raise KeyboardInterrupt("in a thread")

    items = prefetch(breaks(), 8)
    time.sleep(0.2)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(KeyboardInterrupt, match="in a thread"):
        next(items)


def test_closing_closes_the_stage_in_its_own_thread() -> None:
    closed_in: list[threading.Thread] = []

    def stage() -> Generator[int, None, None]:
        try:
            yield from range(1000)
        finally:
            closed_in.append(threading.current_thread())

    items = prefetch(stage(), 2)
    next(items)
    items.close()
    assert len(closed_in) == 1
    assert closed_in[0] is not threading.current_thread()
    assert not closed_in[0].is_alive()


def test_stages_of_stages_end_together() -> None:
    made: list[int] = []
    before = threading.active_count()
    items = prefetch((k for k in prefetch(counting(made), 2)), 2)
    next(items)
    items.close()
    wait_until(lambda: threading.active_count() == before)
    assert len(made) < 20
