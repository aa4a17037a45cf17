"""Reports of invented music to test the page with; `python …/example_report.py OUT.html` writes one to look at."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context

from analyze_emotion_annotations.plot_canvas import BLUE, GREEN, ORANGE, PURPLE, new_figure
from analyze_emotion_annotations.report_page import (
    Cell,
    Report,
    ReportPlot,
    Section,
    Table,
    TableColumn,
    render,
)
from analyze_emotion_annotations.song_curves import Song

STYLES = {"folk": (0.4, -0.1), "classical": (0.2, 0.15), "video game": (0.18, 0.3), "pop": (0.14, 0.04)}
_FORMS = ("Waltz", "Nocturne", "Reel", "March", "Ballad", "Study", "Overture", "Lullaby", "Jig", "Theme")
_ENDINGS = ("of the Harbour", "in G minor", "for a Rainy Day", "No. 3", "from the North", "at Dusk")


def made_curve(name: str, mean: tuple[float, float], seed: int) -> Song:
    """A song whose valence and arousal wander around a mean, with verses; some bars in the middle may be missing."""
    random = np.random.default_rng(seed)
    n = int(random.integers(40, 180))
    bars = np.arange(n) + int(random.integers(0, 2))
    if seed % 5 == 0:
        bars[n // 2 :] += 4
    wave = np.sin(np.arange(n) * 2 * np.pi / random.integers(12, 48))
    valence, arousal = [
        np.clip(centre + 0.18 * wave * random.normal() + np.cumsum(random.normal(0, 0.02, n)), -1, 1) for centre in mean
    ]
    seconds = bars * 60 / random.uniform(70, 150) * 4
    return Song(
        md5=hashlib.md5(name.encode()).hexdigest(),
        title=name,
        artist="" if seed % 7 == 0 else f"The {_FORMS[seed % 10]} Players",
        duration_seconds=float(seconds[-1] + 2.2),
        bar_number=bars,
        start_seconds=seconds,
        valence=valence,
        arousal=arousal,
        valence_error_sd=np.full(n, 0.15) + 0.02 * random.random(n),
        arousal_error_sd=np.full(n, 0.16) + 0.02 * random.random(n),
        n_notes=random.poisson(18 + 10 * (arousal - arousal.min())),
    )


def curve_of(md5: str, name: str, n: int = 8) -> Song:
    """A song of n bars of two seconds, its valence rising from −1 to 1 and its arousal falling."""
    values = np.linspace(-1, 1, n)
    spread = np.full(n, 0.15)
    return Song(
        md5, name, name, 2.0 * n, np.arange(n), 2.0 * np.arange(n), values, -values, spread, spread, np.arange(n)
    )


def table_report(
    columns: Sequence[TableColumn],
    rows: Sequence[tuple[Cell, ...]],
    songs: Sequence[str] = (),
    curves: Sequence[Song] = (),
) -> Report:
    """A report of one table."""
    table = Table("table", "A table", tuple(columns), tuple(rows), tuple(songs))
    return Report("Title", "Subtitle", (Section("section", "Section", tables=(table,)),), tuple(curves), "{}")


def made_curves(n: int = 40) -> list[tuple[str, Song]]:
    """Pairs of a style and a song of that style."""
    styles = list(STYLES)
    return [
        (
            styles[i % 4],
            made_curve(f"{_FORMS[i % 10]} {_ENDINGS[i % 6]}" + (f" ({i // 30 + 1})"), STYLES[styles[i % 4]], i),
        )
        for i in range(n)
    ]


def example_report(n_songs: int = 40) -> Report:
    songs = made_curves(n_songs)
    return Report(
        title="Valence and arousal of 3,299 songs",
        subtitle="Annotations of output/gigamidi-train, dataset Metacreation/GigaMIDI v2.0.0, split train",
        sections=(_overview(), _styles(), _songs(songs), _quality()),
        curves=tuple(curve for _, curve in songs),
        made_with=json.dumps(
            {
                "settings": {"input": {"dir": "output/gigamidi-train"}, "model": {"head": "bundled"}},
                "versions": {"python": "3.11.2", "numpy": "2.4.6"},
                "weights": hashlib.sha256(b"weights").hexdigest(),
            },
            indent=2,
        ),
    )


def _overview() -> Section:
    return Section(
        name="overview",
        heading="Overview",
        paragraphs=(
            "Every bar has a valence, from unpleasant to pleasant, and an arousal, from calm to excited, both in "
            "[−1, 1]. The numbers here are made up, to show what the page looks like.",
        ),
        facts=(
            ("songs", "3,299"),
            ("bars", "258,060"),
            ("hours of music", "181"),
            ("songs without an annotation", "41"),
            ("mean valence", "+0.21"),
            ("mean arousal", "+0.09"),
        ),
        plots=(_style_map("png"),),
    )


def _style_map(form: str) -> ReportPlot:
    figure = new_figure(7.5, 4.5, 100)
    panel = figure.add_axes((0.1, 0.12, 0.86, 0.84))
    for (style, (valence, arousal)), colour in zip(STYLES.items(), (BLUE, GREEN, ORANGE, PURPLE), strict=True):
        panel.scatter(valence, arousal, color=colour, s=90)
        panel.annotate(style, (valence, arousal), xytext=(8, 6), textcoords="offset points")
    panel.set(xlim=(-1, 1), ylim=(-1, 1), xlabel="valence", ylabel="arousal")
    panel.axhline(0, color="#b0b0b0", linewidth=1, zorder=0)
    panel.axvline(0, color="#b0b0b0", linewidth=1, zorder=0)
    file = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format=form)
    return ReportPlot(
        name=f"style-map-{form}",
        caption=f"Where the styles lie: the mean over all bars of a style ({form}).",
        alt="Four styles in the plane of valence and arousal; folk is the most pleasant, video game the most excited.",
        image=file.getvalue(),
        form="svg" if form == "svg" else "png",
    )


def _styles() -> Section:
    random = np.random.default_rng(1)
    columns = (
        TableColumn("style", "style", "text"),
        TableColumn("songs", "songs", "count"),
        TableColumn("bars", "bars", "count"),
        TableColumn(
            "valence", "valence", "signed", "Mean over the bars of the style, with its 95 % interval over songs."
        ),
        TableColumn("valence_sd", "valence sd", "number", "Standard deviation of valence over the bars of the style."),
        TableColumn(
            "arousal", "arousal", "signed", "Mean over the bars of the style, with its 95 % interval over songs."
        ),
        TableColumn("arousal_sd", "arousal sd", "number", "Standard deviation of arousal over the bars of the style."),
        TableColumn("q1", "Q1", "share", "Share of bars that are pleasant and excited.", 1),
        TableColumn("q3", "Q3", "share", "Share of bars that are unpleasant and calm.", 1),
        TableColumn("duration", "median length", "seconds", "Median duration of the songs, minutes:seconds."),
    )
    rows = []
    for style, (valence, arousal) in STYLES.items():
        n = int(random.integers(300, 1500))
        rows.append(
            (
                style,
                n,
                n * 70,
                (valence, valence - 0.013, valence + 0.012),
                0.16,
                (arousal, arousal - 0.011, arousal + 0.014),
                0.17,
                (0.5 + arousal, 0.47 + arousal, 0.53 + arousal),
                (0.04, 0.03, 0.05),
                float(random.uniform(90, 260)),
            )
        )
    rows.append(("(none)", 22, 5905, None, None, None, None, None, None, None))
    return Section(
        name="styles",
        heading="Styles",
        paragraphs=("A song counts for each of its styles.",),
        tables=(Table("styles", "Styles of music_styles_curated", columns, tuple(rows), (), "songs"),),
        plots=(_style_map("svg"),),
    )


def _songs(songs: list[tuple[str, Song]]) -> Section:
    columns = (
        TableColumn("title", "title", "text"),
        TableColumn("artist", "artist", "text"),
        TableColumn("style", "style", "text"),
        TableColumn("bars", "bars", "count"),
        TableColumn("duration", "length", "seconds"),
        TableColumn("valence", "valence", "signed", "Mean over the song's bars."),
        TableColumn("arousal", "arousal", "signed", "Mean over the song's bars."),
        TableColumn("change", "change", "number", "Standard deviation of valence and arousal over the song's bars."),
    )
    rows = tuple(
        (
            song.title,
            song.artist,
            style,
            len(song.bar_number),
            song.duration_seconds,
            float(song.valence.mean()),
            float(song.arousal.mean()),
            float(np.hypot(song.valence.std(), song.arousal.std())),
        )
        for style, song in songs
    )
    md5s = tuple(song.md5 for _, song in songs)
    typical = tuple((style, *row[:2], *row[3:]) for (style, _), row in zip(songs[:4], rows, strict=False))
    return Section(
        name="songs-to-look-at",
        heading="Songs to look at",
        paragraphs=("Choose a row to draw the song's curve. Arrow keys go on to the next row.",),
        tables=(
            Table("most-changing", "Songs that change most", columns, rows, md5s, "change"),
            Table(
                "most-typical",
                "Most typical of each style",
                (columns[2], *columns[:2], *columns[3:]),
                typical,
                md5s[:4],
            ),
        ),
    )


def _quality() -> Section:
    reasons = Table(
        "failures",
        "Songs without an annotation, by reason",
        (
            TableColumn("reason", "reason", "text"),
            TableColumn("songs", "songs", "count"),
            TableColumn("share", "share of all songs", "share"),
        ),
        (("no_notes", 30, 30 / 3340), ("unreadable", 9, 9 / 3340), ("timeout", 2, 2 / 3340)),
        sort_by="songs",
    )
    return Section(
        "data-quality", "Data quality", ("Songs that could not be annotated are left out above.",), (), (reasons,)
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(render(example_report()), encoding="utf-8")
