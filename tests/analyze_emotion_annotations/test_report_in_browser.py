"""The report's page in a real browser: it opens, fits every window, is readable, and runs no foreign script."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from analyse_folder import analysis_of
from example_report import example_report
from hostile_texts import HOSTILE, report_saying
from playwright.sync_api import Error, Page

from analyze_emotion_annotations.report_page import Report, Section, render
from analyze_emotion_annotations.report_tables import group_table

pytestmark = pytest.mark.slow  # they start a browser

# clicks on a row; returns texts as UTF-16 units, since the browser can't return a lone surrogate otherwise
CHOOSE_ROW = """(i) => {
  const units = ({ textContent }) => textContent.split("").map((unit) => unit.charCodeAt(0));
  const row = document.querySelectorAll("tr.choosable")[i];
  row.click();
  const panel = document.getElementById("song");
  return {
    cell: units(row.cells[0]), title: units(panel.querySelector(".title")), height: row.offsetHeight,
    panel: panel.offsetHeight, lines: panel.querySelectorAll(".line").length,
    width: document.scrollingElement.scrollWidth,
  };
}"""


CUT_OFF = """() => {
  const reaches = (element) => element.getBoundingClientRect().right > innerWidth + 0.5;
  const boxed = (element) => element.parentElement.closest(".scroller, .plot, svg");
  const scrolls = (box) => box.scrollWidth <= box.clientWidth || getComputedStyle(box).overflowX === "auto";
  const beyond = [...document.querySelectorAll("body *")].filter((element) => reaches(element) && !boxed(element));
  const stuck = [...document.querySelectorAll(".scroller, .plot")].filter((box) => !scrolls(box));
  return [...beyond, ...stuck].map((element) => element.outerHTML.slice(0, 100));
}"""


def units_of(text: str) -> list[int]:
    return np.frombuffer(text.encode("utf-16-le", "surrogatepass"), "<u2").tolist()


def test_a_report_opens_and_shows_its_sections(open_report):
    page = open_report(example_report())
    assert page.title() == "Valence and arousal of 3,299 songs"
    contents = page.locator("nav a").all_inner_texts()
    assert contents == page.locator("main h2").all_inner_texts()
    assert page.locator("tbody tr").count() == 5 + 40 + 4 + 3
    assert page.locator("figure img").evaluate_all("(all) => all.every((image) => image.naturalWidth > 300)")


def test_the_policy_stops_foreign_scripts_styles_and_images(open_report, complaints):
    intrusion = (
        "<script>window.broken = 1</script><img src=x onerror='window.broken = 2'>"
        "<p id=styled style='position:fixed'></p><img src='http://example.invalid/seen.png'>"
    )
    page = open_report(render(example_report(4)).replace("</main>", f"{intrusion}</main>"))
    with pytest.raises(Error, match="TrustedHTML"):
        page.evaluate("document.body.innerHTML = '<b>text</b>'")
    assert page.evaluate("window.broken") is None
    assert page.locator("#styled").evaluate("(element) => getComputedStyle(element).position") == "static"
    refused = " ".join(complaints)
    for rule in ("script-src", "style-src", "img-src"):
        assert rule in refused
    complaints.clear()


@pytest.mark.parametrize("width", [360, 1200])
def test_hostile_texts_neither_run_nor_break_the_page(open_report, width):
    page = open_report(report_saying(HOSTILE), width)
    harmless = open_report(report_saying([f"text {i}" for i in range(len(HOSTILE))]), width)
    count = "() => Object.fromEntries(['script', 'img', 'iframe', 'svg', 'style', 'base', 'meta', 'a', 'b']" + (
        ".map((name) => [name, document.querySelectorAll(name).length]))"
    )
    assert page.evaluate(count) == harmless.evaluate(count)
    assert page.evaluate("window.broken") is None
    assert_fits(page)
    assert page.locator("button.song").count() == len(HOSTILE)
    for i, text in enumerate(HOSTILE):
        row = page.evaluate(CHOOSE_ROW, i)
        visible = text not in ("", "\u200b")
        assert row["cell"] == units_of(text if visible else "–")
        assert row["title"] == units_of(text if visible else "untitled")
        assert row["lines"] == 2
        assert row["height"] < 100  # pixels; a cell shows three lines of a text at most
        assert row["panel"] < 0.7 * 800
        assert row["width"] <= width


def test_the_report_of_a_hostile_folder_opens_and_draws_a_song(open_report, annotations, run_here, tmp_path):
    texts = [text.encode("utf-8", "replace").decode() for text in HOSTILE[:12]]
    random = np.random.default_rng(1)
    songs = [
        (
            {"name": str(i), "title": text, "artist": text, "music_styles_curated": json.dumps([text])},
            np.clip(random.normal(i / 20, 0.2, (5 + i, 2)), -1, 1),
        )
        for i, text in enumerate(texts)
    ]
    settings = ("styles.min_songs=1", "report.min_bars=2", "plot.dpi=50", "output.dir=out")
    words = [word for setting in (f"input.dir={annotations(songs)}", *settings) for word in ("--set", setting)]
    done = run_here("03_report.py", *words)
    assert done.returncode == 0 and "out/report.html" in done.stdout
    page = open_report((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert page.evaluate("window.broken") is None
    assert page.locator("figure img").count() == 5
    rows = page.locator("[data-table=extreme-songs] tr.choosable")
    bars = int(rows.nth(2).locator("td").nth(6).inner_text())
    title = rows.nth(2).locator("td").first.evaluate("(cell) => cell.parentElement.cells[1].textContent")
    rows.nth(2).click()
    panel = page.get_by_role("complementary", name="Song")
    assert panel.locator(".title").text_content() == title in texts
    for name in ("valence", "arousal"):
        assert panel.locator(f".line.{name}").get_attribute("d").count("V") == bars  # a step a bar
    assert_fits(page)


def assert_fits(page: Page) -> None:
    """Assert that the page can't be scrolled sideways and nothing is cut off; wide elements scroll in their own box."""
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(CUT_OFF) == []


