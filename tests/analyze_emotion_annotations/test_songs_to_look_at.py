"""The songs that the report lists: the most extreme, the most changing, and the most typical of each style."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from analyse_folder import analysis_of

from analyze_emotion_annotations.songs_to_look_at import EXTREMES, TYPICAL

STYLE = "music_style_scraped"
FEW = ("report.min_bars=4", "report.songs_per_list=2")


def md5_of(name):
    return hashlib.md5(name.encode()).hexdigest()


def names_in(found, which):
    """The titles in a list, from its first song to its last."""
    return list(found.songs.loc[found.songs["list"] == which, "title"])


def song(name, valence, arousal, n=8, wobble=0.0, **row):
    """A song whose valence moves up and down by `wobble` from bar to bar."""
    turns = np.where(np.arange(n) % 2, -wobble, wobble)
    return {"name": name, "title": name, **row}, np.stack([valence + turns, np.full(n, arousal)], axis=1)


def test_the_extremes_of_each_kind(annotations):
    songs = [song("gloomy", -0.8, 0.0), song("merry", 0.7, 0.1), song("wild", 0.1, 0.9), song("calm", 0.0, -0.7)]
    songs += [song("middling", 0.2, 0.2), song("restless", 0.0, 0.0, wobble=0.3)]
    found = analysis_of(annotations(songs), *FEW)
    assert names_in(found, "highest valence") == ["merry", "middling"]
    assert names_in(found, "lowest valence")[0] == "gloomy"
    assert names_in(found, "highest arousal") == ["wild", "middling"]
    assert names_in(found, "lowest arousal")[0] == "calm"
    assert names_in(found, "changes most")[0] == "restless"
    assert list(found.songs["list"].drop_duplicates()) == [name for name, *_ in EXTREMES]  # no style, none typical


def test_the_statistics_of_a_song_worked_out_by_hand(annotations):
    ratings = np.array([[0.1, -0.2], [0.5, -0.2], [0.3, 0.1]])
    row = {"name": "a", "title": "Tune", "artist": "Anon", STYLE: '["folk", "pop"]'}
    found = analysis_of(annotations([(row, ratings)])).songs.iloc[0]
    assert (found["md5"], found["title"], found["artist"], found["style"]) == (
        md5_of("a"),
        "Tune",
        "Anon",
        '["folk", "pop"]',
    )
    assert (found["n_bars"], found["part"]) == (3, 0)
    figures = [found[name] for name in ("valence", "arousal", "valence_sd", "arousal_sd")]
    assert figures == pytest.approx([0.3, -0.1, np.std(ratings[:, 0]), np.std(ratings[:, 1])])
    assert [found["valence_change"], found["arousal_change"]] == pytest.approx([0.3, 0.15])


def test_change_is_of_valence_and_arousal_together(annotations):
    both = np.stack([np.tile([0.1, -0.1], 4), np.tile([0.1, -0.1], 4)], axis=1)
    songs = [({"name": "both", "title": "both"}, both), song("valence", 0.0, 0.0, wobble=0.15)]
    assert names_in(analysis_of(annotations(songs), *FEW), "changes most") == ["both", "valence"]


def test_the_most_typical_is_the_nearest_to_its_styles_mean(annotations):
    folk = [song(f"folk {v}", v, 0.1, **{STYLE: "folk"}) for v in (-0.2, 0.0, 0.1, 0.2, 0.45)]  # their mean is 0.11
    pop = [song(f"pop {a}", 0.5, a, **{STYLE: '["pop", "loud"]'}) for a in (0.1, 0.4, 0.9)]
    found = analysis_of(annotations([*folk, *pop, song("untold", 0.11, 0.1)]), *FEW)
    assert names_in(found, f"{TYPICAL}folk") == ["folk 0.1", "folk 0.2"]
    assert names_in(found, f"{TYPICAL}pop") == names_in(found, f"{TYPICAL}loud") == ["pop 0.4", "pop 0.1"]
    assert {name for name in found.songs["list"] if name.startswith(TYPICAL)} == {
        TYPICAL + name for name in ("folk", "pop", "loud")
    }


def test_a_typical_song_has_the_spread_of_its_style(annotations):
    songs = [song(f"wobble {w}", 0.1, 0.1, wobble=w, **{STYLE: "folk"}) for w in (0.0, 0.2, 0.21, 0.5)]
    found = analysis_of(annotations(songs), *FEW)
    assert names_in(found, f"{TYPICAL}folk") == ["wobble 0.21", "wobble 0.2"]  # the mean is 0.2275


def test_rare_styles_and_songs_without_one_have_no_list(annotations):
    songs = [song(f"{style} {i}", 0.1 * i, 0.0, **{STYLE: style}) for style in ("folk", "") for i in range(3)]
    songs.append(song("polka", 0.0, 0.0, **{STYLE: "polka"}))
    found = analysis_of(annotations(songs), *FEW, "styles.min_songs=2")
    assert [name for name in found.songs["list"].unique() if name.startswith(TYPICAL)] == [f"{TYPICAL}folk"]


def test_short_songs_are_in_no_list_unless_all_are_short(annotations):
    songs = [song("long", 0.1, 0.1, n=16), song("short", 0.9, 0.9, n=15), song("one bar", -0.9, -0.9, n=1)]
    assert set(analysis_of(annotations(songs)).songs["title"]) == {"long"}
    found = analysis_of(annotations(songs[1:], folder="short"))
    assert set(found.songs["title"]) == {"short"}  # the longest songs of the folder
    alone = analysis_of(annotations(songs[2:], folder="one bar")).songs
    assert set(alone["title"]) == {"one bar"} and not alone["valence_change"].any()


def test_a_style_of_short_songs_has_no_typical_one(annotations):
    songs = [song("long", 0.1, 0.1, n=16, **{STYLE: "folk"}), song("short", 0.9, 0.9, n=3, **{STYLE: "jingle"})]
    found = analysis_of(annotations(songs))
    assert names_in(found, f"{TYPICAL}folk") == ["long"] and names_in(found, f"{TYPICAL}jingle") == []


def test_songs_without_a_title_or_an_artist(annotations):
    songs = [({"name": "a"}, np.full((4, 2), 0.1)), ({"name": "b"}, np.full((4, 2), 0.2))]
    found = analysis_of(annotations(songs)).songs
    assert set(found["title"]) == set(found["artist"]) == set(found["style"]) == {""}
    assert list(found.loc[found["list"] == "highest valence", "md5"]) == [md5_of("b"), md5_of("a")]


def test_equal_songs_are_in_the_order_of_their_md5(annotations):
    names = [f"song {i}" for i in range(9)]
    songs = [song(name, 0.1, 0.1, **{STYLE: "folk"}) for name in names]
    expected = sorted(map(md5_of, names))[:5]
    for number, parts in enumerate(([songs], [songs[::-1]], [songs[:4], songs[4:]])):
        found = analysis_of(annotations(*parts, folder=f"order {number}")).songs
        for which, rows in found.groupby("list"):
            assert list(rows["md5"]) == expected, which


def test_lists_have_the_length_asked_for_and_songs_the_number_of_their_part(annotations, library):
    folder = annotations(library[:20], library[20:])
    found = analysis_of(folder, "report.songs_per_list=7")
    assert set(found.songs.groupby("list").size()) == {7}
    part_of = {md5_of(str(row["name"])): int(i >= 20) for i, (row, _) in enumerate(library)}
    assert list(found.songs["part"]) == [part_of[md5] for md5 in found.songs["md5"]]
    assert (found.songs["n_bars"] >= 16).all()
