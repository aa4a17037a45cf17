"""Planes, ridgelines, quadrants and trajectories: they show the values of the bars, for styles of any name."""

from __future__ import annotations

import numpy as np
import pytest
from analyse_folder import analysis_of
from drawn_labels import covered_labels
from hypothesis import given, settings
from hypothesis import strategies as st
from songs_by_style import COLUMN, NAMES, collection

from analyze_emotion_annotations.distribution_plots import (
    plot_planes,
    plot_quadrants,
    plot_ridgelines,
    plot_trajectories,
    smoothed,
)
from analyze_emotion_annotations.group_statistics import PLANE_CELLS, STEP
from analyze_emotion_annotations.plot_canvas import NARROW, WIDE, save_plot
from analyze_emotion_annotations.plots import plots_of
from pipeline.settings import one_line

PLOTS = ["styles", "planes", "ridgelines", "quadrants", "trajectories"]


def said_by(figure):
    return "\n".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def reaches_beyond(figure):
    """Whether part of a figure is cut off at its edge."""
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    return left < 0 or bottom < 0 or right > width or top > height


@pytest.fixture
def two_styles(annotations):
    """Folk, with twice as many bars at one point of the plane as at another, and pop, with all bars at one point."""
    folk = np.array([[0.32, 0.12]] * 6 + [[-0.52, -0.73]] * 3)
    pop = np.array([[0.02, -0.02]] * 5)
    songs = [({"name": f"folk {i}", COLUMN: "folk"}, folk) for i in range(2)]
    return analysis_of(annotations([*songs, ({"name": "pop", COLUMN: "pop"}, pop)]))


def test_a_plane_is_light_where_the_bars_are(two_styles):
    figure = plot_planes(two_styles.styles, two_styles.distributions, dpi=50)
    panels = {panel.get_title().partition("\n")[0]: panel for panel in figure.axes if panel.get_title()}
    assert list(panels) == ["folk", "pop", "all songs"]
    (image,) = panels["folk"].images
    share = np.asarray(image.get_array())
    assert image.get_extent() == [-1, 1, -1, 1] and image.origin == "lower"
    assert share.shape == (PLANE_CELLS, PLANE_CELLS) and share.sum() == pytest.approx(1)
    cell = 2 / PLANE_CELLS
    filled = {(-1 + (x + 0.5) * cell, -1 + (y + 0.5) * cell): share[y, x] for y, x in np.argwhere(share)}
    assert len(filled) == 2
    for valence, arousal, expected in ((0.32, 0.12, 2 / 3), (-0.52, -0.73, 1 / 3)):
        ((at, found),) = [
            item for item in filled.items() if np.allclose(item[0], (valence, arousal), rtol=0, atol=cell / 2)
        ]
        assert found == pytest.approx(expected), at
    (mean,) = [line for line in panels["folk"].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(mean.get_xydata(), [[(2 * 0.32 - 0.52) / 3, (2 * 0.12 - 0.73) / 3]])
    left, right = panels["folk"].get_xlim()
    assert left < -0.73 - cell / 2 and right > 0.73  # all bars lie within the axes


def test_the_quadrants_show_their_shares(two_styles):
    panel = plot_quadrants(two_styles.styles, dpi=50).axes[0]
    np.testing.assert_allclose(
        panel.images[0].get_array(), [[2 / 3, 0, 1 / 3, 0], [0, 0, 0, 1], [12 / 23, 0, 6 / 23, 5 / 23]]
    )
    said = [text.get_text() for text in panel.texts]
    assert said[:8] == ["66.7%", "0.0%", "33.3%", "0.0%", "0.0%", "0.0%", "0.0%", "100.0%"]
    assert [label.get_text() for label in panel.get_yticklabels()][:2] == ["folk  (2 songs)", "pop  (1 song)"]
    assert [label.get_text()[:8] for label in panel.get_xticklabels()] == [
        "Q1  V+ A", "Q2  V− A", "Q3  V− A", "Q4  V+ A"
    ]  # fmt: skip


def test_a_ridge_is_highest_where_most_bars_are_and_marks_its_quartiles(two_styles):
    figure = plot_ridgelines(two_styles.styles, two_styles.distributions, dpi=50)
    for panel, positions in zip(figure.axes, ((-0.52, 0.32), (-0.73, 0.12)), strict=True):
        ridge, *quartiles = panel.lines[:4]
        x, y = ridge.get_data()
        height = np.asarray(y) - 2  # the first of three styles is at the top
        assert height.min() == pytest.approx(0, abs=1e-9)
        assert x[np.argmax(height)] == pytest.approx(positions[1], abs=STEP)
        near = [height[np.abs(x - position) < 0.085].sum() for position in positions]
        assert near[1] == pytest.approx(2 * near[0])
        assert sum(near) == pytest.approx(height.sum(), rel=1e-3)
        assert [line.get_xdata()[0] for line in quartiles] == pytest.approx([positions[0], positions[1], positions[1]])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 2000), min_size=1, max_size=30))
