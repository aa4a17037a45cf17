"""One output folder, many runs: run.json, which keeps different work out of it, and locks that share out the parts.

A run holds the lock of a part while it works on it, on one machine or on many over a network drive. The operating
system releases the locks of a run that ends, for whatever reason, and another run takes its parts. On a file system
without locks two runs may do the same part, which costs time and changes nothing: both write the same files, and each
file is moved to its place whole.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from pipeline.annotations import FORMAT, RECORDS, RUN_RECORD, is_finished
from pipeline.files import provenance, write_json
from pipeline.records import DATASET, Totals, read_dataset_run
from pipeline.settings import UserError, counted, note, say

from .annotation_settings import AnnotationSettings
from .gigamidi_source import pinned
from .part_files import cannot_write
from .trained_on import TRAINED_ON, RatedSetFacts

SECONDS_TO_BEGIN = 60  # to wait for another run that is writing run.json
LOOK_AGAIN = 0.5  # seconds between two checks of parts that other runs hold


def what_decides(
    settings: AnnotationSettings,
    identity: Mapping[str, str | None],
    digests: Mapping[str, str | None],
    levels: int | None = None,
) -> dict[str, Any]:
    """Everything that a part's tables depend on, by the name of the setting.

    identity: that of the Source. digests: of the weights of the encoder (None if it is not used) and the head.
    levels: of the encoder, if it is not all of them.
    """
    return {
        "format": FORMAT,
        **identity,
        "dataset.limit": settings.dataset.limit,
        **digests,
        "model.dtype": settings.model.dtype,
        "model.motion": settings.model.motion,
        **({} if levels is None else {"model.levels": levels}),
        **{f"bars.{name}": value for name, value in asdict(settings.bars).items()},
        **{f"limits.{name}": value for name, value in asdict(settings.limits).items()},
        "compute.bars_per_batch": settings.compute.bars_per_batch,
        "output.row_groups_per_part": settings.output.row_groups_per_part,
    }


def with_pinned_revision(settings: AnnotationSettings) -> AnnotationSettings:
    """The settings with a commit of the dataset: the one the folder was begun with, unless they name a revision.

    Raises UserError if the Hub doesn't answer or run.json can't be read.
    """
    dataset = settings.dataset
    record = read_dataset_run(settings.folder) if dataset.path is None and dataset.revision is None else None
    begun_with = record["decides"].get("dataset.revision") if record else None
    return replace(settings, dataset=replace(dataset, revision=begun_with) if begun_with else pinned(dataset))


def begin_or_continue(
    settings: AnnotationSettings, decides: Mapping[str, Any], n_parts: int, sets: Sequence[RatedSetFacts] = ()
) -> None:
    """Write run.json if there is none; otherwise check that its folder was begun with the same.

    sets: what the head learned from, which decides nothing.

    Raises UserError if the folder can't be written to, or names the first thing that differs.
    """
    folder = settings.folder
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / RECORDS / ".run.lock", timeout=SECONDS_TO_BEGIN):
            record = read_dataset_run(folder)
            if record is None:
                if any(path.is_file() for path in folder.glob("*/part-*")):
                    raise UserError(
                        f"output.dir: {folder} has tables but no {RUN_RECORD} that describes them; take another folder"
                    )
                facts = {"parts": n_parts, "totals": None, TRAINED_ON: list(sets)}
                record = provenance(settings, DATASET, decides=dict(decides), **facts)
                write_json(folder / RUN_RECORD, record)
    except OSError as error:
        raise cannot_write(folder, error) from error
    begun_with = record["decides"]
    for key in [*decides, *begun_with]:
        if begun_with.get(key) != decides.get(key):
            if key == "files in dataset.path" and key in begun_with:
                raise UserError(
                    f"output.dir: the files in {settings.dataset.path} are others than when {folder} was begun: "
                    "take another output.dir"
                )
            raise UserError(
                f"output.dir: {folder} was begun with {key} = {_short(begun_with.get(key))}, "
                f"now it is {_short(decides.get(key))}: set it as it was, or take another output.dir"
            )


def write_totals(settings: AnnotationSettings, totals: Totals) -> None:
    """Write the totals of all parts into run.json. Raises UserError if that fails."""
    record = read_dataset_run(settings.folder)
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
    """The locks of the parts that this run works on."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._held: dict[int, FileLock] = {}
        self._locks = True

    def take(self, part: int) -> bool:
        """Lock a part; False if it is finished or another run holds it. Raises UserError if the folder fails."""
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
                note(f"{self._folder} is on a file system without locks: give each run in it its own compute.share")
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


def parts_to_do(parts: Iterable[int], claims: PartClaims) -> Generator[int, None, None]:
    """Yield the unfinished parts, each locked; last those that other runs held and did not finish.

    Ends when all parts are finished.
    """
    left = list(parts)
    announced = False
    while left:
        held_by_others = []
        for part in left:
            if claims.take(part):
                yield part
            elif not claims.is_done(part):
                held_by_others.append(part)
        left = held_by_others
        if left:
            if not announced:
                say(f"waiting for {counted(len(left), 'part')} that other runs are working on")
                announced = True
            time.sleep(LOOK_AGAIN)
