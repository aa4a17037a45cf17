"""One output folder, many runs: run.json, so that only the same thing goes on in it, and which run does which part.

A run holds the lock of a part while it works on it, on one machine or on many over a network drive. The system lets go
of the locks of a run that ends, however it ended, and another run then takes its parts. On a file system without locks
nothing is held: two runs may do a part twice, which costs time and changes nothing, since a part's files are moved to
their places whole.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.annotations import FORMAT, RECORDS, RUN_RECORD, is_finished
from pipeline.files import provenance, write_json
from pipeline.records import Totals, read_run
from pipeline.settings import UserError, counted, note, say

from .annotation_settings import AnnotationSettings
from .gigamidi_source import pinned
from .part_files import cannot_write

SECONDS_TO_BEGIN = 60  # that another run may take to write this file
LOOK_AGAIN = 0.5  # seconds between two looks at parts that other runs hold


def what_decides(
    settings: AnnotationSettings, identity: Mapping[str, str | None], digests: Mapping[str, str | None]
) -> dict[str, Any]:
    """All that a part's rows and values depend on, by the setting that gives it.

    identity: the dataset's. digests: of the encoder's (None if it isn't used) and the head's weights.
    """
    return {
        "format": FORMAT,
        **identity,
        "dataset.limit": settings.dataset.limit,
        **digests,
        "model.dtype": settings.model.dtype,
        **{f"bars.{name}": value for name, value in asdict(settings.bars).items()},
        **{f"limits.{name}": value for name, value in asdict(settings.limits).items()},
        "compute.bars_per_batch": settings.compute.bars_per_batch,
        "output.row_groups_per_part": settings.output.row_groups_per_part,
    }


def with_pinned_revision(settings: AnnotationSettings) -> AnnotationSettings:
    """The settings with the commit of the dataset: the one that the folder was begun with, unless they name another.

    Raises UserError if the Hub doesn't say which it is, or run.json is none.
    """
    dataset = settings.dataset
    record = read_run(settings.folder) if dataset.path is None and dataset.revision is None else None
    begun_with = record["decides"].get("dataset.revision") if record else None
    return replace(settings, dataset=replace(dataset, revision=begun_with) if begun_with else pinned(dataset))


def begin_or_continue(settings: AnnotationSettings, decides: Mapping[str, Any], n_parts: int) -> None:
    """Begin an output folder, or check that it may be continued.

    Raises UserError if the folder can't be written to or was begun with something else, naming the first thing that
    differs.
    """
    folder = settings.folder
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / RECORDS / ".run.lock", timeout=SECONDS_TO_BEGIN):
            record = read_run(folder)
            if record is None:
                if any(path.is_file() for path in folder.glob("*/part-*")):
                    raise UserError(
                        f"output.dir: {folder} has tables but no {RUN_RECORD} that says of what; take another folder"
                    )
                record = provenance(settings, decides=dict(decides), parts=n_parts, totals=None)
                write_json(folder / RUN_RECORD, record)
    except OSError as error:
        raise cannot_write(folder, error) from error
    begun_with = record["decides"]
    for key in [*decides, *begun_with]:
        if begun_with.get(key) != decides.get(key):
            raise UserError(
                f"output.dir: {folder} was begun with {key} = {_short(begun_with.get(key))}, "
                f"now it is {_short(decides.get(key))}: set it as it was, or take another output.dir"
            )


def write_totals(settings: AnnotationSettings, totals: Totals) -> None:
    """Add the totals of all parts to run.json. Raises UserError if that can't be done."""
    record = read_run(settings.folder)
    if record and record["totals"] != asdict(totals):
        try:
            write_json(settings.folder / RUN_RECORD, record | {"totals": asdict(totals)})
        except OSError as error:
            raise cannot_write(settings.folder, error) from error


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    is_digest = len(text) in (32, 64) and all(c in "0123456789abcdef" for c in text)
    return f"{text[:12]}…" if is_digest else text


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
        return is_finished(self._folder, part)

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
