"""The alignment of rated measures with bars of the file, which share only their time."""

import numpy as np
import pytest

from pretrain_model.vgmidi_alignment import NotAligned, Playing, align


def playing(n_bars: int, quarters_per_bar: float, seconds_per_quarter: float = 0.5, first: int = 0) -> Playing:
    """Bars of one meter at a steady tempo, full to the end."""
    number = np.arange(first, n_bars)
    quarters = n_bars * quarters_per_bar
    start = number * quarters_per_bar * seconds_per_quarter
    return Playing(number, start, quarters, quarters * seconds_per_quarter)


@pytest.mark.parametrize("prefer", ["number", "time", "equal_only"])
def test_in_common_time_at_a_steady_tempo_measure_k_is_bar_k(prefer) -> None:
    how, weights = align(playing(12, 4), 12, 24.0, prefer)
    assert how == ("time" if prefer == "time" else "number")
    np.testing.assert_allclose(weights, np.eye(12), atol=1e-12)


def test_empty_bars_at_the_head_keep_their_measures() -> None:
    for prefer in ("number", "time"):
        _, weights = align(playing(12, 4, first=3), 12, 24.0, prefer)
        np.testing.assert_allclose(weights, np.eye(12)[3:], atol=1e-12)


def test_four_bars_of_three_quarters_share_three_measures() -> None:
    how, weights = align(playing(4, 3), 3, 6.0, "number")
    assert how == "time"
    expected = [[1, 0, 0], [1 / 3, 2 / 3, 0], [0, 2 / 3, 1 / 3], [0, 0, 1]]
    np.testing.assert_allclose(weights, expected, atol=1e-12)


def test_a_bar_of_eight_quarters_takes_the_mean_of_two_measures() -> None:
    _, weights = align(playing(3, 8), 6, 12.0, "number")
    np.testing.assert_allclose(weights, np.kron(np.eye(3), [0.5, 0.5]), atol=1e-12)


def test_a_slow_bar_takes_more_of_the_playing_time() -> None:
    """Two bars, the second twice as slow: the boundary of the two rated measures lies within the second bar."""
    slower = Playing(np.array([0, 1]), np.array([0.0, 2.0]), 8.0, 6.0)
    _, weights = align(slower, 2, 6.0, "time")
    np.testing.assert_allclose(weights, [[1, 0], [0.25, 0.75]], atol=1e-12)


def test_every_bar_takes_a_whole_rating() -> None:
    _, weights = align(playing(47, 3), 36, 70.0, "number")
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (weights >= 0).all()


def test_silence_after_the_last_bar_belongs_to_no_bar() -> None:
    _, weights = align(Playing(np.arange(4), np.arange(4) * 1.5, 12.0, 6.0), 3, 6.6, "number")
    assert weights[-1, -1] == pytest.approx(1)
    _, weights = align(Playing(np.arange(3), np.arange(3) * 2.0, 11.9, 5.95), 3, 6.6, "time")
    assert weights[-1, -1] == pytest.approx((6.0 - 4.4) / 2)  # bar 2 ends at 6 s, measure 2 begins at 4.4 s


@pytest.mark.parametrize(
    ("measures", "duration", "reason"),
    [
        (5, 6.0, "measures_of_another_length"),
        (3, 4.0, "duration_of_another_tempo"),
        (3, 9.0, "duration_of_another_tempo"),
    ],
)
def test_a_file_that_may_not_be_the_rated_one_is_not_aligned(measures, duration, reason) -> None:
    with pytest.raises(NotAligned, match=reason):
        align(playing(4, 3), measures, duration, "number")


def test_equal_only_leaves_other_meters_out() -> None:
    with pytest.raises(NotAligned, match="bars_differ"):
        align(playing(4, 3), 3, 6.0, "equal_only")
