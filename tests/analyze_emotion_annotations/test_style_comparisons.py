"""Effect sizes between groups: against the textbook, and against another library."""

from __future__ import annotations

import numpy as np
import pytest
from analysed import grouped
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from analyze_emotion_annotations.style_comparisons import comparisons, holm

STYLES = {"folk": (30, 0.2), "pop": (20, 0.0), "jazz": (25, 0.1)}


def songs_of(styles, seed=0):
    """Songs of one bar, so that a song's mean is its bar."""
    random = np.random.default_rng(seed)
    return [
        ({"name": f"{style} {i}", "music_style_scraped": style}, random.normal(mean, 0.1, (1, 2)).round(4).clip(-1, 1))
        for style, (n, mean) in styles.items()
        for i in range(n)
    ]


def compared(folder, *overrides):
    with grouped(folder, *overrides) as db:
        table = comparisons(db)
    return table[table["kind"] == "style"]


def test_hedges_g_and_welchs_p(annotations):
    songs = songs_of(STYLES)
    table = compared(annotations(songs)).set_index(["affect", "group_a", "group_b"])
    assert len(table) == 2 * 3
    values = {style: np.array([a[0, 0] for s, a in songs if s["music_style_scraped"] == style]) for style in STYLES}
    for (a, b), row in table.loc["valence"].iterrows():
        x, y = values[a], values[b]
        freedom = len(x) + len(y) - 2
        pooled = np.sqrt(((len(x) - 1) * x.var(ddof=1) + (len(y) - 1) * y.var(ddof=1)) / freedom)
        g = (x.mean() - y.mean()) / pooled * (1 - 3 / (4 * freedom - 1))
        assert row["effect"] == pytest.approx(g)
        assert row["p"] == pytest.approx(ttest_ind(x, y, equal_var=False).pvalue)
        assert row["effect_low"] < g < row["effect_high"]
        assert (row["songs_a"], row["songs_b"]) == (len(x), len(y))
    effects = table.loc["valence"]["effect"].abs().to_numpy()
    assert (np.diff(effects) <= 0).all()  # largest first


def test_songs_of_both_styles_are_left_out(annotations):
    songs = songs_of({"folk": (12, 0.2), "pop": (9, 0.0)})
    both = [({"name": f"both {i}", "music_style_scraped": '["folk", "pop"]'}, np.full((1, 2), 0.9)) for i in range(5)]
    alone = compared(annotations(songs))
    with_both = compared(annotations(songs + both, folder="with both"))
    columns = ["songs_a", "songs_b", "difference", "effect", "p"]
    np.testing.assert_allclose(alone[columns].to_numpy(float), with_both[columns].to_numpy(float), rtol=1e-9)


def test_only_groups_that_are_one_kind_of_music_are_compared(annotations):
    songs = songs_of({"folk": (12, 0.2), "pop": (12, 0.0), "polka": (3, 0.1), "": (5, 0.0), "alone": (1, 0.5)})
    table = compared(annotations(songs))
    assert set(table["group_a"]) | set(table["group_b"]) == {"folk", "pop", "polka"}
    gathered = compared(annotations(songs, folder="gathered"), "styles.min_songs=10")
    assert set(gathered["group_a"]) | set(gathered["group_b"]) == {"folk", "pop"}


def test_songs_that_are_all_alike_have_a_p_but_no_effect(annotations):
    songs = [
        ({"name": f"{s} {i}", "music_style_scraped": s}, np.full((1, 2), v))
        for s, v in (("a", 0.25), ("b", 0.5), ("c", 0.5))
        for i in range(3)
    ]
    table = compared(annotations(songs)).set_index(["affect", "group_a", "group_b"]).loc["valence"]
    assert table.loc[("a", "b"), "p"] == 0.0
    assert table.loc[("b", "c"), "p"] == 1.0
    assert table["effect"].isna().all()


def test_holms_steps_by_hand():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_corrected_p_are_no_smaller_and_keep_their_order(p):
    p = np.array(p)
    corrected = holm(p)
    assert (corrected >= p).all() and (corrected <= 1).all()
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()
