"""The content of the report: its sections with their paragraphs, facts, tables and plots, and single songs' curves."""

from __future__ import annotations

import io
import json
import time
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pipeline.annotations import DIMENSIONS
from pipeline.progress import progress_bar
from pipeline.records import read_run
from pipeline.settings import counted

from .analysis import Analysis
from .annotation_tables import failure_counts, find_songs
from .played_notes import sounds_of
from .plot_canvas import NARROW, boxes_for_missing_letters
from .plots import NAMES, plots_of
from .report_page import Report, ReportPlot, Section, Table
from .report_tables import (
    comparison_table,
    count_table,
    group_table,
    song_table,
    text_table,
)
from .song_curves import Song, signed
from .song_groups import NO_STYLE
from .songs_to_look_at import TYPICAL

MOST_COMPARISONS = 1_000  # most rows of the table of styles compared; comparisons.csv has all
# Fewest songs of each style whose difference the overview tells: with fewer, the 95 % interval of even a large effect
# (0.8; J. Cohen, Statistical power analysis for the behavioral sciences, 1988) would include 0, since its half width
# for n and n songs is 1.96 √(2/n + 0.8²/4n).
FEWEST_SONGS = 13
NARROW_SHARPNESS = 2  # a telephone's screen has at least two pixels where others have one


def report_of(analysis: Analysis, folder: Path, dpi: int, record: dict[str, object], notes_mb: float = 0) -> Report:
    """The report of an analysis.

    folder: the annotations. record: the analysis's provenance. notes_mb: most that the notes of songs may add, in 10^6
    bytes.
    """
    run = read_run(folder) or {}
    narrow = {
        plot.name: _png(plot.figure, NARROW_SHARPNESS * dpi)
        for plot in progress_bar(plots_of(analysis, dpi, NARROW), "drawing for narrow screens", "plots", len(NAMES))
    }
    plots = {
        name: ReportPlot(name, caption, caption, _png(figure, dpi), "png", narrow[name])
        for name, figure, caption in progress_bar(plots_of(analysis, dpi), "drawing", "plots", len(NAMES))
    }
    songs, bars = (int(analysis.all_songs[name]) for name in ("n_songs", "n_bars"))
    listed = _songs_of(analysis)
    return Report(
        title="Valence and arousal, bar by bar",
        subtitle=f"{counted(songs, 'song')}, {counted(bars, 'bar')}; report of {time.strftime('%Y-%m-%d')}",
        sections=(
            _overview(analysis, folder),
            _styles(analysis, plots),
            _features(analysis),
            _differences(analysis),
            _songs(analysis),
            _quality(analysis, folder),
            _making(run),
        ),
        curves=tuple(listed),
        made_with=json.dumps({"annotations": run, "report": record}, indent=2, ensure_ascii=False),
        sounds=sounds_of(listed, run, notes_mb),
    )


def _overview(analysis: Analysis, folder: Path) -> Section:
    row = analysis.all_songs
    facts = [
        ("songs", f"{int(row['n_songs']):,}"),
        ("bars", f"{int(row['n_bars']):,}"),
        ("mean valence", signed(row["valence_mean"])),
        ("mean arousal", signed(row["arousal_mean"])),
        ("songs that could not be annotated", f"{sum(failure_counts(folder).values()):,}"),
    ]
    if analysis.unfinished_parts:
        facts.append(("parts not finished, left out", f"{analysis.unfinished_parts:,}"))
    return Section(
        "overview",
        "Overview",
        paragraphs=(
            "Every bar has a valence, from unpleasant (−1) to pleasant (1), and an arousal, from calm (−1) to excited "
            "(1). The plane of the two has four quadrants: Q1 pleasant and excited, Q2 unpleasant and excited, Q3 "
            "unpleasant and calm, Q4 pleasant and calm.",
            "Statistics are over bars, so a long song weighs more than a short one. Intervals are of 95\u202f%, over "
            "songs, since the bars of a song are not independent. Valence and arousal are predictions of how people "
            "would rate the music, not ratings; the project's MODEL_CARD.md says how well they agree with ratings.",
            *_most_different(analysis),
        ),
        facts=tuple(facts),
        tables=(group_table(analysis.table[:1], "all-songs", "All songs", "group"),),
    )


def _most_different(analysis: Analysis) -> tuple[str, ...]:
    """A paragraph on the two styles that differ most in valence and in arousal; () if no two have FEWEST_SONGS."""
    pairs = analysis.comparisons[analysis.comparisons["grouping"] == analysis.column]
    pairs = pairs[(pairs["songs_a"] >= FEWEST_SONGS) & (pairs["songs_b"] >= FEWEST_SONGS)]
    sentences = []
    for dimension in DIMENSIONS:
        rows = pairs[(pairs["dimension"] == dimension) & pairs["effect"].notna()]
        if rows.empty:
            continue
        row = rows.iloc[0]
        higher, lower, effect, low, high = (
            (row["group_a"], row["group_b"], row["effect"], row["effect_low"], row["effect_high"])
            if row["effect"] > 0
            else (row["group_b"], row["group_a"], -row["effect"], -row["effect_high"], -row["effect_low"])
        )
        sentences.append(
            f"In {dimension} the two styles that differ most against the spread of their songs, of those with at least "
            f"{FEWEST_SONGS} songs, are {higher} (higher) and {lower}: by {_one_decimal(effect)} "
            f"({_one_decimal(low)} to {_one_decimal(high)}) standard deviations of the songs, "
            f"{abs(row['difference']):.2f} between the means over them."
        )
    return (" ".join(sentences),) if sentences else ()


