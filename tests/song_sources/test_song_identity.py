"""Artist and title, written differently by different sources, and still the same song; and others that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain_model import table_columns
from process_gigamidi import wanted_songs
from song_sources.song_identity import musicbrainz_id, song_key, spotify_id


@pytest.mark.parametrize(
    ("artist", "title"),
    [
        ("The Beatles", "Let It Be"),
        ("the beatles", "LET IT BE"),
        ("Beatles, The", "Let it be."),
        ("  Beatles ", "Let  It\tBe"),
        ("The Beatles", "Let It Be - Remastered 2009"),
        ("The Beatles", "Let It Be – 2009 Remaster"),
        ("The Beatles", "Let It Be - Single Version"),
        ("The Beatles", "Let It Be - Live at the Roof"),
        ("The Beatles", "Let It Be (Remastered [2009])"),
        ("The Beatles", "Let It Be [Mono] {bonus}"),
        ("The Beatles feat. Billy Preston", "Let It Be"),
        ("The Beatles", "Let It Be ft Billy Preston"),
        ("The Beatles", "Let It Be (featuring Billy Preston)"),
        ("Béâtlès", "Lét It Bé"),
        ("Be\u0301atles", "Le\u0301t It Be"),
        ("Ｂｅａｔｌｅｓ", "Let It Be"),
    ],
)
def test_spellings_of_one_song_have_one_key(artist: str, title: str) -> None:
    assert song_key(artist, title) == "beatles|letitbe"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("Abba", "SOS"), ("The Police", "SOS")),
        (("Prince", "1999"), ("Prince", "1999 Again")),
        (("Blur", "Song 2"), ("Blur", "Song 3")),
        (("A", "BC"), ("AB", "C")),
        (("Björk", "Jóga"), ("Björk", "Hunter")),
        (("坂本龍一", "戦場"), ("坂本龍一", "東風")),
        (("Them", "Gloria"), ("Em", "Gloria")),
        (("Aftermath", "Swift"), ("A", "Swift")),
    ],
)
def test_other_songs_have_other_keys(first: tuple[str, str], second: tuple[str, str]) -> None:
    assert song_key(*first) and song_key(*second)
    assert song_key(*first) != song_key(*second)


@pytest.mark.parametrize(("artist", "title"), [("", "Song"), ("Band", ""), ("", ""), ("…", "Song"), ("Band", " - ")])
def test_without_an_artist_or_a_title_there_is_no_key(artist: str, title: str) -> None:
    assert song_key(artist, title) == ""


@pytest.mark.parametrize(
    ("artist", "title", "key"),
    [
        ("The The", "This Is the Day", "thethe|thisisday"),
        ("(Sandy) Alex G", "(Intro)", "alexg|intro"),
        ("Ft. Worth", "[Untitled]", "ftworth|untitled"),
    ],
)
def test_a_name_of_which_nothing_would_be_left_is_kept_whole(artist: str, title: str, key: str) -> None:
    assert song_key(artist, title) == key


def test_a_hyphen_within_a_title_is_no_edition() -> None:
    assert song_key("Jay-Z", "Anti-live Song") == "jayz|antilivesong"
    assert song_key("Eels", "Novocaine - For the Soul") == "eels|novocaineforsoul"


@given(st.text(), st.text())
def test_a_key_is_of_letters_and_digits_and_the_same_in_capitals(artist: str, title: str) -> None:
    key = song_key(artist, title)
    assert key == "" or all(name.isalnum() for name in key.split("|"))
    assert key.count("|") == (key != "")
    assert song_key(f" {artist} ", f" {title}\n") == key


@given(st.text(alphabet="abcXYZ 09éÉ", min_size=1), st.text(alphabet="abcXYZ 09éÉ", min_size=1))
def test_capitals_do_not_count(artist: str, title: str) -> None:
    assert song_key(artist.upper(), title.lower()) == song_key(artist, title)


def test_a_name_may_be_of_open_brackets_and_hyphens() -> None:
    assert song_key("a" + "(" * 20_000, "b" + " - " * 300) == "a|b"


SPOTIFY, MUSICBRAINZ = "4uLU6hMCjMI75M1A2tKUQC", "8f3471b5-7e6a-48da-86a9-c1c07a0f47ae"


@pytest.mark.parametrize(
    "text",
    [
        SPOTIFY,
        f" {SPOTIFY} ",
        f"spotify:track:{SPOTIFY}",
        f"https://open.spotify.com/intl-de/track/{SPOTIFY}?si=1",
        f"see {SPOTIFY}",
    ],
)
def test_the_spotify_id_in_a_text(text: str) -> None:
    assert spotify_id(text) == SPOTIFY


def test_the_musicbrainz_id_in_a_text() -> None:
    assert musicbrainz_id(f"https://musicbrainz.org/recording/{MUSICBRAINZ.upper()}/") == MUSICBRAINZ
    assert musicbrainz_id(f"{MUSICBRAINZ}?x=1") == MUSICBRAINZ


def test_what_is_no_word_is_no_id() -> None:
    assert spotify_id("not known") == musicbrainz_id("not known") == spotify_id("") == musicbrainz_id(" ") == ""


def test_lists_and_streams_have_one_rule_for_ids() -> None:
    for module in (table_columns, wanted_songs):
        assert (module.spotify_id, module.musicbrainz_id) == (spotify_id, musicbrainz_id)  # type: ignore[attr-defined]
