"""Names of files that are made of songs."""

from __future__ import annotations

import pytest

from pipeline.file_names import FileNames

MD5 = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("title", "name"), [("Tune", MD5), ("", MD5), ("a tune.MID", "a tune"), ("b/c.d.kar", "b_c.d"), ("A. B", MD5)]
)
def test_a_song_of_a_data_set_is_named_by_its_md5_and_a_file_by_its_path(title: str, name: str) -> None:
    assert FileNames().of(title, MD5) == name


def test_no_name_is_given_twice() -> None:
    names = FileNames()
    given = [names.of(title, MD5) for title in ("a/b.mid", "A_b.mid", "a_b.midi", "", "")]
    assert given[:2] == ["a_b", f"A_b-{MD5[:8]}"]
    assert len({name.casefold() for name in given}) == 5


@pytest.mark.parametrize(
    "called", ["../../etc/x", "a/b", "$<>|:*?", "x" * 5000, "\U0001d7d8" * 5000, "月", ".", "..", "", "\udcff"]
)
def test_a_file_stays_in_its_folder_whatever_its_song_is_called(called: str) -> None:
    for name in (FileNames().of(f"{called}.mid", MD5), FileNames().of("", called)):
        assert name and "/" not in name and not name.startswith(".")
        assert len(name.encode()) <= 120 + len(f"-{MD5[:8]}")
