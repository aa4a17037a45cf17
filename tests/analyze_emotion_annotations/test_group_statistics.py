"""The statistics of groups, compared with the bars they were computed from."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from analyse_folder import grouped, row_of, table_of
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analyze_emotion_annotations.analysis import summary_text
from analyze_emotion_annotations.group_statistics import PLANE_CELLS, STEP, group_statistics, quantiles
from analyze_emotion_annotations.song_groups import ALL, NO_STYLE, RARE
from pipeline.annotations import DIMENSIONS, record_path
from pipeline.cells import style_names
from pipeline.settings import UserError


def styles_of(table):
    return table[table["kind"] != "feature"]


def test_numbers_worked_out_by_hand(annotations):
    one = np.array([[0.5, 0.5], [-0.5, 0.1]])
    two = np.array([[-0.1, -0.2], [0.9, -0.4], [0.7, -0.5]])
    folder = annotations(
        [({"name": "a", "music_style_scraped": "waltz"}, one), ({"name": "b", "music_style_scraped": "waltz"}, two)]
    )
    row = row_of(table_of(folder), "music_style_scraped", "waltz")
    assert (row["n_songs"], row["n_bars"]) == (2, 5)
    assert row["valence_mean"] == pytest.approx(0.3)
    assert row["valence_sd"] == pytest.approx(np.sqrt((0.04 + 0.64 + 0.16 + 0.36 + 0.16) / 5))
    assert [row[f"valence_{q}"] for q in ("q25", "median", "q75")] == pytest.approx([-0.1, 0.5, 0.7])
    assert [row[f"arousal_{q}"] for q in ("q25", "median", "q75")] == pytest.approx([-0.4, -0.2, 0.1])
    assert [row[f"share_q{i}"] for i in (1, 2, 3, 4)] == pytest.approx([0.2, 0.2, 0.2, 0.4])


def test_a_song_counts_once_in_each_style_it_names(annotations):
    bars = np.full((3, 2), 0.5)
    folder = annotations(
        [
            ({"name": "both", "music_styles_curated": '["folk", "pop", "folk"]'}, bars),
            ({"name": "folk", "music_styles_curated": '["folk"]'}, bars),
            ({"name": "untold", "music_styles_curated": ""}, bars),
            ({"name": "empty", "music_styles_curated": "[]"}, bars),
        ]
    )
    table = styles_of(table_of(folder))
    assert {row.name: (row.n_songs, row.n_bars) for row in table.itertuples(index=False)} == {
        "(all)": (4, 12),
        "folk": (2, 6),
        "pop": (1, 3),
        NO_STYLE: (2, 6),
    }


def test_every_style_column_of_the_songs_is_counted(annotations):
    song = {"name": "a", "music_style_scraped": "rock", "music_style_audio_text_Discogs": '["Rock", "Blues"]'}
    table = styles_of(table_of(annotations([(song, np.zeros((2, 2)))])))
    assert list(zip(table["grouping"], table["name"], strict=True)) == [
        ("(all)", "(all)"),
        ("music_style_scraped", "rock"),
        ("music_style_audio_text_Discogs", "Blues"),
        ("music_style_audio_text_Discogs", "Rock"),
    ]


def test_without_a_style_column_there_is_only_the_row_of_all_songs(annotations):
    table = styles_of(table_of(annotations([({"name": "a"}, np.full((4, 2), -0.25))])))
    assert list(table["name"]) == ["(all)"]
    assert table.loc[0, "share_q3"] == 1.0


def test_the_shares_of_the_quadrants_add_up_to_one(annotations, library):
    table = table_of(annotations(library))
    shares = table[[f"share_q{i}" for i in (1, 2, 3, 4)]]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("valence", "arousal", "quadrant"),
    [(0.5, 0.5, 1), (-0.5, 0.5, 2), (-0.5, -0.5, 3), (0.5, -0.5, 4), (0, 0, 1), (-0.5, 0, 2), (0, -0.5, 4)],
)
def test_quadrants_are_numbered_as_in_emopia_and_zero_is_positive(annotations, valence, arousal, quadrant):
    row = table_of(annotations([({"name": "a"}, np.array([[valence, arousal]]))])).iloc[0]
    assert [i for i in (1, 2, 3, 4) if row[f"share_q{i}"]] == [quadrant]


def test_statistics_do_not_depend_on_how_songs_are_split_into_parts(annotations, library):
    whole = table_of(annotations(library))
    for n_parts in (2, 7, 60):
        parts = [library[i::n_parts] for i in range(n_parts)]
        pd.testing.assert_frame_equal(whole, table_of(annotations(*parts, folder=f"split {n_parts}")), rtol=1e-9)


def test_statistics_are_those_of_all_bars_of_a_style(annotations, library):
    folk = np.concatenate([ratings for song, ratings in library if "folk" in str(song["music_styles_curated"])])
    row = row_of(table_of(annotations(library)), "music_styles_curated", "folk")
    for dimension, values in zip(("valence", "arousal"), folk.T, strict=True):
        assert row[f"{dimension}_mean"] == pytest.approx(values.mean(), abs=5e-5)  # four decimals
        assert row[f"{dimension}_sd"] == pytest.approx(values.std(), abs=5e-5)
        quartiles = [row[f"{dimension}_{q}"] for q in ("q25", "median", "q75")]
        assert np.abs(quartiles - np.quantile(values, (0.25, 0.5, 0.75))).max() <= STEP / 2 + 1e-12


@given(
    arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1, 1)),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_quantiles_agree_with_numpy_to_half_a_step(values, q):
    counts = np.bincount(np.rint((values + 1) / STEP).astype(int), minlength=2001)
    assert np.abs(quantiles(counts, q) - np.quantile(values, q)).max() <= STEP / 2 + 1e-9


@pytest.mark.parametrize("apart", [False, True])
def test_a_file_that_occurs_twice_counts_once(annotations, apart):
    song = ({"name": "a", "music_style_scraped": "polka"}, np.array([[0.1, 0.1], [0.3, 0.1], [0.2, 0.1]]))
    row = row_of(
        table_of(annotations([song], [song]) if apart else annotations([song, song])), "music_style_scraped", "polka"
    )
    assert (row["n_songs"], row["n_bars"]) == (1, 3)
    assert row["valence_change"] == pytest.approx(0.15)


def test_change_is_from_bar_to_bar_within_a_song(annotations):
    jumps = np.array([[0.1, 0], [0.5, 0], [0.3, 0]])
    row = table_of(annotations([({"name": "a"}, jumps), ({"name": "b"}, jumps[:1])])).iloc[0]
    assert row["valence_change"] == pytest.approx((0.4 + 0.2) / 2)
    assert row["arousal_change"] == 0


def test_one_song_has_no_interval_and_equal_songs_have_one_of_no_width(annotations):
    song = np.array([[0.2, -0.2], [0.4, -0.4]])
    one = table_of(annotations([({"name": "a"}, song)])).iloc[0]
    assert np.isnan(one["valence_mean_low"]) and np.isnan(one["share_q4_high"]) and np.isnan(one["arousal_q25_low"])
    alike = table_of(annotations([({"name": str(i)}, song) for i in range(5)], folder="alike")).iloc[0]
    assert alike["valence_mean_low"] == pytest.approx(0.3) == alike["valence_mean_high"]


def test_intervals_of_few_songs_stay_within_the_possible_values(annotations):
    songs = [({"name": str(v)}, np.array([[v, v], [v / 2, v / 2]])) for v in (-0.9, 0.9)]
    row = table_of(annotations(songs)).iloc[0]
    assert (row["valence_mean_low"], row["valence_mean_high"]) == (-1, 1)
    assert row["valence_change_low"] >= 0 and row["share_q1_high"] <= 1 and row["share_q2_low"] == 0


def test_the_interval_of_a_mean_is_that_of_the_ratio_of_sums_over_songs(annotations, library):
    row = table_of(annotations(library)).iloc[0]
    n = np.array([len(ratings) for _, ratings in library])
    sums = np.array([ratings[:, 0].sum() for _, ratings in library])
    mean = sums.sum() / n.sum()
    error = np.sqrt(len(n) / (len(n) - 1) * ((sums - mean * n) ** 2).sum()) / n.sum()
    assert row["valence_mean_high"] - row["valence_mean"] == pytest.approx(2.001 * error, rel=1e-3)  # t of 59 degrees


def test_intervals_hold_the_true_value_in_95_of_100_cases(annotations):
    """About 95 % of 120 collections, drawn from one kind of music, have the true value in their interval."""
    random = np.random.default_rng(3)
    songs = []
    for collection in range(120):
        for i in range(40):
            ratings = random.normal(0.1, 0.15, (1, 2)) + random.normal(0, 0.1, (int(random.integers(5, 40)), 2))
            song = {"name": f"{collection} {i}", "music_style_scraped": f"collection {collection}"}
            songs.append((song, np.clip(ratings, -1, 1)))
    table = table_of(annotations(songs))
    table = table[table["grouping"] == "music_style_scraped"]
    true_sd = np.hypot(0.15, 0.1)
    truth = {
        "mean": 0.1,
        "sd": true_sd,
        "median": 0.1,
        "q25": 0.1 - 0.6745 * true_sd,
        "change": 0.1 * 2 / np.sqrt(np.pi),
    }
    for dimension in DIMENSIONS:
        for name, value in truth.items():
            low, high = (table[f"{dimension}_{name}_{end}"] for end in ("low", "high"))
            assert 0.85 <= ((low <= value) & (value <= high)).mean() <= 1.0, (dimension, name)
            assert (high - low).mean() < 0.2
    # the width follows from the number of songs; if bars were independent, it would be a third of this
    assert (table["valence_mean_high"] - table["valence_mean_low"]).mean() == pytest.approx(
        4.05 * 0.16 / np.sqrt(40), rel=0.1
    )


def test_styles_of_few_songs_are_combined(annotations, library):
    table = styles_of(table_of(annotations(library), "styles.min_songs=20"))
    assert dict(zip(table["name"], table["n_songs"], strict=True)) == {
        ALL: 60,
        "folk": 24,
        "jazz": 24,
        RARE: 24,
        NO_STYLE: 12,
    }
    rare = row_of(table, "music_styles_curated", RARE)
    both = [
        ratings
        for song, ratings in library
        if str(song["music_styles_curated"]) in ('["folk", "pop"]', '["blues", "jazz"]')
    ]
    assert rare["n_bars"] == sum(map(len, both))


def test_every_bar_is_in_the_distributions_of_its_groups(annotations, library):
    with grouped(annotations(library)) as db:
        table, distributions = group_statistics(db)
    for counts in distributions.lines:
        np.testing.assert_array_equal(counts.sum(axis=1), table["n_bars"])
    np.testing.assert_array_equal(distributions.planes.sum(axis=(1, 2)), table["n_bars"])
    assert distributions.planes.shape[1:] == (PLANE_CELLS, PLANE_CELLS)
    pleasant = distributions.planes[0][:, PLANE_CELLS // 2 :].sum() / table["n_bars"].iloc[0]
    assert pleasant == pytest.approx(table["share_q1"].iloc[0] + table["share_q4"].iloc[0])


def test_styles_are_in_the_order_of_their_number_of_songs_and_the_terminal_shows_the_first(annotations):
    named = itertools.count()
    songs = [
        ({"name": str(next(named)), "music_style_scraped": f"style {style}"}, np.zeros((1, 2)))
        for style in range(12)
        for _ in range(style + 1)
    ]
    table = styles_of(table_of(annotations(songs)))
    assert list(table["name"][1:]) == [f"style {style}" for style in reversed(range(12))]
    text = summary_text(table)
    assert "style 11 " in text and "style 1 " not in text and "2 more" in text


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ('["folk", "pop"]', ["folk", "pop"]),
        ("pop", ["pop"]),
        ("NA", ["NA"]),
        ("", []),
        ("[]", []),
        ('["", null, " folk "]', ["folk"]),
        ("[unknown]", ["[unknown]"]),
        ("[" * 100_000, ["[" * 100_000]),
        ('["Folk, World, & Country"]', ["Folk, World, & Country"]),
    ],
)
def test_styles_of_a_cell(cell, names):
    assert style_names(cell) == names


def test_bars_of_a_song_that_is_not_listed_are_refused(annotations):
    folder = annotations([({"name": "a"}, np.zeros((2, 2)))])
    songs = folder / "songs" / "part-00000.csv"
    songs.write_text(songs.read_text().splitlines()[0] + "\n")
    with pytest.raises(UserError, match=r"part-00000\.csv: there are bars of .*, a song that is in no songs table"):
        table_of(folder)


def test_a_part_whose_songs_all_failed_adds_nothing(annotations, library):
    folder = annotations(library[:30], library[30:])
    before = table_of(folder)
    for kind in ("bars", "songs"):
        header = (folder / kind / "part-00000.csv").read_text().splitlines()[0]
        (folder / kind / "part-00002.csv").write_text(header + "\n")
    record_path(folder, 2).write_bytes(record_path(folder, 1).read_bytes())
    pd.testing.assert_frame_equal(table_of(folder), before)
    for number in (0, 1):
        record_path(folder, number).unlink()
    with pytest.raises(UserError, match="no bar was annotated"):
        table_of(folder)
