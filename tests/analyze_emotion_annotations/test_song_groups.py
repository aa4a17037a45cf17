"""The groups of songs: classes of their features, and styles of any name."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from analyse_folder import analysis_of, grouped
from hypothesis import given, settings
from hypothesis import strategies as st

from analyze_emotion_annotations.analysis_settings import SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.song_groups import ALL, INSTRUMENTS, NO_STYLE, RARE, UNKNOWN, class_names
from pipeline.annotations import INSTRUMENT_CATEGORY
from pipeline.settings import SettingsError, load_settings

STYLE = "music_style_scraped"
BARS = np.full((5, 2), 0.25)


def groups_of(annotations, grouping, rows, *overrides):
    """The groups of songs with the given rows, in order, each with the indices of its songs."""
    folder = annotations([({"name": str(i), "title": f"song {i}", **row}, BARS) for i, row in enumerate(rows)])
    titles = {f"song {i}": i for i in range(len(rows))}
    with grouped(folder, *overrides) as db:
        members = db.sql(
            "SELECT name, list(title) FROM groups JOIN memberships USING (g) JOIN songs USING (song) "
            f"WHERE grouping = '{grouping}' GROUP BY g, name ORDER BY g"
        ).fetchall()
    return {name: sorted(titles[title] for title in songs) for name, songs in members}


def with_bar_seconds(folder, seconds_of_bar, meter="4/4", barred_as=None):
    """Change the duration and the meter of the bars of all songs. barred_as: None for no such column."""
    path = folder / "bars" / "part-00000.csv"
    bars = pd.read_csv(path)
    bars["start_seconds"] = (bars["bar_number"] * seconds_of_bar).round(3)
    bars["meter"] = meter
    if barred_as:
        bars["barred_as"] = barred_as
    bars.to_csv(path, index=False)
    return folder


def tempo_class(folder):
    with grouped(folder) as db:
        ((name,),) = db.sql("SELECT name FROM groups WHERE grouping = 'tempo'").fetchall()
        return name


def test_a_value_on_an_edge_belongs_to_the_class_that_begins_there(annotations):
    rows = [{"tempo": f"[{tempo}]"} for tempo in ("59.9", "60.0", "79.5", "80.0", "159.9", "160.0", "300.0")]
    assert groups_of(annotations, "tempo", rows) == {
        "under 60 BPM": [0],
        "60 to 80 BPM": [1, 2],
        "80 to 100 BPM": [3],
        "140 to 160 BPM": [4],
        "160 BPM or more": [5, 6],
    }


def test_notes_a_second(annotations):
    seconds = 10.0
    rows = [{"n_notes": n, "duration_seconds": seconds} for n in (0, 19, 20, 39, 40, 160)]
    assert groups_of(annotations, "note density", rows) == {
        "under 2 a second": [0, 1],
        "2 to 4 a second": [2, 3],
        "4 to 8 a second": [4],
        "16 a second or more": [5],
    }


def test_a_song_of_no_duration_has_no_density(annotations):
    rows = [{"duration_seconds": 0}, {"duration_seconds": ""}, {"duration_seconds": 10}]
    assert groups_of(annotations, "note density", rows)[UNKNOWN] == [0, 1]


def test_classes_of_whole_numbers_are_named_by_their_first_and_last(annotations):
    rows = [{"num_tracks": n} for n in (1, 2, 3, 4, 5, 8, 9, 16, 17, 400)] + [{"num_tracks": ""}]
    assert groups_of(annotations, "number of tracks", rows) == {
        "1": [0],
        "2": [1],
        "3 to 4": [2, 3],
        "5 to 8": [4, 5],
        "9 to 16": [6, 7],
        "17 or more": [8, 9],
        UNKNOWN: [10],
    }


@settings(deadline=None)
@given(st.lists(st.integers(2, 50), min_size=1, max_size=6, unique=True).map(sorted), st.integers(1, 60))
def test_the_name_of_a_class_of_whole_numbers_holds_its_numbers(edges, number):
    names = class_names(edges, whole=True)
    assert len(names) == len(edges) + 1
    name = names[int(np.searchsorted(edges, number, side="right"))]
    low, _, high = name.removesuffix(" or more").partition(" to ")
    assert int(low) <= number
    assert name.endswith(" or more") or number <= int(high or low)


def test_the_tempo_is_the_mean_of_the_tempos_in_the_data_set(annotations):
    rows = [{"tempo": tempo} for tempo in ("[100, 150]", "[70.5]", "[]", "", "fast")]
    assert groups_of(annotations, "tempo", rows) == {
        "60 to 80 BPM": [1],
        "120 to 140 BPM": [0, 2, 3, 4],  # without a tempo it is computed from the bars, four quarters in two seconds
    }


def test_songs_at_the_tempo_of_an_edge_are_in_one_class_however_long(annotations):
    """At 100 and 140 quarters a minute bars begin at times that are rounded in the tables."""
    for tempo, expected in ((100, "100 to 120 BPM"), (140, "140 to 160 BPM")):
        songs = [({"name": str(n)}, np.full((n, 2), 0.1)) for n in range(2, 40)]
        assert tempo_class(with_bar_seconds(annotations(songs, folder=str(tempo)), 240 / tempo)) == expected


def test_the_bars_are_as_long_as_the_meter_that_they_are_barred_as(annotations):
    folder = with_bar_seconds(annotations([({"name": "a"}, BARS)]), 2.0, "1/4", "4/4")
    assert tempo_class(folder) == "120 to 140 BPM"


@pytest.mark.parametrize(
    ("seconds", "meter", "expected"),
    [
        (4.0, "4/4", "60 to 80 BPM"),
        (2.0, "3/4", "80 to 100 BPM"),
        (2.0, "6/8", "80 to 100 BPM"),
        (2.5, "5/4", "120 to 140 BPM"),
        (2.0, "", UNKNOWN),
        (2.0, "4/0", UNKNOWN),
        (0.0, "4/4", UNKNOWN),
    ],
)
def test_without_a_tempo_it_is_computed_from_the_bars(annotations, seconds, meter, expected):
    assert tempo_class(with_bar_seconds(annotations([({"name": "a"}, BARS)]), seconds, meter)) == expected


def test_a_song_of_one_bar_has_only_the_tempo_of_the_data_set(annotations):
    rows = [({"name": "a", "tempo": "[130]"}, BARS[:1]), ({"name": "b", "tempo": "[]"}, BARS[:1])]
    with grouped(annotations(rows)) as db:
        names = db.sql("SELECT name FROM groups WHERE grouping = 'tempo' ORDER BY g").fetchall()
    assert names == [("120 to 140 BPM",), (UNKNOWN,)]


def test_bars_that_are_missing_do_not_slow_a_song_down(annotations):
    folder = annotations([({"name": "a"}, np.full((9, 2), 0.1))])
    path = folder / "bars" / "part-00000.csv"
    bars = pd.read_csv(path)
    bars[~bars["bar_number"].between(2, 5)].to_csv(path, index=False)
    assert tempo_class(folder) == "120 to 140 BPM"


def test_a_performance_is_expressive_if_half_of_its_tracks_are(annotations):
    levels = ("[12, 0]", "[0, 0]", "[11]", "[12]", "[12, 0, 0]", "", "[]", "[12, null]")
    found = groups_of(annotations, "performance", [{"NOMML": level} for level in levels])
    assert list(found) == ["quantized", "expressive", UNKNOWN]
    assert found == {"quantized": [1, 2, 4], "expressive": [0, 3, 7], UNKNOWN: [5, 6]}


def test_what_counts_as_expressive_is_a_setting(annotations):
    rows = [{"NOMML": "[6]"}, {"NOMML": "[7]"}]
    found = groups_of(annotations, "performance", rows, "features.expressive_from=7")
    assert found == {"quantized": [0], "expressive": [1]}


def test_instruments_by_gigamidis_categories(annotations):
    rows = [{INSTRUMENT_CATEGORY: category} for category in (2, 0, 1, "", "many", 0, 3, -1)]
    assert groups_of(annotations, "instruments", rows) == {
        INSTRUMENTS[0]: [1, 5],
        INSTRUMENTS[1]: [2],
        INSTRUMENTS[2]: [0],
        UNKNOWN: [3, 4, 6, 7],
    }


def test_a_feature_without_its_column_is_no_grouping(annotations):
    folder = annotations([({"name": "a"}, BARS)])
    for kind, columns in (("songs", ["md5"]), ("bars", ["md5", "bar_number", "valence", "arousal"])):
        path = folder / kind / "part-00000.csv"
        pd.read_csv(path)[columns].to_csv(path, index=False)
    with grouped(folder) as db:
        found = db.sql("SELECT grouping, name FROM groups ORDER BY g").fetchall()
    assert found == [(ALL, ALL), ("tempo", UNKNOWN)]


NAMES = [
    "it's",
    'so "called"',
    "''; DROP TABLE songs; --",
    '"); DELETE FROM bars; --',
    "$name {braces} %s",
    "line\nbreak",
    "ROCK",
    "rock",
    "月",
    "x" * 5000,
    ", ,",
]


def test_a_style_of_any_name_is_one_style(annotations):
    rows = [{STYLE: name} for name in NAMES for _ in range(2)]
    found = groups_of(annotations, STYLE, rows)
    assert found == {name: [2 * i, 2 * i + 1] for i, name in enumerate(NAMES)}


def test_styles_with_the_names_of_our_own_groups_do_no_harm(annotations):
    rows = [{STYLE: name} for name in (NO_STYLE, "", RARE, ALL, UNKNOWN, "folk", "folk", "pop")]
    found = groups_of(annotations, STYLE, rows, "styles.min_songs=2")
    assert found[NO_STYLE] == [0, 1] and found["folk"] == [5, 6]
    assert {2, 7} <= set(found[RARE])
    assert sorted(itertools.chain.from_iterable(found.values())) == list(range(8))
    songs = [({"name": str(i), **row}, np.tile(BARS, (4, 1))) for i, row in enumerate(rows)]
    analysis = analysis_of(annotations(songs, folder="again"), "styles.min_songs=1")
    drawn = [style.name for style in analysis.styles]
    assert drawn[0] == "folk" and drawn[-1] == "all songs" and len(set(drawn)) == len(drawn)
    assert analysis.all_songs["name"] == ALL and analysis.all_songs["n_songs"] == 8


def test_a_song_of_two_rare_styles_is_once_among_the_rare(annotations):
    rows = [{STYLE: '["polka", "waltz"]'}, {STYLE: '["folk", "polka"]'}, {STYLE: "folk"}, {STYLE: "folk"}]
    assert groups_of(annotations, STYLE, rows, "styles.min_songs=3") == {"folk": [1, 2, 3], RARE: [0, 1]}


def test_songs_without_bars_are_in_no_group(annotations):
    folder = annotations([({"name": "a", STYLE: "folk"}, BARS), ({"name": "b", STYLE: "pop"}, BARS[:0])])
    with grouped(folder) as db:
        found = db.sql(f"SELECT name, n_songs FROM groups WHERE grouping IN ('{ALL}', '{STYLE}') ORDER BY g").fetchall()
    assert found == [(ALL, 1), ("folk", 1)]


@pytest.mark.parametrize("edges", ["[]", "[3, 2]", "[2, 2]"])
def test_edges_must_rise(edges):
    for name in ("tempo", "density", "track"):
        with pytest.raises(SettingsError, match=rf"features\.{name}_edges"):
            load_settings(AnalysisSettings, SETTINGS_FILE, None, [f"features.{name}_edges={edges}"])


def test_one_edge_makes_two_classes(annotations):
    rows = [{"num_tracks": n} for n in (1, 2, 30)]
    found = groups_of(annotations, "number of tracks", rows, "features.track_edges=[2]")
    assert found == {"1": [0], "2 or more": [1, 2]}
