"""The songs that are worth a look."""

from __future__ import annotations

import numpy as np
from analysed import analysed

from analyze_emotion_annotations.songs_to_look_at import EXTREMES, TYPICAL


def lists_of(folder, *overrides):
    songs = analysed(folder, "report.min_bars=4", *overrides).songs
    return {name: list(rows["title"]) for name, rows in songs.groupby("list", sort=False)}


def song(title, valence, arousal, n=8, style="folk", wobble=0.0):
    affect = np.tile([valence, arousal], (n, 1)) + wobble * np.where(np.arange(n) % 2, 1, -1)[:, None]
    return ({"name": title, "title": title, "music_style_scraped": style}, affect.round(4))


def made():
    grid = [song(f"{v} {a}", v / 10, a / 10) for v in range(-3, 4) for a in range(-3, 4)]
    return [*grid, song("glad", 0.9, 0), song("grim", -0.9, 0), song("wild", 0, 0.9), song("still", 0, -0.9),
            song("restless", 0.05, 0.05, wobble=0.2)]  # fmt: skip


def test_extremes_and_the_most_changing(annotations):
    lists = lists_of(annotations(made()))
    assert [lists[name][0] for name, *_ in EXTREMES] == ["glad", "grim", "wild", "still", "restless"]
    assert all(len(titles) == 5 for titles in lists.values())


def test_the_most_typical_is_in_the_middle_of_its_style(annotations):
    pop = [song(f"pop {i}", 0.5 + i / 100, 0.5, style="pop") for i in range(-4, 5)]
    lists = lists_of(annotations(made() + pop))
    assert lists[TYPICAL + "folk"][0] == "0 0"
    assert lists[TYPICAL + "pop"][0] == "pop 0"
    assert set(lists[TYPICAL + "pop"]) == {f"pop {i}" for i in range(-2, 3)}


def test_short_songs_are_in_no_list_unless_all_are_short(annotations):
    short = [song("flash", 1, 1, n=3)]
    assert lists_of(annotations(made() + short))["highest valence"][0] == "glad"
    assert lists_of(annotations(short, folder="short"))["highest valence"] == ["flash"]


def test_songs_need_no_title(annotations):
    folder = annotations([({"name": str(i)}, np.full((8, 2), i / 10)) for i in range(4)])
    songs = analysed(folder, "report.min_bars=4").songs
    assert set(songs["title"]) == {""} and songs["md5"].str.len().eq(32).all()


def test_the_lists_do_not_depend_on_the_order_of_the_parts(annotations):
    songs = made()
    one, other = lists_of(annotations(songs)), lists_of(annotations(songs[30:], songs[:30], folder="turned"))
    assert one == other
