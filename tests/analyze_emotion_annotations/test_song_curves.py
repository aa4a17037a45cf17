"""Plots of single songs: the songs asked for, with their values at the right bars and seconds."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
import pytest
from drawn_labels import covered_labels

from analyze_emotion_annotations.annotation_tables import find_songs, parts_of
from analyze_emotion_annotations.plot_canvas import save_plot
from analyze_emotion_annotations.song_curves import Song, band, plot_song, steps
from pipeline.settings import UserError

RISING = np.stack([np.linspace(-1, 1, 5), np.linspace(0.5, -0.5, 5)], axis=1)


def md5_of(name):
    return hashlib.md5(name.encode()).hexdigest()


def song(**changes):
    known = Song(
        md5=md5_of("a"),
        title="Tune",
        artist="",
        duration_seconds=9.0,
        bar_number=np.array([2, 3, 4]),
        start_seconds=np.array([4.0, 6.0, 7.5]),
        valence=np.array([0.1, 0.2, -1.0]),
        arousal=np.array([0.3, 1.0, -0.3]),
    )
    return dataclasses.replace(known, **changes)


def at(x, y, position):
    """The value of a drawn curve at a position between its corners."""
    i = np.flatnonzero((x[:-1] < position) & (position < x[1:]))
    return y[i[0]] if len(i) and y[i[0]] == y[i[0] + 1] else np.nan


def test_a_curve_keeps_its_value_from_the_start_of_a_bar_to_its_end():
    x, y = steps(np.array([4.0, 6.0, 7.5]), np.array([2, 3, 4]), 9.0, np.array([0.1, 0.2, -1.0]))
    assert [at(x, y, position) for position in (4.1, 5.9, 6.1, 7.4, 7.6, 8.9)] == [0.1, 0.1, 0.2, 0.2, -1.0, -1.0]
    assert (x[0], x[-1]) == (4.0, 9.0)


def test_a_curve_breaks_where_bars_are_missing():
    x, y = steps(np.array([0.0, 2.0, 8.0]), np.array([0, 1, 4]), np.nan, np.array([0.1, 0.2, 0.3]))
    assert at(x, y, 3.9) == 0.2
    assert np.isnan(at(x, y, 6.0))
    assert at(x, y, 9.9) == 0.3  # as long as a bar before it


def test_both_panels_show_the_whole_range_and_the_bars_where_they_are():
    over_bars, _, _, over_seconds = plot_song(song(), dpi=50).axes
    assert over_bars.get_ylim() == over_seconds.get_ylim() == (-1, 1)
    for panel, ends in ((over_bars, (2, 5)), (over_seconds, (4.0, 9.0))):
        curves = {line.get_label(): line.get_xydata() for line in panel.lines}
        assert (curves["valence"][0, 0], curves["valence"][-1, 0]) == ends
        assert set(curves["arousal"][:, 1]) == {0.3, 1.0, -0.3}


def enlarged(drawn):
    """The panels that show valence and arousal in the song's own range."""
    _, valence, arousal, *_ = plot_song(drawn, dpi=50).axes
    return valence, arousal


def test_each_curve_is_enlarged_to_the_range_of_its_song_around_its_mean():
    drawn = song(valence=np.array([0.4, 0.5, 0.6]), arousal=np.array([-0.3, -0.2, 0.1]))
    for panel, dimension, values, mean in zip(
        enlarged(drawn), ("valence", "arousal"), ((0.4, 0.6), (-0.3, 0.1)), (0.5, -2 / 15), strict=True
    ):
        low, high = panel.get_ylim()
        assert low < values[0] and high > values[1]
        assert high - low == pytest.approx(1.1 * 0.4)  # both as arousal needs it, so that their moves can be compared
        lines = {line.get_label(): line for line in panel.lines}
        assert set(lines[dimension].get_ydata()) == set(getattr(drawn, dimension))
        np.testing.assert_allclose(lines["mean"].get_ydata(), mean)
        assert panel.get_title(loc="left").startswith(f"{dimension} enlarged")
    assert panel.get_title(loc="left").endswith("from −0.30 to +0.10; dashed: its mean, −0.13")


@pytest.mark.parametrize("values", [np.full(3, 0.25), np.array([0.25, 0.2501, 0.2499]), np.full(3, 1.0)])
def test_next_to_no_movement_does_not_look_like_much(values):
    for panel in enlarged(song(valence=values, arousal=values)):
        low, high = panel.get_ylim()
        assert high - low == pytest.approx(0.11) and low < values.min() and high > values.max()


