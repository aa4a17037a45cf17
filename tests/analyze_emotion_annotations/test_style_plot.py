"""The plot of the styles: what is drawn, and that it can be read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from analyze_emotion_annotations.figures import new_figure, one_line, save_picture
from analyze_emotion_annotations.label_placing import place_labels
from analyze_emotion_annotations.style_plot import choose_column, plot_styles, styles_to_draw
from analyze_emotion_annotations.style_statistics import NO_STYLE, OVERALL, tally_bars
from musetok_bridge.settings import UserError

COLUMN = "music_styles_curated"


def tallies_of(songs_of_style, column=COLUMN):
    random = np.random.default_rng(5)
    tallies = {
        (column, style): tally_bars(random.uniform(-0.3, 0.4, (20 * n, 2)), n) for style, n in songs_of_style.items()
    }
    overall = sum(list(tallies.values())[1:], start=next(iter(tallies.values())))
    return {OVERALL: overall, **tallies}


def test_small_styles_are_drawn_together():
    tallies = tallies_of({"folk": 30, "pop": 20, "polka": 2, "waltz": 1, NO_STYLE: 4})
    drawn = styles_to_draw(tallies, COLUMN, min_songs=3, max_styles=12)
    assert [style.name for style in drawn] == ["folk", "pop", "other: 2 styles", "no style given", "all songs"]
    assert drawn[2].tally.n_songs == 3
    bars_of_both = 40 + 20
    np.testing.assert_allclose(
        drawn[2].mean, (tallies[COLUMN, "polka"].sums + tallies[COLUMN, "waltz"].sums) / bars_of_both
    )


def test_no_more_styles_than_asked_for_have_a_name():
    tallies = tallies_of({f"style {i}": 10 + i for i in range(20)})
    drawn = styles_to_draw(tallies, COLUMN, min_songs=1, max_styles=5)
    assert [style.name for style in drawn[:5]] == [f"style {i}" for i in (19, 18, 17, 16, 15)]
    assert drawn[5].name == "other: 15 styles"


def test_thirty_styles_look_different():
    drawn = styles_to_draw(tallies_of({str(i): 5 for i in range(30)} | {NO_STYLE: 1}), COLUMN, 1, 30)
    assert len({(style.colour, style.shape) for style in drawn}) == len(drawn) == 32


def test_the_cross_reaches_from_quartile_to_quartile():
    affect = np.random.default_rng(1).uniform(-0.5, 0.5, (400, 2))
    tallies = {OVERALL: tally_bars(affect, 4), (COLUMN, "folk"): tally_bars(affect, 4)}
    figure = plot_styles(styles_to_draw(tallies, COLUMN, 1, 12), COLUMN, dpi=50)
    lines = [line.get_xydata() for line in figure.axes[0].lines]
    (left, right), (low, high) = np.quantile(affect, (0.25, 0.75), axis=0).T
    mean = affect.mean(axis=0)
    for ends in ([[left, mean[1]], [right, mean[1]]], [[mean[0], low], [mean[0], high]], [mean]):
        assert any(line.shape == np.shape(ends) and np.allclose(line, ends, atol=1e-3) for line in lines)


def test_the_column_drawn_is_the_first_that_names_a_style():
    tallies = tallies_of({NO_STYLE: 9}) | tallies_of({"pop": 9}, "music_style_scraped")
    assert choose_column(tallies, None) == "music_style_scraped"
    assert choose_column(tallies, COLUMN) == COLUMN
    assert choose_column({OVERALL: tallies[OVERALL]}, None) == OVERALL[0]
    with pytest.raises(UserError, match=r"style_plot\.column: .*genre.*music_style_scraped"):
        choose_column(tallies, "genre")


@pytest.mark.parametrize("name", ["$\\frac{", "a $ and b $", "_hidden", "x" * 500, "月\n\x1b[31m\u202e", "{}%s"])
def test_any_name_of_a_style_can_be_drawn(name, tmp_path):
    figure = plot_styles(styles_to_draw(tallies_of({name: 5, "folk": 4}), COLUMN, 1, 12), COLUMN, dpi=50)
    save_picture(figure, tmp_path, "styles")
    assert (tmp_path / "styles.png").read_bytes().startswith(b"\x89PNG")
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert f"{one_line(name, 28)}  (5 songs)" in legend


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


def test_text_of_others_becomes_one_printable_line():
    assert one_line("  two\nlines\tand\x00more\x1b[2J ", 40) == "two lines and more [2J"
    assert one_line("A" * 100, 10) == "A" * 9 + "…"
    for text, longest in itertools.product(("", "a b", "\u202e" * 9), (1, 5)):
        assert len(one_line(text, longest)) <= longest