def test_smoothing_keeps_the_number_of_bars_and_is_symmetric(positions):
    counts = np.bincount(positions, minlength=2001)
    smooth = smoothed(counts)
    assert smooth.shape == counts.shape and smooth.min() >= 0
    assert smooth.sum() == pytest.approx(len(positions))
    np.testing.assert_allclose(smoothed(counts[::-1]), smooth[::-1], atol=1e-12)


@pytest.mark.parametrize("position", [0, 2000, 3, 700])
def test_smoothing_spreads_bars_around_their_position_even_at_the_ends(position):
    smooth = smoothed(np.bincount([position] * 4, minlength=2001))
    middle = np.average(np.arange(2001), weights=smooth)
    if 100 < position < 1900:
        assert middle == pytest.approx(position)
        assert np.sqrt(np.average((np.arange(2001) - middle) ** 2, weights=smooth)) == pytest.approx(20, rel=0.01)
    assert abs(np.argmax(smooth) - position) <= 3
    assert smooth[np.abs(np.arange(2001) - position) > 85].sum() == 0
    assert smooth.sum() == pytest.approx(4)


def test_the_trajectory_of_rising_songs_rises_from_below_their_mean_to_above_it(annotations):
    songs = [
        ({"name": f"{n}", COLUMN: "rising"}, np.stack([np.linspace(-0.2, 0.2, n) + 0.1, np.zeros(n)], axis=1).round(4))
        for n in (200, 300, 500)
    ]
    found = analysis_of(annotations(songs), "trajectory.points=10")
    figure = plot_trajectories(found.styles, found.trajectories, dpi=50)
    valence, arousal = (panel.lines[1] for panel in figure.axes)  # line 0 marks zero
    at, movement = valence.get_data()
    np.testing.assert_allclose(at, np.arange(5, 100, 10))
    np.testing.assert_allclose(movement, np.linspace(-0.18, 0.18, 10), atol=0.002)
    np.testing.assert_allclose(arousal.get_ydata(), 0, atol=1e-9)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["rising  (3)", "all songs  (3)"]


def test_styles_that_have_only_short_songs_have_no_trajectory(annotations):
    long, short = np.zeros((20, 2)), np.zeros((7, 2))
    songs = [
        ({"name": f"{style} {i}", COLUMN: style}, ratings)
        for style, ratings in (("a", long), ("b", short))
        for i in "12"
    ]
    found = analysis_of(annotations(songs))
    legend = plot_trajectories(found.styles, found.trajectories, dpi=50).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["a  (2)", "all songs  (2)"]


