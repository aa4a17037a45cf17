"""Reading again what a network or a disk did not give: after growing pauses, for so long and no longer.

Only what may pass is tried again. A dataset that is not there, that this account may not see, or a local file that is
broken, stays so: that ends a run at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from itertools import islice
from typing import TypeAlias, TypeVar

from pipeline.settings import UserError

from .annotation_settings import GO_ON, DatasetSettings
from .run_log import note
from .source_faults import as_user_error, may_pass, quiet_libraries

Item = TypeVar("Item")
Where: TypeAlias = Callable[[], str]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; each pause is twice the one before


class Patience:
    """How long a fault of the dataset has lasted, and whether to go on trying."""

    def __init__(self, settings: DatasetSettings, where: Where):
        self._settings = settings
        self._where = where
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def restore(self) -> None:
        """What was asked for has come: the next fault is a new one."""
        self._since, self._pause = None, FIRST_PAUSE

    def bear(self, error: Exception, began: float) -> None:
        """Wait a while, or raise the UserError for what was raised. began: when the attempt did, in time.monotonic."""
        described = as_user_error(error, self._settings, self._where())
        if not may_pass(error, self._settings):
            raise described from error
        if self._since is None:
            self._since = began
        left = self._since + self._settings.retry_seconds - time.monotonic()
        if left <= 0:
            raise UserError(f"{described}; {GO_ON}") from error
        pause = min(self._pause, left)
        note(f"{described}; trying again in {pause:.0f} s")
        time.sleep(pause)
        self._pause = min(2 * self._pause, LONGEST_PAUSE)


def _anywhere() -> str:
    return ""


def tried(read: Callable[[], Item], settings: DatasetSettings, where: Where = _anywhere) -> Item:
    """What `read` gives, tried again as long as the settings allow. Raises UserError if it never gives it.

    where: gives the place that can't be read, as words that follow the dataset's name.
    """
    patience = Patience(settings, where)
    while True:
        began = time.monotonic()
        try:
            with quiet_libraries():
                return read()
        except Exception as error:  # whatever libraries below raise, all of it is about this dataset
            patience.bear(error, began)


def tried_items(
    begin: Callable[[], Iterator[Item]], settings: DatasetSettings, where: Where = _anywhere
) -> Generator[Item, None, None]:
    """The items of an iterator that may break off: then it is begun anew, and what was given is passed over.

    begin: gives the same items each time. where: as for `tried`. Raises UserError if it breaks off for good.
    """
    patience = Patience(settings, where)
    items: Iterator[Item] | None = None
    given = 0
    while True:
        began = time.monotonic()
        try:
            with quiet_libraries():
                items = items or islice(begin(), given, None)
                item = next(items)
        except StopIteration:
            return
        except Exception as error:  # as above
            patience.bear(error, began)
            items = None
        else:
            patience.restore()
            yield item
            given += 1
