"""A stage of a pipeline in a thread of its own, some items ahead of the stage that takes them.

What waits for a network or a disk, or leaves the interpreter to native code, so runs while the next stage is at work.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")

_LOOK_UP = 0.1  # seconds between two looks at whether anyone still wants what is made
_LAST_ITEM = 5.0  # seconds to wait for a stage that is stopped in the middle of an item


def working_ahead(items: Generator[Item, None, None], most: int) -> Generator[Item, None, None]:
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
