"""Facts about the metrics of agreement."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pretrain_model.agreement import (
    concordance,
    mean_absolute_error,
    mean_squared_error,
    pearson_r,
    quadrant_accuracy,
    sign_accuracy,
)

ratings = arrays(np.float64, st.integers(2, 40), elements=st.floats(-1, 1, allow_subnormal=False))


@given(ratings, st.randoms(use_true_random=False))
def test_concordance_never_exceeds_correlation(rated: np.ndarray, random) -> None:
    predicted = rated.copy() * random.uniform(-2, 2) + random.uniform(-1, 1)
    predicted[random.randrange(len(predicted))] += random.uniform(-1, 1)
    r, ccc = pearson_r(predicted, rated), concordance(predicted, rated)
    if not math.isnan(r):
        assert abs(ccc) <= abs(r) + 1e-9
        assert ccc * r >= 0


def test_equal_series_agree_perfectly() -> None:
    rated = np.array([-0.5, 0.0, 0.2, 0.9])
    assert pearson_r(rated, rated) == pytest.approx(1)
    assert concordance(rated, rated) == pytest.approx(1)
    assert mean_absolute_error(rated, rated) == mean_squared_error(rated, rated) == 0


def test_a_shift_lowers_concordance_as_in_lins_formula() -> None:
    rated = np.array([-0.5, 0.0, 0.2, 0.9])
    variance, shift = rated.var(), 0.3
    assert pearson_r(rated + shift, rated) == pytest.approx(1)
    assert concordance(rated + shift, rated) == pytest.approx(2 * variance / (2 * variance + shift**2))
    assert mean_absolute_error(rated + shift, rated) == pytest.approx(shift)
    assert mean_squared_error(rated + shift, rated) == pytest.approx(shift**2)


def test_half_the_swing_keeps_correlation_and_loses_concordance() -> None:
    rated = np.array([-1.0, 0.0, 1.0])
    assert pearson_r(rated / 2, rated) == pytest.approx(1)
    assert concordance(rated / 2, rated) == pytest.approx(0.8)  # 2 · ½ / (1 + ¼)


def test_a_constant_has_no_correlation_and_zero_concordance() -> None:
    rated = np.array([-0.5, 0.0, 0.2, 0.9])
    constant = np.full(4, 0.1) + np.array([0, 1e-17, 0, -1e-17])  # rounding errors of a mean
    assert math.isnan(pearson_r(constant, rated))
    assert concordance(constant, rated) == 0
    assert math.isnan(concordance(constant, constant))


def test_opposite_series_are_at_minus_one() -> None:
    rated = np.array([-1.0, 0.0, 1.0])
    assert pearson_r(-rated, rated) == concordance(-rated, rated) == pytest.approx(-1)


def test_accuracies_count_signs() -> None:
    rated = np.array([[0.8, 0.6], [-0.6, 0.8], [-0.8, -0.4], [0.4, -0.6]])
    predicted = np.array([[0.1, 0.1], [0.1, 0.1], [-0.1, -0.1], [-0.1, -0.1]])
    assert sign_accuracy(predicted[:, 0], rated[:, 0]) == 0.5
    assert sign_accuracy(predicted[:, 1], rated[:, 1]) == 1
    assert quadrant_accuracy(predicted, rated) == 0.5


@pytest.mark.parametrize("predicted", [np.array([0.1]), np.array([0.1, math.nan]), np.zeros((2, 1)), np.array([])])
def test_arrays_that_cannot_be_compared_are_refused(predicted: np.ndarray) -> None:
    with pytest.raises(ValueError, match="predicted and rated"):
        pearson_r(predicted, np.array([0.1, 0.2]))
