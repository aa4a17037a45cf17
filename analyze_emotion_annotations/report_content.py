"""What the report of an analysis holds: sections of facts, tables, plots, and the curves of single songs."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

from pipeline.annotations import DIMENSIONS
from pipeline.records import read_run

from .analysis import Analysis
from .annotation_tables import failure_counts, find_songs
from .plot_canvas import boxes_for_missing_letters
from .plots import plots_of
from .report_page import Report, ReportPlot, Section, Table
from .report_tables import (
    comparison_table,
    count_table,
    group_table,
    song_table,
    text_table,
)
from .song_curves import Song
from .song_groups import NO_STYLE
from .songs_to_look_at import TYPICAL

MOST_COMPARISONS = 1_000  # rows of a table; comparisons.csv has all
_OF_STYLES = ("styles", "planes", "ridgelines", "quadrants", "trajectories")


def report_of(found: Analysis, folder: Path, dpi: int, record: dict[str, object]) -> Report:
    """The report of an analysis. folder: of the annotations. record: the analysis's provenance."""
    run = read_run(folder) or {}
    plots = {plot.name: _plot(plot.figure, plot.name, plot.caption, dpi) for plot in plots_of(found, dpi)}
    songs, bars = (int(found.all_songs[name]) for name in ("n_songs", "n_bars"))
    return Report(
        title="Valence and arousal, bar by bar",
        subtitle=f"{songs:,} songs, {bars:,} bars; report of {time.strftime('%Y-%m-%d')}",
        sections=(
            _overview(found, folder),
            _styles(found, plots),
            _features(found),
            _differences(found),
            _songs(found),
            _quality(found, folder),
            _making(run),
        ),
        curves=tuple(_songs_of(found)),
        made_with=json.dumps({"annotations": run, "report": record}, indent=2, ensure_ascii=False),
    )


def _overview(found: Analysis, folder: Path) -> Section:
    row = found.all_songs
    facts = [
        ("songs", f"{int(row['n_songs']):,}"),
        ("bars", f"{int(row['n_bars']):,}"),
        ("mean valence", f"{row['valence_mean']:+.2f}"),
        ("mean arousal", f"{row['arousal_mean']:+.2f}"),
        ("songs that could not be annotated", f"{sum(failure_counts(folder).values()):,}"),
    ]
    if found.unfinished_parts:
        facts.append(("parts not finished, left out", f"{found.unfinished_parts:,}"))
    return Section(
        "overview",
        "Overview",
        paragraphs=(
            "Every bar has a valence, from unpleasant (−1) to pleasant (1), and an arousal, from calm (−1) to excited "
            "(1). The plane of the two has four quadrants: Q1 pleasant and excited, Q2 unpleasant and excited, Q3 "
            "unpleasant and calm, Q4 pleasant and calm.",
            "Figures are over bars, so a long song weighs more than a short one. Intervals are of 95\u202f%, by songs, "
            "since the bars of a song are not independent. The numbers are predictions of what listeners would feel, "
            "not measurements of them: how well they agree is in the project's MODEL_CARD.md.",
            *_most_different(found),
        ),
        facts=tuple(facts),
        tables=(group_table(found.table[:1], "all-songs", "All songs", "songs"),),
    )


def _most_different(found: Analysis) -> tuple[str, ...]:
    """A sentence on the two styles that differ most in valence, and one on arousal."""
    of_column = found.comparisons[found.comparisons["grouping"] == found.column]
    sentences = []
    for dimension in DIMENSIONS:
        rows = of_column[(of_column["dimension"] == dimension) & of_column["effect"].notna()]
        if rows.empty:
            continue
        row = rows.iloc[0]
        higher, lower = ("group_a", "group_b") if row["effect"] > 0 else ("group_b", "group_a")
        low, high = sorted((abs(row["effect_low"]), abs(row["effect_high"])))
        sentences.append(
            f"In {dimension} the two styles furthest apart are {row[higher]} (higher) and {row[lower]}: by "
            f"{abs(row['difference']):.2f} in the mean of songs, which is {abs(row['effect']):.1f} ({low:.1f} to "
            f"{high:.1f}) standard deviations of their songs."
        )
    return (" ".join(sentences),) if sentences else ()


def _styles(found: Analysis, plots: dict[str, ReportPlot]) -> Section:
    of_styles = found.table[found.table["kind"] == "style"]
    tables = [
        group_table(rows, f"styles-{column}", f"Styles ({column})", "style")
        for column, rows in of_styles.groupby("grouping", sort=False)
        if (rows["name"] != NO_STYLE).any()
    ]
    nothing = "No song names a style." if not tables else ""
    return Section(
        "styles",
        "Styles",
        paragraphs=tuple(
            filter(
                None, (nothing, "A song with several styles counts in each of them; styles of few songs are gathered.")
            )
        ),
        tables=tuple(tables),
        plots=tuple(plots[name] for name in _OF_STYLES if name in plots),
    )


