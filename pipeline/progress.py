"""Progress bars: on a terminal only, and gone when the work is done, so that what is printed stays readable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Never, TypeVar

from tqdm import tqdm

T = TypeVar("T")


def progress_bar(items: Iterable[T], doing: str, unit: str, total: int | None = None, after: float = 0) -> tqdm[T]:
    """The items, with a bar that says how many are done.

    doing: what is done, before the bar. unit: of the items, in the plural. total: the number of items, if it is known
    and they have no length. after: seconds from which on it is shown; for work that is mostly short.
    """
    return tqdm(items, desc=doing, unit=f" {unit}", total=total, leave=False, disable=None, delay=after)


def songs_bar(doing: str, n_rows: int | None, n_before: int) -> tqdm[Never]:
    """A bar of songs, which stays. n_rows: of all parts, if known. n_before: of parts finished before."""
    return tqdm(desc=doing, unit=" songs", total=n_rows, initial=n_before, mininterval=1, disable=None)


def counting_bar(doing: str, unit: str, total: int) -> tqdm[Never]:
    """As `progress_bar`, for items that are counted by its method `update`."""
    return tqdm(desc=doing, unit=f" {unit}", total=total, leave=False, disable=None)


@contextmanager
def progress_steps(n: int) -> Iterator[Callable[[str], None]]:
    """A bar of n steps of different kinds. Call the function at the beginning of each, with what it does."""
    with tqdm(total=n, unit=" steps", leave=False, disable=None) as bar:
        begun = count()

        def begin(doing: str) -> None:
            bar.update(min(next(begun), 1))  # when the first begins, none is done
            bar.set_description(doing)

        yield begin
        bar.update()
