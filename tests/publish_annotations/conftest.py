"""A small release and its annotations, made once for all tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_dataset import plain_models
from small_release import annotate_split, write_release

SPLITS = ("train", "test")


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local copy of a release with two splits and all descriptive columns; for tests that only read it."""
    return write_release(tmp_path_factory.mktemp("release") / "copy")


@pytest.fixture(scope="session")
def annotated_once(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished annotations of each of the release's splits; for tests that only read it."""
    folder = tmp_path_factory.mktemp("annotated")
    with plain_models():
        for split in SPLITS:
            annotate_split(release, folder / f"annotations-{split}", split)
    return folder


@pytest.fixture
def annotations(annotated_once: Path, tmp_path: Path, models: SimpleNamespace) -> list[Path]:
    """Finished folders of the release's splits, train and test, as copies that a test may change."""
    return [
        shutil.copytree(annotated_once / f"annotations-{split}", tmp_path / f"annotations-{split}") for split in SPLITS
    ]
