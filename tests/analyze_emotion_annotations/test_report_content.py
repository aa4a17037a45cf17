"""The content of the report: statistics, songs with their curves, failures and provenance."""

from __future__ import annotations

import hashlib
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from analyse_folder import analysis_of, row_of, settings_for
from hostile_texts import HOSTILE
from test_report_page import Parsed

from analyze_emotion_annotations import report_content
from analyze_emotion_annotations.analysis import provenance_of
from analyze_emotion_annotations.plot_canvas import WIDE
from analyze_emotion_annotations.report_content import report_of
from analyze_emotion_annotations.report_page import render
from analyze_emotion_annotations.song_curves import signed
from pipeline.annotations import FORMAT, INSTRUMENT_CATEGORY, record_path
from pipeline.settings import UserError

STYLE = "music_styles_curated"
PNG = b"\x89PNG"


@pytest.fixture
def unillustrated(monkeypatch):
    """Leave the plots out of reports, since drawing them takes most of the time."""
    monkeypatch.setattr(report_content, "plots_of", lambda analysis, dpi, layout=WIDE: iter(()))


def reported(folder, *overrides):
    """The analysis of a folder, and its report."""
    found = analysis_of(folder, *overrides)
    return found, report_of(found, folder, 50, provenance_of(settings_for(folder), found))


def section_of(report, name):
    (section,) = [section for section in report.sections if section.name == name]
    return section


def table_of(report, name):
    """The rows of a table, as dictionaries; None if the report doesn't have the table."""
    for section in report.sections:
        for table in section.tables:
            if table.name == name:
                keys = [column.key for column in table.columns]
                return [dict(zip(keys, row, strict=True)) for row in table.rows]
    return None


def song_tables(report):
    return section_of(report, "songs").tables


def write_failures(folder, *reasons, part=0):
    (folder / "failures").mkdir(exist_ok=True)
    rows = [f'{hashlib.md5(reason.encode()).hexdigest()},conversion,"{reason}"' for reason in reasons]
    (folder / "failures" / f"part-{part:05d}.csv").write_text("\n".join(["md5,stage,reason", *rows, ""]))


def test_the_report_of_a_library(annotations, library):
    found, report = reported(annotations(library[:30], library[30:]))
    page = Parsed(render(report))
    assert [section.name for section in report.sections] == [
        "overview", "styles", "features", "differences", "songs", "quality", "making"
    ]  # fmt: skip
    plots = section_of(report, "styles").plots
    assert [plot.name for plot in plots] == ["styles", "planes", "ridgelines", "quadrants", "trajectories"]
    assert all(plot.image.startswith(PNG) and plot.alt for plot in plots)
    n_bars = sum(len(ratings) for _, ratings in library)
    assert f"60 songs, {n_bars:,} bars" in report.subtitle
    facts = dict(section_of(report, "overview").facts)
    bars = np.concatenate([ratings for _, ratings in library])
    assert facts["songs"] == "60" and facts["bars"] == f"{n_bars:,}"
    assert facts["mean valence"] == signed(bars[:, 0].mean())
    assert [signed(value) for value in (0.214, -0.216, -0.001)] == ["+0.21", "−0.22", "+0.00"]
    assert set(page.data["songs"]) == set(found.songs["md5"])
    for table in song_tables(report):
        assert set(table.song_of_row) <= set(page.data["songs"])  # every row has a curve