@pytest.mark.parametrize("width", [360, 800, 1600])
def test_the_page_never_scrolls_sideways(open_report, width):
    page = open_report(example_report(), width)
    assert_fits(page)
    page.locator("details").evaluate_all("(all) => all.forEach((details) => { details.open = true; })")
    page.locator("tr.choosable").first.click()
    assert_fits(page)
    panel = page.locator("#song").bounding_box()
    assert panel["x"] >= 0 and panel["x"] + panel["width"] <= width
    assert page.locator("#song .chart svg").bounding_box()["width"] > 0.8 * min(width, 1200)


def test_a_plot_that_is_too_wide_is_enlarged_in_its_own_box(open_report):
    page = open_report(example_report(4), 360)
    plot = page.locator("button.plot").first
    before = plot.locator("img").bounding_box()["width"]
    plot.click()
    assert plot.locator("img").bounding_box()["width"] == 750 > before
    assert_fits(page)
    plot.click()
    assert plot.locator("img").bounding_box()["width"] == before


def test_a_narrow_window_shows_a_plot_in_its_narrow_layout(open_report):
    report = example_report(4)
    wide = report.sections[0].plots[0]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="{}" height="20"><rect width="9" height="9"/></svg>'
    plot = dataclasses.replace(wide, image=svg.replace(b"{}", b"1200"), narrow=svg.replace(b"{}", b"420"), form="svg")
    report = dataclasses.replace(report, sections=(dataclasses.replace(report.sections[0], plots=(plot,)),))
    for window, image in ((400, 420), (1600, 1200)):
        page = open_report(report, window)
        assert page.locator("figure img").evaluate("(image) => image.naturalWidth") == image
        assert_fits(page)


@pytest.mark.parametrize("width", [400, 1600])
def test_the_means_of_valence_and_arousal_are_in_sight(open_report, annotations, library, width):
    found = analysis_of(annotations(library))
    table = group_table(found.table, "groups", "Groups", "style")
    page = open_report(Report("Title", "", (Section("groups", "Groups", tables=(table,)),), (), "{}"), width)
    right = page.locator(".scroller").bounding_box()
    for name in ("mean valence", "mean arousal"):
        box = page.get_by_role("columnheader", name=name).bounding_box()
        assert box["x"] + box["width"] <= right["x"] + right["width"] + 1, name
        assert box["height"] < 80, name  # not one letter below another
    assert_fits(page)


def test_on_a_narrow_window_the_contents_fold_away(open_report):
    page = open_report(example_report(4), 360)
    assert not page.locator("nav ol").is_visible()
    page.locator("nav summary").click()
    page.get_by_role("link", name="Data quality").click()
    assert not page.locator("nav ol").is_visible()
    top = page.locator("#section-data-quality h2").bounding_box()["y"]
    assert page.locator("nav").bounding_box()["height"] <= top < 400
    page.set_viewport_size({"width": 1600, "height": 900})
    page.locator("nav ol").wait_for(state="visible")


def contrast(first: str, second: str) -> float:
    """Contrast of two colours as WCAG defines it, 1 to 21; colours as rgb(r, g, b)."""

    def luminance(colour: str) -> float:
        channels = np.array([int(value) for value in re.findall(r"\d+", colour)[:3]]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_curves_stand_out_from_the_page(open_report, scheme):
    page = open_report(example_report(8), scheme=scheme)
    page.locator("tr.choosable").first.click()

    def colour(selector: str, what: str) -> str:
        return page.locator(selector).first.evaluate(f"(element) => getComputedStyle(element).{what}")

    ground = colour("body", "backgroundColor")
    assert (contrast(ground, "rgb(0, 0, 0)") < 2) == (scheme == "dark")
    for selector in ("h1", "p", "td", "header p", ".interval", "figcaption", "button.song", "nav a"):
        assert contrast(colour(selector, "color"), ground) >= 4.5, selector
    chosen = colour("tr.chosen td", "backgroundColor")
    assert contrast(colour("tr.chosen button.song", "color"), chosen) >= 4.5
    for name in ("valence", "arousal"):
        assert contrast(colour(f".line.{name}", "stroke"), ground) >= 3


def test_a_printed_page_has_no_controls(open_report):
    page = open_report(example_report())
    page.emulate_media(media="print")
    for selector in ("nav", "input", ".more", ".skip"):
        assert not any(element.is_visible() for element in page.locator(selector).all())
    assert page.locator("main h2").first.is_visible()