def test_no_label_of_a_song_covers_another():
    drawn = song(n_notes=np.array([4, 0, 12]), valence=np.array([-1, 1, 0.5]), arousal=np.array([-0.001, 0, 0.002]))
    assert covered_labels(plot_song(drawn, dpi=100)) == []


@pytest.mark.parametrize("title", ["$\\frac{", "A $ for 2 $", "long " * 100, "夜\x00\n", ""])
def test_any_title_can_be_drawn(title, tmp_path):
    figure = plot_song(song(title=title, duration_seconds=float("nan")), dpi=50)
    save_plot(figure, tmp_path, "song")
    assert (tmp_path / "song.png").read_bytes().startswith(b"\x89PNG")
    written = max((text for text in figure.texts), key=lambda text: text.get_fontsize()).get_text()
    assert 0 < len(written) <= 80


def test_a_plot_is_1200_pixels_wide(tmp_path):
    save_plot(plot_song(song(), dpi=100), tmp_path, "song")
    assert int.from_bytes((tmp_path / "song.png").read_bytes()[16:20]) == 1200


def test_songs_are_found_in_any_part_and_come_in_the_order_asked_for(annotations):
    scales = {"a": 1, "b": 0.5, "c": 0.1}
    named = [({"name": name, "title": name.upper()}, RISING * scale) for name, scale in scales.items()]
    parts, _ = parts_of(annotations(named[:1], named[1:]))
    found = find_songs(parts, [md5_of("c"), md5_of("a").upper()], first=5)
    assert [one.title for one in found] == ["C", "A"]
    np.testing.assert_allclose(found[0].valence, RISING[:, 0] * 0.1)
    np.testing.assert_allclose(found[1].arousal, RISING[:, 1])
    np.testing.assert_allclose(found[1].start_seconds, [0, 2, 4, 6, 8])
    assert [len(find_songs(parts, [], first=n)) for n in (1, 2, 9)] == [1, 2, 3]


def test_bars_come_in_ascending_order_however_the_table_is_sorted(annotations):
    folder = annotations([({"name": "a"}, RISING)])
    path = folder / "bars" / "part-00000.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    found = find_songs(parts_of(folder)[0], [], first=1)[0]
    np.testing.assert_allclose(found.valence, RISING[:, 0])


def test_an_md5_that_is_not_there_is_named_with_the_reason_if_known(annotations):
    folder = annotations([({"name": "a"}, RISING)])
    (folder / "failures").mkdir()
    (folder / "failures" / "part-00000.csv").write_text(f"md5,stage,reason\n{md5_of('drums')},bars,no_notes\n")
    parts, _ = parts_of(folder)
    with pytest.raises(UserError) as raised:
        find_songs(parts, [md5_of("a"), md5_of("drums"), "0123"], first=5)
    message = str(raised.value)
    assert "0123: not among" in message and f"{md5_of('drums')}: could not be annotated: no_notes" in message
    assert md5_of("a") not in message and "\n" not in message


def test_a_band_is_one_standard_deviation_up_and_down_within_the_scale():
    low, high = band(np.array([0.0, 0.9, -0.95]), np.array([0.1, 0.2, np.nan]))
    np.testing.assert_allclose(low, [-0.1, 0.7, np.nan])
    np.testing.assert_allclose(high, [0.1, 1.0, np.nan])


def test_bands_and_notes_are_drawn_where_they_are_known():
    plain = plot_song(song(), dpi=50)
    assert len(plain.axes) == 4 and not any(panel.collections for panel in plain.axes)
    sd = np.full(3, 0.2)
    figure = plot_song(song(valence_error_sd=sd, arousal_error_sd=sd, n_notes=np.array([4, 0, 12])), dpi=50)
    curves_over_bars, _, _, notes_in_bars, _, notes_per_second = figure.axes
    assert len(curves_over_bars.collections) == 2
    edges = curves_over_bars.collections[0].get_paths()[0].vertices
    assert edges[:, 1].min() == -1 and edges[:, 1].max() == pytest.approx(0.4)  # of valence: cut off at −1; 0.2 + 0.2
    assert notes_in_bars.get_ylim() == (0, 12)
    assert notes_per_second.get_ylim() == (0, pytest.approx(12 / 1.5))  # the last bar lasts from 7.5 to 9 seconds


def test_a_table_without_errors_and_notes_can_be_drawn(annotations):
    (found,) = find_songs(parts_of(annotations([({"name": "a"}, RISING)]))[0], [], first=1)
    assert found.valence_error_sd is None and found.arousal_error_sd is None
    assert list(found.n_notes) == [4] * 5
    assert plot_song(found, dpi=50)
