"""Analyses of folders of annotations with the default settings, except that a style may have a single song."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd

from analyze_emotion_annotations.analysis import Analysis, analyse
from analyze_emotion_annotations.analysis_settings import SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.annotation_database import annotation_database
from analyze_emotion_annotations.annotation_tables import parts_of
from analyze_emotion_annotations.group_statistics import group_statistics
from analyze_emotion_annotations.song_groups import gather_groups
from pipeline.settings import load_settings


def settings_for(folder: Path, *overrides: str) -> AnalysisSettings:
    """Settings under which every style is a group of its own, however few songs it has."""
    where = (f"input.dir={folder}", f"output.dir={folder}-analysis")
    return load_settings(AnalysisSettings, SETTINGS_FILE, None, [*where, "styles.min_songs=1", *overrides])


@contextmanager
def grouped(folder: Path, *overrides: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database of a folder, with its groups."""
    settings = settings_for(folder, *overrides)
    with annotation_database(parts_of(folder)[0], folder.parent, 500) as db:
        gather_groups(db, settings.styles.min_songs, settings.features)
        yield db


def table_of(folder: Path, *overrides: str) -> pd.DataFrame:
    """The table of statistics of a folder, with all songs in the first row."""
    with grouped(folder, *overrides) as db:
        return group_statistics(db)[0]


def analysis_of(folder: Path, *overrides: str) -> Analysis:
    """The analysis of a folder."""
    return analyse(settings_for(folder, *overrides))


def row_of(table: pd.DataFrame, grouping: str, name: str) -> pd.Series:
    """The one row of a group."""
    rows = table[(table["grouping"] == grouping) & (table["name"] == name)]
    assert len(rows) == 1, f"{len(rows)} rows of {name}"
    return rows.iloc[0]
