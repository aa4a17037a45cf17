"""A folder that appears whole or not at all, and replaces nothing but an earlier one of its kind."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.settings import UserError, first_line

RECORD = "export.json"  # says of a folder that it is an export, and which files are its own


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` to fill, which takes its place when the block ends without an error.

    Raises UserError at once if something else than an earlier export is there, or another export is at work, and later
    if it can't be written to.
    """
    folder = folder.resolve()  # a link stays one
    _check_replaceable(folder)
    beside = folder.with_name(f".{folder.name}.partial")
    lock = FileLock(beside / ".lock")
    try:
        beside.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"export.dir: another export into {folder} is at work; wait for it or end it") from None
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        for leftover in beside.iterdir():  # of an export that was killed
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.name != ".lock":
                leftover.unlink()
        yield beside
        _check_replaceable(folder)
        before = folder.with_name(f".{folder.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if folder.exists():
            folder.rename(before)
        (beside / ".lock").unlink(missing_ok=True)
        beside.rename(folder)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        lock.release()
        shutil.rmtree(beside, ignore_errors=True)


def _cannot_write(folder: Path, error: OSError) -> UserError:
    why = os.strerror(error.errno) if error.errno else first_line(error)
    return UserError(f"export.dir: {folder} can't be written to ({why}); an earlier export there stays as it is")


def _check_replaceable(folder: Path) -> None:
    """Raise UserError if a folder holds anything but an export, which it says the files of."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"export.dir: {folder} is a file; take another folder")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    try:
        own = {RECORD, *json.loads((folder / RECORD).read_text(encoding="utf-8"))["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        own = set()
    if strange := sorted(found - own):
        raise UserError(
            f"export.dir: {folder} holds what no export wrote ({strange[0]}) and is left as it is; "
            "take another folder, or remove that from it"
        )
