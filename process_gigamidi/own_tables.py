"""The tables of one's own songs: bars, songs and failures with the columns of 01_annotate.py, in a folder of their own.

The folder holds one part, which each run makes anew, and is read by analyze_emotion_annotations as any other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.files import provenance, write_json
from pipeline.settings import UserError

from .annotation_settings import AnnotationSettings
from .part_files import KINDS, PartTables, new_tables, table_path
from .prediction import Models

_RECORD = "run.json"
_MARK = "own_files"  # that the record of such a folder has, and no other


@contextmanager
def own_tables(folder: Path, n_files: int, settings: AnnotationSettings, models: Models) -> Iterator[PartTables]:
    """Tables to fill, which come to their places when the block ends without an error.

    n_files: of which they tell, for the record of what made them. Raises UserError if the folder has tables that
    something else made, OSError if it can't be written to.
    """
    if any(folder.glob("*/part-*")) and not _is_own(folder):
        raise UserError(f"--csv: {folder} holds tables that 01_annotate.py made; give another folder")
    write_json(folder / _RECORD, provenance(settings, **{_MARK: n_files}, digests=models.digests))
    with new_tables(folder, 0, ("title",)) as tables:
        yield tables


def own_table_paths(folder: Path) -> list[Path]:
    """Where the tables stand."""
    return [table_path(folder, kind, 0) for kind in KINDS]


def _is_own(folder: Path) -> bool:
    with suppress(OSError, ValueError):
        return _MARK in json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    return False
