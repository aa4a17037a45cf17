"""The analysis of a folder of annotations, which the statistics and the report share; its results as CSV and text."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from pipeline.annotations import LEFT_OUT, RUN_RECORD, SONGS, names
from pipeline.cells import guarded
from pipeline.files import file_digest, provenance, write_table
from pipeline.progress import progress_steps
from pipeline.records import STATISTICS
from pipeline.settings import one_line

from .analysis_settings import AnalysisSettings
from .annotation_database import annotation_database, song_columns
from .annotation_tables import Part, parts_of
from .group_comparisons import comparisons
from .group_statistics import Distributions, group_statistics, trajectories
from .song_groups import ALL, COLLECTIVE, gather_groups
from .songs_to_look_at import songs_to_look_at
from .style_plot import DrawnStyle, choose_column, styles_to_draw


@dataclass(frozen=True)
class Analysis:
    """The results of an analysis.

    table, distributions: returned by group_statistics. comparisons, trajectories, songs: returned by comparisons,
    trajectories and songs_to_look_at. meters: columns meter, barred_as, n_bars, n_songs, most bars first. left_out:
    columns why, n_songs, n_notes; the notes that are in no bar, by reason. column, styles: the style column that the
    plots show, and the styles of it that they show.
    """

    parts: list[Part]
    unfinished_parts: int
    table: pd.DataFrame
    distributions: Distributions
    comparisons: pd.DataFrame
    trajectories: pd.DataFrame
    songs: pd.DataFrame
    meters: pd.DataFrame
    left_out: pd.DataFrame
    column: str
    styles: list[DrawnStyle]

    @property
    def all_songs(self) -> pd.Series:
        """The table's row for all songs together."""
        return self.table.iloc[0]


def analyse(settings: AnalysisSettings) -> Analysis:
    """Analyse the finished parts of settings.input.dir. Raises UserError if they can't be read or have no bars."""
    parts, unfinished = parts_of(Path(settings.input.dir))
    with (
        annotation_database(parts, settings.folder, settings.compute.memory_mb) as db,
        progress_steps(6) as step,
    ):
        step("groups of songs")
        gather_groups(db, settings.styles.min_songs, settings.features)
        step("statistics of the groups")
        table, distributions = group_statistics(db)
        column = choose_column(table, settings.styles.column)
        styles = styles_to_draw(table, column, settings.styles.max_drawn)
        typical = [style for style in styles if style.row["name"] not in COLLECTIVE]
        step("comparisons of groups")
        compared = comparisons(db)
        step("trajectories")
        moved = trajectories(db, settings.trajectory.points, settings.trajectory.min_bars)
        step("songs to look at")
        songs = songs_to_look_at(db, typical, column, settings.report.songs_per_list, settings.report.min_bars)
        step("meters and left-out notes")
        return Analysis(
            parts,
            unfinished,
            table,
            distributions,
            compared,
            moved,
            songs,
            db.sql(
                "SELECT coalesce(meter, '') AS meter, coalesce(barred_as, '') AS barred_as, "
                "sum(n_bars)::BIGINT AS n_bars, count(*) AS n_songs "
                "FROM meters GROUP BY 1, 2 ORDER BY n_bars DESC, 1, 2"
            ).df(),
            _left_out(db),
            column,
            styles,
        )


def provenance_of(settings: AnalysisSettings, analysis: Analysis, written_by: str = STATISTICS) -> dict[str, object]:
    """What an analysis was made from: settings, versions, counts, and the digest of the annotations' run record."""
    run_record = Path(settings.input.dir) / RUN_RECORD
    return provenance(
        settings,
        written_by,
        annotations_run_sha256=file_digest(run_record) if run_record.exists() else None,
        parts=len(analysis.parts),
        unfinished_parts=analysis.unfinished_parts,
        songs=int(analysis.all_songs["n_songs"]),
        bars=int(analysis.all_songs["n_bars"]),
    )


def _left_out(db: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The number of notes that are in no bar, and of songs that have such notes, by reason."""
    known = {name for name in names(SONGS) if name.startswith(LEFT_OUT)}  # not any name: it becomes part of the SQL
    columns = [column for column in song_columns(db) if column in known]
    rows = [
        db.sql(
            f"SELECT '{column.removeprefix(LEFT_OUT)}' AS why, count(*) FILTER (n > 0) AS n_songs, "
            f'coalesce(sum(n), 0)::BIGINT AS n_notes FROM (SELECT "{column}" AS n FROM songs)'
        ).df()
        for column in columns
    ]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["why", "n_songs", "n_notes"])


def write_results(analysis: Analysis, folder: Path) -> list[Path]:
    """Write the tables of an analysis as CSV and return their paths."""
    styles, features = (
        analysis.table[analysis.table["kind"].isin(("all", kind))].drop(columns="kind") for kind in ("style", "feature")
    )
    groups = analysis.table[["grouping", "name"]]
    trajectories = analysis.trajectories.join(groups, on="g").drop(columns="g")
    tables = {
        "statistics_by_style": styles.rename(columns={"grouping": "style_column", "name": "style"}),
        "statistics_by_feature": features.rename(columns={"grouping": "feature", "name": "class"}),
        "comparisons": _with_small_numbers(analysis.comparisons.drop(columns="kind"), ("p", "p_holm")),
        "trajectories": trajectories[["grouping", "name", *(c for c in trajectories if c not in ("grouping", "name"))]],
        "songs_to_look_at": analysis.songs.drop(columns="part"),
    }
    paths = []
    for name, table in tables.items():
        paths.append(folder / f"{name}.csv")
        texts = table.select_dtypes(exclude="number").columns
        write_table(paths[-1], table.assign(**{name: table[name].map(_guarded) for name in texts}), decimals=6)
    return paths


def _guarded(value: object) -> object:
    return guarded(value) if isinstance(value, str) else value


def _with_small_numbers(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with these columns as text of three significant digits, since six decimals would round them to zero."""
    return table.assign(**{column: table[column].map("{:.3g}".format) for column in columns})


def summary_text(table: pd.DataFrame, groups_a_grouping: int = 10) -> str:
    """The table as text for a terminal: the first groups of each grouping, with means, intervals and quadrants."""
    lines = [f"{'':34}{'songs':>9}{'bars':>12}  {'valence':<24}{'arousal':<24}{'Q1':>7}{'Q2':>7}{'Q3':>7}{'Q4':>7}"]
    for grouping, rows in table.groupby("grouping", sort=False):
        if len(rows) == 1 and grouping != ALL:
            continue  # all songs are in this one group, so the first line says it already
        lines.append(str(grouping))
        for row in rows.head(groups_a_grouping).to_dict("records"):
            means = "".join(f"{_with_interval(row, name):<24}" for name in ("valence_mean", "arousal_mean"))
            shares = "".join(f"{row[f'share_q{quadrant}']:>7.1%}" for quadrant in (1, 2, 3, 4))
            lines.append(f"  {one_line(row['name'], 30):32}{row['n_songs']:>9,}{row['n_bars']:>12,}  {means}{shares}")
        if len(rows) > groups_a_grouping:
            lines.append(f"  … and {len(rows) - groups_a_grouping:,} more in the file")
    return "\n".join(lines)


def _with_interval(row: Mapping[Hashable, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    interval = "" if low != low else f" ({low:+z.3f} {high:+z.3f})"  # nan is not equal to itself
    return f"{row[name]:+z.3f}{interval}"
