"""Faults of a dataset: which are tried again and for how long, and the one line that says what to do.

Only faults that may pass are tried again, after growing pauses. A dataset that doesn't exist or that this account may
not see, and a broken local file, end a run at once. What is said of the Hub's faults is in hub_faults.py.

Libraries for retries (tenacity and others) call a function again. Here an iterator breaks off in mid-stream and has to
continue behind the items that were already yielded (`tried_items`), which none of them does.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeAlias, TypeVar

from pipeline.settings import GO_ON, UserError, note, one_line, reason_line

from .dataset_settings import DatasetSettings

Item = TypeVar("Item")
Where: TypeAlias = Callable[[], str]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; each pause is twice the one before


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep log messages of the libraries off the screen: the one line that follows says what failed."""
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def as_user_error(error: BaseException, settings: DatasetSettings, where: str = "") -> UserError:
    """The UserError for an error of loading or reading the dataset. where: words that follow the dataset's name."""
    if isinstance(error, UserError):
        return error
    what = settings.path or settings.name
    if lasting := _lasting_fault(error, settings, what):
        return lasting
    if settings.path is None:
        from .hub_faults import line_about  # and the Hub's libraries, which take half a second

        if line := line_about(error, settings):
            return UserError(line)
    return UserError(reason_line(f"{what}{where}: can't be read ({type(error).__name__}: {error})"))


def may_pass(error: BaseException, settings: DatasetSettings) -> bool:
    """Whether an error of loading or reading the dataset may be gone at the next try.

    For the Hub everything but a refusal. For a local copy the errors that the operating system reports with a number,
    except those of a file that doesn't exist or may not be read; a broken file stays broken.
    """
    if isinstance(error, UserError):
        return False
    if settings.path is None:
        from .hub_faults import is_refusal  # as in as_user_error

        return not is_refusal(error) and _lasting_fault(error, settings, "") is None
    lasting = FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, lasting)


def _lasting_fault(error: BaseException, settings: DatasetSettings, what: str) -> UserError | None:
    """The UserError for what the data set doesn't have; None for another error. what: the data set, for the message."""
    return _option_not_there(error, settings, what) or _column_not_there(error, settings, what)


def _option_not_there(error: BaseException, settings: DatasetSettings, what: str) -> UserError | None:
    """The UserError for a configuration or split that doesn't exist; `datasets` raises a plain ValueError for it."""
    text = str(error)
    if found := re.search(r"BuilderConfig .* not found\. Available: \[(.*)\]", text):
        key, value = "config", settings.config
    elif found := re.search(r"(?:Bad|Unknown) split.*Available splits: \[(.*)\]", text):
        key, value = "split", settings.split
    else:
        return None
    return UserError(f"dataset.{key}: {what} has no {key} {value!r}; it has {found[1].replace(chr(39), '')}")


def _column_not_there(error: BaseException, settings: DatasetSettings, what: str) -> UserError | None:
    """The UserError for a file on the Hub without a column that other files of its configuration have."""
    found = re.search(r"No match for FieldRef\.Name\((.*?)\)", str(error))
    if found and settings.path is None:
        return UserError(
            f"{what}: some files have no column {one_line(found[1], 40)!r} and others do, so they can't be streamed "
            "together: download them (hf download) and name the folder in dataset.path"
        )
    return None


class Patience:
    """Decides how long a fault of the dataset is borne: pauses before each new try, until the time is up."""

    def __init__(self, settings: DatasetSettings, where: Where):
        self._settings = settings
        self._where = where
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def restore(self) -> None:
        """Call after a success: the next fault is a new one."""
        self._since, self._pause = None, FIRST_PAUSE

    def bear(self, error: Exception, began: float) -> None:
        """Pause, or raise the UserError if it is of no use to try again. began: time.monotonic() before the attempt."""
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
    """The result of `read`, tried again as long as the settings allow. Raises UserError if it keeps failing.

    where: returns the place of the fault, as words that follow the dataset's name.
    """
    patience = Patience(settings, where)
    while True:
        began = time.monotonic()
        try:
            with quiet_libraries():
                return read()
        except MemoryError:  # no fault of the dataset's
            raise
        except Exception as error:  # whatever the libraries raise here concerns this dataset
            patience.bear(error, began)


def tried_items(
    begin: Callable[[], Iterator[Item]], settings: DatasetSettings, where: Where = _anywhere
) -> Generator[Item, None, None]:
    """Yield the items of an iterator that may break off: it is then started again behind the items already yielded.

    begin: returns an iterator over the same items each time. where: as for `tried`. Raises UserError if it keeps
    breaking off.
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
        except MemoryError:  # as above
            raise
        except Exception as error:
            patience.bear(error, began)
            items = None
        else:
            patience.restore()
            yield item
            given += 1
