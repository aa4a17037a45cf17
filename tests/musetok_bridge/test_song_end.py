"""When a song ends: with its last sounding note, whatever else the file has after it."""

from __future__ import annotations

import pytest
from midi_bytes import midi_file, tempo
from score_from_notes import score_of

from musetok_bridge import score_to_bars

SONG = [(480 * i, 480, 60 + i) for i in range(16)]  # four bars of 4/4 at 120 quarters a minute, eight seconds
SECONDS = 8.0
HOUR = 480 * 2 * 3600  # ticks


def events_of(notes):
    """The note events of (start, length, pitch), in time order, ends before beginnings."""
    ends = [(start + length, bytes([0x80, pitch, 0])) for start, length, pitch in notes]
    begins = [(start, bytes([0x90, pitch, 80])) for start, _, pitch in notes]
    return sorted(ends + begins, key=lambda event: event[0])


def test_a_song_ends_when_its_last_note_does():
    assert score_to_bars(score_of(SONG)).duration_seconds == SECONDS
    assert score_to_bars(score_of(SONG[:-1])).duration_seconds == SECONDS - 0.5
    assert score_to_bars(score_of([*SONG, (0, 7680 + 960, 40)])).duration_seconds == SECONDS + 1


@pytest.mark.parametrize(
    "event",
    [
        b"\xff\x2f\x00",
        b"\xb0\x40\x00",
        b"\xc0\x00",
        b"\xff\x01\x01x",
        tempo(1_000_000),
        b"\xff\x58\x04\x03\x02\x18\x08",
    ],
    ids=["end-of-track", "pedal", "program", "text", "tempo", "meter"],
)
def test_what_comes_after_the_last_note_does_not_count(event):
    """A file of eight seconds whose track goes on for an hour of silence."""
    ends_track = event == b"\xff\x2f\x00"
    late = [] if ends_track else [(HOUR, event)]
    four_four = (0, b"\xff\x58\x04\x04\x02\x18\x08")
    music = midi_file([[four_four, *events_of(SONG), *late]])
    if ends_track:  # a text of no letters would be an event: only the end of the track is moved
        music = music.removesuffix(b"\x00\xff\x2f\x00") + b"\x81\xd2\xaa\x00\xff\x2f\x00"
        music = music[:18] + (len(music) - 22).to_bytes(4, "big") + music[22:]
    bars = score_to_bars(music)
    assert (len(bars), bars.duration_seconds) == (4, SECONDS)


def test_a_note_that_was_never_ended_sounds_no_longer_than_the_bars():
    """A note on whose end was lost, and that lasts until the end of the track, an hour later."""
    for hung in ((0, HOUR, 40), (7200, HOUR, 40)):
        bars = score_to_bars(score_of([*SONG, hung]))
        last_line = bars.end_tick / 960
        assert bars.duration_seconds == pytest.approx(last_line)
        assert SECONDS <= last_line <= SECONDS + 2


def test_a_hung_drum_sounds_no_longer_than_the_bars():
    bars = score_to_bars(score_of(SONG, drums=[(0, HOUR, 49)]))
    assert bars.duration_seconds == SECONDS


@pytest.mark.parametrize(("seconds", "ends"), [(29, 29), (30, 30), (31, SECONDS)])
def test_a_note_of_up_to_half_a_minute_is_a_long_note(seconds, ends):
    """As an organ's pedal point may be; held to its end after the other voices. (A drum here, which adds no bar.)"""
    assert score_to_bars(score_of(SONG, drums=[(0, 960 * seconds, 49)])).duration_seconds == ends


def test_the_length_of_a_note_in_seconds_is_that_of_its_tempos():
    """A note of 16 quarters lasts 32 seconds at 30 quarters a minute, and eight at 120."""
    drone = [(0, 7680, 49)]
    assert score_to_bars(score_of(SONG[:4], (), [(0, 120)], drums=drone)).duration_seconds == 8
    assert score_to_bars(score_of(SONG[:4], (), [(0, 30)], drums=drone)).duration_seconds == 8  # hung: one bar of eight
    assert score_to_bars(score_of(SONG[:4], (), [(0, 40)], drums=drone)).duration_seconds == 24


def test_a_song_does_not_end_before_its_last_bar_begins():
    """A short note just before a bar line is written at the start of the next bar, which then is the last."""
    bars = score_to_bars(score_of([*SONG, (7675, 3, 90)]))
    assert len(bars) == 5
    assert bars.duration_seconds == bars.start_seconds[-1] == SECONDS


def test_drums_after_the_last_note_are_heard():
    assert score_to_bars(score_of(SONG, drums=[(7680 + 960, 480, 49)])).duration_seconds == SECONDS + 1.5


def test_drums_alone_end_with_the_last_drum():
    assert score_to_bars(score_of([], drums=SONG)).duration_seconds == SECONDS
