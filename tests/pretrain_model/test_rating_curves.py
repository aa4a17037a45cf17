"""Curves over seconds become ratings of bars by exact integrals; pictures show rated and predicted curves."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from musetok_bridge import score_to_bars
from musetok_bridge.scores import read_score
from pipeline.settings import UserError
from pretrain_model.curve_plots import LAGS, plot_fits
from pretrain_model.features import bar_features
from pretrain_model.head import load_head
from pretrain_model.rated_set import PIECES, RATINGS
from pretrain_model.rating_curves import bar_edges, best_lag, means_over, rate_bars, value_at, whole_piece

NAN = math.nan
MakeMidi = Callable[..., bytes]


def curve(seconds: list[float], valence: list[float], arousal: list[float] | None = None) -> pd.DataFrame:
    columns = {"seconds": seconds, "valence": valence, "arousal": arousal or [NAN] * len(seconds)}
    return pd.DataFrame(columns)


def test_a_bar_takes_the_integral_and_not_the_mean_of_samples() -> None:
    # from 0 to 1 in the first second, then 1: the area over 2 s is 0.5 + 1; the samples' mean would be 2/3
    found = means_over(np.array([0.0, 1, 2]), np.array([0.0, 1, 1]), np.array([0.0, 2]))
    assert found.tolist() == [0.75]


def test_a_bar_line_between_samples_cuts_the_line_between_them() -> None:
    # v(t) = t, so the mean over a bar is the middle of the bar
    found = means_over(np.array([0.0, 1, 2, 3]), np.array([0.0, 1, 2, 3]), np.array([0.3, 0.7, 2.1]))
    assert found == pytest.approx([0.5, 1.4])


def test_a_bar_needs_half_of_its_time() -> None:
    # samples from 15 s on: the bar 14–16 s is covered by just half, 13.9–15.9 by less
    seconds, values = np.array([15.0, 15.5, 16.0, 16.5]), np.array([0.0, 1, 2, 3])
    assert means_over(seconds, values, np.array([14.0, 16.0])).tolist() == [1.0]  # over the covered second
    assert np.isnan(means_over(seconds, values, np.array([13.9, 15.89]))).all()


def test_bars_outside_the_curve_and_without_duration_have_no_mean() -> None:
    found = means_over(np.array([0.0, 1, 2]), np.ones(3), np.array([-4.0, -2, 0, 2, 2, 4]))
    assert found.tolist() == pytest.approx([NAN, NAN, 1.0, NAN, NAN], nan_ok=True)


def test_nothing_is_put_into_a_gap() -> None:
    # samples every second; between 2 and 4 s one is missing, so only 0–2 and 4–6 s are known
    seconds, values = np.arange(7.0), np.array([0.0, 0, 0, NAN, 1, 1, 1])
    assert means_over(seconds, values, np.array([0.0, 6])).tolist() == [0.5]  # 4 of 6 s
    assert np.isnan(means_over(seconds, values, np.array([1.5, 4.4]))).all()  # 0.9 of 2.9 s
    assert means_over(seconds, values, np.array([1.0, 3])).tolist() == [0.0]  # the half before the gap


def test_a_gap_of_one_and_a_half_steps_is_bridged() -> None:
    seconds = np.array([0.0, 1, 2, 3.5, 4.5, 5.5])
    assert means_over(seconds, seconds, np.array([2.0, 3.5])) == pytest.approx([2.75])
    seconds[3:] += 0.1
    assert np.isnan(means_over(seconds, seconds, np.array([2.0, 3.6]))).all()


def test_samples_may_come_in_any_order_and_twice() -> None:
    # two samples at 1 s, 1 and 3, count as their mean, 2: the line from 0 to 2
    found = means_over(np.array([1.0, 0, 1]), np.array([3.0, 0, 1]), np.array([0.0, 1]))
    assert found.tolist() == [1.0]


def test_one_sample_covers_no_time() -> None:
    assert np.isnan(means_over(np.array([1.0]), np.array([0.5]), np.array([0.0, 2]))).all()
    assert whole_piece(curve([1.0], [0.5])).empty
    assert whole_piece(curve([], [])).empty


def test_valence_and_arousal_are_covered_apart() -> None:
    rated = curve([0.0, 1, 2, 3, 4], [0.5, 0.5, 0.5, NAN, NAN], [NAN, NAN, 0.1, 0.1, 0.1])
    found = rate_bars(rated, np.array([3, 4, 5]), np.array([0.0, 2, 4, 6]))
    assert found["bar_number"].tolist() == [3, 4]
    assert found["valence"].tolist() == pytest.approx([0.5, NAN], nan_ok=True)
    assert found["arousal"].tolist() == pytest.approx([NAN, 0.1], nan_ok=True)


def test_valence_and_arousal_may_be_sampled_at_other_times() -> None:
    # valence at 0, 1, 2, … s and arousal between, so each has a sample a second and half of the rows
    times = [k / 2 for k in range(10)]
    rated = curve(times, [t if k % 2 == 0 else NAN for k, t in enumerate(times)],
                  [NAN if k % 2 == 0 else t for k, t in enumerate(times)])  # fmt: skip
    found = rate_bars(rated, np.arange(2), np.array([0.0, 2, 4]))
    assert found[["valence", "arousal"]].to_numpy().tolist() == [[1, 1.25], [3, 3]]
    assert whole_piece(rated)[["valence", "arousal"]].to_numpy().tolist() == [[2, 2.5]]


def test_a_lag_moves_the_curve_earlier() -> None:
    rated = curve([0.0, 1, 2, 3, 4, 5], [0.0, 0, 0, 1, 1, 1])
    found = rate_bars(rated, np.arange(2), np.array([0.0, 2, 4]), lag=3.0)
    assert found["bar_number"].tolist() == [0]  # the curve now ends at 2 s
    assert found["valence"].tolist() == [1.0]


def test_the_mean_of_a_piece_is_over_the_time_that_is_known() -> None:
    found = whole_piece(curve([0.0, 1, 2, 3, 10, 11], [1.0, 1, 1, 1, 0, 0]))
    assert found["valence"].tolist() == [0.75]  # three seconds of 1 and one of 0; the gap counts for nothing
    assert found["arousal"].isna().all()


def test_edges_are_those_of_the_features(make_midi: MakeMidi) -> None:
    score = read_score(make_midi(7, tempi=((0, 120), (4, 60))))  # a second bar of three quarters at half the tempo
    bars = score_to_bars(score)
    assert bar_edges(score, bars).tolist() == pytest.approx([0.0, 2.0, 6.0])
    assert bar_edges(score, bars).tolist() == bar_features(score, bars).edges.tolist()


def test_the_lag_of_a_late_copy_is_found() -> None:
    edges, predicted = np.arange(0.0, 62, 2), np.sin(np.arange(30) ** 1.5)
    seconds = np.arange(0.1, 60, 0.25)
    for lag in (0.0, 2.5, 8.0):
        found = best_lag(seconds, 3 * value_at(edges, predicted, seconds - lag) + 1, edges, predicted)
        assert found == pytest.approx((lag, 1.0))


def test_no_lag_where_one_curve_is_constant_or_too_short() -> None:
    edges, seconds = np.arange(0.0, 22, 2), np.arange(0.0, 20, 0.25)
    steps = np.arange(10.0)
    for rated, predicted in (
        (np.ones(len(seconds)), steps),
        (seconds, np.ones(10)),
        (np.full(len(seconds), NAN), steps),
    ):
        assert np.isnan(best_lag(seconds, rated, edges, predicted)).all()
    assert np.isnan(best_lag(seconds[:4], seconds[:4], edges, steps)).all()


@pytest.fixture
def two_pieces(make_midi: MakeMidi, tmp_path: Path) -> tuple[Path, pd.DataFrame, pd.DataFrame]:
    """A folder with a steady and a changing piece, and their pieces and ratings; the names are no names of files."""
    pieces, ratings = [], []
    for name, file in (("a/b $x$", "one.mid"), ("plain", "two.mid")):
        (tmp_path / file).write_bytes(make_midi(64, tempi=((0, 120), (20, 60), (40, 180))))
        pieces.append((name, file, "", name, "train", "", "", "", 1.0))
        ratings += [(name, bar, math.sin(bar), NAN, NAN, NAN, 1) for bar in range(2, 16)]
    return tmp_path, pd.DataFrame(ratings, columns=[*RATINGS]), pd.DataFrame(pieces, columns=[*PIECES])


def test_pictures_and_lags_of_the_chosen_pieces(two_pieces: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    folder, ratings, pieces = two_pieces
    lags = pd.read_csv(plot_fits(folder, "own", ratings, pieces, load_head("bundled"), 5))
    assert [*lags.columns] == [*LAGS]
    assert lags["piece"].tolist() == ["a/b $x$", "plain"]
    assert lags["valence_r"].between(-1, 1).all()
    assert lags["valence_lag"].between(0, 8).all()
    assert lags[["arousal_lag", "arousal_r"]].isna().all(axis=None)  # nobody rated it
    drawn = sorted(path.name for path in (folder / "plots" / "own").iterdir())
    assert len(drawn) == 2
    assert drawn[1] == "plain.png"
    assert drawn[0].startswith("a_b_x_")
    assert all((folder / "plots" / "own" / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
    one = pd.read_csv(plot_fits(folder, "own", ratings, pieces, load_head("bundled"), 1))
    assert len(one) == 1


def test_ratings_of_whole_pieces_are_not_drawn(two_pieces: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    folder, ratings, pieces = two_pieces
    lags = pd.read_csv(plot_fits(folder, "own", ratings.assign(bar_number=NAN), pieces, load_head("bundled"), 5))
    assert lags.empty
    assert not (folder / "plots").exists()


def test_a_head_on_latents_and_a_missing_file_are_refused(two_pieces: tuple[Path, pd.DataFrame, pd.DataFrame]) -> None:
    folder, ratings, pieces = two_pieces
    with pytest.raises(UserError, match=r"reads latents.*prepare\.plot_head"):
        plot_fits(folder, "own", ratings, pieces, SimpleNamespace(reads_latents=True, name="mlp"), 5)  # type: ignore[arg-type]
    (folder / "one.mid").unlink()
    with pytest.raises(UserError, match=r"one\.mid.*01_prepare_datasets"):
        plot_fits(folder, "own", ratings, pieces, load_head("bundled"), 5)
