"""All that the scripts of this phase say of a folder of annotations, computed in one go over its bars."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from pipeline.files import file_digest, provenance

from .analysis_settings import AnalysisSettings
from .annotation_database import annotation_database, song_columns
from .annotation_tables import Part, finished_parts
from .drawn_styles import DrawnStyle, choose_column, styles_to_draw
from .group_comparisons import comparisons
from .group_statistics import Distributions, group_statistics
from .song_courses import courses
from .song_groups import APART, gather_groups
from .songs_to_look_at import songs_to_look_at


@dataclass(frozen=True)
class Analysis:
    """What was found.

    table, distributions: as group_statistics gives them. comparisons, courses, songs: as the modules of these names do.
    meters: meter, n_bars, n_songs, most bars first. left_out: why, n_songs, n_notes, of notes that no bar has.
    column: the style column that pictures show; styles: those that they show.
    """

    parts: list[Part]
    unfinished_parts: int
    table: pd.DataFrame
    distributions: Distributions
    comparisons: pd.DataFrame
    courses: pd.DataFrame
    songs: pd.DataFrame
    meters: pd.DataFrame
    left_out: pd.DataFrame
    column: str
    styles: list[DrawnStyle]

    @property
    def all_songs(self) -> pd.Series:
        """The row of the table for all songs."""
        return self.table.iloc[0]


def analyse(settings: AnalysisSettings) -> Analysis:
    """Analyse the finished parts of settings.input.dir. Raises UserError if they can't be read or hold no bar."""
    parts, unfinished = finished_parts(Path(settings.input.dir))
    with annotation_database(parts, Path(settings.output.dir), settings.compute.memory_mb, progress=True) as db:
        gather_groups(db, settings.styles.min_songs, settings.features)
        table, distributions = group_statistics(db)
        column = choose_column(table, settings.styles.column)
        styles = styles_to_draw(table, column, settings.styles.max_drawn)
        typical = [style for style in styles if style.row["name"] not in APART]
        return Analysis(
            parts,
            unfinished,
            table,
            distributions,
            comparisons(db),
            courses(db, settings.course.points, settings.course.min_bars),
            songs_to_look_at(db, typical, column, settings.report.songs_per_list, settings.report.min_bars),
            db.sql(
                "SELECT coalesce(meter, '') AS meter, sum(n_bars)::BIGINT AS n_bars, count(*) AS n_songs "
                "FROM meters GROUP BY 1 ORDER BY n_bars DESC, 1"
            ).df(),
            _left_out(db),
            column,
            styles,
        )


def provenance_of(settings: AnalysisSettings, found: Analysis) -> dict[str, object]:
    """The record of an analysis, with the digest of the run that it is of."""
    run_record = Path(settings.input.dir) / "run.json"
    return provenance(
        settings,
        annotations_run_sha256=file_digest(run_record) if run_record.exists() else None,
        parts=len(found.parts),
        unfinished_parts=found.unfinished_parts,
        songs=int(found.all_songs["n_songs"]),
        bars=int(found.all_songs["n_bars"]),
    )


def _left_out(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """Notes that no bar has, counted by why."""
    prefix = "left_out_"
    columns = [column for column in song_columns(db) if column.startswith(prefix)]
    rows = [
        db.sql(
            f"SELECT '{column.removeprefix(prefix)}' AS why, count(*) FILTER (n > 0) AS n_songs, "
            f'coalesce(sum(n), 0)::BIGINT AS n_notes FROM (SELECT TRY_CAST("{column}" AS BIGINT) AS n FROM songs)'
        ).df()
        for column in columns
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["why", "n_songs", "n_notes"])