def test_the_tables_have_the_values_of_the_analysis(annotations, library, unillustrated):
    for i, (row, _) in enumerate(library):
        row |= {"num_tracks": i % 4, "NOMML": f"[{i}]", INSTRUMENT_CATEGORY: i % 3}
    found, report = reported(annotations(library))
    rows = {row["name"]: row for row in table_of(report, f"styles-{STYLE}")}
    assert list(rows["folk"])[:4] == ["name", "n_songs", "valence_mean", "arousal_mean"]
    assert list(rows) == ["folk", "jazz", "blues", "pop", "(none)"]
    for name, row in rows.items():
        expected = row_of(found.table, STYLE, name)
        assert (row["n_songs"], row["n_bars"]) == (expected["n_songs"], expected["n_bars"])
        for statistic in ("valence_mean", "arousal_q25", "arousal_change", "share_q3"):
            assert row[statistic] == tuple(expected[[statistic, f"{statistic}_low", f"{statistic}_high"]])
    (overall,) = table_of(report, "all-songs")
    assert overall["share_q1"][0] == found.all_songs["share_q1"]
    features = [table.name for table in section_of(report, "features").tables]
    assert features == [
        "feature-tempo", "feature-note density", "feature-number of tracks", "feature-performance",
        "feature-instruments",
    ]  # fmt: skip
    assert [(row["name"], row["n_songs"]) for row in table_of(report, "feature-performance")] == [
        ("quantized", 12), ("expressive", 48)
    ]  # fmt: skip
    compared = table_of(report, "compared-styles")
    pairs = [{row["group_a"], row["group_b"]} for row in compared]
    # all songs of pop are folk too, and all of blues jazz, so neither pair is compared
    assert len(compared) == 2 * 4 and {"folk", "pop"} not in pairs and {"jazz", "blues"} not in pairs
    effects = [abs(row["effect"][0]) for row in compared]
    assert effects == sorted(effects, reverse=True)
    one = compared[0]
    rows = found.comparisons
    (expected,) = rows[
        (rows["grouping"] == STYLE)
        & (rows["group_a"] == one["group_a"])
        & (rows["group_b"] == one["group_b"])
        & (rows["dimension"] == one["dimension"])
    ].to_dict("records")
    assert one["effect"] == (expected["effect"], expected["effect_low"], expected["effect_high"])
    assert (one["p_holm"], one["songs_a"], one["songs_b"]) == tuple(
        expected[c] for c in ("p_holm", "songs_a", "songs_b")
    )
    assert {row["grouping"] for row in table_of(report, "compared-features")} >= {"instruments", "performance"}
    farthest = section_of(report, "overview").paragraphs[-1]
    enough = (row for row in compared if min(row["songs_a"], row["songs_b"]) >= report_content.FEWEST_SONGS)
    valence = next(row for row in enough if row["dimension"] == "valence")
    assert valence != next(row for row in compared if row["dimension"] == "valence")  # pop and blues have 12 songs each
    higher, lower = ("group_a", "group_b")[:: 1 if valence["effect"][0] > 0 else -1]
    assert f"at least 13 songs, are {valence[higher]} (higher) and {valence[lower]}" in farthest


@pytest.mark.parametrize(
    ("effect", "told"),
    [
        (
            (-2.0, -4.2, 0.2),
            "are b (higher) and a: by 2.0 (−0.2 to 4.2) standard deviations of the songs, 0.30",
        ),
        (
            (2.0, -0.2, 4.2),
            "are a (higher) and b: by 2.0 (−0.2 to 4.2) standard deviations of the songs, 0.30",
        ),
        ((-2.0, -3.0, -1.0), "by 2.0 (1.0 to 3.0) standard deviations of the songs"),
    ],
)
def test_the_interval_of_the_largest_difference_keeps_its_side(effect, told):
    value, low, high = effect
    row = {"grouping": STYLE, "group_a": "a", "group_b": "b", "dimension": "valence", "songs_a": 20, "songs_b": 20}
    row |= {"difference": 0.15 * value, "effect": value, "effect_low": low, "effect_high": high}
    analysis = SimpleNamespace(comparisons=pd.DataFrame([row]), column=STYLE)
    (paragraph,) = report_content._most_different(analysis)
    assert told in paragraph


def test_styles_of_few_songs_are_no_headline():
    row = {"grouping": STYLE, "group_a": "a", "group_b": "b", "dimension": "valence", "songs_a": 12, "songs_b": 900}
    row |= {"difference": 0.3, "effect": 2.0, "effect_low": 1.0, "effect_high": 3.0}
    analysis = SimpleNamespace(comparisons=pd.DataFrame([row]), column=STYLE)
    assert report_content._most_different(analysis) == ()
    n = report_content.FEWEST_SONGS
    half_width = [1.96 * np.sqrt(2 / songs + 0.8**2 / (4 * songs)) for songs in (n - 1, n)]
    assert half_width[1] < 0.8 < half_width[0]


