"""Folders and files that are not what they should be: one line says what is wrong, and where."""

from __future__ import annotations

import numpy as np
import pytest
from analyse_folder import table_of

from analyze_emotion_annotations.annotation_tables import finished_parts, read_bars, read_songs, same_header
from pipeline.settings import UserError

BARS = np.full((3, 2), 0.25)


def refusal(function, *arguments):
    with pytest.raises(UserError) as raised:
        function(*arguments)
    message = str(raised.value)
    assert "\n" not in message
    return message


def read_all_bars(folder):
    parts, _ = finished_parts(folder)
    return [list(read_bars(part, ["md5", "valence", "arousal"])) for part in parts]


def test_a_folder_that_is_not_there(tmp_path):
    message = refusal(finished_parts, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in message and "01_annotate.py" in message


def test_a_part_is_finished_when_both_tables_stand(annotations):
    folder = annotations([({"name": "a"}, BARS)], [({"name": "b"}, BARS)])
    (folder / "bars" / ".part-00002.csv.77.partial").write_text("md5,bar")
    (folder / "songs" / "part-00001.csv").unlink()
    parts, unfinished = finished_parts(folder)
    assert [part.bars.name for part in parts] == ["part-00000.csv"]
    assert unfinished == 1
    (folder / "bars" / "part-00000.csv").unlink()
    assert "no finished part" in refusal(finished_parts, folder)


def test_no_bar_at_all(annotations):
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
def test_a_bars_table_that_is_wrong(annotations, old, new, expected):
    folder = annotations([({"name": "a"}, BARS)])
    path = folder / "bars" / "part-00000.csv"
    path.write_text(path.read_text().replace(old, new))
    message = refusal(read_all_bars, folder)
    assert str(path) in message and expected in message
    assert str(path.parent) in refusal(table_of, folder)


def test_an_empty_file(annotations):
    folder = annotations([({"name": "a"}, BARS)])
    (folder / "bars" / "part-00000.csv").write_text("")
    assert "without even a header" in refusal(read_all_bars, folder)


def test_parts_of_different_releases_do_not_mix(annotations):
    folder = annotations([({"name": "a", "music_style_scraped": "pop"}, BARS)], [({"name": "b"}, BARS)])
    parts, _ = finished_parts(folder)
    message = refusal(same_header, [part.songs for part in parts])
    assert "part-00001.csv" in message and "music_style_scraped" in message
    assert message == refusal(table_of, folder)


def test_text_is_read_as_it_stands(annotations):
    folder = annotations([({"name": "a", "title": "NA", "artist": ""}, BARS)])
    song = read_songs(finished_parts(folder)[0][0], ["title", "artist", "music_style_scraped"]).iloc[0]
    assert (song["title"], song["artist"]) == ("NA", "")
    assert "music_style_scraped" not in song


def test_a_long_table_comes_in_pieces(annotations):
    folder = annotations([({"name": "a"}, np.linspace(-1, 1, 22).reshape(11, 2))])
    part = finished_parts(folder)[0][0]
    pieces = list(read_bars(part, ["valence"], rows_at_once=4))
    assert [len(piece) for piece in pieces] == [4, 4, 3]
    np.testing.assert_allclose(np.concatenate([piece["valence"] for piece in pieces]), np.linspace(-1, 1, 22)[::2])
