"""Tables of a part: numbers and names as the csv module would write them."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from process_gigamidi.part_files import csv_field, four_decimals


@given(st.lists(st.floats(-1, 1, width=32), min_size=1))
@example([0.03125, -0.03125, 0.09375, -0.0, -1e-5, 1.0, -1.0])  # ties, zeros, ends
def test_four_decimals_are_rounded_as_python_rounds(values: list[float]) -> None:
    (texts,) = four_decimals(np.array(values, dtype=np.float32)[:, None])
    assert texts == [f"{value:z.4f}" for value in values]


@pytest.mark.parametrize("value", [1.99999, 2.0, 17.5, -300.25])
def test_large_numbers_are_written_too(value: float) -> None:
    assert four_decimals(np.array([[0.5, value]])) == [["0.5000"], [f"{value:.4f}"]]


@given(st.text(st.characters(exclude_characters="\r\n\0", codec="utf-8")))
def test_a_field_is_read_back_as_it_was(text: str) -> None:
    assert next(csv.reader(io.StringIO(f"{csv_field(text)},1\n"))) == [text, "1"]