def _one_decimal(value: float) -> str:
    return f"{value:z.1f}".replace("-", "−")


def _styles(analysis: Analysis, plots: dict[str, ReportPlot]) -> Section:
    styles = analysis.table[analysis.table["kind"] == "style"]
    tables = [
        group_table(rows, f"styles-{column}", f"Styles ({column})", "style")
        for column, rows in styles.groupby("grouping", sort=False)
        if (rows["name"] != NO_STYLE).any()
    ]
    nothing = "No song names a style." if not tables else ""
    return Section(
        "styles",
        "Styles",
        paragraphs=tuple(
            filter(
                None,
                (nothing or "A song with several styles counts in each of them; those with few songs are combined.",),
            )
        ),
        tables=tuple(tables),
        plots=tuple(plots[name] for name in NAMES if name in plots),
    )


def _features(analysis: Analysis) -> Section:
    features = analysis.table[analysis.table["kind"] == "feature"]
    return Section(
        "features",
        "Tempo, density, tracks, performance, instruments",
        paragraphs=(
            "Performance is judged by NOMML, the median level of the metric grid that a track's onsets lie on: a song "
            "is expressive if at least half of its tracks lie between the lines of the grid.",
        ),
        tables=tuple(
            group_table(rows, f"feature-{feature}", str(feature).capitalize(), str(feature))
            for feature, rows in features.groupby("grouping", sort=False)
        ),
    )


def _differences(analysis: Analysis) -> Section:
    style_pairs = analysis.comparisons[analysis.comparisons["grouping"] == analysis.column]
    feature_pairs = analysis.comparisons[analysis.comparisons["kind"] == "feature"]
    largest = (
        f", the largest {MOST_COMPARISONS:,} of {len(style_pairs):,}" if len(style_pairs) > MOST_COMPARISONS else ""
    )
    by_size = style_pairs.sort_values("effect", key=abs, ascending=False, kind="stable")[:MOST_COMPARISONS]
    return Section(
        "differences",
        "Differences between groups",
        paragraphs=(
            "Each pair of groups is compared by the means of their songs; songs that are in both are left out. The "
            "effect is Hedges' g: the difference in units of the songs' standard deviation. By a common rule of thumb "
            "0.2 is small, 0.5 medium and 0.8 large. p is from Welch's test, after Holm's correction for all "
            "comparisons made here.",
        ),
        tables=_filled(
            comparison_table(by_size, "compared-styles", f"Styles ({analysis.column}){largest}"),
            comparison_table(feature_pairs, "compared-features", "Other features"),
        ),
    )


def _songs(analysis: Analysis) -> Section:
    typical = analysis.songs["list"].str.startswith(TYPICAL)
    return Section(
        "songs",
        "Songs to look at",
        paragraphs=(
            "Choose a row to see the song's curve and, where its music is at hand, to hear it, played by simple "
            "synthesized voices. Change is the mean absolute difference from bar to bar. The songs most typical of a "
            "style are those whose mean and spread are nearest to the style's averages.",
        ),
        tables=_filled(
            song_table(analysis.songs[~typical], "extreme-songs", "The highest, the lowest and the most changing"),
            song_table(analysis.songs[typical], "typical-songs", "The most typical of each style"),
        ),
    )


def _quality(analysis: Analysis, folder: Path) -> Section:
    failures = sorted(failure_counts(folder).items(), key=lambda item: (-item[1], item[0]))
    left_out = [row for row in analysis.left_out.itertuples(index=False, name=None) if row[2]]
    meters = [
        (meter if meter == barred_as or not barred_as else f"{meter}, in bars of {barred_as}", *counts)
        for meter, barred_as, *counts in analysis.meters.itertuples(index=False, name=None)
        if meter
    ]
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
            "Words leave out notes of drums, notes without a length or outside the piano's range, doubled notes "
            "(merged), and inner notes of bars that hold more notes than the model can read (thinned).",
        ),
        tables=counted,
    )


def _making(run: dict[str, Any]) -> Section:
    heading = "How the annotations were made"
    decides, versions = (run.get(name) for name in ("decides", "versions"))
    rows: list[tuple[str, str]] = []
    if isinstance(decides, dict):  # another version of the project may have written something else
        rows += [(str(key), "none" if value is None else str(value)) for key, value in decides.items()]
    if isinstance(versions, dict):
        rows += [(f"version of {package}", str(version)) for package, version in versions.items()]
    if not rows:
        return Section("making", heading, ("The folder of annotations has no run.json, so this is not known.",))
    return Section("making", heading, tables=(text_table("made-by", "Everything that the values depend on", rows),))


def _filled(*tables: Table) -> tuple[Table, ...]:
    """Those of the tables that have rows."""
    return tuple(table for table in tables if table.rows)


def _songs_of(analysis: Analysis) -> list[Song]:
    """The songs in the lists, each once."""
    parts = [analysis.parts[number] for number in sorted(set(analysis.songs["part"]))]
    return find_songs(parts, list(analysis.songs["md5"]), first=0) if parts else []


def _png(figure: Figure, dpi: int) -> bytes:
    image = io.BytesIO()
    with boxes_for_missing_letters():
        figure.savefig(image, format="png", dpi=dpi)
    return image.getvalue()
