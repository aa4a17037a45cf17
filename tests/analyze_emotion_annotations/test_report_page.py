"""The report's page as text: strangers' text stays text, nothing is loaded from the network, files stay small."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from html.parser import HTMLParser

import numpy as np
import pytest
from example_report import curve_of, table_report
from hostile_texts import HOSTILE, report_saying
from hypothesis import given, settings
from hypothesis import strategies as st

from analyze_emotion_annotations.report_page import Report, Section, Table, TableColumn, render

TEXT, COUNT = TableColumn("style", "style", "text"), TableColumn("songs", "songs", "count")
any_text = st.text(st.characters(), max_size=30)  # lone surrogates, controls and all


class Parsed(HTMLParser):
    """A parsed page: its tags with the names of their attributes, the text of scripts and styles, and the policy."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.inside = ""
        self.texts: dict[str, list[str]] = {"script": [], "style": []}
        self.policy = ""
        self.addresses: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, *(name for name, _ in attributes)))
        self.inside = tag
        values = dict(attributes)
        if values.get("http-equiv") == "Content-Security-Policy":
            self.policy = values["content"]
        self.addresses += [value for name, value in attributes if name in ("src", "href", "action", "data", "srcset")]

    def handle_endtag(self, tag):
        self.tags.append((f"/{tag}",))
        self.inside = ""

    def handle_data(self, data):
        if self.inside in self.texts:
            self.texts[self.inside].append(data)

    @property
    def data(self):
        return json.loads(self.texts["script"][0])


@pytest.mark.parametrize("text", HOSTILE)
def test_a_strangers_text_adds_no_tag_and_no_attribute(text):
    assert Parsed(render(report_saying([text]))).tags == Parsed(render(report_saying(["harmless"]))).tags


@settings(max_examples=60, deadline=None)
@given(any_text)
def test_any_text_reaches_the_script_unchanged(text):
    page = render(report_saying([text]))
    assert page.encode("utf-8").decode("utf-8") == page
    parsed = Parsed(page)
    assert parsed.tags == Parsed(render(report_saying(["harmless"]))).tags
    table = parsed.data["tables"]["songs"]
    assert table["rows"][0][:3] == [text] * 3
    assert table["caption"] == table["columns"][0]["label"] == text
    (song,) = parsed.data["songs"].values()
    assert song["title"] == song["artist"] == text


def test_the_data_can_not_end_its_own_element():
    block = Parsed(render(report_saying(HOSTILE))).texts["script"][0]
    assert block.isascii()
    assert not set("<>&") & set(block)


def test_marks_that_turn_or_end_the_text_around_them_are_not_in_the_html():
    page = render(report_saying(["a\u202eb\u2066c\x00d\ud800e\u2028f"]))
    assert not set("\u202e\u2066\x00\ud800\u2028") & set(page)
    assert "a\ufffdb\ufffdc\ufffdd\ufffde\ufffdf" in page


def test_the_policy_allows_only_this_style_and_this_script():
    parsed = Parsed(render(report_saying(HOSTILE)))
    rules = dict(rule.split(maxsplit=1) for rule in parsed.policy.split("; "))
    for rule, text in (("style-src", parsed.texts["style"][0]), ("script-src", parsed.texts["script"][1])):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert (rules["default-src"], rules["base-uri"], rules["form-action"]) == ("'none'",) * 3
    assert rules["img-src"] == "data:"


def test_no_address_leads_out_of_the_file():
    addresses = Parsed(render(report_saying(HOSTILE))).addresses
    assert addresses
    assert all(address.startswith(("#", "data:image/")) for address in addresses)


def test_numbers_are_short_and_unknown_ones_are_null():
    columns = tuple(TableColumn(kind, kind, kind) for kind in ("count", "signed", "share", "number", "seconds"))
    rows = ((np.int64(3299), np.float32(0.25), (0.5, 0.123456789, 1.0), float("nan"), None),)
    curve = dataclasses.replace(
        curve_of("song", ""), duration_seconds=float("nan"), valence=np.array([1 / 3, np.nan, -1, 0, 0, 0, 0, 0])
    )
    data = Parsed(render(table_report(columns, rows, curves=[curve]))).data
    assert data["tables"]["table"]["rows"] == [[3299, 0.25, [0.5, 0.123457, 1], None, None]]
    assert data["songs"]["song"]["valence"][:4] == [0.333, None, -1, 0]
    assert data["songs"]["song"]["duration"] is None


def test_150_songs_of_300_bars_take_three_megabytes_at_most():
    random = np.random.default_rng(0)
    names = ("start_seconds", "valence", "arousal", "valence_error_sd", "arousal_error_sd")
    curves = tuple(
        dataclasses.replace(
            curve_of(hashlib.md5(bytes([i])).hexdigest(), "A title of some length", 300),
            n_notes=random.integers(1, 99, 300),
            **{name: random.random(300) * (900 if name == "start_seconds" else 1) for name in names},
        )
        for i in range(150)
    )
    assert len(render(table_report([TEXT], [], curves=curves)).encode()) < 3_000_000


@pytest.mark.parametrize(
    ("parts", "complaint"),
    [
        (([TEXT, COUNT], [("folk",)]), "more or fewer cells"),
        (([TEXT, COUNT], [("folk", "3")]), "a cell of songs"),
        (([TEXT], [(3,)]), "a cell of style"),
        (([TEXT], [("folk",)], ["md5", "md5"]), "2 songs for 1 rows"),
        (([TEXT, TableColumn("other", "style", "text")], [("folk", "pop")]), "two columns share a label: style, style"),
    ],
)
def test_a_table_that_does_not_fit_together_is_refused(parts, complaint):
    with pytest.raises(ValueError, match=complaint):
        render(table_report(*parts))


def test_two_tables_of_the_same_name_and_an_unknown_column_to_sort_by_are_refused():
    table = Table("styles", "Styles", (TEXT,), (("folk",),))
    for tables, complaint in (
        ((table, table), "share a name"),
        ((dataclasses.replace(table, sort_by="bars"),), "no column bars"),
    ):
        with pytest.raises(ValueError, match=complaint):
            render(Report("Title", "", (Section("section", "Section", tables=tables),), (), "{}"))


def test_a_song_without_bars_or_with_arrays_of_two_lengths_is_refused():
    song = curve_of("song", "Song")
    for curve in (dataclasses.replace(song, valence=np.zeros(3)), curve_of("song", "Song", 0)):
        with pytest.raises(ValueError, match="song song: no bars, or arrays of different lengths"):
            render(table_report([TEXT], [], curves=[curve]))
