"""The contract of an output folder: columns, how cells are written and read, parts and their records."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.annotations import (
    BARS,
    DESCRIPTIVE,
    FAILURES,
    FORMAT,
    QUADRANTS,
    RATING,
    SECONDS,
    SONGS,
    TABLES,
    Column,
    begun_parts,
    finished_parts,
    is_finished,
    kind_of,
    names,
    published_songs,
    table_path,
)
from pipeline.cells import (
    as_text,
    cell,
    csv_field,
    four_decimals,
    members,
    style_names,
)
from pipeline.records import Totals, finish_part, read_record, read_run
from pipeline.settings import UserError


@given(st.lists(st.floats(-1, 1, width=32), min_size=1))
@example([0.03125, -0.03125, 0.09375, -0.0, -1e-5, 1.0, -1.0])  # ties, zeros, ends
def test_four_decimals_are_rounded_as_python_rounds(values: list[float]) -> None:
    texts = four_decimals(np.array(values, dtype=np.float32))
    assert texts == [f"{value:z.4f}" for value in values]


@pytest.mark.parametrize("value", [1.99999, 2.0, 17.5, -300.25])
def test_large_numbers_have_four_decimals_too(value: float) -> None:
    assert four_decimals(np.array([0.5, value])) == ["0.5000", f"{value:.4f}"]


@given(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")))
def test_a_field_is_read_back_as_it_was(text: str) -> None:
    assert next(csv.reader(io.StringIO(f"{csv_field(text)},1\n"))) == [text, "1"]


def test_a_column_is_named_once_in_its_table() -> None:
    for columns in (*TABLES.values(), published_songs(names(DESCRIPTIVE))):
        assert len(set(names(columns))) == len(columns)
    every_column = (*BARS, *SONGS, *FAILURES, *DESCRIPTIVE)
    assert len({(column.name, column.kind) for column in every_column}) == len(set(names(every_column)))


def test_a_column_of_bars_named_like_a_descriptive_one_is_published_under_another_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pipeline.annotations.PUBLISHED_BARS", (*BARS, Column("tempo", SECONDS, "", "")))
    published = names(published_songs(names(DESCRIPTIVE)))
    assert "tempo" in published and "bar_tempo" in published and len(set(published)) == len(published)


def test_a_missing_number_is_an_empty_cell() -> None:
    assert [cell(RATING, value) for value in (None, float("nan"), -0.00001, 0.5)] == ["", "", "0.0000", "0.5000"]


@pytest.mark.parametrize("column", [*BARS, *SONGS, *FAILURES, *DESCRIPTIVE], ids=lambda column: column.name)
def test_all_readers_know_the_type_of_a_column(column: Column) -> None:
    kind = kind_of(column.name)
    assert kind == column.kind and column.meaning
    pa.type_for_alias(kind.arrow)
    np.dtype(kind.pandas)
    assert duckdb.sql(f"SELECT TRY_CAST('1' AS {kind.duckdb}) IS NOT NULL").fetchall() == [(True,)]


def test_quadrants_are_numbered_counterclockwise() -> None:
    assert [(q.name, q.signs, q.words) for q in QUADRANTS] == [
        ("Q1", "V+ A+", "pleasant and excited"),
        ("Q2", "V− A+", "unpleasant and excited"),
        ("Q3", "V− A−", "unpleasant and calm"),
        ("Q4", "V+ A−", "pleasant and calm"),
    ]


@given(st.lists(st.one_of(st.none(), st.text(), st.integers())))
def test_a_list_is_read_back_as_it_was(values: list[object]) -> None:
    assert members(as_text(values)) == values


@pytest.mark.parametrize(
    ("text", "styles"),
    [("rock", ["rock"]), ("[hard] rock", ["[hard] rock"]), ('["a", "a", " ", "b "]', ["a", "b"]), ("", []), ("[]", [])],
)
def test_a_cell_of_styles_is_read_as_a_list(text: str, styles: list[str]) -> None:
    assert style_names(text) == styles


def test_a_part_is_finished_when_its_record_exists(tmp_path: Path) -> None:
    for table in TABLES:
        table_path(tmp_path, table, 3).parent.mkdir()
        table_path(tmp_path, table, 3).touch()
    assert not is_finished(tmp_path, 3) and finished_parts(tmp_path) == set() and begun_parts(tmp_path) == {3}
    record = finish_part(tmp_path, 3, "f" * 64, Totals(songs=2, bars=9))
    assert is_finished(tmp_path, 3) and finished_parts(tmp_path) == {3}
    assert read_record(tmp_path, 3) == record


@pytest.mark.parametrize("made_by", [*range(1, FORMAT), FORMAT + 1, str(FORMAT), "3\n\x1b[2J"])
def test_a_folder_of_another_format_is_refused_in_one_line(tmp_path: Path, made_by: object) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"settings": {}, "versions": {}, "decides": {"format": made_by}}))
    told = re.escape(f"format {made_by!r}, this version reads and writes format {FORMAT}")
    with pytest.raises(UserError, match=told) as raised:
        read_run(tmp_path)
    assert "\n" not in str(raised.value)


def test_a_folder_without_a_record_has_no_run(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None
