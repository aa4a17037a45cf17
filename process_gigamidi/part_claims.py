"""Which run does which part, where several share an output folder: on one machine, or on many over a network drive.

A run holds the lock of a part while it is at work on it. The system lets go of the locks of a run that ends, however it
ended, and another run then takes its parts. On a file system without locks nothing is held: two runs may do a part
twice, which costs time and changes nothing, since a part's files are moved to their places whole.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from pathlib import Path

from filelock import FileLock, Timeout

from .part_files import RECORDS, cannot_write, record_path
from .run_log import counted, note, say

LOOK_AGAIN = 0.5  # seconds between two looks at parts that other runs hold


class PartClaims:
    """The parts of an output folder that this run holds."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._held: dict[int, FileLock] = {}
        self._locks = True

    def take(self, part: int) -> bool:
        """Hold a part, if it is neither done nor another run's. Raises UserError if the folder can't be written to."""
        if self._locks:
            path = self._path(part)
            lock = FileLock(path, thread_local=False, fallback_to_soft=False)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(blocking=False)
            except Timeout:
                return False
            except NotImplementedError:
                self._locks = False
                note(f"{self._folder} is on a file system without locks: give runs that share it compute.share")
            except OSError as error:
                raise cannot_write(self._folder, error) from error
            else:
                self._held[part] = lock
        if self.is_done(part):
            self.release(part)
            return False
        return True

    def is_done(self, part: int) -> bool:
        """Whether a part is done, by whatever run."""
        return record_path(self._folder, part).exists()

    def release(self, part: int) -> None:
        """Let go of a part."""
        if lock := self._held.pop(part, None):
            if self.is_done(part):  # whoever has opened it in the meantime finds the part done
                self._path(part).unlink(missing_ok=True)
            lock.release()

    def close(self) -> None:
        """Let go of all parts."""
        for part in list(self._held):
            self.release(part)

    def _path(self, part: int) -> Path:
        return self._folder / RECORDS / f".part-{part:05d}.lock"


def parts_to_do(parts: Iterable[int], claims: PartClaims) -> Generator[int, None, None]:
    """The parts that are not done, each held when it is given; at last those that other runs held and left undone.

    Ends when all parts that this run has not done are done.
    """
    left = list(parts)
    told = False
    while left:
        held_by_others = []
        for part in left:
            if claims.take(part):
                yield part
            elif not claims.is_done(part):
                held_by_others.append(part)
        left = held_by_others
        if left:
            if not told:
                say(f"waiting for {counted(len(left), 'part')} that other runs are at work on")
                told = True
            time.sleep(LOOK_AGAIN)
