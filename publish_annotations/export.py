"""Finished annotations -> a data set to publish: Parquet in the Hub's layout, a data card, and what made it.

The folder appears whole or not at all. The same annotations and settings give the same files, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.files import file_digest, versions, write_json
from pipeline.settings import settings_as_dict
from process_gigamidi.hub_push import check_login, push
from process_gigamidi.part_files import Totals
from process_gigamidi.published_split import PublishedSplit, publish_split
from process_gigamidi.run_record import NAME as RUN_JSON
from process_gigamidi.run_record import digest_of
from process_gigamidi.whole_folder import RECORD, whole_folder

from .annotated_splits import annotated_splits
from .data_card import dataset_card
from .export_settings import ExportSettings

CARD = "README.md"
FORMAT = 1  # of the published tables


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
    with whole_folder(folder) as beside:
        published = [publish_split(split, beside, own) for split in splits]
        (beside / CARD).write_text(dataset_card(settings, published), encoding="utf-8")
        data = [path for split in published for written in split.written.values() for path in written.files]
        paths = [*data, beside / CARD]
        files = {path.relative_to(beside).as_posix(): path for path in paths}
        write_json(beside / RECORD, _record(settings, published, files))
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
                RUN_JSON: file_digest(split.split.folder / RUN_JSON),
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
