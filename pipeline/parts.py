"""One folder of parts, many runs: run.json, which keeps different work out of it, and locks that share out the parts.

A run holds the lock of a part while it works on it, on one machine or on many over a network drive. The operating
system releases the locks of a run that ends, for whatever reason, and another run takes its parts. On a file system
without locks two runs may do the same part, which costs time and changes nothing: both write the same files, and each
file is moved to its place whole.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .annotations import RECORDS, RUN_RECORD, is_finished
from .files import write_json
from .json_files import read_json
from .settings import GO_ON, UserError, counted, duration_line, note, one_line, say

SECONDS_TO_BEGIN = 60  # to wait for another run that is writing run.json
LOOK_AGAIN = 0.5  # seconds between two checks of parts that other runs hold
_DIGITS_OF_DIGEST = (32, 64)


def cannot_write(folder: Path, error: OSError, setting: str = "output.dir") -> UserError:
    """The UserError for a folder that can't be written to. setting: which names the folder."""
    return UserError(f"{setting}: {folder} can't be written to ({error.strerror or error}); {GO_ON}")


def begin_or_continue(
    folder: Path,
    decides: Mapping[str, Any],
    begun: Callable[[], Mapping[str, Any] | None],
    record: Callable[[], Mapping[str, Any]],
    setting: str = "output.dir",
    instead: str = "take another folder",
) -> None:
    """Write run.json if there is none; otherwise check that its folder was begun with the same.

    decides: all that the parts depend on, by the name of the setting. begun: returns what decided when the folder was
    begun, None if it was not. record: makes the record to write. setting: which names the folder. instead: what
    to do other than to set things as they were.

    Raises UserError if the folder can't be written to, or names the first thing that differs.
    """
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / RECORDS / ".run.lock", timeout=SECONDS_TO_BEGIN):
            begun_with = begun()
            if begun_with is None:
                if any(path.is_file() for path in folder.glob("*/part-*")):
                    raise UserError(f"{setting}: {folder} has parts but no {RUN_RECORD} that describes them; {instead}")
                write_json(folder / RUN_RECORD, dict(record()))
                return
    except OSError as error:
        raise cannot_write(folder, error, setting) from error
    for key in [*decides, *begun_with]:
        if begun_with.get(key) != decides.get(key) or (key in begun_with) != (key in decides):
            if key.startswith("files in ") and key in begun_with and key in decides:
                raise UserError(f"{setting}: the {key} are others than when {folder} was begun: {instead}")
            difference = one_line(_difference(key, begun_with, decides), 200)
            raise UserError(f"{setting}: {folder} was begun {difference}: set it as it was, or {instead}")


def _difference(key: str, begun_with: Mapping[str, Any], decides: Mapping[str, Any]) -> str:
    """What differs from what a folder was begun with, in words."""
    if key not in begun_with:
        return f"without {key}"
    if key not in decides:
        return f"with {key}, which is gone"
    before, now = (str("null" if values[key] is None else values[key]) for values in (begun_with, decides))
    if _is_digest(before) and _is_digest(now):
        return f"with another {key} ({before[:12]}…, now {now[:12]}…)"
    return f"with {key} = {before}, now it is {now}"


def _is_digest(text: str) -> bool:
    return len(text) in _DIGITS_OF_DIGEST and all(letter in "0123456789abcdef" for letter in text)


def what_is_left(n_left: int, n_done: int, seconds: float) -> str:
    """The end of a line about a finished part: how many are left, and how long they take if n_done took `seconds`."""
    return f"; {counted(n_left, 'part')} left, about {duration_line(n_left * seconds / n_done)}" if n_left else ""


def begun_record(folder: Path, script: str, otherwise: UserError) -> dict[str, Any] | None:
    """run.json as `script` wrote it when a folder was begun, with its `decides`; None if there is none.

    Raises `otherwise` if it is damaged or another's.
    """
    try:
        record = read_json(folder / RUN_RECORD)
        if record["written_by"] == script and isinstance(record["decides"], dict):
            return dict(record)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise otherwise


class PartClaims:
    """The locks of the parts that this run works on."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._held: dict[int, FileLock] = {}
        self._locks = True

    def take(self, part: int) -> bool:
        """Lock a part; False if it is finished or another run holds it. Raises UserError if the folder fails.

        A part that is locked here stays so.
        """
        if self._locks and part not in self._held:
            path = self._path(part)
            lock = FileLock(path, thread_local=False, fallback_to_soft=False)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(blocking=False)
            except Timeout:
                return False
            except NotImplementedError:
                self._locks = False
                note(f"{self._folder} is on a file system without locks: two runs in it may do the same parts")
            except OSError as error:
                raise cannot_write(self._folder, error) from error
            else:
                self._held[part] = lock
        if self.is_done(part):
            self.release(part)
            return False
        return True

    def is_done(self, part: int) -> bool:
        """Whether a part is finished, by any run."""
        return is_finished(self._folder, part)

    def release(self, part: int) -> None:
        """Unlock a part."""
        if lock := self._held.pop(part, None):
            if self.is_done(part):  # a run that has opened the file in the meantime finds the part finished
                self._path(part).unlink(missing_ok=True)
            lock.release()

    def close(self) -> None:
        """Unlock all parts."""
        for part in list(self._held):
            self.release(part)

    def _path(self, part: int) -> Path:
        return self._folder / RECORDS / f".part-{part:05d}.lock"


class PartQueue:
    """The unfinished parts of a folder, taken one by one, each locked; last those that other runs hold.

    claims: the locks; whoever takes a part releases it there when it is finished.
    """

    def __init__(self, parts: Iterable[int], claims: PartClaims):
        self._left = deque(parts)
        self._claims = claims
        self._announced = False

    @property
    def is_empty(self) -> bool:
        """Whether every part was taken, or finished by another run."""
        return not self._left

    def take(self) -> int | None:
        """The next part, locked; None if other runs hold all that are left, or there are none."""
        for _ in range(len(self._left)):
            part = self._left.popleft()
            if self._claims.take(part):
                return part
            if not self._claims.is_done(part):
                self._left.append(part)
        return None

    def wait(self) -> None:
        """Wait a moment for the parts that other runs hold."""
        if not self._announced:
            say(f"waiting for {counted(len(self._left), 'part')} that other runs are working on")
            self._announced = True
        time.sleep(LOOK_AGAIN)


def parts_to_do(parts: Iterable[int], claims: PartClaims) -> Generator[int, None, None]:
    """Yield the unfinished parts, each locked; last those that other runs held and did not finish.

    Ends when all parts are finished.
    """
    queue = PartQueue(parts, claims)
    while not queue.is_empty:
        part = queue.take()
        if part is not None:
            yield part
        elif not queue.is_empty:
            queue.wait()
