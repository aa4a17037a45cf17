"""Invalid folders and files are refused with one line that says what is wrong, and where."""

from __future__ import annotations

import json

import numpy as np
import pytest
from analyse_folder import table_of

from analyze_emotion_annotations.annotation_tables import parts_of, read_bars, read_songs, same_header
from pipeline.annotations import record_path
from pipeline.settings import UserError

BARS = np.full((3, 2), 0.25)


def refusal(function, *arguments):
    with pytest.raises(UserError) as raised:
        function(*arguments)
    message = str(raised.value)
    assert "\n" not in message
    return message


def read_all_bars(folder):
    parts, _ = parts_of(folder)
    return [list(read_bars(part, ["md5", "valence", "arousal"])) for part in parts]


def test_a_missing_folder_is_refused(tmp_path):
    message = refusal(parts_of, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message and "01_annotate.py" in message


def test_a_part_is_finished_when_its_record_is_there(annotations):
    folder = annotations([({"name": "a"}, BARS)], [({"name": "b"}, BARS)])
    (folder / "bars" / ".part-00002.csv.77.partial").write_text("md5,bar")
    record_path(folder, 1).unlink()
    parts, unfinished = parts_of(folder)
    assert [part.bars.name for part in parts] == ["part-00000.csv"]
    assert unfinished == 1
    record_path(folder, 0).unlink()
    assert "no finished part" in refusal(parts_of, folder)


def test_a_part_without_one_of_its_tables_is_named(annotations):
    folder = annotations([({"name": "a"}, BARS)], [({"name": "b"}, BARS)])
    (folder / "songs" / "part-00001.csv").unlink()
    assert "songs/part-00001.csv" in refusal(table_of, folder)


@pytest.mark.parametrize("decides", [{"format": 2}, {"format": "3"}, {}])
def test_tables_of_another_format_are_refused_in_one_line(annotations, decides):
    folder = annotations([({"name": "a"}, BARS)])
    (folder / "run.json").write_text(json.dumps({"settings": {}, "decides": decides}))
    assert f"{folder / 'run.json'}: the tables here are of format" in refusal(parts_of, folder)


def test_annotations_without_bars_are_refused(annotations):
    folder = annotations([({"name": "a"}, BARS[:0])])
    assert "failures" in refusal(table_of, folder)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("arousal", "mood", "column arousal is missing"),
        ("0.25", "loud", "can't be read as a table"),
        ("0.25", "1.25", "outside -1 to 1"),
        ("0.25", "", "missing or outside"),
    ],
)
def test_an_invalid_table_of_bars_is_refused(annotations, old, new, expected):
    folder = annotations([({"name": "a"}, BARS)])
    path = folder / "bars" / "part-00000.csv"
    path.write_text(path.read_text().replace(old, new))
    message = refusal(read_all_bars, folder)
    assert str(path) in message and expected in message
    assert str(path.parent) in refusal(table_of, folder)


def test_an_empty_file_is_refused(annotations):
    folder = annotations([({"name": "a"}, BARS)])
    (folder / "bars" / "part-00000.csv").write_text("")
    assert "without even a header" in refusal(read_all_bars, folder)


def test_parts_of_different_releases_do_not_mix(annotations):
    folder = annotations([({"name": "a", "music_style_scraped": "pop"}, BARS)], [({"name": "b"}, BARS)])
    parts, _ = parts_of(folder)
    message = refusal(same_header, [part.songs for part in parts])
    assert "part-00001.csv" in message and "music_style_scraped" in message
    assert message == refusal(table_of, folder)


def test_text_is_read_unchanged(annotations):
    folder = annotations([({"name": "a", "title": "NA", "artist": ""}, BARS)])
    song = read_songs(parts_of(folder)[0][0], ["title", "artist", "music_style_scraped"]).iloc[0]
    assert (song["title"], song["artist"]) == ("NA", "")
    assert "music_style_scraped" not in song


def test_a_long_table_comes_in_pieces(annotations):
    folder = annotations([({"name": "a"}, np.linspace(-1, 1, 22).reshape(11, 2))])
    part = parts_of(folder)[0][0]
    pieces = list(read_bars(part, ["valence"], rows_at_once=4))
    assert [len(piece) for piece in pieces] == [4, 4, 3]
    np.testing.assert_allclose(np.concatenate([piece["valence"] for piece in pieces]), np.linspace(-1, 1, 22)[::2])
