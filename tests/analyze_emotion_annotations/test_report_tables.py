"""The tables of the report's page in a browser: sorting, filtering, long tables, and the format of numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from example_report import example_report, table_report
from playwright.sync_api import Page

from analyze_emotion_annotations.report_page import TableColumn

pytestmark = pytest.mark.slow  # they start a browser


def column_text(page: Page, index: int) -> list[str]:
    return page.locator(f"tbody tr td:nth-child({index + 1})").all_inner_texts()


def sort_by(page: Page, label: str) -> None:
    page.get_by_role("columnheader", name=label).get_by_role("button").click()


NUMBERS = (3, None, -0.5, (0.25, -1.0, 9.0), 0.1, None, (-2.0, -3.0, 5.0))


def test_numbers_are_sorted_by_value_and_unknown_ones_come_last(open_report):
    kinds = ("count", "signed", "share", "number", "seconds")
    columns = [TableColumn("name", "name", "text"), *(TableColumn(kind, kind, kind) for kind in kinds)]
    page = open_report(table_report(columns, [(f"row {i}", *[value] * len(kinds)) for i, value in enumerate(NUMBERS)]))
    for index, kind in enumerate(kinds, 1):
        sort_by(page, kind)  # descending first
        assert column_text(page, 0) == [f"row {i}" for i in (0, 3, 4, 2, 6, 1, 5)]
        sort_by(page, kind)
        assert column_text(page, 0) == [f"row {i}" for i in (6, 2, 4, 3, 0, 1, 5)]
        assert column_text(page, index)[-2:] == ["–", "–"]


def test_texts_are_sorted_as_a_reader_would_and_by_keyboard(open_report):
    names = ["song 10", "Étude", "", "song 2", "zither", "Song 1", "etude no. 2", None]
    page = open_report(table_report([TableColumn("name", "name", "text")], [(name,) for name in names]))
    button = page.get_by_role("columnheader").get_by_role("button")
    assert page.get_by_role("columnheader").get_attribute("aria-sort") == "none"
    button.focus()
    page.keyboard.press("Enter")
    ascending = ["Étude", "etude no. 2", "Song 1", "song 2", "song 10", "zither"]
    assert column_text(page, 0) == [*ascending, "–", "–"]
    assert page.get_by_role("columnheader").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert column_text(page, 0) == [*reversed(ascending), "–", "–"]
    assert page.get_by_role("columnheader").get_attribute("aria-sort") == "descending"


def test_one_column_at_a_time_is_marked_as_sorted(open_report):
    page = open_report(example_report())
    table = page.locator("[data-table='most-changing']")
    sorted_heads = table.locator("th:not([aria-sort='none'])")
    assert sorted_heads.all_inner_texts() == ["change"]
    for label in ("title", "bars"):
        table.get_by_role("columnheader", name=label).get_by_role("button").click()
        assert sorted_heads.all_inner_texts() == [label]


def test_numbers_have_the_format_of_their_kind(open_report):
    columns = [TableColumn(kind, kind, kind, decimals=1) for kind in ("count", "signed", "share", "number", "seconds")]
    rows = [
        (3299, 0.21, 0.588, -1.25, 205.4),
        (0, -0.21, (0.5, 0.25, 0.75), (0.5, 0.25, 0.75), 3661),
        (1, -0.01, 1, 0, 9),
    ]
    page = open_report(table_report(columns, rows))
    texts = [page.locator("tbody tr").nth(i).locator("td").all_inner_texts() for i in range(3)]
    assert [[text.replace("\u202f", "") for text in row] for row in texts] == [
        ["3,299", "+0.2", "58.8%", "−1.3", "3:25"],
        ["0", "−0.2", "50.0% [25.0, 75.0]", "0.5 [0.3, 0.8]", "1:01:01"],
        ["1", "0.0", "100.0%", "0.0", "0:09"],
    ]


def test_the_filter_keeps_rows_that_have_all_words(open_report):
    rows = [(f"title {i}", style, i) for i, style in zip(range(30), itertools.cycle(("Folk", "folk rock", "jazz")))]
    columns = (
        TableColumn("title", "title", "text"),
        TableColumn("style", "style", "text"),
        TableColumn("n", "n", "count"),
    )
    page = open_report(table_report(columns, rows))
    field = page.get_by_role("searchbox")
    field.fill("FOLK rock")
    assert column_text(page, 1) == ["folk rock"] * 10
    assert page.get_by_role("status").inner_text() == "10 of 30 rows match"
    sort_by(page, "n")
    assert column_text(page, 0)[0] == "title 28"
    field.fill("nothing of this")
    assert page.locator("tbody tr").count() == 0
    field.fill("")
    assert page.locator("tbody tr").count() == 30


def test_a_short_table_has_no_filter(open_report):
    page = open_report(table_report([TableColumn("name", "name", "text")], [("a",)] * 12))
    assert page.get_by_role("searchbox").count() == 0


def test_of_5000_rows_fifty_are_shown_until_all_are_asked_for(open_report):
    values = np.random.default_rng(3).permutation(5000)
    rows = [(f"title {i}", "artist", "style", int(value), value / 5000) for i, value in enumerate(values)]
    columns = [TableColumn(name, name, "text") for name in ("title", "artist", "style")]
    columns += [TableColumn("n", "n", "count"), TableColumn("x", "x", "number")]
    page = open_report(table_report(columns, rows))
    assert page.locator("tbody tr").count() == 50
    sort_by(page, "n")
    assert column_text(page, 3)[:3] == ["4,999", "4,998", "4,997"]
    page.get_by_role("button", name="Show all 5,000 rows").click()
    assert page.locator("tbody tr").count() == 5000
    sort_by(page, "n")
    shown = page.locator("tbody").evaluate("(body) => [...body.rows].map((row) => row.cells[3].textContent)")
    assert [int(text.replace(",", "")) for text in shown] == list(range(5000))
    page.get_by_role("searchbox").fill("title 4999")
    assert page.locator("tbody tr").count() == 1


def wide_report():
    """A table of 60 rows, of which 50 are shown at first, whose second and third columns have words and numbers."""
    columns = (
        TableColumn("title", "title", "text"),
        TableColumn("style", "style", "text"),
        TableColumn("n", "n", "count"),
        TableColumn("x", "x", "number"),
    )
    return table_report(columns, [(f"title {i}", f"style-{i}", i, i / 60) for i in range(60)])


def visible_heads(page: Page) -> list[str]:
    return [head.inner_text() for head in page.locator("th").all() if head.is_visible()]


def test_columns_are_hidden_and_shown_by_keyboard(open_report):
    page = open_report(wide_report())
    page.get_by_text("Columns", exact=True).focus()
    page.keyboard.press("Enter")
    menu = page.get_by_role("group", name="Show columns")
    # the column that names the rows stays
    assert menu.get_by_role("checkbox").evaluate_all("(all) => all.map((box) => box.labels[0].textContent)") == [
        "style", "n", "x"
    ]  # fmt: skip
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert visible_heads(page) == ["title", "n", "x"]
    assert not page.locator("tbody td:nth-child(2)").first.is_visible()
    page.keyboard.press("Space")
    assert visible_heads(page) == ["title", "style", "n", "x"]
    assert page.locator("tbody td:nth-child(2)").first.is_visible()


def test_a_hidden_column_stays_hidden_in_rows_that_come_later_and_is_not_searched(open_report):
    page = open_report(wide_report())
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("style", exact=True).uncheck()
    sort_by(page, "n")
    page.get_by_role("button", name="Show all 60 rows").click()
    hidden = "(body) => [...body.rows].map((row) => row.cells[1].checkVisibility())"
    assert page.locator("tbody").evaluate(hidden) == [False] * 60
    page.get_by_role("searchbox").fill("style-5")
    assert page.locator("tbody tr").count() == 0
    page.get_by_label("style", exact=True).check()
    assert page.locator("tbody tr").count() == 11
    assert page.locator("tbody").evaluate(hidden) == [True] * 11


def test_a_table_of_three_columns_has_no_menu(open_report):
    columns = [TableColumn(name, name, "text") for name in "abc"]
    assert open_report(table_report(columns, [("1", "2", "3")])).locator(".column-menu").count() == 0