def test_a_songs_curve_has_the_values_of_its_bars(annotations, unillustrated):
    ratings = np.array([[0.1, -0.2], [0.5, -0.25], [0.3, 0.1234]])
    _, report = reported(annotations([({"name": "a", "title": "Tune", "artist": "Anon", STYLE: '["folk"]'}, ratings)]))
    (curve,) = report.curves
    assert (curve.title, curve.artist, curve.duration_seconds) == ("Tune", "Anon", 6)
    np.testing.assert_allclose(np.stack([curve.valence, curve.arousal], axis=1), ratings)
    assert list(curve.bar_number) == [0, 1, 2] and list(curve.start_seconds) == [0, 2, 4]
    assert list(curve.n_notes) == [4, 4, 4] and curve.valence_error_sd is None  # the tables have no such column
    extreme = table_of(report, "extreme-songs")
    assert len(extreme) == 5 and {(row["title"], row["style"], row["n_bars"]) for row in extreme} == {
        ("Tune", "folk", 3)
    }
    assert [row["list"] for row in table_of(report, "typical-songs")] == ["typical of folk"]


def test_songs_without_title_or_style_are_named_by_their_md5(annotations, unillustrated):
    found, report = reported(annotations([({"name": str(i)}, np.full((4, 2), i / 10)) for i in range(3)]))
    assert {row["title"] for row in table_of(report, "extreme-songs")} == set(found.songs["md5"])
    assert "No song names a style." in section_of(report, "styles").paragraphs
    assert section_of(report, "styles").tables == section_of(report, "differences").tables == ()
    assert [table.name for table in song_tables(report)] == ["extreme-songs"]


def test_what_strangers_wrote_stays_text(annotations, unillustrated):
    texts = [text.encode("utf-8", "replace").decode() for text in HOSTILE]

    def songs(texts):
        random = np.random.default_rng(0)
        return [
            (
                {"name": str(i), "title": text, "artist": text, STYLE: json.dumps([text, f"{text} 2", "all"])},
                np.clip(random.normal(0, 0.3, (9, 2)), -1, 1),
            )
            for i, text in enumerate(texts)
        ]

    lists = ("report.songs_per_list=50", "styles.max_drawn=30")
    _, report = reported(annotations(songs(texts)), *lists)
    _, harmless = reported(annotations(songs([f"text {i}" for i in range(len(texts))]), folder="harmless"), *lists)
    page, expected = Parsed(render(report)), Parsed(render(harmless))
    assert page.tags == expected.tags
    assert {song["title"] for song in page.data["songs"].values()} == set(texts)
    styles = {row["name"] for row in table_of(report, f"styles-{STYLE}")}
    assert styles == {name.strip() for text in texts for name in (text, f"{text} 2", "all")} - {""}
    listed = table_of(report, "extreme-songs")
    assert {row["artist"] for row in listed} == set(texts)
    assert [row["title"] for row in listed if not row["title"]] == []


def test_failures_notes_left_out_and_meters_are_counted(annotations, unillustrated):
    left_out = {"left_out_drums": 7, "left_out_thinned": 0}
    folder = annotations(
        [({"name": "a", **left_out}, np.zeros((3, 2))), ({"name": "b", **left_out}, np.zeros((2, 2)))],
        [({"name": "c", **left_out, "left_out_drums": 0}, np.zeros((1, 2)))],
    )
    path = folder / "bars" / "part-00001.csv"
    path.write_text(path.read_text().replace("4/4", "6/8"))
    write_failures(folder, "too_long: 30,000 bars", "too_long: 21,000 bars", "no_notes")
    write_failures(folder, "no_notes: none at all", "no_notes", part=1)
    _, report = reported(folder)
    assert table_of(report, "failures") == [{"reason": "no_notes", "songs": 3}, {"reason": "too_long", "songs": 2}]
    assert table_of(report, "left-out") == [{"why": "drums", "songs": 2, "notes": 14}]
    assert table_of(report, "meters") == [
        {"meter": "4/4", "bars": 5, "songs": 2},
        {"meter": "6/8", "bars": 1, "songs": 1},
    ]
    assert dict(section_of(report, "overview").facts)["songs that could not be annotated"] == "5"
    assert "Songs that failed have no bars." in section_of(report, "quality").paragraphs


