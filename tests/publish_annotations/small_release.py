"""A small data set with everything that a release may contain, its annotations, and their export."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from small_dataset import README, mixed_songs, rows_of, settings_for, song, write_parquet

from pipeline.annotations import INSTRUMENT_CATEGORY
from pipeline.files import write_json
from pipeline.records import digest_of, read_record
from pipeline.settings import load_settings
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.part_files import complete_part
from publish_annotations.export_settings import SETTINGS_FILE, ExportSettings

TITLES = (
    "NA",
    "null",
    "None",
    'The "Best", No. 1',
    "",
    None,
    "Ärger, 音楽",
    "=1+1",
    " spaced ",
    "two\nlines",
    "nan",
    "1",
)
STYLES = (["folk", "pop"], [], None, ["folk", "folk"], ["a|b", "<script>alert(1)</script>"], ["`x`\n---\n# y"], [""])


def described_rows(songs: list[bytes | None]) -> list[dict[str, Any]]:
    """The rows of a release like v2.0.0, with texts that a careless program would misread, such as NA."""
    return [
        {
            "md5": row["md5"],
            "music": row["music"],
            "music_styles_curated": STYLES[i % len(STYLES)],
            "music_style_scraped": ["rock", "", None][i % 3],
            "title": TITLES[i % len(TITLES)],
            "artist": TITLES[(i + 5) % len(TITLES)],
            "num_tracks": [1, 2, None][i % 3],
            "tempo": ["[117.0]", "[]", ""][i % 3],
            "NOMML": [[0, 12], [], None, [3]][i % 4],
            INSTRUMENT_CATEGORY: [2.0, None][i % 2],  # a column of floats, as one with gaps often is
        }
        for i, row in enumerate(rows_of(songs))
    ]


def write_release(folder: Path) -> Path:
    """A local copy of a dataset with a train and a test split, in the Hub's layout."""
    splits = {"train": mixed_songs(), "test": [song(n, 50) for n in range(1, 9)]}
    listed = "".join(f"  - split: {split}\n    path: v2.0.0/{split}/*.parquet\n" for split in splits)
    for split, songs in splits.items():
        write_parquet(folder / "v2.0.0" / split / "data.parquet", described_rows(songs), row_group_size=3)
    write_parquet(folder / "v1.0.0" / "train.parquet", rows_of([song(1, 30)]))
    before, after = README.split("- config_name: v2.0.0\n")
    data_files, _, end = after.rpartition("---")
    assert data_files.startswith("  data_files:")
    text = f"{before}- config_name: v2.0.0\n  data_files:\n{listed}---{end}"
    (folder / "README.md").write_text(text, encoding="utf-8")
    return folder


def annotate_split(release: Path, output: Path, split: str, *overrides: str) -> AnnotationSettings:
    settings = settings_for(release, output, f"dataset.split={split}", *overrides)
    annotate(settings)
    return settings


def export_settings(folders: list[Path], to: Path, *overrides: str, **sizes: int) -> ExportSettings:
    """The default settings with other paths. sizes: bars_per_…, which may be below the allowed range."""
    settings = load_settings(ExportSettings, SETTINGS_FILE, None, overrides)
    paths = {"folders": tuple(map(str, folders)), "dir": str(to)}
    return replace(settings, export=replace(settings.export, **paths, **sizes))


def say_made_from(folder: Path, identity: dict[str, str]) -> None:
    """Change the record of a finished folder so that its songs come from another source."""
    record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    del record["decides"]["files in dataset.path"]
    record["decides"] |= identity
    write_json(folder / "run.json", record)
    for part in range(record["parts"]):
        complete_part(folder, part, digest_of(record["decides"]), read_record(folder, part).totals)


def csv_rows(folder: Path, kind: str) -> list[dict[str, str]]:
    """All rows of an output folder's tables of a kind, as Python's csv module reads them."""
    rows: list[dict[str, str]] = []
    for path in sorted((folder / kind).glob("part-*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file)
    return rows


def published(folder: Path, kind: str, split: str) -> pa.Table:
    """All rows of a split in an export, from all its files."""
    return pa.concat_tables([pq.read_table(path) for path in files_of(folder, kind, split)])


def files_of(folder: Path, kind: str, split: str) -> list[Path]:
    return sorted((folder / kind).glob(f"{split}-*.parquet"))


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their path in it."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
