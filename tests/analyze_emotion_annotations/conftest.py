"""Small folders of annotations, as process_gigamidi/01_annotate.py writes them; a browser for the report's page."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from script_runs import Done, run_script

from analyze_emotion_annotations.report_page import Report, render
from pipeline.annotations import TABLES, record_path
from pipeline.files import write_json
from pipeline.records import Totals

SongRow = Mapping[str, object]


def write_annotations(folder: Path, parts: Sequence[Sequence[tuple[SongRow, np.ndarray]]]) -> Path:
    """Write parts of songs. A song is its row (a name, and columns of the songs table) and its bars' values, (n, 2)."""
    for number, songs in enumerate(parts):
        bars, rows = [], []
        for song, ratings in songs:
            n = len(ratings)
            md5 = hashlib.md5(str(song["name"]).encode()).hexdigest()
            facts = {"n_bars": n, "n_notes": 4 * n, "duration_seconds": 2.0 * n}
            rows.append({"md5": md5, **facts, **{key: value for key, value in song.items() if key != "name"}})
            bars.append((np.full(n, md5), np.arange(n), ratings))
        md5s, number_of_bar, values = (np.concatenate(column) for column in zip(*bars, strict=True))
        columns = {
            "md5": md5s,
            "bar_number": number_of_bar,
            "valence": values[:, 0],
            "arousal": values[:, 1],
            "start_tick": number_of_bar * 1920,
            "start_seconds": number_of_bar * 2.0,
            "meter": "4/4",
            "n_notes": 4,
        }
        for kind, frame in (("bars", pd.DataFrame(columns)), ("songs", pd.DataFrame(rows))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            frame.to_csv(folder / kind / f"part-{number:05d}.csv", index=False)
        totals = asdict(Totals(songs=len(songs), bars=len(md5s)))
        # the digests are nobody's: the analysis doesn't compare them, so that tests may change tables
        digests = dict.fromkeys(TABLES, "0" * 64)
        write_json(record_path(folder, number), {"part": number, "run": "0" * 64, "totals": totals, "sha256": digests})
    return folder


@pytest.fixture
def annotations(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the given parts of songs to a folder and returns it; a song's md5 is that of its name."""
    return lambda *parts, folder="annotations": write_annotations(tmp_path / folder, parts)


@pytest.fixture
def library() -> list[tuple[SongRow, np.ndarray]]:
    """Sixty songs in four styles; some have two styles and some none."""
    random = np.random.default_rng(11)
    styles = ('["folk"]', '["folk", "pop"]', '["jazz"]', "", '["blues", "jazz"]')
    return [
        (
            {"name": f"song {i}", "music_styles_curated": styles[i % 5], "title": f"Tune {i}", "artist": ""},
            np.tanh(random.normal(0.1 * (i % 5), 0.4, (int(random.integers(1, 40)), 2))),
        )
        for i in range(60)
    ]


@pytest.fixture
def run_here(tmp_path: Path) -> Callable[..., Done]:
    """A function that runs a numbered script of this phase with the given arguments, in tmp_path and this process."""
    return lambda script, *words: run_script(f"analyze_emotion_annotations/{script}", *words, folder=tmp_path)


@pytest.fixture(scope="module")  # while it is open, no other test of the process could run an event loop
def browser() -> Iterator[Browser]:
    """Debian's chromium without a window; tests are skipped where it isn't installed."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the browser chromium, which is not here; as root on Debian, `make browser` installs it")
    with sync_playwright() as playwright:
        # root can't have chromium's sandbox, and the only pages that are opened are ours
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """Forbidden actions of a test's pages; must be empty when the test ends."""
    return []


@pytest.fixture
def open_report(browser: Browser, tmp_path: Path, complaints: list[str]) -> Iterator[Callable[..., Page]]:
    """A function that opens a report, or the text of a page, from a file and without a network. before: a script.

    The test fails if a page throws, writes to the console (as a broken policy does), opens a dialog, or requests
    anything except itself.
    """
    contexts: list[BrowserContext] = []

    def opened(
        report: Report | str, width: int = 1200, height: int = 800, scheme: str = "light", before: str = ""
    ) -> Page:
        file = tmp_path / f"report {len(contexts)}.html"
        file.write_text(report if isinstance(report, str) else render(report), encoding="utf-8")
        size = {"width": width, "height": height}
        contexts.append(browser.new_context(viewport=size, color_scheme=scheme, offline=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.add_init_script(before)
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(f"request: {request.url}"))
        page.goto(file.as_uri())
        complaints.remove(f"request: {file.as_uri()}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [complaint for complaint in complaints if not complaint.startswith("request: data:image/")] == []
