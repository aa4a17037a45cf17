"""A small data set in the Hub's layout, and plain models in the place of the trained ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from exported import annotate_split, write_release
from small_dataset import README, PlainEncoder, PlainHead, mixed_songs, rows_of, song, write_parquet


@pytest.fixture
def hub_copy(tmp_path: Path) -> Path:
    """A local copy of a dataset with an old release as the default and v2.0.0 in two files."""
    folder = tmp_path / "copy"
    rows = rows_of(mixed_songs())
    write_parquet(folder / "v2.0.0" / "train" / "train-00000.parquet", rows[:10])
    write_parquet(folder / "v2.0.0" / "train" / "train-00001.parquet", rows[10:])
    write_parquet(folder / "v1.0.0" / "train.parquet", rows_of([song(1, 30)]))
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Plain models in the place of the trained ones."""
    plain = SimpleNamespace(encoder=PlainEncoder(), head=PlainHead())
    monkeypatch.setattr("musetok_bridge.load_encoder", lambda *_: plain.encoder)
    monkeypatch.setattr("process_gigamidi.prediction.load_head", lambda *_: plain.head)
    return plain


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
