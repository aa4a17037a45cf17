"""A record that nobody of this project wrote is refused in one line, whatever it holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline.annotations import FORMAT, TABLES, record_path
from pipeline.records import PartRecord, RecordError, Totals, read_dataset_run, read_record, read_run

GOOD = asdict(PartRecord(0, "f" * 64, Totals(3, 20, 2, 1, 4, {"empty": 2}), dict.fromkeys(TABLES, "0" * 64)))
RUN = {"settings": {}, "versions": {"python": "3.11"}, "decides": {"format": FORMAT}, "parts": 2, "totals": None}


def changed(record: dict[str, Any], *keys: str, to: object) -> dict[str, Any]:
    """A record with another value at a place within it; "gone" removes the place."""
    copied = json.loads(json.dumps(record))
    inner = copied
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    if to == "gone":
        del inner[keys[-1]]
    return copied


def refusal(error: pytest.ExceptionInfo[RecordError], path: Path) -> str:
    line = str(error.value)
    assert line.startswith(f"{path}: ") and line.isprintable() and len(line) < len(str(path)) + 300
    assert error.value.exit_code == 2
    return line


def put(folder: Path, record: object) -> Path:
    path = record_path(folder, 0)
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record))
    return path


@pytest.mark.parametrize(
    "record",
    [
        *([], None, 1, "text", {}),
        *(changed(GOOD, key, to="gone") for key in GOOD),
        *(changed(GOOD, key, to=value) for key in GOOD for value in (None, [], 10**13, -1, True, "x\n", 0.5)),
        *(changed(GOOD, "totals", key, to=value) for key in GOOD["totals"] for value in ("gone", None, -1, True, 2.0)),
        *(changed(GOOD, "totals", key, to=value) for key in ("songs", "bars", "failures") for value in (10**13, "3")),
        *(changed(GOOD, "totals", "failures_by_reason", to=value) for value in ({"a": 3}, {"a\n": 2}, {"a": True})),
        *(changed(GOOD, "sha256", table, to=value) for table in TABLES for value in ("gone", "../../x", "F" * 64, 1)),
    ],
)
def test_a_record_of_a_part_that_holds_something_else_is_refused(tmp_path: Path, record: object) -> None:
    path = put(tmp_path, record)
    with pytest.raises(RecordError) as raised:
        read_record(tmp_path, 0)
    assert "remove it, and 01_annotate.py makes it again" in refusal(raised, path)


def test_the_record_of_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    put(tmp_path, GOOD)
    assert asdict(read_record(tmp_path, 0)) == GOOD


@pytest.mark.parametrize(
    "record",
    [
        *(changed(RUN, "parts", to=value) for value in ("gone", None, -1, True, 10**13, 2.0, "2")),
        *(changed(RUN, "totals", to=value) for value in (1, [], {}, "x", {"songs": 1})),
        *(changed(RUN, "versions", to=value) for value in ("gone", None, [], {"a": 1}, {"a": "x\ny"}, {"a\x1b": ""})),
        *(changed(RUN, "decides", "key", to=value) for value in ([], {}, "two\nlines", "\x1b[2J", "x" * 2_000)),
        changed(RUN, "decides", "a\nb", to=1),
        changed(RUN, "decides", to=[]),
        changed(RUN, "settings", to=[]),
    ],
)
def test_a_run_record_that_holds_something_else_is_refused(tmp_path: Path, record: object) -> None:
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(RecordError) as raised:
        read_dataset_run(tmp_path)
    refusal(raised, tmp_path / "run.json")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": Infinity}', b"[" * 9_999, b"\xff", b"9" * 5_000])
def test_a_run_record_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(RecordError, match="not a record of an annotation") as raised:
        read_run(tmp_path)
    refusal(raised, tmp_path / "run.json")


def test_a_run_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    assert read_dataset_run(tmp_path) == read_run(tmp_path) == RUN