def test_without_failures_there_is_no_table_of_failures(annotations, unillustrated):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    path = folder / "bars" / "part-00000.csv"
    path.write_text(path.read_text().replace("4/4", ""))
    _, report = reported(folder)
    quality = section_of(report, "quality")
    assert quality.tables == () and "Every song could be annotated." in quality.paragraphs
    assert dict(section_of(report, "overview").facts)["songs that could not be annotated"] == "0"
    assert "parts not finished, left out" not in dict(section_of(report, "overview").facts)
    assert "no run.json" in section_of(report, "making").paragraphs[0]
    assert json.loads(report.made_with)["annotations"] == {}


def test_equal_songs_have_no_effect_size_in_the_report(annotations, unillustrated):
    songs = [
        ({"name": f"{style} {i}", STYLE: style}, np.full((3, 2), at))
        for style, at in (("a", 0.1), ("b", 0.3))
        for i in range(2)
    ]
    _, report = reported(annotations(songs))
    text = " ".join(section_of(report, "overview").paragraphs)
    assert " inf" not in text and "nan" not in text
    assert [row["effect"] for row in table_of(report, "compared-styles")] == [None, None]


def test_unfinished_parts_are_reported(annotations, library, unillustrated):
    folder = annotations(library[:20], library[20:40], library[40:])
    for part in (1, 2):
        record_path(folder, part).unlink()
    _, report = reported(folder)
    facts = dict(section_of(report, "overview").facts)
    assert (facts["songs"], facts["parts not finished, left out"]) == ("20", "2")


def test_the_report_shows_how_the_annotations_were_made(annotations, unillustrated):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    decides = {"format": FORMAT, "model.head": "bundled", "dataset.limit": None}
    run = {"settings": {}, "decides": decides, "versions": {"torch": "2.0"}, "songs": 1}
    (folder / "run.json").write_text(json.dumps(run))
    _, report = reported(folder)
    made = {row["what"]: row["value"] for row in table_of(report, "made-by")}
    assert made == {
        "format": str(FORMAT),
        "model.head": "bundled",
        "dataset.limit": "none",
        "version of torch": "2.0",
    }
    record = json.loads(report.made_with)
    assert record["annotations"] == run and record["report"]["songs"] == 1
    assert record["report"]["annotations_run_sha256"] == hashlib.sha256(json.dumps(run).encode()).hexdigest()


@pytest.mark.parametrize("content", ["{", "[1, 2]", "", '"\ud800"'])
def test_a_damaged_run_record_is_refused_in_one_line(annotations, unillustrated, content):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    (folder / "run.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError, match=r"run\.json: not a record of an annotation") as raised:
        reported(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("versions", [None, [1], "all"])
def test_a_run_record_with_unknown_content_is_shown_unchanged(annotations, unillustrated, versions):
    folder = annotations([({"name": "a"}, np.zeros((3, 2)))])
    run = {"settings": {}, "decides": {"format": FORMAT}, "versions": versions, "text": "\u202e</script>"}
    (folder / "run.json").write_text(json.dumps(run))
    _, report = reported(folder)
    assert [row["what"] for row in table_of(report, "made-by")] == ["format"]
    assert json.loads(report.made_with)["annotations"] == run
    assert "\ufffd&lt;/script&gt;" in render(report)


@pytest.mark.parametrize(
    "column", ["song", "part", "source", "valence", "left_out_x", "left_out_'\"); DROP TABLE songs; --"]
)
def test_a_column_that_nobody_knows_is_no_part_of_a_query(annotations, unillustrated, column):
    folder = annotations([({"name": "a", "left_out_drums": 3, column: "1"}, np.zeros((3, 2)))])
    _, report = reported(folder)
    assert table_of(report, "left-out") == [{"why": "drums", "songs": 1, "notes": 3}]
