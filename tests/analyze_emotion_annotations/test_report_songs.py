"""The curve of a song on the report's page in a browser: which song is drawn, how, and the values shown for a bar."""

from __future__ import annotations

import re

import numpy as np
import pytest
from example_report import curve_of, table_report

from analyze_emotion_annotations.report_page import Report, TableColumn
from analyze_emotion_annotations.song_curves import Song

pytestmark = pytest.mark.slow  # they start a browser


def two_songs() -> Report:
    """A song without bars 2 and 3, whose last bar lasts twice as long as the others, and a song of equal bars."""
    uneven = Song(
        md5="a" * 32, title="Uneven", artist="Somebody", duration_seconds=14.0,
        bar_number=np.array([0, 1, 4, 5]), start_seconds=np.array([0.0, 2.0, 8.0, 10.0]) ,
        valence=np.array([0.5, -0.25, 0.123, 1.0]), arousal=np.array([0.0, 0.1, -1.0, np.nan]),
        valence_error_sd=np.full(4, 0.15), arousal_error_sd=np.full(4, 0.2), n_notes=np.array([1, 20, 3, 40]),
    )  # fmt: skip
    rows = [("Even", 8), ("No curve", 3), ("Uneven", 4)]
    columns = (TableColumn("title", "title", "text"), TableColumn("bars", "bars", "count"))
    songs = ("b" * 32, "c" * 32, "a" * 32)
    return table_report(columns, rows, songs, [curve_of("b" * 32, "Even"), uneven])


def test_choosing_a_row_draws_its_song(open_report):
    page = open_report(two_songs())
    page.locator("tr", has_text="Uneven").click()
    panel = page.get_by_role("complementary", name="Song")
    assert panel.locator("h2").inner_text() == "Uneven"
    assert panel.locator(".artist").inner_text() == "Somebody"
    assert panel.locator(".md5").inner_text() == "a" * 32
    assert "4 bars" in panel.locator(".readout").inner_text()
    valence, arousal = (panel.locator(f".line.{name}").get_attribute("d") for name in ("valence", "arousal"))
    assert (valence.count("V"), arousal.count("V")) == (4, 3)  # a step for each bar that has a value
    assert valence.count("M") == 2  # broken where bars are missing
    page.locator("tr", has_text="No curve").click()
    assert panel.locator("h2").inner_text() == "Uneven"
    page.locator("tr", has_text="Even").first.click()
    assert panel.locator("h2").inner_text() == "Even"
    assert panel.locator(".line.valence").get_attribute("d").count("V") == 8
    assert page.locator("tr.chosen").count() == 1


def test_a_value_is_drawn_at_its_height(open_report):
    page = open_report(two_songs())
    page.locator("tr", has_text="Uneven").click()
    grid = [
        float(y) for y in page.locator("#song .grid[x2]").evaluate_all("(all) => all.map((e) => e.getAttribute('y1'))")
    ]
    zero = float(page.locator("#song .zero").get_attribute("y1"))
    top = min(grid)
    heights = [float(y) for y in re.findall(r"V([\d.]+)", page.locator("#song .line.valence").get_attribute("d"))]
    np.testing.assert_allclose([(zero - y) / (zero - top) for y in heights], [0.5, -0.25, 0.123, 1.0], atol=0.002)


def test_seconds_stretch_the_bars_to_their_durations(open_report):
    page = open_report(two_songs())
    page.locator("tr", has_text="Uneven").click()
    chart = page.get_by_role("slider", name="Bar")

    def widths() -> list[float]:
        found = []
        for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight"):
            chart.press(key)
            found.append(float(page.locator("#song .marker rect").get_attribute("width")))
        return found

    np.testing.assert_allclose(np.divide(widths(), widths()[0]), 1.0, rtol=1e-3)
    page.get_by_text("seconds", exact=True).click()
    np.testing.assert_allclose(np.divide(widths(), widths()[0]), [1, 1, 1, 2], rtol=1e-3)


def test_the_values_of_a_bar_are_shown_for_pointer_and_keyboard(open_report):
    page = open_report(two_songs())
    page.locator("tr", has_text="Uneven").click()
    chart, readout = page.get_by_role("slider", name="Bar"), page.locator("#song .readout")
    chart.press("End")
    assert " ".join(readout.inner_text().split()) == "bar 5 0:10.0 valence +1.00 ± 0.15 arousal – ± 0.20 40 notes"
    assert chart.get_attribute("aria-valuenow") == "5"
    chart.press("ArrowLeft")
    assert chart.get_attribute("aria-valuetext").startswith("bar 4")
    box = chart.bounding_box()
    page.mouse.move(
        box["x"] + 44 + (box["width"] - 58) * 1.5 / 6, box["y"] + 50
    )  # the middle of the second of six bars
    assert " ".join(readout.inner_text().split()) == "bar 1 0:02.0 valence −0.25 ± 0.15 arousal +0.10 ± 0.20 20 notes"


def test_songs_are_opened_and_closed_by_keyboard(open_report):
    page = open_report(two_songs())
    panel = page.get_by_role("complementary", name="Song")
    page.get_by_role("button", name="Even", exact=True).focus()
    page.keyboard.press("Enter")
    assert panel.locator("h2").inner_text() == "Even"
    page.keyboard.press("ArrowDown")  # over the row without a curve
    assert panel.locator("h2").inner_text() == "Uneven"
    assert page.get_by_role("button", name="Uneven").get_attribute("aria-expanded") == "true"
    panel.get_by_role("button", name="Close").focus()
    page.keyboard.press("Escape")
    assert not panel.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Uneven"


def test_the_md5_and_the_provenance_can_be_copied(open_report):
    page = open_report(two_songs())
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("tr", has_text="Uneven").click()
    page.locator("#copy-md5").click()
    page.locator("#copy-md5", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "a" * 32
    page.keyboard.press("Escape")
    page.locator("#provenance summary").click()
    page.locator("#copy-provenance").click()
    page.locator("#copy-provenance", has_text="Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == "{}"


def test_every_minus_sign_is_the_same_character(open_report):
    columns = [TableColumn("title", "title", "text"), *(TableColumn(kind, kind, kind) for kind in ("signed", "number"))]
    cells = (-0.5, (-0.25, -0.5, -0.125))
    curve = curve_of("a" * 32, "Falling")
    page = open_report(table_report(columns, [("Falling", *cells)], ["a" * 32], [curve]))
    page.locator("tr", has_text="Falling").click()
    page.get_by_role("slider", name="Bar").press("Home")
    said = page.locator("main, #song").evaluate_all("(all) => all.map((e) => e.textContent).join(' ')")
    for part in ("−0.50", "−0.25 [−0.50, −0.13]", "valence −1.00"):  # cells, intervals and the value of a bar
        assert part in said
    assert "−0.5" in page.locator("#song svg text").all_text_contents()
    assert re.findall(r"[-–‒﹣－](?=\d)", said) == []
