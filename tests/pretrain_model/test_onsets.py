"""Notes within 28 ms begin together, wherever in the piece they are, and a bar begins a little before its line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_music import empty_score
from symusic import Note, Track

from musetok_bridge import score_to_bars
from pretrain_model.features import FEATURES, bar_features
from pretrain_model.onsets import EARLY, TOGETHER, bar_of, clusters

# in quarters of a millisecond, which are exact in float64 up to a factor, so that no sum is at the limit of 28 ms
ticks = st.lists(st.integers(0, 4000), max_size=150).map(sorted)


def one_by_one(begins: np.ndarray) -> list[int]:
    """The first note that is in no cluster opens one, which takes what begins up to TOGETHER after it."""
    found: list[int] = []
    opened = -np.inf
    for begin in begins.tolist():
        if begin - opened > TOGETHER:
            opened = begin
            found.append(found[-1] + 1 if found else 0)
        else:
            found.append(found[-1])
    return found


def seconds(ticks: list[int]) -> np.ndarray:
    return np.array(ticks, dtype=np.float64) * 0.00025 * 0.9973  # no number of ticks is 28 ms


@given(ticks)
def test_clusters_are_those_of_a_plain_loop(ticks: list[int]) -> None:
    begins = seconds(ticks)
    assert clusters(begins).tolist() == one_by_one(begins)


@pytest.mark.parametrize("rate", [5, 30, 100, 1000])
def test_a_dense_piece_has_the_clusters_of_a_plain_loop(rate: int) -> None:
    begins = np.sort(np.random.default_rng(rate).uniform(0, 2000 / rate, 2000))
    assert clusters(begins).tolist() == one_by_one(begins)


@given(ticks, st.integers(0, 10**6))
def test_moving_every_onset_by_the_same_time_changes_nothing(ticks: list[int], later: int) -> None:
    np.testing.assert_array_equal(clusters(seconds([tick + later for tick in ticks])), clusters(seconds(ticks)))


@given(st.lists(ticks, min_size=1, max_size=6))
def test_songs_one_after_the_other_have_the_clusters_that_each_has_alone(songs: list[list[int]]) -> None:
    first = np.cumsum([0, *map(len, songs)])
    alone = [clusters(seconds(song)) for song in songs]
    opened = np.cumsum([0, *(own[-1] + 1 if len(own) else 0 for own in alone)])
    together = clusters(np.concatenate([seconds(song) for song in songs]), first)
    assert together.tolist() == [number + k for k, own in zip(opened, alone, strict=False) for number in own.tolist()]


def test_no_notes_have_no_clusters() -> None:
    assert clusters(np.empty(0)).tolist() == []


def test_a_spread_chord_is_one_onset_and_a_fast_arpeggio_several() -> None:
    chord, arpeggio = np.array([1.0, 1.01, 1.02]), 0.02 * np.arange(6)
    assert clusters(chord).tolist() == [0, 0, 0]
    assert clusters(arpeggio).tolist() == [0, 0, 1, 1, 2, 2]


@given(ticks)
def test_no_cluster_is_longer_than_28_ms_and_none_could_take_the_next_note(ticks: list[int]) -> None:
    begins = seconds(ticks)
    cluster = clusters(begins)
    for number in range(cluster[-1] + 1 if len(cluster) else 0):
        first, *_, last = np.flatnonzero(cluster == number)[[0, -1]]
        assert begins[last] - begins[first] <= TOGETHER
        assert last + 1 == len(begins) or begins[last + 1] - begins[first] > TOGETHER


def test_three_notes_at_exactly_28_ms_are_one_onset_or_two_at_any_time() -> None:
    """With 500 ticks a quarter at 120 quarters a minute a tick is a millisecond, so this is no rare music."""
    for start in range(0, 3000, 101):
        begins = (np.array([0, 14, 28]) + start) * 0.001
        assert clusters(begins).tolist() in ([0, 0, 0], [0, 0, 1])
        score = empty_score(120, tpq=500)
        score.tracks.append(Track())
        score.tracks[0].notes.extend([Note(start + k, 200, 60 + k, 80) for k in (0, 14, 28)])
        features = bar_features(score, score_to_bars(score))
        notes = np.expm1(features.values[:, FEATURES.index("notes_per_second")]) * np.diff(features.edges)
        assert notes.sum() == pytest.approx(3)


def test_an_onset_just_before_a_bar_line_belongs_to_the_bar_after_it() -> None:
    edges = np.array([0.0, 2.0, 4.0])
    onsets = np.array([-0.01, 0.0, 2 - EARLY - 0.001, 2 - EARLY + 0.001, 2.0, 3.99, 4.5])
    assert bar_of(onsets, edges).tolist() == [0, 0, 0, 1, 1, 1, 1]


def test_a_bar_played_early_has_the_features_of_one_in_time() -> None:
    """The first chord of each bar 20 ms early: it is counted in the bar that it opens."""
    score = empty_score(120)
    score.tracks.append(Track())
    chords = [(480 * i, pitch) for i in range(16) for pitch in (60, 64, 67)]
    early = 480 * 2 * 20 // 1000
    score.tracks[0].notes.extend([Note(t - early if t % 1920 == 0 and t else t, 400, p, 80) for t, p in chords])
    values = bar_features(score, score_to_bars(score)).values
    np.testing.assert_allclose(values[:, FEATURES.index("onsets_per_second")], np.log1p(2), rtol=1e-6)
    np.testing.assert_allclose(values[:, FEATURES.index("chord_size")], 3, rtol=1e-6)
