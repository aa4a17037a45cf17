"""Finished annotations -> a data set to publish: Parquet in the Hub's layout, a data card, and what made it.

The folder appears whole or not at all, and replaces nothing but an earlier export. The same annotations and settings
give the same files, byte for byte. On request it is pushed to the Hugging Face Hub.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock, Timeout
from huggingface_hub import HfApi
from huggingface_hub import errors as hub

from pipeline.annotations import RUN_RECORD
from pipeline.files import file_digest, versions, write_json
from pipeline.records import Totals, digest_of
from pipeline.settings import UserError, first_line, settings_as_dict
from process_gigamidi.conversion import reason_line
from process_gigamidi.source_faults import quiet_libraries

from .annotated_splits import annotated_splits
from .data_card import data_card
from .export_settings import ExportSettings
from .parquet_files import PublishedSplit, publish_split

CARD = "README.md"
FORMAT = 2  # of the published tables; 1 called the error of a prediction valence_sd
RECORD = "export.json"  # says of a folder that it is an export, and which files are its own
COMMIT_MESSAGE = "Valence and arousal of every bar"
AGAIN = "the same command goes on from what is there"


@dataclass(frozen=True)
class Exported:
    """What was written. files: bytes by path in the folder. page: where it was pushed to, None if it was not."""

    folder: Path
    splits: tuple[str, ...]
    totals: Totals
    files: dict[str, int]
    page: str | None


def export(settings: ExportSettings) -> Exported:
    """Write the data set into export.dir, and push it if export.repo says where to.

    Raises UserError if the annotations aren't finished or don't belong together, if something else is in export.dir, or
    if the Hub doesn't take it; then the folder is whole nevertheless.
    """
    own = settings.export
    splits = annotated_splits(own.folders)
    if own.repo:
        check_login(own.repo)
    folder = Path(own.dir)
    totals = Totals()
    with whole_folder(folder) as temporary:
        published = [publish_split(split, temporary, own) for split in splits]
        (temporary / CARD).write_text(data_card(settings, published), encoding="utf-8")
        data = [path for split in published for written in split.written.values() for path in written.files]
        paths = [*data, temporary / CARD]
        files = {path.relative_to(temporary).as_posix(): path for path in paths}
        write_json(temporary / RECORD, _record(settings, published, files))
    for split in splits:
        totals.add(split.totals)
    sizes = {name: (folder / name).stat().st_size for name in (*files, RECORD)}
    page = push(folder, own.repo, own.private) if own.repo else None
    return Exported(folder, tuple(split.name for split in splits), totals, sizes, page)


def _record(settings: ExportSettings, published: Sequence[PublishedSplit], files: dict[str, Path]) -> dict[str, Any]:
    """export.json: what made the data set, without paths of this machine, and the digests of its files."""
    export = settings_as_dict(settings.export)
    for path_or_purpose in ("folders", "dir", "repo", "private"):
        del export[path_or_purpose]
    return {
        "format": FORMAT,
        "settings": {"export": export, "card": settings_as_dict(settings.card)},
        "versions": versions() | {"pyarrow": pa.__version__},
        "splits": {
            split.split.name: {
                "run": digest_of(split.split.decides),
                RUN_RECORD: file_digest(split.split.folder / RUN_RECORD),
                "decides": dict(split.split.decides),
                "versions": dict(split.split.versions),
                "totals": asdict(split.split.totals),
            }
            for split in published
        },
        "files": {
            name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for name, path in sorted(files.items())
        },
    }


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """Give a folder beside `folder` to fill, which takes its place when the block ends without an error.

    Raises UserError at once if something else than an earlier export is there, or another export is at work, and later
    if it can't be written to.
    """
    folder = folder.resolve()  # a link stays one
    _check_replaceable(folder)
    temporary = folder.with_name(f".{folder.name}.partial")
    lock = FileLock(temporary / ".lock")
    try:
        temporary.mkdir(parents=True, exist_ok=True)
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"export.dir: another export into {folder} is at work; wait for it or end it") from None
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        for leftover in temporary.iterdir():  # of an export that was killed
            if leftover.is_dir():
                shutil.rmtree(leftover)
            elif leftover.name != ".lock":
                leftover.unlink()
        yield temporary
        _check_replaceable(folder)
        before = folder.with_name(f".{folder.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if folder.exists():
            folder.rename(before)
        (temporary / ".lock").unlink(missing_ok=True)
        temporary.rename(folder)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error
    finally:
        lock.release()
        shutil.rmtree(temporary, ignore_errors=True)


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


def check_login(repo: str) -> None:
    """Raise UserError if the Hub can't be asked, or doesn't know who is logged in: before an export, not after it."""
    try:
        with quiet_libraries():
            HfApi().whoami()
    except Exception as error:
        raise _as_user_error(error, repo) from error


def push(folder: Path, repo: str, private: bool) -> str:
    """Make the dataset repo on the Hub hold what the folder holds; returns the address of its page.

    private: of a dataset that isn't there yet. What other pushes left in bars/ and songs/ is removed. Raises UserError
    if it can't be done.
    """
    api = HfApi()
    try:
        with quiet_libraries():
            page = api.create_repo(repo, repo_type="dataset", private=private, exist_ok=True)
            api.upload_folder(
                repo_id=repo,
                repo_type="dataset",
                folder_path=folder,
                commit_message=COMMIT_MESSAGE,
                delete_patterns=["bars/*", "songs/*"],
            )
    except Exception as error:  # the transfer's own library raises what it likes
        raise _as_user_error(error, repo) from error
    return str(page)


def _as_user_error(error: Exception, repo: str) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub.LocalTokenNotFoundError):
        line = "you are not logged in: run `hf auth login`, or set HF_TOKEN, with a token that may write"
    elif status == 401:
        line = "the Hub refuses the token: run `hf auth login` again, or mend HF_TOKEN"
    elif status == 403:
        line = "this account or its token may not write there: take a name of your own, and a token that may write"
    elif status == 404:
        line = "no such dataset on the Hub, or none that you may see"
    elif status is not None:
        line = reason_line(f"the Hub answers with error {status} ({getattr(error, 'server_message', None) or error})")
    elif isinstance(error, (ConnectionError, TimeoutError, hub.HTTPError)):
        line = f"the Hugging Face Hub can't be reached or doesn't answer: check the connection; {AGAIN}"
    else:
        line = reason_line(f"can't be pushed ({type(error).__name__}: {error})") + f"; {AGAIN}"
    return UserError(f"export.repo: {repo}: {line}")