def _features(found: Analysis) -> Section:
    of_features = found.table[found.table["kind"] == "feature"]
    return Section(
        "features",
        "Tempo, density, tracks, performance, instruments",
        paragraphs=(
            "Performance is by NOMML, the median level of the metric grid that a track's onsets lie on: expressive "
            "where at least half of a song's tracks lie between the grid's lines.",
        ),
        tables=tuple(
            group_table(rows, f"feature-{feature}", str(feature).capitalize(), str(feature))
            for feature, rows in of_features.groupby("grouping", sort=False)
        ),
    )


def _differences(found: Analysis) -> Section:
    of_column = found.comparisons[found.comparisons["grouping"] == found.column]
    of_features = found.comparisons[found.comparisons["kind"] == "feature"]
    largest = f", the largest {MOST_COMPARISONS:,} of {len(of_column):,}" if len(of_column) > MOST_COMPARISONS else ""
    by_size = of_column.sort_values("effect", key=abs, ascending=False, kind="stable")[:MOST_COMPARISONS]
    return Section(
        "differences",
        "How far apart they are",
        paragraphs=(
            "Every two groups are compared by the means of their songs; songs that are in both are left out. The "
            "effect is Hedges' g: the difference in standard deviations of the songs. By a common rule of thumb 0.2 is "
            "small, 0.5 middling and 0.8 large. p is Welch's, after Holm's correction for all comparisons made here.",
        ),
        tables=_filled(
            comparison_table(by_size, "compared-styles", f"Styles ({found.column}){largest}"),
            comparison_table(of_features, "compared-features", "Other features"),
        ),
    )


def _songs(found: Analysis) -> Section:
    typical = found.songs["list"].str.startswith(TYPICAL)
    return Section(
        "songs",
        "Songs to look at",
        paragraphs=(
            "Choose a row to see the song's curve. Change is the mean absolute difference from bar to bar. Typical are "
            "the songs whose mean and spread are nearest to those of their style's songs.",
        ),
        tables=_filled(
            song_table(found.songs[~typical], "extreme-songs", "The most extreme and the most changing"),
            song_table(found.songs[typical], "typical-songs", "The most typical of each style"),
        ),
    )


def _quality(found: Analysis, folder: Path) -> Section:
    failures = sorted(failure_counts(folder).items(), key=lambda item: (-item[1], item[0]))
    left_out = [row for row in found.left_out.itertuples(index=False, name=None) if row[2]]
    meters = [row for row in found.meters.itertuples(index=False, name=None) if row[0]]
    counted = _filled(
        count_table("failures", "Songs that could not be annotated", ("reason", "songs"), failures),
        count_table("left-out", "Notes left out of the bars", ("why", "songs", "notes"), left_out),
        count_table("meters", "Meters, as notated", ("meter", "bars", "songs"), meters),
    )
    return Section(
        "quality",
        "Quality of the data",
        paragraphs=(
            "Every song could be annotated." if not failures else "Songs that failed have no bars.",
            "Left out of the bars are notes of drums, notes without a length or outside the "
            "piano's range, doubled notes (merged), and inner notes of bars that hold more than the model reads "
            "(thinned).",
        ),
        tables=counted,
    )


def _making(run: dict[str, Any]) -> Section:
    heading = "How the annotations were made"
    decides, versions = (run.get(name) for name in ("decides", "versions"))
    rows: list[tuple[str, str]] = []
    if isinstance(decides, dict):  # what another version wrote may have other things there
        rows += [(str(key), "none" if value is None else str(value)) for key, value in decides.items()]
    if isinstance(versions, dict):
        rows += [(f"version of {package}", str(version)) for package, version in versions.items()]
    if not rows:
        return Section("making", heading, ("There is no run.json beside the annotations that would say.",))
    return Section("making", heading, tables=(text_table("made-by", "All that a value follows from", rows),))


def _filled(*tables: Table) -> tuple[Table, ...]:
    """The tables that have a row."""
    return tuple(table for table in tables if table.rows)


def _songs_of(found: Analysis) -> list[Song]:
    """The songs of the lists, each once."""
    parts = [found.parts[number] for number in sorted(set(found.songs["part"]))]
    return find_songs(parts, list(found.songs["md5"]), first=0) if parts else []


def _plot(figure: Any, name: str, caption: str, dpi: int) -> ReportPlot:
    image = io.BytesIO()
    with boxes_for_missing_letters():
        figure.savefig(image, format="png", dpi=dpi)
    return ReportPlot(name, caption, caption, image.getvalue(), "png")
