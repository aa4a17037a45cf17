"""Evaluation: the agreement of a perfect head, a constant and a rater."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_labels import covered_labels
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pretrain_model.evaluation import (
    SplitPrediction,
    by_piece,
    evaluate_one_rater,
    evaluate_predictor,
    plot_evaluation,
    without_unit,
)
from pretrain_model.rated_pieces import RatedBars

POINTS = np.array([[0.8, 0.6], [-0.6, 0.8], [-0.8, -0.4], [0.4, -0.6]], dtype=np.float32)


@pytest.fixture
def clips() -> RatedBars:
    """Eight clips of one to eight bars, two in each quadrant."""
    piece = np.repeat(np.arange(8), np.arange(1, 9))
    numbers = np.concatenate([np.arange(n, dtype=np.int32) for n in range(1, 9)])
    targets = POINTS[piece % 4]
    names = tuple(f"clip{k}" for k in range(8))
    return RatedBars(np.zeros((len(piece), 3), np.float32), targets, numbers, piece, names, "emopia", "sign")


def agreement(table: pd.DataFrame, level: str, dimension: str) -> pd.Series:
    return table[(table["level"] == level) & (table["dimension"] == dimension)].iloc[0]


def test_perfect_predictions_agree_perfectly(clips) -> None:
    table = evaluate_predictor(clips.targets, clips)
    for level in ("bar", "piece"):
        for dimension in ("valence", "arousal"):
            row = agreement(table, level, dimension)
            assert row["mae"] == pytest.approx(0, abs=1e-7)
            assert row["pearson_r"] == pytest.approx(1)
            assert row["ccc"] == pytest.approx(1)
    assert agreement(table, "bar", "valence")["n"] == 36
    assert agreement(table, "piece", "quadrant")[["accuracy", "n"]].tolist() == [1, 8]


def test_mirrored_predictions_miss_every_sign(clips) -> None:
    table = evaluate_predictor(-clips.targets, clips)
    assert agreement(table, "piece", "valence")["accuracy"] == 0
    assert agreement(table, "bar", "arousal")["ccc"] == pytest.approx(-2 / 2 * _variance_share(clips.targets[:, 1]))


def _variance_share(rated: np.ndarray) -> float:
    """Lin's formula for the mirror image: the means lie twice the mean apart."""
    return float(rated.var() / (rated.var() + 2 * rated.mean() ** 2))


def test_a_constant_has_empty_r_and_no_concordance(clips) -> None:
    constant = np.repeat(clips.targets.mean(axis=0)[None], len(clips), axis=0)
    table = evaluate_predictor(constant, clips)
    scored = table[table["dimension"] != "quadrant"]
    assert scored["pearson_r"].isna().all()
    assert (scored["ccc"] == 0).all()
    assert agreement(table, "bar", "valence")["mse"] == pytest.approx(clips.targets[:, 0].var(), rel=1e-5)


def test_a_piece_is_the_mean_of_its_bars() -> None:
    values = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    np.testing.assert_allclose(by_piece(values, np.array([0, 0, 1])), [[0.5, 0.5], [0.5, 0.5]])


def test_errors_in_a_piece_cancel_in_its_mean(clips) -> None:
    wobble = np.where(clips.bar_number % 2 == 0, 0.2, -0.2)[:, None]
    even = RatedBars(*(a[clips.piece % 2 == 1] for a in (clips.latents, clips.targets, clips.bar_number)),
                     piece=clips.piece[clips.piece % 2 == 1] // 2, pieces=clips.pieces[1::2],
                     dataset="vgmidi", kind="curve")  # fmt: skip
    table = evaluate_predictor(even.targets + wobble[clips.piece % 2 == 1], even)
    assert agreement(table, "bar", "valence")["mae"] == pytest.approx(0.2)
    assert agreement(table, "piece", "valence")["mae"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("curve", {"bar", "piece", "within"}),
        ("sign", {"bar", "piece"}),
        ("point", {"piece"}),
        ("rank", {"piece"}),
    ],
)
def test_the_levels_are_those_at_which_a_kind_is_rated(clips, kind, found) -> None:
    table = evaluate_predictor(clips.targets, replace(clips, kind=kind))
    assert set(table["level"]) == found
    assert ("accuracy" in table) == (kind == "sign")
    assert ("quadrant" in set(table["dimension"])) == (kind == "sign")


def test_a_shift_of_each_piece_is_no_error_within_pieces(clips) -> None:
    curves = replace(clips, kind="curve", targets=clips.targets + 0.1 * (clips.bar_number % 3)[:, None])
    shift = np.where(clips.piece % 3 == 0, 0.2, -0.1)[:, None]
    table = evaluate_predictor(curves.targets + shift, curves)
    assert agreement(table, "within", "valence")["mae"] == pytest.approx(0, abs=1e-6)
    assert agreement(table, "within", "arousal")["pearson_r"] == pytest.approx(1)
    assert agreement(table, "piece", "valence")["mae"] > 0.1


def test_a_dimension_that_a_piece_is_not_rated_in_does_not_count(clips) -> None:
    targets = clips.targets.copy()
    targets[clips.piece == 0, 0] = np.nan
    table = evaluate_predictor(clips.targets, replace(clips, targets=targets))
    assert agreement(table, "bar", "valence")["n"] == 35
    assert agreement(table, "bar", "arousal")["n"] == 36
    assert agreement(table, "piece", "quadrant")[["accuracy", "n"]].tolist() == [1, 7]


