"""Files that symusic misreads or refuses, and files of other kinds."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import symusic
from hypothesis import assume, given
from hypothesis import strategies as st
from midi_bytes import midi_file, quantity

from musetok_bridge import score_to_bars
from musetok_bridge.midi_file import UnusableScore, plain_midi, track_chunks, track_events
from musetok_bridge.scores import Limits, read_midi, read_score
from pipeline.settings import PROJECT_ROOT

# Two notes at tick 0 and 480, in running status where nothing stands between them.
BEFORE, AFTER = b"\x00\x90\x3c\x50\x83\x60\x3c\x00", b"\x00\x3e\x50\x83\x60\x3e\x00"
TWO_NOTES = [(0, 480, 60, 80), (480, 480, 62, 80)]
BETWEEN = {
    "nothing": b"",
    "a text": b"\x00\xff\x01\x03abc",
    "a system exclusive message": b"\x00\xf0\x05\x7e\x7f\x09\x01\xf7",
    "one in two pieces": b"\x00\xf0\x03\x43\x12\x00\x00\xf7\x03\x43\x12\xf7",
    "an escape": b"\x00\xf7\x03\xf3\x01\x02",
    "an escape that looks like notes": b"\x00\xf7\x04\x90\x40\x40\x00",
    "an empty escape": b"\x00\xf7\x00",
    "a long escape": b"\x00\xf7" + quantity(1_000) + b"\x90" * 1_000,
    "a clock": b"\x00\xf8",
    "a song select": b"\x00\xf3\x01",
    "a song position": b"\x00\xf2\x01\x02",
    "active sensing": b"\x00\xfe" * 3,
}


def of_track(events: bytes, header: bytes = struct.pack(">IHHH", 6, 0, 1, 480)) -> bytes:
    body = events + b"\x00\xff\x2f\x00"
    return b"MThd" + header + b"MTrk" + struct.pack(">I", len(body)) + body


def notes_of(music: bytes) -> list[tuple[int, int, int, int]]:
    (track,) = read_score(music).tracks
    return [(note.time, note.duration, note.pitch, note.velocity) for note in track.notes]


@pytest.mark.parametrize("what", BETWEEN)
def test_notes_in_running_status_go_on_after_any_message(what: str) -> None:
    assert notes_of(of_track(BEFORE + BETWEEN[what] + AFTER)) == TWO_NOTES
    assert notes_of(of_track(BEFORE + BETWEEN[what] + AFTER[:1] + b"\x90" + AFTER[1:])) == TWO_NOTES


def test_a_program_in_running_status_goes_on_too() -> None:
    events = b"\x00\xc0\x05" + BETWEEN["a system exclusive message"] + b"\x00\x18" + BEFORE
    assert [track.program for track in read_score(of_track(events)).tracks] == [0x18]


def test_pauses_before_what_is_left_out_are_kept() -> None:
    late = BEFORE + b"\x83\x60\xf7\x01\x00" + b"\x83\x60\xf8" + AFTER
    assert [time for time, *_ in notes_of(of_track(late))] == [0, 480 * 3]


@pytest.mark.parametrize(
    ("event", "n_clamped"),
    [
        (b"\x00\xb0\x07\xff", 1),
        (b"\x00\xb0\xff\xff", 2),
        (b"\x00\xc0\xc8", 1),
        (b"\x00\xe0\xff\xff", 2),
        (b"\x00\xa0\xff\xff", 2),
        (b"\x00\xd0\x80", 1),
        (b"\x00\x90\x40\xff\x00\x40\x00", 1),
        (b"\x00\xff\x01\x01\xff", 0),  # bytes of a text may be anything
    ],
)
def test_data_bytes_over_127_are_read_as_127_and_counted(event: bytes, n_clamped: int) -> None:
    music = of_track(event + BEFORE[:1] + b"\x90" + BEFORE[2:] + AFTER)
    score, _, n = read_midi(music, Limits())
    assert n == n_clamped == score_to_bars(music).n_clamped
    assert score == symusic.Score.from_midi(music, sanitize_data=True)


def test_a_file_of_ordinary_events_is_not_changed() -> None:
    for path in sorted((PROJECT_ROOT / "tests" / "fixtures" / "synthetic").glob("*.mid")):
        assert plain_midi(path.read_bytes()).music == path.read_bytes()
    long_rest = of_track(b"\x00\x90\x3c\x50\xf8\x00\x3c\x00")  # a pause of 15,360 ticks begins with the byte of a clock
    assert plain_midi(long_rest).music == long_rest
    of_every_kind = of_track(BEFORE + b"\x00\xc0\x05\x00\x06\x00\xd0\x07\x00\xe0\x00\x40\x00\x01\x40\x00\x90\x3c\x00")
    assert plain_midi(of_every_kind).music == of_every_kind


def test_a_file_written_anew_has_the_score_of_the_original() -> None:
    for path in sorted((PROJECT_ROOT / "tests" / "fixtures" / "synthetic").glob("*.mid")):
        music = path.read_bytes()
        end = music.index(b"MTrk") + 8
        size = int.from_bytes(music[end - 4 : end], "big")
        clock = music[: end - 4] + struct.pack(">I", size + 2) + b"\x00\xf8" + music[end:]
        assert plain_midi(clock).music != clock
        assert read_score(clock) == symusic.Score.from_midi(music)


def riff(*chunks: tuple[bytes, bytes], kind: bytes = b"RMID") -> bytes:
    body = kind + b"".join(n + struct.pack("<I", len(c)) + c + b"\0" * (len(c) % 2) for n, c in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def test_a_riff_file_is_a_wrapper() -> None:
    music = of_track(BEFORE + AFTER)
    assert notes_of(riff((b"data", music))) == TWO_NOTES
    assert notes_of(riff((b"LIST", b"INFO MThd"), (b"data", music + b"\0"), (b"DLS ", b"abc"))) == TWO_NOTES


@pytest.mark.parametrize(
    ("music", "reason"),
    [
        (riff((b"fmt ", bytes(16)), kind=b"WAVE"), "not_midi: a WAV file"),
        (b"ID3\x04\0\0", "not_midi: an MP3 file"),
        (b"\xff\xfb\x90\x64\0", "not_midi: an MP3 file"),
        (b"OggS\0\2", "not_midi: an Ogg file"),
        (b"fLaC\0\0", "not_midi: a FLAC file"),
        (b"\0\0\0\x20ftypM4A ", "not_midi: an MP4 file"),
        (b"PK\x03\x04\x14", "not_midi: a zip"),
        (b"\x1f\x8b\x08\0", "not_midi: a file compressed by gzip"),
        (b"%PDF-1.4", "not_midi: a PDF"),
        (b"\n<!DOCTYPE html><html>", "not_midi: a web page"),
        (b"<html><body>404", "not_midi: a web page"),
        (b'<?xml version="1.0"?>', "not_midi: an XML file"),
        (bytes(600), "not_midi: nothing but zeros"),
        (b"hello world", "not_midi: it begins with b'hell', not with MThd"),
        (riff((b"fact", b"")), "unreadable: a RIFF file of MIDI without"),
        (of_track(BEFORE, struct.pack(">IHHH", 6, 2, 2, 480)), "format_2: 2 sequences"),
        (of_track(BEFORE, struct.pack(">IHHH", 6, 1, 1, 0xE728)), "smpte_time: "),
        (of_track(b"\x00\x90\x3c\x50\x00\x3e\x50"), "endless_notes: 2 notes that never end"),
        (of_track(b""), "no_notes: "),
        (b"MThd", "unreadable: "),
        (of_track(b"\x00\xf8" + b"\x00\x3c\x40" * 2 + BEFORE), "unreadable: a data byte before any status"),
        (of_track(BEFORE + b"\x00\xf8\x00\x90\x3c")[:-4], "unreadable: "),
        (of_track(BEFORE)[:-9], "unreadable: "),
    ],
)
def test_a_file_that_cant_be_read_says_what_it_is(music: bytes, reason: str) -> None:
    with pytest.raises(UnusableScore) as caught:
        score_to_bars(music)
    assert str(caught.value).startswith(reason)


def test_a_single_song_of_format_2_and_a_longer_header_are_read() -> None:
    assert notes_of(of_track(BEFORE + AFTER, struct.pack(">IHHH", 6, 2, 1, 480))) == TWO_NOTES
    longer = of_track(BEFORE + AFTER, struct.pack(">IHHH", 10, 1, 1, 480) + b"more")
    assert notes_of(longer) == TWO_NOTES


@pytest.mark.parametrize("told", [0, 1, 3, 9])
def test_every_track_is_read_whatever_number_the_header_tells(told: int) -> None:
    music = midi_file([[(0, b"\x90\x3c\x40"), (9, b"\x90\x3c\x00")]] * 2) + b"XFIH\0\0\0\x03abc"
    assert read_score(music[:10] + struct.pack(">H", told) + music[12:]).note_num() == 2


@pytest.mark.parametrize("size", range(6))
def test_a_header_without_ticks_a_quarter_is_told(size: int) -> None:
    music = b"MThd" + struct.pack(">I", size) + struct.pack(">HHH", 0, 1, 480)[:size] + of_track(BEFORE)[14:]
    with pytest.raises(UnusableScore, match=f"unreadable: a header of {size} byte"):
        read_score(music)


@pytest.mark.parametrize("kind", [b"\x51", b"\x58", b"\x59"])
@pytest.mark.parametrize("size", [b"\x00", b"\x01", b"\x02", b"\x03", b"\x06", b"\x80\x03", b"\x81\x00"])
def test_tempos_meters_and_keys_of_odd_lengths_are_read_as_far_as_they_go(kind: bytes, size: bytes) -> None:
    n_bytes = (size[0] & 0x7F) * 128 + size[1] if len(size) > 1 else size[0]
    data = b"\x05\x02\x01"
    score = read_score(of_track(b"\x00\xff" + kind + size + (data + bytes(128))[:n_bytes] + BEFORE + AFTER))
    is_whole = n_bytes >= (3 if kind == b"\x51" else 2)
    assert [tempo.mspq for tempo in score.tempos] == [0x050201] * (is_whole and kind == b"\x51")
    assert [(m.numerator, m.denominator) for m in score.time_signatures] == [(5, 4)] * (is_whole and kind == b"\x58")
    assert [key.key for key in score.key_signatures] == [5] * (is_whole and kind == b"\x59")
    assert score.note_num() == 2


def test_a_meter_over_two_to_the_power_of_34_is_not_one_over_four() -> None:
    meters = [
        read_score(of_track(b"\x00\xff\x58\x02\x04" + bytes([n]) + BEFORE)).time_signatures for n in (33, 34, 255)
    ]
    assert [meter[0].denominator for meter in meters] == [0, 0, 0]


@pytest.mark.parametrize("n", [8, 16, 17, 33])
@pytest.mark.parametrize("event", [b"\xb0\x01\x01", b"\xf8"], ids=["control", "clock"])
@pytest.mark.parametrize("late", [b"\x00\x90\x3c\x50", b"\x00\xff\x51\x03\x05\x05\x05", b"\x00\xff\x58\x02\x04\x02"])
def test_ticks_do_not_begin_again_after_the_last(n: int, event: bytes, late: bytes) -> None:
    pauses = (b"\xff\xff\xff\x7f" + event) * n
    with pytest.raises(UnusableScore, match=r"no_time|too_many_ticks"):
        score_to_bars(of_track(BEFORE + pauses + late + b"\x09\x90\x3c\x00"))
    if event == b"\xf8":  # nothing counts that is so late
        assert notes_of(of_track(BEFORE[:4] + b"\x60\x3c\x00" + pauses)) == [(0, 96, 60, 80)]


def test_a_pause_over_what_is_left_out_may_be_longer_than_that_of_one_event() -> None:
    pauses = b"\xff\xff\xff\x7f\xf8" * 3
    assert notes_of(of_track(BEFORE + pauses + AFTER))[1][0] == 480 + 3 * 0xFFFFFFF


def note_ons(music: bytes) -> int:
    """The number of note-ons that sound, counted event by event."""
    events = (event for chunk in track_chunks(music) for event in track_events(chunk))
    return sum(event.head[0] & 0xF0 == 0x90 and event.data[1] > 0 for event in events)


STRETCHES = (
    b"\x00\x90\x3c\x50",
    b"\x00\x90\x3c\x00",
    b"\x83\x60\x3c\x50\x00\x3e\x51",  # in running status
    b"\x81\x90\x00\x3c\x00",  # so, after a pause that has the byte of a note-on
    b"\x00\x83\x3c\x40\x10\x3d\x40",
    b"\x00\x9f\x7f\x7f",
    b"\x00\xb0\x40\x7f\x00\x40\x00",
    b"\x00\xc5\x10\x00\x11",
    b"\x00\xe0\x00\x40",
    b"\x90\x00\xff\x01\x05\x90\x3c\x50\x90\x3c",  # a text that looks like notes
    b"\x00\xff\x7f\x00",
)


@given(st.lists(st.sampled_from(STRETCHES), max_size=30))
def test_the_notes_that_begin_are_those_counted_event_by_event(stretches: list[bytes]) -> None:
    music = of_track(b"\x00\x90\x40\x40" + b"".join(stretches))
    try:
        plain = plain_midi(music)
    except UnusableScore:
        assume(False)
    assert plain.n_begun == note_ons(music)


def test_only_notes_that_sound_begin() -> None:
    music = midi_file([[(0, b"\x90\x3c\x40"), (9, b"\x90\x3c\x00")], [(0, b"\x91\x3c\x01")]])
    assert plain_midi(music).n_begun == 2
    with_clock = of_track(b"\x00\x90\x3c\x50\x00\xf8\x00\x3e\x50\x10\x3c\x00")
    assert plain_midi(with_clock).n_begun == 2
    for path in sorted((PROJECT_ROOT / "tests" / "fixtures" / "synthetic").glob("*.mid")):
        assert plain_midi(path.read_bytes()).n_begun == note_ons(path.read_bytes())


@pytest.mark.parametrize(
    ("events", "n_notes", "n_endless"),
    [
        (b"\x00\x90\x3c\x50\x01\x3c\x50\x60\x3c\x00", 1, 1),  # struck twice, ended once
        (b"\x00\x90\x3c\x50\x01\x3c\x50\x60\x3c\x00\x00\x3c\x00", 2, 0),
        (b"\x00\x90\x3c\x50\x60\x3c\x00\x00\x3e\x50\x00\x40\x50", 1, 2),  # no ends after the first note's
        (b"\x00\x90\x3c\x50\x60\x80\x3c\x40\x00\x91\x3c\x50\x60\x80\x3c\x40", 1, 1),  # on another channel
    ],
)
def test_notes_that_never_end_are_counted(events: bytes, n_notes: int, n_endless: int) -> None:
    bars = score_to_bars(of_track(events))
    assert (int(bars.n_notes.sum()), bars.left_out["endless"]) == (n_notes, n_endless)


def test_the_time_to_look_at_a_file_is_proportional_to_its_bytes() -> None:
    music = of_track(b"\x00\x90\x3c\x50" + b"\x80\x80\x80\x7f\x3c\x00" * 300_000 + b"\x80" * 300_000)
    with pytest.raises(UnusableScore, match="a number without an end"):  # after minutes if the patterns went back
        plain_midi(music)


def test_a_midi_file_by_its_path_counts_its_clamped_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.mid").write_bytes(of_track(b"\x00\xb0\x07\xff\x00" + BEFORE[1:]))
    assert score_to_bars(tmp_path / "a.mid").n_clamped == 1
