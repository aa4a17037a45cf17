"""A small release with its annotations."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from small_release import annotate_split, write_release


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A local copy of a release with two splits and all descriptive columns."""
    return write_release(tmp_path / "copy")


@pytest.fixture
def annotations(release: Path, tmp_path: Path, models: SimpleNamespace) -> list[Path]:
    """Finished folders of the release's splits, train and test."""
    folders = {split: tmp_path / f"annotations-{split}" for split in ("train", "test")}
    for split, folder in folders.items():
        annotate_split(release, folder, split)
    return list(folders.values())
