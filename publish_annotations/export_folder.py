"""The folder of an export: replaced as a whole, and nothing that an export didn't write is ever removed.

An export is written beside its folder, as .NAME.partial. Then the earlier export becomes .NAME.before, the new one
takes its place, and the earlier one is removed. A run that is killed in between leaves .NAME.before without NAME: the
next run puts it back before anything else. Since anybody may have written an export.json, a file counts as an export's
only if its name is one that exports give and its bytes are those that export.json records.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.files import file_digest, is_temporary
from pipeline.json_files import read_json
from pipeline.records import EXPORT_RECORD as RECORD
from pipeline.settings import UserError, first_line, note, one_line
from song_sources.dataset_settings import SPLIT_NAME

CARD = "README.md"
_LOCK = ".lock"
_FOLDERS = ("bars", "songs")
_WRITTEN = re.compile(rf"(?:{'|'.join(_FOLDERS)})/{SPLIT_NAME}-\d{{5,}}-of-\d{{5,}}\.parquet|{CARD}")
# in an export that was killed, the number of files may not be known yet, nor the record be complete
_UNFINISHED = re.compile(
    rf"(?:{'|'.join(_FOLDERS)})/{SPLIT_NAME}-\d{{5,}}(?:-of-\d{{5,}})?\.parquet"
    rf"|{CARD}|{RECORD}|{_LOCK}"
)


@contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to `folder`, which replaces it when the block ends without an error.

    First puts back an earlier export that a killed run left aside. Raises UserError at once if `folder` holds anything
    except an earlier export or another export is running, and later if the folder can't be written to.
    """
    folder = folder.resolve()  # so that a symbolic link is kept
    temporary, before = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "before"))
    lock = FileLock(temporary / _LOCK)
    try:
        if temporary.is_symlink() or (temporary / _LOCK).is_symlink():
            raise UserError(f"export.dir: {temporary}, where an export is prepared, has a link; remove it")
        temporary.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"export.dir: another export into {folder} is running; wait for it or stop it") from None
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        _put_back(folder, before)
        exported_files(folder)
        for path in _unfinished_files(temporary):  # from an export that was killed
            if path.name != _LOCK:
                path.unlink()
        yield temporary
        earlier = exported_files(folder)
        if folder.exists():
            folder.rename(before)
        try:
            (temporary / _LOCK).unlink(missing_ok=True)
            temporary.rename(folder)
        except BaseException:
            _put_back(folder, before)
            raise
        try:
            _remove(before, [before / path.relative_to(folder) for path in earlier])
        except OSError as error:  # the new export is in its place
            note(
                f"{before}, the earlier export, can't be removed ({error.strerror or error}); the next export tries it"
            )
    except BaseException as error:
        with suppress(OSError, UserError):  # if the folder holds something else, that stays
            _remove(temporary, _unfinished_files(temporary))
        if isinstance(error, OSError):
            raise _cannot_write(folder, error) from error
        raise
    finally:
        lock.release()


def exported_files(folder: Path) -> list[Path]:
    """The files of an export; [] if there is no such folder.

    Raises UserError if the folder holds anything that no export wrote: a file that export.json doesn't record with
    these bytes, a link, or another folder. A file that is recorded and missing is no hindrance.
    """
    record: dict[str, object] = {}
    if folder.is_dir() and (folder / RECORD).exists():
        try:
            found = read_json(folder / RECORD)["files"]
            record = {str(name): (about["bytes"], about["sha256"]) for name, about in found.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            why = first_line(error) if type(error) is ValueError else "it doesn't list the files of one"
            raise UserError(
                f"export.dir: {folder / RECORD} is not the record of an export ({why}), so nothing is changed; "
                "choose another folder, or remove that file"
            ) from None

    def is_written(name: str, path: Path) -> bool:
        if name == RECORD:
            return bool(record)
        return (
            _WRITTEN.fullmatch(name) is not None
            and name in record
            and (path.stat().st_size, file_digest(path)) == record[name]
        )

    return _files(folder, is_written)


def _unfinished_files(folder: Path) -> list[Path]:
    """The files of an export that was killed. Raises UserError if the folder holds anything else."""

    def is_own(name: str, path: Path) -> bool:
        return _UNFINISHED.fullmatch(name) is not None or (name.startswith(f".{RECORD}.") and is_temporary(path))

    return _files(folder, is_own)


def _files(folder: Path, is_own: Callable[[str, Path], bool]) -> list[Path]:
    """All files of a folder; [] if there is no such folder. No link is followed.

    Raises UserError if one isn't the export's own, or there is a folder besides those of the tables.
    """
    if not folder.is_symlink() and not folder.exists():
        return []
    if folder.is_symlink() or not folder.is_dir():
        raise UserError(f"export.dir: {folder} is a file or a link; choose another folder")
    files, strange = [], []
    for at in (folder, *(folder / table for table in _FOLDERS if not (folder / table).is_symlink())):
        for path in sorted(at.iterdir()) if at.is_dir() else ():
            name = path.relative_to(folder).as_posix()
            if at == folder and name in _FOLDERS and path.is_dir() and not path.is_symlink():
                continue
            if path.is_symlink() or not path.is_file() or not is_own(name, path):
                strange.append(one_line(name, 100))
            files.append(path)
    if strange:
        raise UserError(
            f"export.dir: {folder} holds a file that no export wrote as it is ({strange[0]}), so nothing in it is "
            "changed; choose another folder, or remove that file"
        )
    return files


def _put_back(folder: Path, before: Path) -> None:
    """Put an export that was moved aside back to its place; if that is taken, by the next export, remove it."""
    earlier = exported_files(before)
    if not before.exists():
        return
    if folder.exists():
        _remove(before, earlier)
    else:
        before.rename(folder)


def _remove(folder: Path, files: list[Path]) -> None:
    """Remove these files of a folder, and the folders that are empty then; whatever else stays."""
    record = folder / RECORD  # last, since without it the others would be a stranger's
    for path in files:
        if path != record:
            path.unlink(missing_ok=True)
    for emptied in (folder / table for table in _FOLDERS):
        if emptied.is_dir() and not any(emptied.iterdir()):
            emptied.rmdir()
    if record in files:
        record.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _cannot_write(folder: Path, error: OSError) -> UserError:
    why = os.strerror(error.errno) if error.errno else first_line(error)
    return UserError(f"export.dir: {folder} can't be written to ({why}); an earlier export there stays as it is")
