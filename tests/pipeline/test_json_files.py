"""JSON that anybody may have written is read strictly, in bounded time and memory, or refused in a few words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.json_files import MAX_DEPTH, MAX_JSON_BYTES, read_json


def written(folder: Path, content: bytes) -> Path:
    (folder / "a.json").write_bytes(content)
    return folder / "a.json"


def nested(depth: int) -> list[object]:
    return [nested(depth - 1)] if depth > 1 else []


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b'{"a": [1, -2.5, null, true, "\xc3\xa4\\ud83d\\ude00"]}', {"a": [1, -2.5, None, True, "ä😀"]}),
        (str(2**63 - 1).encode(), 2**63 - 1),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, nested(MAX_DEPTH)),
    ],
)
def test_standard_json_is_read(tmp_path: Path, content: bytes, found: object) -> None:
    assert read_json(written(tmp_path, content)) == found


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "twice"),
        (b'{"a": Infinity}', "Infinity"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e400", "too large"),
        (b"9" * 5_000, "too large"),
        (str(2**63).encode(), "too large"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "brackets"),
        (b"[" * 100_000 + b"]" * 100_000, "brackets"),
        (b'{"a":' * 100_000, "brackets"),
        (b'"\xff"', "not UTF-8"),
        (b'{"\\ud800": 1}', "not Unicode"),
        (b"", "line 1 is not JSON"),
        (b'{"a":\n1,}', "line 2 is not JSON"),
        (b'"\x00"', "line 1 is not JSON"),
    ],
)
def test_anything_else_is_refused_in_a_few_words(tmp_path: Path, content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why) as raised:
        read_json(written(tmp_path, content))
    assert len(str(raised.value)) < 80 and "\n" not in str(raised.value)


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = written(tmp_path, b"")
    os.truncate(path, 10**12)  # takes no room on the disk, and could never be read
    with pytest.raises(ValueError, match=f"larger than {MAX_JSON_BYTES // 10**6} MB"):
        read_json(path)


def test_a_folder_a_pipe_and_an_endless_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match=r"it is a folder|it is not a file"):
            read_json(path)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "nothing")
