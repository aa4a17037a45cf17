"""The report's page in Firefox: it opens without complaints, its tables sort, and a song is drawn and played."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from example_report import example_report
from firefox import Firefox, FirefoxPage
from test_report_in_browser import CUT_OFF
from test_report_sound import heard_report

from analyze_emotion_annotations.report_page import Report, render

# Waits until the cursor has moved away from the start; the page's own clock runs.
MOVED = """new Promise((moved) => {
  const cursor = document.querySelector("#song .cursor");
  const look = () => (cursor.getAttribute("x1") > 44.5 ? moved(true) : requestAnimationFrame(look));
  look();
})"""
pytestmark = pytest.mark.slow  # they start a browser


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    """Debian's Firefox; tests are skipped where it isn't installed."""
    program = shutil.which("firefox-esr")
    if program is None:
        pytest.skip("needs the browser firefox-esr, which is not here; as root on Debian, `make browser` installs it")
    browser = Firefox(program, tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


@pytest.fixture
def open_in_firefox(firefox: Firefox, tmp_path: Path) -> Iterator[Callable[..., FirefoxPage]]:
    """A function that opens a report from a file; the test fails if its page complains or asks for another address."""
    pages: list[FirefoxPage] = []

    def opened(report: Report, width: int = 1200, height: int = 800) -> FirefoxPage:
        file = tmp_path / f"report {len(pages)}.html"
        file.write_text(render(report), encoding="utf-8")
        pages.append(firefox.open(file.as_uri(), width, height))
        return pages[-1]

    yield opened
    for page in pages:
        complaints = page.complaints()
        page.close()
        assert [complaint for complaint in complaints if not complaint.startswith("request: data:")] == []


def texts(page: FirefoxPage, selector: str) -> list[str]:
    return page.evaluate(f"[...document.querySelectorAll('{selector}')].map((element) => element.innerText.trim())")


def test_complaints_are_heard(firefox, tmp_path):
    file = tmp_path / "complaining.html"
    file.write_text(
        "<img src='https://example.invalid/x.png'><script>console.log('said'); throw new Error('oh')</script>"
    )
    page = firefox.open(file.as_uri(), 400, 400)
    complaints = " ".join(page.complaints())
    page.close()
    assert all(what in complaints for what in ("said", "Error: oh", "request: https://example.invalid/x.png"))


def test_a_report_opens_and_shows_its_sections(open_in_firefox):
    page = open_in_firefox(example_report())
    assert page.evaluate("document.title") == "Valence and arousal of 3,299 songs"
    assert texts(page, "nav a") == texts(page, "main h2")
    assert page.evaluate("[...document.querySelectorAll('figure img')].every((image) => image.naturalWidth > 300)")


def test_a_table_sorts_and_its_columns_hide(open_in_firefox):
    page = open_in_firefox(heard_report())
    assert texts(page, "tbody td:first-child") == ["First", "Second", "Silent"]
    page.click("th button", "title")
    page.click("th button", "title")
    assert page.evaluate("document.querySelector('th').getAttribute('aria-sort')") == "descending"
    assert texts(page, "tbody td:first-child") == ["Silent", "Second", "First"]
    page = open_in_firefox(example_report())
    page.click(".column-menu summary")
    label = texts(page, ".column-menu label")[0]
    heads = "[...document.querySelector('table').querySelectorAll('th')].filter((head) => head.offsetWidth).length"
    before = page.evaluate(heads)
    page.click(".column-menu label", label)
    assert page.evaluate(heads) == before - 1


def test_a_song_is_drawn_and_played(open_in_firefox):
    page = open_in_firefox(heard_report())
    page.click("tr.choosable", "First")
    assert texts(page, "#song h2") == ["First"]
    steps = "document.querySelector('#song .line.valence').getAttribute('d').split('V').length - 1"
    assert page.evaluate(steps) == 8
    label = "document.querySelector('#song .play').getAttribute('aria-label')"
    assert page.evaluate(label) == "Play the song"
    page.click("#song .play")
    assert page.evaluate(label) == "Pause the song"
    assert page.evaluate(MOVED)
    page.click("#song .play")
    assert page.evaluate(label) == "Play the song"
    page.click("#song .chart")
    page.press("End")
    assert texts(page, "#song .time") == ["0:14 / 0:16"]
    page.press("Space")
    assert page.evaluate(label) == "Pause the song"
    page.press("Escape")
    assert page.evaluate("document.querySelector('#song').hidden")


@pytest.mark.parametrize("width", [400, 1600])
def test_nothing_is_cut_off(open_in_firefox, width):
    page = open_in_firefox(example_report(), width)
    assert page.evaluate("innerWidth") == width
    page.click("button.song")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(f"({CUT_OFF})()") == []
    page = open_in_firefox(heard_report(), width)
    page.click("button.song")
    assert page.evaluate("document.querySelector('#song').scrollWidth <= innerWidth")
    assert page.evaluate(f"({CUT_OFF})()") == []
