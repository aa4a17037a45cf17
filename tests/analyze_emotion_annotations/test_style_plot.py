"""The styles that are drawn, and the plane of their means and quartiles: what it shows, and that it is readable."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from analyse_folder import analysis_of
from matplotlib.text import Text
from songs_by_style import COLUMN, NAMES, collection

from analyze_emotion_annotations.plot_canvas import new_figure, save_plot
from analyze_emotion_annotations.song_groups import ALL, NO_STYLE, RARE
from analyze_emotion_annotations.style_plot import choose_column, place_labels, plot_styles, styles_to_draw
from pipeline.settings import UserError, one_line


def table_of_groups(*groups):
    """A table of statistics with no more than the number of songs of each (grouping, name)."""
    rows = [(ALL, "all", ALL, sum(n for *_, n in groups))]
    rows += [(grouping, "style", name, n) for grouping, name, n in groups]
    return pd.DataFrame(rows, columns=["grouping", "kind", "name", "n_songs"])


def test_rare_styles_are_drawn_together_and_after_the_named_ones(annotations):
    songs_of_style = {"waltz": 1, "pop": 3, "": 2, "folk": 4, "polka": 2}
    found = collection(annotations, songs_of_style, "styles.min_songs=3")
    assert [style.name for style in found.styles] == ["folk", "pop", "rare styles", "no style given", "all songs"]
    assert [style.songs for style in found.styles] == ["4 songs", "3 songs", "3 songs", "2 songs", "12 songs"]
    for style in found.styles:
        assert found.table.loc[style.g, "n_songs"] == style.row["n_songs"]


def test_one_song_is_not_written_as_a_plural():
    (style, _) = styles_to_draw(table_of_groups((COLUMN, "folk", 1)), COLUMN, 12)
    assert style.songs == "1 song"


def test_no_more_styles_than_asked_for_are_drawn():
    groups = [(COLUMN, f"style {i}", 10 + i) for i in range(20)]
    drawn = styles_to_draw(table_of_groups(*groups, (COLUMN, NO_STYLE, 50)), COLUMN, 5)
    assert [style.name for style in drawn[:5]] == [f"style {i}" for i in (19, 18, 17, 16, 15)]
    assert [style.name for style in drawn[5:]] == ["no style given", "all songs"]


def test_only_the_styles_of_the_column_are_drawn():
    table = table_of_groups((COLUMN, "folk", 5), ("music_styles_curated", "pop", 9), ("music_styles_curated", RARE, 1))
    assert [style.name for style in styles_to_draw(table, COLUMN, 12)] == ["folk", "all songs"]


def test_without_named_styles_only_all_songs_are_drawn():
    table = table_of_groups((COLUMN, NO_STYLE, 5))
    for column in (COLUMN, ALL):
        assert [style.name for style in styles_to_draw(table, column, 12)] == ["all songs"]


def test_thirty_styles_look_different():
    groups = [(COLUMN, str(i), 5) for i in range(30)]
    drawn = styles_to_draw(table_of_groups(*groups, (COLUMN, RARE, 2), (COLUMN, NO_STYLE, 1)), COLUMN, 30)
    assert len({(style.colour, style.shape) for style in drawn}) == len(drawn) == 33
    for one, next_one in itertools.pairwise(drawn[:30]):
        assert one.colour != next_one.colour and one.shape != next_one.shape


def test_the_cross_reaches_from_quartile_to_quartile(annotations):
    ratings = np.random.default_rng(1).uniform(-0.5, 0.5, (400, 2))
    songs = [({"name": str(i), COLUMN: "folk"}, ratings[i::4]) for i in range(4)]
    figure = plot_styles(analysis_of(annotations(songs)).styles, COLUMN, dpi=50)
    lines = [line.get_xydata() for line in figure.axes[0].lines]
    (left, right), (low, high) = np.quantile(ratings, (0.25, 0.75), axis=0).T
    mean = ratings.mean(axis=0)
    for ends in ([[left, mean[1]], [right, mean[1]]], [[mean[0], low], [mean[0], high]], [mean]):
        assert any(line.shape == np.shape(ends) and np.allclose(line, ends, atol=1e-3) for line in lines)


def test_the_plane_is_just_large_enough_for_all_crosses(annotations):
    corner = np.array([[0.93, -0.97]] * 3)
    for ratings, reach in ((corner, 1.0), (corner / 4, 0.3)):
        found = analysis_of(annotations([({"name": "a", COLUMN: "folk"}, ratings)], folder=f"reach {reach}"))
        plane = plot_styles(found.styles, COLUMN, dpi=50).axes[0]
        assert plane.get_xlim() == plane.get_ylim() == pytest.approx((-reach, reach))


def test_the_legend_goes_from_high_to_low_arousal(annotations):
    songs = [({"name": name, COLUMN: name}, np.full((2, 2), at)) for name, at in (("b", 0.1), ("a", -0.2), ("c", 0.3))]
    figure = plot_styles(analysis_of(annotations(songs)).styles, COLUMN, dpi=50)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["c  (1 song)", "b  (1 song)", "all songs  (3 songs)", "a  (1 song)"]


def test_the_column_drawn_is_the_first_that_names_a_style():
    curated = "music_styles_curated"
    table = table_of_groups((curated, NO_STYLE, 9), (COLUMN, "pop", 5), (COLUMN, NO_STYLE, 4))
    assert choose_column(table, None) == COLUMN
    assert choose_column(table, curated) == curated
    assert choose_column(table_of_groups((curated, RARE, 9)), None) == curated
    assert choose_column(table_of_groups((curated, NO_STYLE, 9)), None) == ALL
    assert choose_column(table_of_groups(), None) == ALL
    with pytest.raises(UserError, match=r"styles\.column: .*genre.*music_styles_curated, music_style_scraped"):
        choose_column(table, "genre")
    with pytest.raises(UserError, match=r"styles\.column: .*genre.*none"):
        choose_column(table_of_groups(), "genre")


def test_any_name_of_a_style_can_be_drawn(annotations, tmp_path):
    found = collection(annotations, dict.fromkeys(NAMES, 2))
    figure = plot_styles(found.styles, COLUMN, dpi=50)
    save_plot(figure, tmp_path, "styles")
    assert (tmp_path / "styles.png").read_bytes().startswith(b"\x89PNG")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == sorted([*(f"{one_line(name, 24)}  (2 songs)" for name in NAMES), "all songs  (16 songs)"])


def test_labels_cover_neither_each_other_nor_a_point():
    figure = new_figure(8, 8, 100)
    axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    points = np.random.default_rng(2).normal(0, 0.15, (14, 2))
    place_labels(axes, points, [f"music style {i}" for i in range(14)], size=10)
    figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # of the words alone, without the line to the point
    assert len(boxes) == 14
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    for box, point in itertools.product(boxes, axes.transData.transform(points)):
        assert not box.contains(*point)


def test_text_by_others_becomes_one_printable_line():
    assert one_line("  two\nlines\tand\x00more\x1b[2J ", 40) == "two lines and more [2J"
    assert one_line("A" * 100, 10) == "A" * 9 + "…"
    for text, longest in itertools.product(("", "a b", "\u202e" * 9), (1, 5)):
        assert len(one_line(text, longest)) <= longest
