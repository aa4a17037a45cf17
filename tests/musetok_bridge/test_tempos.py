"""The clock: what the Standard MIDI Files specification says of tempos, read by another reader from the same bytes."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_bytes import midi_file, read_tempos, seconds_by_the_file, tempo

from musetok_bridge import UnusableScore, score_to_bars
from musetok_bridge.tempos import tempo_events

NOTE_ON, NOTE_OFF = b"\x90\x3c\x50", b"\x90\x3c\x00"
LAST_TICK = 40_000
ANY_TEMPO = st.integers(60_000_000 // 400, 60_000_000 // 20)  # 20 to 400 quarters a minute
CROWDED = st.sampled_from([0, 0, 960, 961, 5000])  # so that several tempos stand at one tick
ANY_TEMPOS = st.lists(st.tuples(st.integers(0, 2), CROWDED | st.integers(0, LAST_TICK), ANY_TEMPO), max_size=200)
MANY_TEMPOS = st.lists(st.tuples(st.integers(0, 2), CROWDED, ANY_TEMPO), min_size=17, max_size=60)
OTHERS = (
    b"\xb0\x07\x64",
    b"\xc0\x05",
    b"\xe0\x51\x03",  # a pitch bend whose values look like the beginning of a tempo
    b"\xf0\x05\x7e\x7f\x09\x01\xf7",  # General MIDI on
    b"\xf0\x06\x51\x03\x00\x00\x01\xf7",
    b"\xff\x01\x06\xff\x51\x03\x00\x00\x01",  # what looks like a tempo is a text
    b"\xff\x7f\x00",
)
ANY_OTHERS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, LAST_TICK), st.sampled_from(OTHERS)), max_size=20)
RUNNING = st.lists(st.tuples(st.integers(0, 2), st.integers(0, LAST_TICK)), max_size=10)
ANY_RESOLUTION = st.sampled_from([1, 24, 96, 220, 384, 480, 489, 1024, 32_767])
# every bar of a song that lasts as long as all tempos
NOTES = [(tick, event) for start in (0, LAST_TICK) for tick, event in ((start, NOTE_ON), (start + 10, NOTE_OFF))]


def in_time(*events):
    """The events of one track, those of a tick in the order given."""
    return sorted(events, key=lambda event: event[0])


def song(*events, resolution=480):
    """A file of one track with the (tick, event) and a note at tick 0 and at the last one."""
    return midi_file([in_time(*events, *NOTES)], resolution)


@settings(max_examples=200, deadline=None)
@given(ANY_TEMPOS | MANY_TEMPOS, ANY_OTHERS, RUNNING, ANY_RESOLUTION, st.integers(0, 2))
def test_bars_start_when_the_standard_says(tempos, others, running, resolution, notes_in):
    tracks = [[(tick, tempo(pace)) for where, tick, pace in tempos if where == k] for k in range(3)]
    for where, tick, event in others:
        tracks[where].append((tick, event))
    for where, tick in running:  # two events of which the second has no status of its own
        tracks[where] += [(tick, b"\xb0\x0a\x40\x00\x5b\x51\x00\x07\x60")]
    tracks[notes_in] += NOTES
    music = midi_file([in_time(*events) for events in tracks], resolution)
    bars = score_to_bars(music)
    assert bars.end_tick >= LAST_TICK
    some = np.unique(np.linspace(0, len(bars) - 1, 25).astype(int))  # of a resolution of 1 there are thousands
    expected = [float(seconds_by_the_file(music, tick)) for tick in bars.start_tick[some].tolist()]
    assert np.abs(bars.start_seconds[some] - expected).max() < 1e-3
    assert tempo_events(music) == read_tempos(music)[0]


def test_the_independent_reader_knows_a_case_worked_out_by_hand():
    """One quarter at 60 a minute, two at 120, and then 240, of which the first two at the same tick do not count."""
    music = song(
        (0, tempo(1_000_000)), (480, tempo(500_000)), (1440, tempo(1)), (1440, tempo(9)), (1440, tempo(250_000))
    )
    assert [float(seconds_by_the_file(music, tick)) for tick in (0, 480, 1440, 1920)] == [0, 1, 2, 2.25]
    assert score_to_bars(music).start_seconds[:2].tolist() == [0, 2.25]


@pytest.mark.parametrize("n", [1, 2, 16, 17, 40, 1000])
@pytest.mark.parametrize("tick", [0, 1920])
def test_the_last_tempo_of_a_tick_counts_however_many_there_are(n, tick):
    """A bar of four quarters lasts four seconds at 60 a minute, whatever stood before that at its beginning."""
    others = [(tick, tempo(250_000 + 10 * i)) for i in range(n - 1)]
    music = song(*others, (tick, tempo(1_000_000)))
    bars = score_to_bars(music)
    k = tick // 1920
    assert bars.start_seconds[k + 1] - bars.start_seconds[k] == pytest.approx(4)


@pytest.mark.parametrize("n", [1, 30])
def test_of_tempos_at_one_tick_in_several_tracks_that_of_the_last_track_counts(n):
    fast, slow = [[(0, tempo(pace))] * n for pace in (300_000, 1_000_000)]
    assert score_to_bars(midi_file([in_time(*fast, *NOTES), slow])).start_seconds[1] == pytest.approx(4)
    assert score_to_bars(midi_file([slow, in_time(*fast, *NOTES)])).start_seconds[1] == pytest.approx(1.2)


def test_a_placeholder_before_the_tempo_at_tick_0_changes_nothing():
    """As some programs write it, before a ritardando of many steps."""
    ritardando = [(1000 + 100 * i, tempo(500_000 + 20_000 * i)) for i in range(40)]
    without = [(0, tempo(500_000)), *ritardando]
    placed, without = song((0, tempo(250_000)), *without), song(*without)
    assert score_to_bars(placed).start_seconds.tolist() == score_to_bars(without).start_seconds.tolist()


def test_without_a_tempo_there_are_120_quarters_a_minute():
    assert score_to_bars(song()).start_seconds[:3].tolist() == [0, 2, 4]
    later = score_to_bars(song((1920, tempo(1_000_000))))
    assert later.start_seconds[:3].tolist() == [0, 2, 6]


@pytest.mark.parametrize("pace", [0, 1, 14_999])
@pytest.mark.parametrize("n", [1, 20])
def test_a_file_whose_tempos_are_all_unplayable_has_no_time(pace, n):
    with pytest.raises(UnusableScore, match="no_time"):
        score_to_bars(song(*[(480 * i, tempo(pace)) for i in range(n)]))


@pytest.mark.parametrize("pace", [0, 1, 14_999])
def test_an_unplayable_tempo_is_ignored(pace):
    """At the beginning the one that follows counts from tick 0, and later the one before it goes on."""
    first = score_to_bars(song((0, tempo(pace)), (3840, tempo(1_000_000))))
    assert first.start_seconds[:4].tolist() == [0, 4, 8, 12]
    later = score_to_bars(song((0, tempo(1_000_000)), (1920, tempo(pace)), (3840, tempo(500_000))))
    assert later.start_seconds[:4].tolist() == [0, 4, 8, 10]
    at_once = score_to_bars(song((0, tempo(1_000_000)), (0, tempo(pace))))
    assert at_once.start_seconds[:3].tolist() == [0, 4, 8]


def test_the_fastest_playable_tempo_is_played():
    assert score_to_bars(song((0, tempo(15_000)))).start_seconds[1] == pytest.approx(4 * 0.015)


def test_hours_of_music_keep_their_milliseconds():
    """Ten hours at 120 quarters a minute, in which single precision has steps of 4 ms."""
    far = 480 * 2 * 36_000
    music = midi_file([[(far, NOTE_ON), (far + 480, NOTE_OFF)]])
    assert score_to_bars(music).start_seconds.tolist() == [36_000]
    slower = midi_file([[(0, tempo(500_001)), (far, NOTE_ON), (far + 480, NOTE_OFF)]])
    assert score_to_bars(slower).start_seconds[0] == pytest.approx(36_000.072, abs=1e-6)


CROWD = [(0, tempo(400_000 + i)) for i in range(30)]
TEMPO_FIRST = b"MTrk" + struct.pack(">I", 7) + b"\x00" + tempo(600_000)


@pytest.mark.parametrize(
    "damaged",
    [
        b"MTrk" + struct.pack(">I", 4) + b"\x00\xff\x51\x03",  # a tempo that is cut off
        b"MTrk" + struct.pack(">I", 8) + b"\x00\x40" + b"\x00\xff\x51\x03\x07\xa1",  # running status without a status
        TEMPO_FIRST,  # no end of track
        b"MTrk" + struct.pack(">I", 0xFFFFFFFF) + TEMPO_FIRST[8:],  # longer than the file
        b"MTrk" + struct.pack(">I", 9) + b"\xff" * 4 + b"\xff\x51\x03\x07\xa1",  # a time that never ends
        b"MTrk" + struct.pack(">I", 14) + b"\x00\xf0\xff\xff\xff\x7f" + b"\x00" + tempo(1),  # sysex beyond the end
        b"MTrk" + struct.pack(">I", 9) + b"\x00\xf1\x00\xff\x51\x03\x07\xa1\x20",  # a status that files don't have
        b"MTr",
    ],
)
def test_a_damaged_track_is_read_or_refused(damaged):
    """It ends in bars that follow each other in time, or in a named reason."""
    for music in (song(*CROWD) + damaged, midi_file([CROWD]) + damaged + midi_file([NOTES])[14:]):
        with_count = music[:10] + struct.pack(">H", music.count(b"MTr")) + music[12:]
        try:
            bars = score_to_bars(with_count)
        except UnusableScore as error:
            assert error.reason in ("unreadable", "no_notes", "no_time")
        else:
            assert (np.diff(bars.start_seconds) > 0).all()
        assert isinstance(tempo_events(with_count), list)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_in_a_track_are_read_or_refused(data):
    music = bytearray(song(*CROWD, *[(tick, tempo(300_000)) for tick in range(0, 9000, 480)]))
    for _ in range(data.draw(st.integers(1, 8))):
        music[data.draw(st.integers(14, len(music) - 1))] = data.draw(st.integers(0, 255))
    try:
        bars = score_to_bars(bytes(music))
    except UnusableScore:
        return
    assert np.isfinite(bars.start_seconds).all() and (np.diff(bars.start_seconds) >= 0).all()


def test_tempos_beyond_the_end_of_time_are_refused_in_words():
    late = [(2**28 * i, tempo(500_000)) for i in range(1, 17)]
    delta = b"".join(b"\xff\xff\xff\x7f" + tempo(500_000) for _ in late)
    body = b"".join(b"\x00" + tempo(400_000) for _ in range(4)) + delta + b"\x00\xff\x2f\x00"
    music = b"MThd" + struct.pack(">IHHH", 6, 1, 2, 480) + b"MTrk" + struct.pack(">I", len(body)) + body
    with pytest.raises(UnusableScore) as raised:
        score_to_bars(music + midi_file([NOTES])[14:])
    assert raised.value.reason in ("no_time", "unreadable")
