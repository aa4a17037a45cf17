"""Faults of a dataset: what is tried again and for how long, and the one line that says what to do.

`datasets` raises its own DatasetNotFoundError for a gated, a missing and an unauthorised dataset alike and drops the
cause, so its text decides there; the Hub's client raises a type for each. Only what may pass is tried again, after
growing pauses. A dataset that is not there, that this account may not see, or a local file that is broken, stays so:
that ends a run at once.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TypeAlias, TypeVar

from datasets.exceptions import DatasetNotFoundError
from huggingface_hub import errors as hub

from pipeline.settings import UserError, note

from .annotation_settings import GO_ON, DatasetSettings
from .conversion import one_line

LASTING = (hub.RepositoryNotFoundError, hub.OfflineModeIsEnabled, DatasetNotFoundError)
REFUSALS = {401, 403, 404, 410}  # HTTP statuses that say so, and would say so again
Item = TypeVar("Item")
Where: TypeAlias = Callable[[], str]

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds; each pause is twice the one before


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what the libraries log about a failure off the screen: the one line that follows says it."""
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
    """The UserError for what loading or reading the dataset raised. where: words that follow the dataset's name."""
    if isinstance(error, UserError):
        return error
    what = settings.path or settings.name
    if option := _option_not_there(error, settings, what):
        return option
    if settings.path is None:
        for cause in _causes(error):
            if line := _about_the_hub(cause, settings):
                return UserError(line)
    return UserError(one_line(f"{what}{where}: can't be read ({type(error).__name__}: {error})"))


def may_pass(error: BaseException, settings: DatasetSettings) -> bool:
    """Whether what loading or reading the dataset raised may be gone when it is tried again.

    Of the Hub all but what it refuses; of a local copy what a disk or a network drive reports with a number of the
    system, but a file that isn't there or may not be read. A broken file stays broken.
    """
    if isinstance(error, UserError):
        return False
    if settings.path is None:
        refused = any(isinstance(cause, LASTING) for cause in _causes(error))
        statuses = {_status(cause) for cause in _causes(error)}
        return not refused and not statuses & REFUSALS and _option_not_there(error, settings, "") is None
    lasting = FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError
    return isinstance(error, OSError) and error.errno is not None and not isinstance(error, lasting)


def _option_not_there(error: BaseException, settings: DatasetSettings, what: str) -> UserError | None:
    """A configuration or split that there is not, which `datasets` says in a plain ValueError."""
    text = str(error)
    if found := re.search(r"BuilderConfig .* not found\. Available: \[(.*)\]", text):
        key, value = "config", settings.config
    elif found := re.search(r"(?:Bad|Unknown) split.*Available splits: \[(.*)\]", text):
        key, value = "split", settings.split
    else:
        return None
    return UserError(f"dataset.{key}: {what} has no {key} {value!r}; it has {found[1].replace(chr(39), '')}")


def _about_the_hub(error: BaseException, settings: DatasetSettings) -> str | None:
    page = f"https://huggingface.co/datasets/{settings.name}"
    text = str(error)
    status = _status(error)
    not_found = isinstance(error, DatasetNotFoundError)
    if isinstance(error, hub.GatedRepoError) or (not_found and "gated" in text):
        if status == 403 or (status is None and "ask for access" in text):
            return (
                f"{settings.name}: this account has no access yet: accept the conditions at {page}, logged in with it"
            )
        return f"{settings.name}: you are not logged in: accept the conditions at {page}, then run `hf auth login`"
    if isinstance(error, hub.RevisionNotFoundError) or (not_found and text.startswith("Revision")):
        return f"dataset.revision: {settings.name} has no revision {settings.revision!r}; null takes the newest"
    if status == 401 and not isinstance(error, hub.RepositoryNotFoundError):
        return f"{settings.name}: the Hub refuses the token: run `hf auth login` again, or mend HF_TOKEN"
    if isinstance(error, hub.RepositoryNotFoundError) or not_found:
        return f"dataset.name: no {settings.name} on the Hub, or none that you may see: mend it, or run `hf auth login`"
    if status is not None:
        return f"{settings.name}: the Hub answers with error {status}"
    if isinstance(error, (ConnectionError, TimeoutError, hub.LocalEntryNotFoundError, hub.HTTPError)):
        return (
            "the Hugging Face Hub can't be reached or doesn't answer: check the connection, or set dataset.path "
            "to a local copy or to MIDI files"
        )
    return None


def _status(error: BaseException) -> int | None:
    """The HTTP status of an answer that was an error."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


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
