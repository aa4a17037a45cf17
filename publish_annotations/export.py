"""Finished annotations -> a data set to publish: Parquet in the Hub's layout, a data card, and a record of its making.

The folder is written atomically, and only an earlier export is ever replaced. The same annotations and settings make
the same files, byte for byte. On request the folder is pushed to the Hugging Face Hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub import errors as hub

from pipeline.annotations import RUN_RECORD
from pipeline.files import file_digest, versions, write_json
from pipeline.records import EXPORT, Totals, digest_of
from pipeline.settings import UserError, reason_line, settings_as_dict
from process_gigamidi.trained_on import TRAINED_ON
from song_sources.source_faults import quiet_libraries

from .annotated_splits import annotated_splits
from .data_card import data_card
from .export_folder import CARD, RECORD, atomic_folder
from .export_settings import ExportSettings
from .parquet_files import PublishedSplit, publish_split, ranks_over

# version of the published tables; 4 had no barred_as and no ranks, 3 had texts of any length and did not count endless
# notes and clamped bytes, 2 had no columns of drum notes and instruments, 1 called the error of a prediction valence_sd
EXPORT_FORMAT = 5
COMMIT_MESSAGE = "Valence and arousal of every bar"
AGAIN = "the same command continues from what is there"


@dataclass(frozen=True)
class Exported:
    """What was written. files: size in bytes by path in the folder. page: address on the Hub; None if not pushed."""

    folder: Path
    splits: tuple[str, ...]
    totals: Totals
    files: dict[str, int]
    page: str | None


def export(settings: ExportSettings) -> Exported:
    """Write the data set into export.dir, and push it if export.repo names a dataset on the Hub.

    Raises UserError if the annotations aren't finished or don't belong together, if export.dir holds anything except an
    earlier export, or if the Hub refuses the data set, which is complete in export.dir all the same.
    """
    chosen = settings.export
    folder = chosen.folder
    totals = Totals()
    with atomic_folder(folder) as temporary:
        splits = annotated_splits(chosen.folders)
        if chosen.repo:
            check_login(chosen.repo)
        ranks = ranks_over(splits)
        published = [publish_split(split, temporary, chosen, ranks) for split in splits]
        (temporary / CARD).write_text(data_card(settings, published), encoding="utf-8")
        data = [path for split in published for written in split.written.values() for path in written.files]
        paths = [*data, temporary / CARD]
        files = {path.relative_to(temporary).as_posix(): path for path in paths}
        write_json(temporary / RECORD, _record(settings, published, files))
    for split in splits:
        totals.add(split.totals)
    sizes = {name: (folder / name).stat().st_size for name in (*files, RECORD)}
    page = push(folder, chosen.repo, chosen.private) if chosen.repo else None
    return Exported(folder, tuple(split.name for split in splits), totals, sizes, page)


def _record(settings: ExportSettings, published: Sequence[PublishedSplit], files: dict[str, Path]) -> dict[str, Any]:
    """The content of export.json: what made the data set, without local paths, and the digests of its files."""
    export = settings_as_dict(settings.export)
    for path_or_purpose in ("folders", "dir", "repo", "private"):
        del export[path_or_purpose]
    return {
        "written_by": EXPORT,
        "format": EXPORT_FORMAT,
        "settings": {"export": export, "card": settings_as_dict(settings.card)},
        "versions": versions(),
        "splits": {
            split.split.name: {
                "run": digest_of(split.split.decides),
                RUN_RECORD: file_digest(split.split.folder / RUN_RECORD),
                "decides": dict(split.split.decides),
                "versions": dict(split.split.versions),
                "totals": asdict(split.split.totals),
                **({TRAINED_ON: list(split.split.trained_on)} if split.split.trained_on else {}),
            }
            for split in published
        },
        "files": {
            name: {"bytes": path.stat().st_size, "sha256": file_digest(path)} for name, path in sorted(files.items())
        },
    }


def check_login(repo: str) -> None:
    """Raise UserError if the Hub can't be reached or nobody is logged in; called before an export rather than after."""
    try:
        with quiet_libraries():
            HfApi().whoami()
    except Exception as error:
        raise _as_user_error(error, repo) from error


def push(folder: Path, repo: str, private: bool) -> str:
    """Upload the folder to the dataset `repo` on the Hub and return the address of its page.

    private: whether a dataset that doesn't exist yet becomes private. Files of earlier pushes in bars/ and songs/ are
    removed. Raises UserError if the Hub can't be reached or refuses the upload.
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
    except Exception as error:  # the libraries of the upload have no common class of errors
        raise _as_user_error(error, repo) from error
    return str(page)


def _as_user_error(error: Exception, repo: str) -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, hub.LocalTokenNotFoundError):
        line = "you are not logged in: run `hf auth login`, or set HF_TOKEN, with a token that may write"
    elif status == 401:
        line = "the Hub refuses the token: run `hf auth login` again, or correct HF_TOKEN"
    elif status == 403:
        line = "this account or its token may not write there: use a name of your own and a token that may write"
    elif status == 404:
        line = "no such dataset on the Hub, or you may not see it"
    elif status is not None:
        line = reason_line(f"the Hub answers with error {status} ({getattr(error, 'server_message', None) or error})")
    elif isinstance(error, (ConnectionError, TimeoutError, hub.HTTPError)):
        line = f"the Hugging Face Hub can't be reached or doesn't answer: check the connection; {AGAIN}"
    else:
        line = reason_line(f"can't be pushed ({type(error).__name__}: {error})") + f"; {AGAIN}"
    return UserError(f"export.repo: {repo}: {line}")
