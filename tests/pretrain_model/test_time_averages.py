"""Averages over the music heard so far: they never look ahead, and fade at the given rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_model.band import BAND
from pretrain_model.bar_context import QUANTILES, BarViews, view_bars
from pretrain_model.time_averages import heard_mean, heard_mean_and_sd, leaky_means

pieces = st.lists(st.floats(0, 20), min_size=1, max_size=40).map(
    lambda seconds: (
        np.random.default_rng(len(seconds)).normal(size=(len(seconds), 3)),
        np.concatenate([[0], np.cumsum(seconds)]),
    )
)


def views(values: np.ndarray, edges: np.ndarray) -> BarViews:
    """The views of a piece whose band plays the first value."""
    return view_bars(values, edges, np.repeat(values[:, :1], len(BAND), axis=1))


def leaky_bar_by_bar(values: np.ndarray, edges: np.ndarray, seconds: float) -> np.ndarray:
    state, result = values[0], [values[0]]
    for value, duration in zip(values[1:], np.diff(edges)[1:], strict=True):
        state = state + (value - state) * (1 - np.exp(-max(duration, 1e-3) / seconds))
        result.append(state)
    return np.array(result)


@given(pieces, st.floats(0.5, 50))
def test_the_leaky_mean_moves_towards_each_bar_by_its_length(piece, seconds) -> None:
    values, edges = piece
    np.testing.assert_allclose(
        leaky_means(values, edges, [seconds])[0], leaky_bar_by_bar(values, edges, seconds), atol=1e-9
    )


def test_it_is_the_same_across_blocks() -> None:
    values = np.random.default_rng(0).normal(size=(1000, 2))
    edges = np.arange(1001) * 1.7
    np.testing.assert_allclose(leaky_means(values, edges, [9.0])[0], leaky_bar_by_bar(values, edges, 9.0), atol=1e-9)


def test_a_change_is_heard_to_63_percent_after_its_time_constant() -> None:
    values = np.repeat([[0.0], [1.0]], 50, axis=0)  # a hundred bars of a second
    heard = leaky_means(values, np.arange(101.0), [10.0])[0][:, 0]
    assert heard[49] == 0
    assert heard[59] == pytest.approx(1 - np.exp(-1))


def test_long_bars_weigh_more_in_what_was_heard() -> None:
    values, edges = np.array([[0.0], [1.0]]), np.array([0.0, 1.0, 4.0])
    assert heard_mean(values, edges)[:, 0].tolist() == [0, 0.75]
    assert heard_mean_and_sd(values, edges)[1][:, 0] == pytest.approx([0, np.sqrt(0.75 * 0.25)])


@given(pieces)
def test_later_bars_change_nothing(piece) -> None:
    values, edges = piece
    half = (len(values) + 1) // 2
    whole, first = views(values, edges), views(values[:half], edges[: half + 1])
    np.testing.assert_allclose(whole.heard[:half], first.heard, atol=1e-5)
    np.testing.assert_allclose(whole.band[:half], first.band, atol=1e-5)


@given(pieces)
def test_a_piece_played_twice_as_slowly_is_the_same_as_a_whole(piece) -> None:
    values, edges = piece
    if (np.diff(edges) > 0.01).all():
        once, slower = views(values, edges), views(values, 2 * edges)
        np.testing.assert_allclose(slower.whole, once.whole, atol=1e-5)
        np.testing.assert_allclose(slower.band, once.band, atol=1e-5)


@given(pieces)
def test_what_the_band_played_is_the_mean_of_all_that_was_heard(piece) -> None:
    values, edges = piece
    np.testing.assert_allclose(views(values, edges).band[:, 0], heard_mean(values, edges)[:, 0], atol=1e-6)


@given(pieces)
def test_a_feature_that_nothing_defines_is_undefined_in_every_view_and_no_other_is(piece) -> None:
    values, edges = piece
    known = views(values, edges)
    values = values.copy()
    values[:, 1] = np.nan
    seen = views(values, edges)
    assert known.has_pitch
    assert not seen.has_pitch
    for name in ("heard", "whole", "motion"):
        given, found = getattr(known, name), getattr(seen, name)
        unheard = np.isnan(found)
        assert (unheard == unheard[0]).all()
        assert unheard[0].sum() == {"heard": 4, "whole": 4, "motion": 1}[name]
        np.testing.assert_allclose(found[~unheard], given[~unheard], atol=1e-5)


@given(pieces)
def test_quantiles_equal_numpys(piece) -> None:
    values, edges = piece
    quantiles = views(values, edges).whole[0, 6:].reshape(2, 3)
    np.testing.assert_allclose(quantiles, np.quantile(values, QUANTILES, axis=0), atol=1e-6)
