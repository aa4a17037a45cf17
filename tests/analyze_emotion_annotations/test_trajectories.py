"""Trajectories: how songs move from their first bar to their last, as a mean over the songs of a group."""

from __future__ import annotations

import numpy as np
import pytest
from analyse_folder import grouped

from analyze_emotion_annotations.group_statistics import trajectories

STYLE = "music_style_scraped"


def trajectories_of(folder, points, min_bars=2):
    """The trajectories with their groups' names."""
    with grouped(folder) as db:
        names = db.sql("SELECT g, grouping, name FROM groups").df()
        return trajectories(db, points, min_bars).merge(names, on="g")


def trajectory_of(table, name):
    rows = table[table["name"] == name].sort_values("point")
    assert len(rows)
    return rows


def rising(n, low=-0.4, high=0.4):
    """A song whose valence rises in equal steps from `low` to `high`, while its arousal falls; (n, 2)."""
    position = (np.arange(n) + 0.5) / n
    return np.stack([low + (high - low) * position, high - (high - low) * position], axis=1)


@pytest.mark.parametrize("n_bars", [12, 120])
def test_a_song_that_rises_evenly_moves_in_a_straight_line(annotations, n_bars):
    folder = annotations([({"name": "a"}, rising(n_bars, -0.36, 0.6).round(4))])
    trajectory = trajectory_of(trajectories_of(folder, points=12), "(all)")
    straight = np.linspace(-0.44, 0.44, 12)  # the middles of twelfths of 0.96
    atol = 0.96 / n_bars / 2 + 1e-4
    np.testing.assert_allclose(trajectory["valence_movement"], straight, atol=atol)
    np.testing.assert_allclose(trajectory["arousal_movement"], -straight, atol=atol)
    np.testing.assert_allclose(trajectory["valence_mean"], straight + 0.12, atol=atol)
    np.testing.assert_allclose(np.diff(trajectory["valence_movement"], 2), 0, atol=3e-4)
    assert list(trajectory["point"]) == list(range(12))


def test_long_and_short_songs_weigh_alike(annotations):
    up, flat = rising(1000).round(4), np.full((10, 2), 0.3)
    trajectory = trajectory_of(trajectories_of(annotations([({"name": "a"}, up), ({"name": "b"}, flat)]), 10), "(all)")
    assert set(trajectory["n_songs"]) == {2}
    np.testing.assert_allclose(trajectory["valence_movement"], np.linspace(-0.36, 0.36, 10) / 2, atol=1e-3)
    np.testing.assert_allclose(trajectory["valence_mean"], (np.linspace(-0.36, 0.36, 10) + 0.3) / 2, atol=1e-3)


def test_a_point_is_the_bar_in_the_middle_of_its_stretch(annotations):
    bars = np.stack([np.arange(7), np.zeros(7)], axis=1) / 10
    trajectory = trajectory_of(trajectories_of(annotations([({"name": "a"}, bars)]), points=3), "(all)")
    np.testing.assert_allclose(trajectory["valence_mean"], [0.1, 0.3, 0.5])  # ⌊7/6⌋, ⌊7/2⌋, ⌊35/6⌋
    stretched = trajectory_of(trajectories_of(annotations([({"name": "a"}, bars[:2])], folder="b"), points=5), "(all)")
    np.testing.assert_allclose(stretched["valence_mean"], [0, 0, 0.1, 0.1, 0.1])


def test_short_songs_and_groups_of_only_short_songs_are_left_out(annotations):
    songs = [
        ({"name": "long", STYLE: "long"}, rising(8)),
        ({"name": "short", STYLE: "short"}, rising(7)),
        ({"name": "both", STYLE: '["long", "short"]'}, rising(9)),
        ({"name": "tiny", STYLE: "tiny"}, rising(3)),
    ]
    table = trajectories_of(annotations(songs), 4, min_bars=8)
    counted = table.groupby("name")["n_songs"].agg(["min", "max", "size"])
    song_counts = counted.loc[["(all)", "long", "short"]].to_numpy().tolist()
    assert song_counts == [[2, 2, 4], [2, 2, 4], [1, 1, 4]]
    assert "tiny" not in counted.index
    assert trajectories_of(annotations(songs, folder="again"), 4, min_bars=10).empty


def test_an_interval_worked_out_by_hand(annotations):
    halves = [np.repeat([[-x, 0.0], [x, 0.0]], 2, axis=0) for x in (0.1, 0.2, 0.6)]
    songs = [({"name": str(i)}, ratings + 0.1 * i) for i, ratings in enumerate(halves)]
    trajectory = trajectory_of(trajectories_of(annotations(songs), points=2), "(all)")
    reach = 4.3027 * np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)  # t of two degrees
    np.testing.assert_allclose(trajectory["valence_movement"], [-0.3, 0.3])
    np.testing.assert_allclose(trajectory["valence_movement_high"], [-0.3 + reach, 0.3 + reach], rtol=1e-4)
    np.testing.assert_allclose(trajectory["valence_movement_low"], [-0.3 - reach, 0.3 - reach], rtol=1e-4)
    np.testing.assert_allclose(trajectory["arousal_movement_low"], 0, atol=1e-9)


def test_one_song_has_no_interval(annotations):
    trajectory = trajectory_of(trajectories_of(annotations([({"name": "a"}, rising(9))]), 3), "(all)")
    assert trajectory["valence_movement_low"].isna().all() and trajectory["arousal_movement_high"].isna().all()


def test_the_movements_of_whole_songs_add_up_to_zero(annotations, library):
    songs = [(song, np.tile(ratings[:20], (3, 1))[: 20 * (len(ratings[:20]) // 20)]) for song, ratings in library]
    songs = [song for song in songs if len(song[1])]
    trajectory = trajectory_of(trajectories_of(annotations(songs), points=20), "(all)")
    assert set(trajectory["n_songs"]) == {len(songs)}  # each song has 20 bars, one for each point
    assert trajectory["valence_movement"].sum() == pytest.approx(0, abs=1e-9)
    assert trajectory["valence_movement"].abs().max() > 0.01
