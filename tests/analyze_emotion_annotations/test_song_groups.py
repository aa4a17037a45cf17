"""Which groups a song is in: its styles, tempo, density, tracks, performance and instruments."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysed import grouped

from analyze_emotion_annotations.song_groups import INSTRUMENT_COLUMN, NO_STYLE, RARE, UNKNOWN, class_names

BARS = np.zeros((4, 2))  # of 4/4, two seconds each, four notes


def groups_of(folder, *overrides):
    """(grouping, name) -> number of songs."""
    with grouped(folder, *overrides) as db:
        groups = db.sql("SELECT grouping, name, n_songs FROM groups ORDER BY g").df()
        counted = db.sql("SELECT g, count(*) AS n FROM memberships GROUP BY g ORDER BY g").df()
    assert list(counted["n"]) == list(groups["n_songs"])
    return {(row.grouping, row.name): row.n_songs for row in groups.itertuples(index=False)}


def of(groups, grouping):
    return {name: n for (at, name), n in groups.items() if at == grouping}


def songs_with(column, values):
    return [({"name": str(i), column: value}, BARS) for i, value in enumerate(values)]


def test_names_of_classes():
    assert class_names([60, 80.5], " BPM") == ["under 60 BPM", "60 to 80.5 BPM", "80.5 BPM or more"]
    assert class_names([2, 3, 5, 9, 17], whole=True) == ["1", "2", "3 to 4", "5 to 8", "9 to 16", "17 or more"]


def test_a_value_on_an_edge_is_in_the_class_that_begins_there(annotations):
    folder = annotations(songs_with("num_tracks", [1, 2, 4, 5, 16, 17, 400]))
    assert of(groups_of(folder), "number of tracks") == {
        "1": 1,
        "2": 1,
        "3 to 4": 1,
        "5 to 8": 1,
        "9 to 16": 1,
        "17 or more": 2,
    }


def test_tempo_is_that_of_the_data_set_or_else_of_the_bars(annotations):
    of_bars = "120 to 140 BPM"  # four quarters in two seconds
    assert of(groups_of(annotations(songs_with("title", ["a", "b"]))), "tempo") == {of_bars: 2}
    folder = annotations(songs_with("tempo", ["[60.0, 80.0]", "[200.0]", "[]", "fast", ""]), folder="given")
    assert of(groups_of(folder), "tempo") == {"60 to 80 BPM": 1, of_bars: 3, "160 BPM or more": 1}


def test_density_is_notes_a_second_and_unknown_without_a_length(annotations):
    folder = annotations([({"name": str(s), "duration_seconds": s}, BARS) for s in (8.0, 2.0, 0.0, "")])
    assert of(groups_of(folder), "note density") == {"2 to 4 a second": 1, "8 to 16 a second": 1, UNKNOWN: 2}


def test_performances_by_nomml(annotations):
    folder = annotations(songs_with("NOMML", ["[12]", "[12, 0]", "[0, 0, 12]", "[11.9]", "", "[]"]))
    assert of(groups_of(folder), "performance") == {"quantized": 2, "expressive": 2, UNKNOWN: 2}
    assert of(groups_of(folder, "features.expressive_from=11"), "performance")["expressive"] == 3


def test_instruments(annotations):
    folder = annotations(songs_with(INSTRUMENT_COLUMN, [0, 1, 2, 2, "", 7]))
    assert of(groups_of(folder), "instruments") == {
        "drums only": 1,
        "all instruments, with drums": 1,
        "no drums": 2,
        UNKNOWN: 2,
    }


def test_what_a_data_set_does_not_have_is_no_grouping(annotations):
    groups = groups_of(annotations(songs_with("title", ["a"])))
    assert {grouping for grouping, _ in groups} == {"(all)", "tempo", "note density"}


@pytest.mark.parametrize(
    "name", ["it's", 'a "quoted" one', "'); DROP TABLE songs; --", "Folk, World, & Country", "(all)"]
)
def test_any_name_of_a_style_is_only_a_name(annotations, name):
    folder = annotations(songs_with("music_style_scraped", [name, name, "", "other"]))
    assert of(groups_of(folder), "music_style_scraped") == {name: 2, "other": 1, NO_STYLE: 1}


def test_rare_styles_of_one_song_make_it_one_song(annotations):
    rows = ['["a", "b"]', '["a"]', '["c"]', '["c"]', '["c", "b"]']
    folder = annotations(songs_with("music_styles_curated", rows))
    assert of(groups_of(folder, "styles.min_songs=3"), "music_styles_curated") == {"c": 3, RARE: 3}


def test_songs_without_a_bar_are_in_no_group(annotations):
    folder = annotations(
        [({"name": "a", "music_style_scraped": "x"}, BARS), ({"name": "b", "music_style_scraped": "y"}, BARS[:0])]
    )
    assert of(groups_of(folder), "music_style_scraped") == {"x": 1}
    assert pd.Series(groups_of(folder)).max() == 1
