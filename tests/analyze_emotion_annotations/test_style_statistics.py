"""What the statistics by style say about the bars they were made from."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from analyze_emotion_annotations.annotation_tables import finished_parts, style_names
from analyze_emotion_annotations.style_statistics import (
    NO_STYLE,
    STEP,
    in_short,
    quantiles,
    statistics_table,
    tally_bars,
    tally_styles,
)
from musetok_bridge.settings import UserError


def table_of(folder):
    return statistics_table(tally_styles(finished_parts(folder)[0]))


def row_of(table, column, style):
    rows = table[(table["style_column"] == column) & (table["style"] == style)]
    assert len(rows) == 1
    return rows.iloc[0]


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
    table = table_of(folder)
    assert {row.style: (row.n_songs, row.n_bars) for row in table.itertuples()} == {
        "(all)": (4, 12),
        "folk": (2, 6),
        "pop": (1, 3),
        NO_STYLE: (2, 6),
    }


def test_every_style_column_of_the_songs_is_counted(annotations):
    song = {"name": "a", "music_style_scraped": "rock", "music_style_audio_text_Discogs": '["Rock", "Blues"]'}
    table = table_of(annotations([(song, np.zeros((2, 2)))]))
    assert list(zip(table["style_column"], table["style"], strict=True)) == [
        ("(all)", "(all)"),
        ("music_style_scraped", "rock"),
        ("music_style_audio_text_Discogs", "Blues"),
        ("music_style_audio_text_Discogs", "Rock"),
    ]


def test_songs_without_any_style_column_give_the_overall_row(annotations):
    table = table_of(annotations([({"name": "a"}, np.full((4, 2), -0.25))]))
    assert list(table["style"]) == ["(all)"]
    assert table.loc[0, "share_q3"] == 1.0


def test_the_quadrants_share_out_all_bars(annotations, library):
    table = table_of(annotations(library))
    shares = table[[f"share_q{i}" for i in (1, 2, 3, 4)]]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)


@pytest.mark.parametrize(
    ("valence", "arousal", "quadrant"),
    [(0.5, 0.5, 1), (-0.5, 0.5, 2), (-0.5, -0.5, 3), (0.5, -0.5, 4), (0, 0, 1), (-0.5, 0, 2), (0, -0.5, 4)],
)
def test_quadrants_as_emopia_numbers_them_and_zero_is_positive(valence, arousal, quadrant):
    assert np.flatnonzero(tally_bars(np.array([[valence, arousal]])).quadrants) == [quadrant - 1]


def test_statistics_do_not_depend_on_how_songs_are_split_into_parts(annotations, library):
    whole = table_of(annotations(library))
    for n_parts in (2, 7, 60):
        parts = [library[i::n_parts] for i in range(n_parts)]
        pd.testing.assert_frame_equal(whole, table_of(annotations(*parts, folder=f"split {n_parts}")), rtol=1e-12)


def test_statistics_are_those_of_all_bars_of_a_style(annotations, library):
    folk = np.concatenate([affect for song, affect in library if "folk" in str(song["music_styles_curated"])])
    row = row_of(table_of(annotations(library)), "music_styles_curated", "folk")
    for affect, values in zip(("valence", "arousal"), folk.T, strict=True):
        assert row[f"{affect}_mean"] == pytest.approx(values.mean())
        assert row[f"{affect}_sd"] == pytest.approx(values.std())
        quartiles = [row[f"{affect}_{q}"] for q in ("q25", "median", "q75")]
        assert np.abs(quartiles - np.quantile(values, (0.25, 0.5, 0.75))).max() <= STEP / 2 + 1e-12


@given(
    arrays.arrays(np.float64, st.integers(1, 50), elements=st.floats(-1, 1)),
    st.lists(st.floats(0, 1), min_size=1, max_size=5),
)
def test_quantiles_agree_with_numpy_to_half_a_step(values, q):
    counts = tally_bars(np.stack([values, values], axis=1)).histogram[0]
    assert np.abs(quantiles(counts, q) - np.quantile(values, q)).max() <= STEP / 2 + 1e-9


def test_tallies_add_up():
    affect = np.random.default_rng(0).uniform(-1, 1, (30, 2))
    together, added = tally_bars(affect, 3), tally_bars(affect[:13], 1) + tally_bars(affect[13:], 2)
    assert (together.n_songs, together.n_bars) == (added.n_songs, added.n_bars) == (3, 30)
    for name in ("sums", "squares", "quadrants", "histogram"):
        np.testing.assert_allclose(getattr(together, name), getattr(added, name))


def test_a_file_that_occurs_twice_counts_twice(annotations):
    song = ({"name": "a", "music_style_scraped": "polka"}, np.full((3, 2), 0.1))
    row = row_of(table_of(annotations([song, song])), "music_style_scraped", "polka")
    assert (row["n_songs"], row["n_bars"]) == (2, 6)


def test_styles_stand_in_the_order_of_their_songs_and_the_terminal_shows_the_largest(annotations):
    named = itertools.count()
    songs = [
        ({"name": str(next(named)), "music_style_scraped": f"style {style}"}, np.zeros((1, 2)))
        for style in range(12)
        for _ in range(style + 1)
    ]
    table = table_of(annotations(songs))
    assert list(table["style"][1:]) == [f"style {style}" for style in reversed(range(12))]
    text = in_short(table)
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
    with pytest.raises(UserError, match=r"part-00000\.csv: bars of .* a song that .* lacks"):
        table_of(folder)


def test_a_part_whose_songs_all_failed_adds_nothing(annotations, library):
    folder = annotations(library[:30], library[30:])
    before = table_of(folder)
    for kind in ("bars", "songs"):
        header = (folder / kind / "part-00000.csv").read_text().splitlines()[0]
        (folder / kind / "part-00002.csv").write_text(header + "\n")
    pd.testing.assert_frame_equal(table_of(folder), before)
    for kind in ("bars", "songs"):
        for number in (0, 1):
            (folder / kind / f"part-0000{number}.csv").unlink()
    with pytest.raises(UserError, match="no bar was annotated"):
        tally_styles(finished_parts(folder)[0])
