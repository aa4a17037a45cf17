"""A release that the code has never heard of is read by naming it: `dataset.config`, and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub
from script_runs import settings_words
from small_dataset import read, rows_of, settings_for, song, tables, write_parquet

from pipeline.json_files import read_json
from pipeline.settings import PROJECT_ROOT, UserError
from process_gigamidi.annotation import annotate
from song_sources.gigamidi_source import open_source

RELEASE = "v3.0.0-preview"
README = f"""---
license: cc-by-nc-4.0
configs:
- config_name: v2.0.0
  default: true
  data_files:
  - split: train
    path: v2.0.0/train/*.parquet
- config_name: {RELEASE}
  data_files:
  - split: validation
    path: {RELEASE}/validation/*.parquet
  - split: train
    path: {RELEASE}/train/*.parquet
---
"""
NEW = [song(2 + i, 50 + i) for i in range(7)]
CHOSEN = f"dataset.config={RELEASE}"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real layout, with one more release, whose columns are not quite those of the others."""
    folder = tmp_path_factory.mktemp("hub")
    write_parquet(folder / "v2.0.0" / "train" / "train-00000.parquet", rows_of([song(1)]))
    rows = [
        {"md5": row["md5"], "a_new_column": {"nested": [i]}, "music": row["music"], "title": row["title"]}
        for i, row in enumerate(rows_of([*NEW, song(9)]))
    ]
    write_parquet(folder / RELEASE / "train" / "train-00000.parquet", rows[:5])
    write_parquet(folder / RELEASE / "train" / "train-00001.parquet", rows[5:7])
    write_parquet(folder / RELEASE / "validation" / "validation-00000.parquet", rows[7:])
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def annotated(releases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The annotations of the local copy."""
    output = tmp_path_factory.mktemp("local")
    annotate(settings_for(releases, output, CHOSEN))
    return output


def test_a_local_copy_of_it_is_annotated(annotated: Path) -> None:
    songs = read(annotated, "songs")
    assert songs["n_bars"].tolist() == [2, 3, 4, 5, 6, 7, 8]
    assert songs["title"].tolist() == [f"Song, no. {i}" for i in range(7)]
    assert "a_new_column" not in songs and "music_style_scraped" not in songs
    assert read_json(annotated / "run.json")["decides"]["dataset.config"] == RELEASE


def test_each_split_of_it_is_named_likewise(releases: Path, tmp_path: Path) -> None:
    chosen = settings_for(releases, tmp_path, CHOSEN, "dataset.split=validation").dataset
    assert [row.music for row in open_source(chosen).all_rows()] == [song(9)]


def test_without_the_readme_it_is_found_by_its_folder(releases: Path, tmp_path: Path) -> None:
    for path in releases.rglob("*.parquet"):
        there = tmp_path / "copy" / path.relative_to(releases)
        there.parent.mkdir(parents=True, exist_ok=True)
        there.hardlink_to(path)
    chosen = settings_for(tmp_path / "copy", tmp_path, CHOSEN).dataset
    assert [row.music for row in open_source(chosen).all_rows()] == NEW


def test_a_release_that_is_not_there_is_answered_with_those_that_are(releases: Path, tmp_path: Path) -> None:
    chosen = settings_for(releases, tmp_path, "dataset.config=v4.0.0").dataset
    with pytest.raises(UserError, match=rf"no configuration 'v4\.0\.0'; it has v2\.0\.0, {RELEASE}: set dataset"):
        open_source(chosen)


def run_on(releases: Path, tmp_path: Path, *settings: str) -> subprocess.CompletedProcess[str]:
    """Run 01_annotate.py on the releases as the Hub has them."""
    chosen = ("dataset.revision=main", f"output.dir={tmp_path / 'out'}", *settings)
    command = [sys.executable, str(PROJECT_ROOT / "process_gigamidi" / "01_annotate.py"), *settings_words(*chosen)]
    with FakeHub(releases) as hub:
        own = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
        environment = {**os.environ, **own, "PYTHONPATH": str(PROJECT_ROOT)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_files_with_other_columns_are_one_line_on_the_hub_and_read_from_a_copy(tmp_path: Path) -> None:
    folder = tmp_path / "releases"
    rows = rows_of(NEW)
    write_parquet(folder / "v2.0.0" / "train" / "train-00000.parquet", rows[:1])
    write_parquet(folder / RELEASE / "validation" / "validation-00000.parquet", rows[:1])
    without_title = [{name: row[name] for name in ("md5", "music")} for row in rows]
    write_parquet(folder / RELEASE / "train" / "train-00000.parquet", without_title)
    (folder / "README.md").write_text(README, encoding="utf-8")
    ran = run_on(folder, tmp_path, CHOSEN)
    line = "some files have no column .* and others do, so they can't be streamed together: download"
    assert ran.returncode == 1 and re.search(line, ran.stderr)
    assert len(ran.stderr.splitlines()) == 1  # without a word of trying again
    annotate(settings_for(folder, tmp_path / "copy", CHOSEN))
    assert len(read(tmp_path / "copy", "songs")) == len(NEW)


def test_its_stream_from_the_hub_gives_the_same_tables(releases: Path, annotated: Path, tmp_path: Path) -> None:
    ran = run_on(releases, tmp_path, CHOSEN, "output.row_groups_per_part=2")
    assert ran.returncode == 0, ran.stderr
    assert tables(tmp_path / "out") == tables(annotated)
    decides = read_json(tmp_path / "out" / "run.json")["decides"]
    assert (decides["dataset.config"], decides["dataset.revision"]) == (RELEASE, COMMIT)
