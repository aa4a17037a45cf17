"""Agreement: known answers, errors by their predicted size, and intervals that narrow with more pieces."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from made_ratings import CURVE, N_BARS, made_piece

from pretrain_model.agreement import (
    Compared,
    half_of_raters,
    one_rater,
    quadrant_agreement,
    ranking_agreement,
    rating_agreement,
    with_intervals,
)
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


def test_thirds_are_of_the_bars_by_their_predicted_errors() -> None:
    """Valence: six bars with the sd 0.1, 0.1, 0.2, 0.2, 0.4, 0.4 in mixed order, and errors that are known."""
    sd = np.array([0.4, 0.1, 0.2, 0.1, 0.4, 0.2])
    error = np.array([0.3, 0.05, 0.2, 0.3, -0.1, -0.1])  # in sd: 0.75, 0.5, 1, 3, 0.25, 0.5
    rated = np.array([0.1, -0.2, 0.3, 0.0, 0.2, -0.1])
    predicted = np.stack([rated + error, rated, sd, np.ones(6)], axis=1)
    pieces = [[(predicted[part], np.stack([rated[part]] * 2, axis=1))] for part in (slice(0, 2), slice(2, 6))]
    scores = rating_agreement(pieces)
    found = {name: value for (level, dimension, name), value in scores.items()
             if (level, dimension) == ("bar", "valence")}  # fmt: skip
    assert found["covered_50"] == pytest.approx(3 / 6)
    assert found["covered_90"] == pytest.approx(5 / 6)
    for name, thirds in {
        "covered_50": (1 / 2, 1 / 2, 1 / 2),
        "covered_90": (1 / 2, 1, 1),
        "mae": (0.175, 0.15, 0.2),
    }.items():
        assert [found[f"{name}_third_{k}"] for k in (1, 2, 3)] == pytest.approx(thirds)
    for name in ("covered_50", "covered_90"):
        assert [scores["bar", "arousal", f"{name}_third_{k}"] for k in (1, 2, 3)] == [1, 1, 1]


def test_thirds_of_errors_of_the_predicted_sizes_are_covered_alike() -> None:
    draw = np.random.default_rng(0)
    sd = draw.uniform(0.05, 0.5, (6000, 2))
    scores = rating_agreement([[(np.concatenate([draw.normal(scale=sd), sd], axis=1), np.zeros((6000, 2)))]])
    for dimension in ("valence", "arousal"):
        errors = [scores["bar", dimension, f"mae_third_{k}"] for k in (1, 2, 3)]
        assert errors == sorted(errors)
        for k in (1, 2, 3):
            assert scores["bar", dimension, f"covered_50_third_{k}"] == pytest.approx(0.5, abs=0.04)
            assert scores["bar", dimension, f"covered_90_third_{k}"] == pytest.approx(0.9, abs=0.03)


def test_fewer_bars_than_thirds_leave_a_third_without_a_number() -> None:
    one = np.array([[0.1, 0.1, 0.2, 0.2], [0.0, 0.3, 0.1, 0.1]])
    scores = rating_agreement([[(one, np.zeros((2, 2)))]])
    assert [scores["bar", "valence", f"mae_third_{k}"] for k in (1, 2)] == [0, 0.1]
    assert np.isnan(scores["bar", "valence", "mae_third_3"])


def test_no_thirds_without_predicted_errors() -> None:
    assert not [name for _, _, name in rating_agreement(compared(5, 0.1)) if "third" in name or "covered" in name]


def clips(*points: tuple[float, float, float, float]) -> list[Compared]:
    """Clips of two bars, from predicted valence and arousal and rated valence and arousal."""
    return [[(np.array([p[:2], p[:2]]) + [[0.1], [-0.1]], np.array([p[2:], p[2:]]))] for p in points]


def test_ranking_is_the_share_of_pairs_of_clips_in_the_right_order() -> None:
    """Arousal: of the four pairs of an aroused and a calm clip, three are in order. Where zero lies does not count."""
    made = clips((0.9, 0.8, 0.6, 0.6), (0.8, 0.6, -0.6, 0.6), (0.7, 0.7, -0.6, -0.6), (0.9, 0.5, 0.6, -0.6))
    scores = ranking_agreement(made)
    assert scores == {("piece", "valence", "auc"): 1.0, ("piece", "arousal", "auc"): 0.75}


def test_ranking_of_ties_is_half_right_and_of_one_sign_undefined() -> None:
    scores = ranking_agreement(clips((0.1, 0.2, 0.6, 0.6), (0.1, 0.1, -0.6, 0.6)))
    assert scores["piece", "valence", "auc"] == 0.5
    assert np.isnan(scores["piece", "arousal", "auc"])


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


def raters(**ratings: tuple[float, float, int]) -> pd.DataFrame:
    """Ratings of the piece p1 by rater: valence and arousal of each bar, NaN if never moved, and how many bars."""
    rows = [("p1", rater, bar, v, a) for rater, (v, a, bars) in ratings.items() for bar in range(bars)]
    return pd.DataFrame(rows, columns=["piece", "rater", "bar_number", "valence", "arousal"])


def test_a_rater_is_compared_with_the_others_who_rated_the_same_bar_and_dimension() -> None:
    """A rated all, B never moved valence, and C stopped after half of the bars."""
    ratings = raters(A=(0.2, 0.1, N_BARS), B=(np.nan, 0.5, N_BARS), C=(0.6, 0.3, N_BARS // 2))
    ((a, b, c),) = one_rater(ratings, [made_piece(CURVE, 1)])
    first, rest = slice(0, N_BARS // 2), slice(N_BARS // 2, None)
    np.testing.assert_allclose(a[1][first], [[0.6, 0.4]] * (N_BARS // 2))  # C's valence; the mean of B and C
    np.testing.assert_allclose(a[1][rest], [[np.nan, 0.5]] * (N_BARS // 2))
    np.testing.assert_allclose(a[0][rest], [[np.nan, 0.1]] * (N_BARS // 2))
    assert np.isnan(b[0][:, 0]).all() and np.isnan(b[1][:, 0]).all()
    np.testing.assert_allclose(b[1][rest, 1], 0.1)
    assert np.isnan(c[0][rest]).all() and np.isnan(c[1][rest]).all()
    scores = rating_agreement([(a, b, c)])
    assert scores["bar", "valence", "mae"] == pytest.approx(0.4)


def test_halves_of_the_raters_are_means_of_those_who_rated() -> None:
    ratings = raters(A=(0.2, 0.1, N_BARS), B=(np.nan, 0.5, N_BARS), C=(0.6, 0.3, 3), D=(0.4, np.nan, N_BARS))
    pieces = half_of_raters(ratings, [made_piece(CURVE, 1)], 0)
    for first, second in pieces[0]:
        np.testing.assert_array_equal(np.isnan(first), np.isnan(second))
        assert np.nanmin(first) >= 0.1 and np.nanmax(second) <= 0.6
    assert np.isfinite([value for key, value in rating_agreement(pieces).items() if key[2] == "mae"]).all()


def test_a_piece_whose_raters_share_no_bar_is_left_out() -> None:
    apart = raters(A=(0.2, np.nan, N_BARS), B=(np.nan, 0.5, N_BARS))
    piece = made_piece(CURVE, 1)
    assert one_rater(apart, [piece]) == half_of_raters(apart, [piece], 0) == []
    whole = apart.assign(bar_number=np.nan, valence=0.1, arousal=0.1).drop_duplicates("rater")
    assert one_rater(whole, [piece]) == []
