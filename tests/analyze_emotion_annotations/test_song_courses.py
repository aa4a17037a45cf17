"""How songs move from their first bar to their last, as a mean over songs."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import grouped

from analyze_emotion_annotations.song_courses import courses


def courses_of(folder, points, min_bars=2):
    with grouped(folder) as db:
        table = courses(db, points, min_bars)
    return table[table["g"] == 0].reset_index(drop=True)


def rising(n, slope, base=0.0):
    line = np.linspace(-slope, slope, n) + base
    return np.stack([line, -line], axis=1).round(4)


def test_songs_that_rise_move_from_below_their_mean_to_above_it_however_long(annotations):
    songs = [({"name": str(n)}, rising(n, 0.4, base)) for n, base in ((10, -0.1), (100, 0.3), (1000, 0.0))]
    table = courses_of(annotations(songs), points=10)
    assert list(table["n_songs"]) == [3] * 10
    middles = (np.arange(10) + 0.5) / 10 * 0.8 - 0.4
    np.testing.assert_allclose(table["valence_movement"], middles, atol=0.05)
    np.testing.assert_allclose(table["arousal_movement"], -table["valence_movement"], atol=1e-9)
    np.testing.assert_allclose(table["valence_mean"] - table["valence_movement"], 0.2 / 3, atol=1e-3)
    assert (table["valence_movement_low"] <= table["valence_movement"]).all()


def test_long_and_short_songs_weigh_alike(annotations):
    songs = [({"name": "long"}, rising(500, 0.5)), ({"name": "short"}, np.zeros((8, 2)))]
    table = courses_of(annotations(songs), points=5)
    assert table["valence_movement"].iloc[-1] == pytest.approx(0.4 / 2, abs=0.01)


def test_short_songs_are_left_out(annotations):
    songs = [({"name": "long"}, rising(8, 0.5)), ({"name": "short"}, rising(7, 0.5))]
    table = courses_of(annotations(songs), points=4, min_bars=8)
    assert list(table["n_songs"]) == [1] * 4
    assert table["valence_movement_low"].isna().all()  # one song has no interval
    assert courses_of(annotations(songs, folder="again"), points=4, min_bars=9).empty


def test_the_interval_is_that_of_a_mean_over_songs(annotations):
    songs = [({"name": str(i)}, rising(4, slope)) for i, slope in enumerate((0.1, 0.2, 0.4))]
    first = courses_of(annotations(songs), points=4).iloc[0]
    at_start = np.array([-0.1, -0.2, -0.4])
    reach = 4.303 * at_start.std(ddof=1) / np.sqrt(3)  # t of two degrees of freedom
    assert first["valence_movement"] == pytest.approx(at_start.mean(), abs=1e-4)
    assert first["valence_movement_high"] == pytest.approx(at_start.mean() + reach, abs=1e-3)
