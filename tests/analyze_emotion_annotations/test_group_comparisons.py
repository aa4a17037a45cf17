"""Comparisons of groups: effect sizes and tests as the literature defines them, over the right songs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from analyse_folder import grouped
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from analyze_emotion_annotations.group_comparisons import comparisons, holm
from analyze_emotion_annotations.song_groups import COLLECTIVE

COLUMN = "music_styles_curated"


def compared(folder, *overrides):
    with grouped(folder, *overrides) as db:
        return comparisons(db)


def pair_of(table, group_a, group_b, dimension="valence", grouping=COLUMN):
    """The one row of a pair."""
    rows = table[(table["grouping"] == grouping) & (table["dimension"] == dimension)]
    rows = rows[(rows["group_a"] == group_a) & (rows["group_b"] == group_b)]
    assert len(rows) == 1
    return rows.iloc[0]


def songs_at(means_of_style, n_bars=2):
    """Songs whose bars are all equal; a style's name may be a list of styles."""
    return [
        ({"name": f"{style} {i}", COLUMN: style}, np.full((n_bars, 2), mean))
        for style, means in means_of_style.items()
        for i, mean in enumerate(means)
    ]


def test_an_effect_worked_out_by_hand(annotations):
    row = pair_of(compared(annotations(songs_at({"folk": [0.1, 0.2, 0.3], "pop": [0.0, 0.2]}))), "folk", "pop")
    assert (row["songs_a"], row["songs_b"]) == (3, 2)
    assert row["difference"] == pytest.approx(0.1)
    pooled = np.sqrt((2 * 0.01 + 1 * 0.02) / 3)
    g = 0.1 / pooled * (1 - 3 / (4 * 3 - 1))
    assert row["effect"] == pytest.approx(g)
    error = np.sqrt(5 / 6 + g**2 / 10)
    assert [row["effect_low"], row["effect_high"]] == pytest.approx([g - 1.96 * error, g + 1.96 * error])


def test_means_are_those_of_songs_however_long(annotations):
    random = np.random.default_rng(4)
    songs, means = [], {"folk": [], "pop": []}
    for style, middle, spread, n_songs in (("folk", 0.1, 0.3, 40), ("pop", -0.1, 0.1, 15)):
        for i in range(n_songs):
            ratings = random.normal(random.normal(middle, spread), 0.1, (int(random.integers(1, 30)), 2))
            ratings = np.clip(ratings, -1, 1).round(4)
            means[style].append(ratings.mean(axis=0))
            songs.append(({"name": f"{style} {i}", COLUMN: style}, ratings))
    table = compared(annotations(songs))
    for i, dimension in enumerate(("valence", "arousal")):
        folk, pop = (np.array(means[style])[:, i] for style in ("folk", "pop"))
        row = pair_of(table, "folk", "pop", dimension)
        assert row["difference"] == pytest.approx(folk.mean() - pop.mean())
        assert row["p"] == pytest.approx(ttest_ind(folk, pop, equal_var=False).pvalue, rel=1e-6)
        pooled = np.sqrt((39 * folk.var(ddof=1) + 14 * pop.var(ddof=1)) / 53)
        assert row["effect"] == pytest.approx((folk.mean() - pop.mean()) / pooled * (1 - 3 / (4 * 53 - 1)))


def test_songs_of_both_styles_are_on_neither_side(annotations):
    alone = {"folk": [0.1, 0.2, 0.3, 0.4], "pop": [0.0, 0.2, -0.2]}
    without = compared(annotations(songs_at(alone)))
    shared = {'["folk", "pop"]': [0.9, -0.9, 0.8], '["folk", "jazz"]': [0.5]}
    table = compared(annotations(songs_at(alone | shared), folder="shared"))
    row = pair_of(table, "folk", "pop")
    assert (row["songs_a"], row["songs_b"]) == (5, 3)  # the song of folk and jazz is no pop
    assert row["difference"] == pytest.approx(0.3 - 0.0)
    assert pair_of(without, "folk", "pop")["songs_a"] == 4
    only_both = compared(annotations(songs_at({'["folk", "pop"]': [0.9, -0.9, 0.8]}), folder="only both"))
    assert only_both.empty


def test_groups_of_one_song_and_collective_groups_are_not_compared(annotations):
    means = [0.1, 0.2, 0.4]
    styles = {"folk": means, "pop": means, "": means, "lone": [0.3], "polka": [0.1, 0.5], "waltz": [0.2, 0.6]}
    table = compared(annotations(songs_at(styles)))
    named = set(table["group_a"]) | set(table["group_b"])
    assert named == {"folk", "pop", "polka", "waltz"}
    combined = compared(annotations(songs_at(styles), folder="combined"), "styles.min_songs=3")
    named = set(combined["group_a"]) | set(combined["group_b"])
    assert named == {"folk", "pop"} and not named & set(COLLECTIVE)


def test_every_pair_of_groups_is_compared_once_with_the_largest_effects_first(annotations):
    songs = songs_at({"a": [0.1, 0.2, 0.3], "b": [0.5, 0.6, 0.8], "c": [0.11, 0.2, 0.33]})
    songs += [({"name": f"{n}", COLUMN: "d"}, np.full((2, 2), n / 100)) for n in (1, 5, 9)]
    for i, (song, _) in enumerate(songs):
        song["num_tracks"] = 1 + i % 2
    table = compared(annotations(songs))
    styles = table[table["grouping"] == COLUMN]
    for dimension in ("valence", "arousal"):
        rows = styles[styles["dimension"] == dimension]
        pairs = {frozenset(pair) for pair in zip(rows["group_a"], rows["group_b"], strict=True)}
        assert len(rows) == 6 and pairs == {frozenset(pair) for pair in itertools.combinations("abcd", 2)}
        assert rows["effect"].abs().is_monotonic_decreasing
    assert set(table.loc[table["grouping"] == "number of tracks", "kind"]) == {"feature"}
    assert set(table["group_a"]) | set(table["group_b"]) == {*"abcd", "1", "2"}


def test_equal_songs_have_a_p_but_no_effect_size(annotations):
    styles = {"a": [0.1] * 3, "b": [0.1] * 7, "c": [0.3] * 6}
    table = compared(annotations(songs_at(styles, n_bars=3)))
    assert len(table) == 6
    for dimension in ("valence", "arousal"):
        same, apart = (pair_of(table, *pair, dimension) for pair in (("b", "a"), ("b", "c")))
        assert same["difference"] == pytest.approx(0, abs=1e-12)
        assert (same["p"], same["p_holm"]) == (1, 1)
        assert apart["difference"] == pytest.approx(-0.2)
        assert apart["p"] == 0
    assert table["effect"].isna().all() and table["effect_low"].isna().all()  # without a spread there is no unit


def test_without_a_pair_to_compare_the_table_is_empty(annotations):
    table = compared(annotations(songs_at({"folk": [0.1, 0.2]})))
    assert table.empty and "p_holm" in table


def test_holm_worked_out_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, 0.6])), [1.0, 1.0])
    assert holm(np.array([])).shape == (0,)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=40))
def test_holm_makes_no_p_smaller_keeps_their_order_and_goes_no_further_than_bonferroni(raw):
    p = np.array(raw)
    corrected = holm(p)
    assert (corrected >= p).all() and (corrected <= np.minimum(len(p) * p, 1)).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(corrected[order]) >= 0).all()
    assert corrected[order[0]] == min(1, len(p) * p.min())
    for value in set(raw):
        assert len(set(corrected[p == value])) == 1  # ties stay ties