def raters(ratings: dict[int, list[float]]) -> tuple[pd.DataFrame, RatedBars]:
    """One piece's valence by rater; arousal is its opposite."""
    n = len(next(iter(ratings.values())))
    rows = [("p", k, bar, v, -v) for k, values in ratings.items() for bar, v in enumerate(values)]
    table = pd.DataFrame(rows, columns=["piece", "rater", "bar_number", "valence", "arousal"])
    zeros = np.zeros((n, 2), np.float32)
    return table, RatedBars(
        zeros, zeros, np.arange(n, dtype=np.int32), np.zeros(n, dtype=np.int64), ("p",), "vgmidi", "curve"
    )


def test_raters_who_agree_are_perfect() -> None:
    table = evaluate_one_rater(*raters({1: [0, 0.5, 1], 2: [0, 0.5, 1], 3: [0, 0.5, 1]}))
    assert agreement(table, "bar", "valence")["ccc"] == pytest.approx(1)
    assert agreement(table, "bar", "arousal")["mae"] == pytest.approx(0)


def test_a_rater_is_compared_with_the_others_only() -> None:
    table = evaluate_one_rater(*raters({1: [0, 1], 2: [0, 1], 3: [1, 0]}))
    # raters 1 and 2 against the constant (½, ½): r undefined; rater 3 against (0, 1): r = −1, error 1
    row = agreement(table, "bar", "valence")
    assert row["mae"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert row["pearson_r"] == pytest.approx(-1)
    assert row["n"] == 2


def test_only_the_bars_of_the_split_count() -> None:
    table, bars = raters({1: [0, 0.5, 1], 2: [0, 0.5, 1]})
    elsewhere = table.assign(piece="q", valence=np.arange(6) % 2)
    first = evaluate_one_rater(table, bars)
    assert evaluate_one_rater(pd.concat([table, elsewhere]), bars).equals(first)


def test_the_plot_has_a_row_for_every_dataset(clips, tmp_path) -> None:
    panels = [SplitPrediction(name, "test", clips, clips.targets) for name in ("emopia", "vgmidi")]
    plot_evaluation(panels, tmp_path / "plots" / "evaluation.png")
    content = (tmp_path / "plots" / "evaluation.png").read_bytes()
    width, height = (int.from_bytes(content[i : i + 4], "big") for i in (16, 20))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert width >= 1000
    assert height >= 1000


def test_no_label_of_the_plot_covers_another(clips, tmp_path, monkeypatch) -> None:
    saved: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (saved.append(figure), Path(path).touch()))
    unrated = replace(clips, targets=np.full_like(clips.targets, np.nan))
    panels = [
        SplitPrediction(name, "validation", bars, bars.targets, in_unit=in_unit)
        for name in ("emopia", "a_set_with_a_name_far_longer_than_there_is_room_for_over_a_panel")
        for bars, in_unit in ((clips, True), (replace(clips, targets=9 * clips.targets), False), (unrated, True))
    ]
    plot_evaluation(panels, tmp_path / "evaluation.png")
    assert covered_labels(saved[0]) == []


def test_a_bar_that_is_not_rated_leaves_the_others_of_its_piece() -> None:
    values = np.array([[0.0, np.nan], [1.0, 0.0], [np.nan, np.nan]])
    np.testing.assert_array_equal(by_piece(values, np.array([0, 0, 1])), [[0.5, 0], [np.nan, np.nan]])


def test_a_piece_is_compared_over_the_bars_that_are_rated(clips) -> None:
    """The prediction is right but in the bars that are not rated, which are one of each longer clip."""
    targets, predicted = clips.targets.copy(), clips.targets.copy()
    unrated = (clips.bar_number == 0) & (clips.piece > 0)
    targets[unrated, 0], predicted[unrated, 0] = np.nan, 5
    table = evaluate_predictor(predicted, replace(clips, targets=targets, kind="curve"))
    for level, n in (("bar", 29), ("piece", 8), ("within", 29)):
        row = agreement(table, level, "valence")
        assert (row["n"], row["mae"]) == (n, pytest.approx(0, abs=1e-6))


def test_a_rater_who_rated_nothing_counts_for_nobody() -> None:
    """Without the third there are two who agree, and at the end of the piece there is one."""
    ratings, bars = raters({1: [0, 0.5, 1, 0.2], 2: [0, 0.5, 1, np.nan], 3: [np.nan] * 4})
    table = evaluate_one_rater(ratings, bars)
    row = agreement(table, "bar", "valence")
    assert (row["mae"], row["ccc"], row["n"]) == (pytest.approx(0), pytest.approx(1), 3)
    assert agreement(table, "piece", "valence")["mae"] == pytest.approx(0)
    alone, bars = raters({1: [0, 0.5, 1]})
    assert np.isnan(agreement(evaluate_one_rater(alone, bars), "bar", "valence")["mae"])


def test_a_set_with_a_scale_of_its_own_is_judged_by_correlation_alone(clips) -> None:
    table = without_unit(evaluate_predictor(clips.targets, clips))
    assert set(table["dimension"]) == {"valence", "arousal"}
    assert table[["mae", "mse", "ccc", "accuracy"]].isna().all(axis=None)
    assert table["pearson_r"].tolist() == pytest.approx([1] * 4)


def test_the_plot_names_the_concordance_only_of_a_set_in_the_unit_of_the_predictions(
    clips, tmp_path, monkeypatch
) -> None:
    titles: list[str] = []
    monkeypatch.setattr(Axes, "set_title", lambda axis, title, **_: titles.append(title))
    panels = [SplitPrediction(str(unit), "test", clips, clips.targets, in_unit=unit) for unit in (True, False)]
    plot_evaluation(panels, tmp_path / "evaluation.png")
    assert all("r = 1.00" in title for title in titles)
    assert ["CCC" in title for title in titles] == [True, True, False, False]
