"""Agreement and intervals: known answers, and intervals that narrow with more pieces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pretrain_model.agreement import Compared, quadrant_agreement, rating_agreement, with_intervals
from pretrain_model.cross_validation import predict_left_out


def compared(n_pieces: int, error: float, seed: int = 0, sd: float | None = None) -> list[Compared]:
    draw = np.random.default_rng(seed)
    pieces: list[Compared] = []
    for _ in range(n_pieces):
        rated = np.clip(draw.normal(scale=0.3, size=(1, 2)) + draw.normal(scale=0.1, size=(20, 2)), -1, 1)
        predicted = rated + draw.normal(scale=error, size=rated.shape)
        if sd is not None:
            predicted = np.concatenate([predicted, np.full(rated.shape, sd)], axis=1)
        pieces.append([(predicted, rated)])
    return pieces


def value(table: pd.DataFrame, level: str, dimension: str, metric: str) -> pd.Series:
    of = table.query("level == @level and dimension == @dimension and metric == @metric")
    return of.iloc[0]


def test_a_perfect_prediction_is_perfect_at_every_level() -> None:
    scores = rating_agreement(compared(10, 0.0))
    for (_, _, metric), found in scores.items():
        assert found == pytest.approx({"r": 1, "ccc": 1, "mae": 0}[metric], abs=1e-12)
    assert {level for level, _, _ in scores} == {"bar", "within", "piece"}


def test_a_shift_of_each_piece_is_no_error_within_pieces() -> None:
    pieces = [[(p + 0.2 * (k % 2), y) for p, y in piece] for k, piece in enumerate(compared(10, 0.0))]
    scores = rating_agreement(pieces)
    assert scores["within", "valence", "mae"] == pytest.approx(0, abs=1e-12)
    assert scores["bar", "valence", "mae"] == pytest.approx(0.1)


def test_intervals_of_the_right_width_cover_their_share() -> None:
    scores = rating_agreement(compared(400, 0.15, sd=0.15))
    for dimension in ("valence", "arousal"):
        assert scores["bar", dimension, "covered_50"] == pytest.approx(0.5, abs=0.02)
        assert scores["bar", dimension, "covered_90"] == pytest.approx(0.9, abs=0.02)


def test_quadrants_are_those_of_the_clips_means() -> None:
    points = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5], [0.5, -0.5]])
    right = [[(np.repeat(point[None], 3, axis=0), np.repeat(point[None], 3, axis=0))] for point in points]
    wrong = [[(np.array([[0.5, -0.1], [0.5, -0.3]]), np.full((2, 2), 0.5))]]  # valence right, arousal not
    scores = quadrant_agreement(right + wrong)
    assert scores["piece", "quadrant", "accuracy"] == pytest.approx(0.8)
    assert scores["piece", "valence", "accuracy"] == 1
    assert scores["piece", "arousal", "accuracy"] == pytest.approx(0.8)


def test_more_pieces_make_narrower_intervals_around_the_value() -> None:
    few, many = (
        value(with_intervals(rating_agreement, compared(n, 0.2), 200, 0), "bar", "valence", "r") for n in (12, 200)
    )
    for row in (few, many):
        assert row["low"] < row["value"] < row["high"]
    assert many["high"] - many["low"] < 0.5 * (few["high"] - few["low"])
    assert (few["n"], many["n"]) == (12, 200)


def test_a_constant_has_no_r_and_no_interval_of_it() -> None:
    pieces = [[(np.zeros_like(y), y)] for ((_, y),) in compared(10, 0.0)]
    row = value(with_intervals(rating_agreement, pieces, 100, 0), "bar", "arousal", "r")
    assert np.isnan([row["value"], row["low"], row["high"]]).all()


def test_no_piece_is_predicted_by_a_model_that_saw_its_fold() -> None:
    pieces, folds = list(range(11)), [[0, 5], [1, 2, 3, 4], [], [6, 7, 8, 9, 10]]
    fold_of = {i: k for k, fold in enumerate(folds) for i in fold}
    seen: list[list[int]] = []

    def train(kept):  # type: ignore[no-untyped-def]
        seen.append(sorted(kept))
        return lambda piece: (list(kept), piece)

    for i, (kept, piece) in enumerate(predict_left_out(pieces, folds, train)):  # type: ignore[arg-type]
        assert piece == i
        assert set(kept) == {k for k in pieces if fold_of[k] != fold_of[i]}
    assert len(seen) == 3