@pytest.fixture
def spread(annotations):
    """Songs of five styles whose bars reach from one end of the scale to the other."""
    random = np.random.default_rng(5)
    names = ("video game", "folk", "classical", "Folk, World, & Country", "pop")
    songs = [
        (
            {"name": f"{name} {i}", COLUMN: f'["{name}"]'},
            np.clip(random.normal(0.1 * k - 0.2, 0.5, (40, 2)), -1, 1).round(4),
        )
        for k, name in enumerate(names)
        for i in range(12)
    ]
    return analysis_of(annotations(songs))


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
def test_no_label_covers_another(spread, layout):
    for plot in plots_of(spread, dpi=100, layout=layout):
        assert covered_labels(plot.figure) == [], plot.name
        assert not reaches_beyond(plot.figure), plot.name
        if layout is NARROW:
            assert plot.figure.get_figwidth() == NARROW.width


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=["wide", "narrow"])
def test_labels_of_neighbouring_panels_keep_apart_whatever_their_range(annotations, layout):
    for i, extent in enumerate((0.1, 0.3, 0.75, 1.0)):
        bars = np.repeat([[-extent, extent], [extent, -extent]], 10, axis=0)
        found = analysis_of(annotations([({"name": "a", COLUMN: "a"}, bars)], folder=f"annotations {i}"))
        for plot in plots_of(found, dpi=100, layout=layout):
            assert covered_labels(plot.figure) == [], (plot.name, extent)


def test_any_name_of_a_style_can_be_drawn_in_every_plot(annotations, tmp_path):
    found = collection(annotations, dict.fromkeys(NAMES, 2), n_bars=8)
    for plot in plots_of(found, dpi=50, layout=NARROW):
        save_plot(plot.figure, tmp_path / "narrow", plot.name, ["png"])
    for plot in plots_of(found, dpi=50):
        paths = save_plot(plot.figure, tmp_path, plot.name)
        assert [path.name for path in paths] == [f"{plot.name}.png", f"{plot.name}.svg"]
        assert paths[0].read_bytes().startswith(b"\x89PNG")
        said = said_by(plot.figure)
        for name in NAMES:
            assert one_line(name, 24) in said, (plot.name, name)
        assert not reaches_beyond(plot.figure), plot.name


def test_one_style_can_be_drawn(annotations, tmp_path):
    drawn = list(plots_of(collection(annotations, {"folk": 1}, n_bars=8), dpi=50))
    assert [plot.name for plot in drawn] == PLOTS
    for plot in drawn:
        assert "folk" in said_by(plot.figure) and "all songs" in said_by(plot.figure)
        save_plot(plot.figure, tmp_path, plot.name, ["png"])


def test_thirty_styles_are_named_in_every_plot_and_none_is_cut_off_at_its_edge(annotations):
    songs_of_style = {f"{i:02} Folk, World, & Country and more": 2 for i in range(30)} | {"rare": 1, "": 1}
    found = collection(annotations, songs_of_style, "styles.max_drawn=30", "styles.min_songs=2", n_bars=8)
    assert len(found.styles) == 33
    for plot in (*plots_of(found, dpi=50), *plots_of(found, dpi=50, layout=NARROW)):
        said = said_by(plot.figure).replace("\n", " ")
        assert [style.name for style in found.styles if style.name not in said] == []
        assert not reaches_beyond(plot.figure), plot.name


def test_if_all_songs_are_short_only_the_trajectories_are_missing(annotations):
    found = collection(annotations, {"folk": 2}, n_bars=3)
    assert [plot.name for plot in plots_of(found, dpi=50)] == PLOTS[:-1]


def test_the_same_annotations_make_the_same_files(annotations, library, tmp_path):
    folder = annotations([song for song in library if len(song[1]) > 8][:2])
    for run in "12":
        for plot in plots_of(analysis_of(folder), dpi=50):
            save_plot(plot.figure, tmp_path / run, plot.name, ["svg"])
    for name in PLOTS:
        once, again = ((tmp_path / run / f"{name}.svg").read_bytes() for run in "12")
        assert once == again and once.startswith(b"<?xml")
