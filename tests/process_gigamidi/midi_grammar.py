"""Mutations that know MIDI's grammar: they edit a file's events and write it again, mostly with true lengths."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import TypeAlias

import numpy as np
from midi_events import END, Event, NotMidi, Running, Song, chunk, parsed

Random: TypeAlias = np.random.Generator
Edit: TypeAlias = Callable[[Song, Random, Running], bytes | None]

RUNNING: tuple[Running, ...] = ("never", "standard", "kept")
DIVISIONS = (0, 1, 2, 3, 24, 96, 479, 481, 15_360, 32_767, 0x8000, 0xE728, 0xE250, 0xFFFF)
UNKNOWN = (
    chunk(b"XFIH", b"abc"),
    chunk(b"MTrK", b"\x00\x90\x3c\x40"),
    chunk(b"\0\0\0\0", b""),
    chunk(b"MThd", bytes(6)),
)
SYSTEM = (
    *(Event(0, bytes([status])) for status in (0xF4, 0xF5, 0xF6, *range(0xF8, 0xFF))),
    Event(0, b"\xf1", b"\x01"),
    Event(0, b"\xf2", b"\x01\x02"),
    Event(0, b"\xf3", b"\x01"),
    Event(0, b"\xf0", b"\x7e\x7f\x09\x01\xf7"),
    Event(0, b"\xf0", b""),
    Event(0, b"\xf0", b"\x43\x12"),  # it goes on in the next
    Event(0, b"\xf7", b"\x43\xf7"),
    Event(0, b"\xf7", b"\x90\x3c\x40"),
    Event(0, b"\xf7", b""),
)
TEMPOS = (0, 1, 2, 1_000, 14_999, 15_000, 500_000, 8_388_608, 16_777_215)
LONGEST_DELTA = 0x0FFFFFFF


def _one(rng: Random, things: Sequence) -> object:
    return things[int(rng.integers(len(things)))]


def _often(rng: Random) -> int:
    return int(rng.choice([1, 1, 2, 5, 40]))


def _track(song: Song, rng: Random) -> list[Event]:
    return _one(rng, song.tracks)  # type: ignore[return-value]


def _insert(song: Song, rng: Random, event: Event) -> None:
    events = _track(song, rng)
    events.insert(int(rng.integers(0, max(1, len(events)))), event)


def _is_channel(event: Event) -> bool:
    return b"\x80" <= event.head < b"\xf0"


def _is_note(event: Event) -> bool:
    return b"\x80" <= event.head < b"\xa0"


def _each(song: Song, edit: Callable[[Event], Event], which: Callable[[Event], bool]) -> None:
    for events in song.tracks:
        events[:] = [edit(event) if which(event) else event for event in events]


def header(song: Song, rng: Random, running: Running) -> bytes:
    """A format, division, length or number of tracks that is rare or a lie."""
    field, n = int(rng.integers(4)), len(song.tracks)
    if field == 0:
        song.form = int(rng.choice([0, 1, 2, 3, 0x100, 0xFFFF]))
    elif field == 1:
        song.division = int(rng.choice(DIVISIONS))
    elif field == 2:
        song.header = int(rng.integers(0, 21))
    n_tracks = max(0, int(rng.choice([0, 1, n - 1, n + 1, 2 * n, 65_535]))) if field == 3 else None
    return song.header_chunk(n_tracks) + b"".join(song.track_chunks(running))


def lengths(song: Song, rng: Random, running: Running) -> bytes:
    """A track's length that lies: by one, to the end of the file, beyond it, or zero."""
    chunks = song.track_chunks(running)
    i = int(rng.integers(len(chunks)))
    content, rest = chunks[i][8:], sum(map(len, chunks[i + 1 :]))
    size = len(content)
    length = int(rng.choice([size - 1, size + 1, size + rest, size + rest + 1, 0, size // 2, 2**31, 2**32 - 1]))
    chunks[i] = chunk(b"MTrk", content, length)
    return song.header_chunk() + b"".join(chunks)


def chunks(song: Song, rng: Random, running: Running) -> bytes:
    """Unknown chunks in between; tracks repeated, shuffled or empty."""
    kind = int(rng.integers(4))
    if kind == 0:
        written = song.track_chunks(running)
        for _ in range(_often(rng)):
            written.insert(int(rng.integers(len(written) + 1)), _one(rng, UNKNOWN))  # type: ignore[arg-type]
        return song.header_chunk() + b"".join(written)
    if kind == 1:
        song.tracks += [_track(song, rng)] * _often(rng)
    elif kind == 2:
        rng.shuffle(song.tracks)
        song.tracks.append([Event(0, END)])
    else:
        song.tracks.insert(int(rng.integers(len(song.tracks) + 1)), [])  # without its end
    return song.file(running)


def ends(song: Song, rng: Random, running: Running) -> bytes:
    """Several ends of a track, one in the middle, none, or one that is long."""
    events, kind = _track(song, rng), int(rng.integers(4))
    if kind == 0:
        events += [Event(0, END)] * _often(rng)
    elif kind == 1:
        _insert(song, rng, Event(0, END))
    elif kind == 2:
        events[-1:] = []
    else:
        events[-1] = Event(0, END, bytes(int(rng.choice([1, 3, 200]))))
    return song.file(running)


def system_messages(song: Song, rng: Random, _: Running) -> bytes:
    """System messages between events that go on in running status."""
    for _i in range(_often(rng)):
        _insert(song, rng, _one(rng, SYSTEM))  # type: ignore[arg-type]
    return song.file("kept")


def running_status(song: Song, rng: Random, running: Running) -> bytes:
    """Every event with or without its status, or data bytes before the first of them."""
    if rng.random() < 0.5:
        events = _track(song, rng)
        events.insert(0, Event(0, b"", bytes(int(rng.integers(1, 4)))))
    else:
        _insert(song, rng, Event(1, b"\xff\x01", b"kept over a text"))
    return song.file(running)


def meta_events(song: Song, rng: Random, running: Running) -> bytes:
    """Meta events of any kind, too short or too long for it."""
    for _ in range(_often(rng)):
        kind = int(rng.choice([0x00, 0x01, 0x03, 0x05, 0x06, 0x20, 0x21, 0x51, 0x54, 0x58, 0x59, 0x7F, 0x60, 0x7E]))
        size = int(rng.choice([0, 1, 2, 3, 4, 5, 127, 128]))
        _insert(song, rng, Event(0, bytes([0xFF, kind]), rng.bytes(size)))
    return song.file(running)


def texts(song: Song, rng: Random, running: Running) -> bytes:
    """Texts that are long, or in no encoding."""
    size = int(rng.choice([1, 200, 20_000, 200_000]))
    text = (b"MTrk\0\0\0\4\0\xff\x2f\0", b"\xff\xfe\xc3(\x80", "Größe 日本".encode(), b"\0")[int(rng.integers(4))]
    _insert(song, rng, Event(0, bytes([0xFF, int(rng.integers(1, 10))]), (text * size)[:size]))
    return song.file(running)


def meters_and_keys(song: Song, rng: Random, running: Running) -> bytes:
    """Meters and keys that can't be."""
    for _ in range(_often(rng)):
        meter = bytes([int(rng.choice([0, 1, 4, 7, 13, 255])), int(rng.choice([0, 2, 3, 6, 7, 8, 31, 32, 255])), 24, 8])
        key = bytes([int(rng.integers(256)), int(rng.integers(256))])
        _insert(song, rng, Event(0, b"\xff\x58", meter) if rng.random() < 0.7 else Event(0, b"\xff\x59", key))
    return song.file(running)


def tempos(song: Song, rng: Random, running: Running) -> bytes:
    """Tempos that are tiny or huge, many of them at one tick or spread."""
    at_once = [Event(0, b"\xff\x51", int(rng.choice(TEMPOS)).to_bytes(3, "big")) for _ in range(_often(rng))]
    if rng.random() < 0.5:
        events = _track(song, rng)
        at = int(rng.integers(0, len(events) + 1)) if events else 0
        events[at:at] = at_once
    else:
        for event in at_once:
            _insert(song, rng, event)
    return song.file(running)


def channels(song: Song, rng: Random, running: Running) -> bytes:
    """All on channel 10, all moved, each on its own, or a program change before each note."""
    kind, shift = int(rng.integers(4)), int(rng.integers(1, 16))

    def moved(event: Event) -> Event:
        now = event.head[0] & 15
        channel = 9 if kind == 0 else (now + shift) % 16 if kind == 1 else int(rng.integers(16))
        return event._replace(head=bytes([event.head[0] & 0xF0 | channel]))

    if kind < 3:
        _each(song, moved, _is_channel)
    else:
        for events in song.tracks:
            for i in [i for i, event in enumerate(events) if _is_note(event)][:500][::-1]:
                program = bytes([0xC0 | events[i].head[0] & 15])
                events.insert(i, Event(0, program, bytes([int(rng.integers(128))])))
    return song.file(running)


def note_ends(song: Song, rng: Random, running: Running) -> bytes:
    """Ends on another channel, notes that overlap themselves, never end or never begin, no velocity, bytes over 127."""
    kind, share = int(rng.integers(6)), float(rng.choice([0.02, 0.5, 1.0]))

    def is_end(event: Event) -> bool:
        return _is_note(event) and (event.head < b"\x90" or not event.data[1])

    def some(which: Callable[[Event], bool]) -> Callable[[Event], bool]:
        return lambda event: which(event) and rng.random() < share

    def is_begin(event: Event) -> bool:
        return _is_note(event) and not is_end(event)

    if kind == 0:
        _each(song, lambda e: e._replace(head=bytes([e.head[0] & 0xF0 | (e.head[0] + 1) & 15])), some(is_end))
    elif kind == 1:
        for events in song.tracks:
            events[:] = [e for event in events for e in ([event] * (1 + some(is_begin)(event)))]
    elif kind == 2:
        for events in song.tracks:
            events[:] = [event for event in events if not some(is_end)(event)]
    elif kind == 3:
        for events in song.tracks:
            events[:] = [event for event in events if not some(is_begin)(event)]
    elif kind == 4:
        _each(song, lambda e: e._replace(data=e.data[:1] + b"\0"), some(_is_note))
    else:
        over = int(rng.choice([0, 1]))
        _each(
            song,
            lambda e: e._replace(data=bytes(byte | 0x80 * (i == over) for i, byte in enumerate(e.data))),
            lambda e: (
                _is_channel(e) and len(e.data) > over and (over == 1 or e.head > b"\xa0") and rng.random() < share
            ),
        )
    return song.file(running)


def deltas(song: Song, rng: Random, running: Running) -> bytes:
    """Pauses: none at all, one or many of the longest, sums beyond 2^31 and 2^32, everything many times later."""
    events, kind = _track(song, rng), int(rng.integers(5))
    if kind == 0:
        events[:] = [event._replace(delta=0) for event in events]
    elif kind == 1:
        for events in song.tracks:
            events[:] = [event._replace(delta=0) for event in events]
    elif kind == 2:
        for _ in range(_often(rng)):
            at = int(rng.integers(len(events))) if events else 0
            events[at : at + 1] = [event._replace(delta=LONGEST_DELTA) for event in events[at : at + 1]]
    elif kind == 3:
        pause = _one(rng, [Event(LONGEST_DELTA, b"\xff\x01"), Event(LONGEST_DELTA, b"\xf8"), Event(2**27, b"\xff\x06")])
        at = int(rng.integers(0, 1 + len(events)))
        events[at:at] = [pause] * int(rng.choice([1, 3, 7, 8, 9, 15, 16, 17, 33]))  # type: ignore[list-item]
    else:
        factor = int(rng.choice([2, 100, 10_000]))
        events[:] = [event._replace(delta=min(event.delta * factor, LONGEST_DELTA)) for event in events]
    return song.file(running)


def riff(song: Song, rng: Random, running: Running) -> bytes:
    """A RIFF wrapper whose sizes may lie."""
    music = song.file(running)
    size = len(music) + int(rng.choice([0, 0, 1, -1, 100, -100, -len(music), 2**31]))
    data = b"data" + struct.pack("<I", size & 0xFFFFFFFF) + music + b"\0" * (len(music) % 2)
    before = int(rng.choice([0, 0, 3, 2**32 - 1, 2**31]))
    info = b"LIST" + struct.pack("<I", before) + bytes(4 if before else 0)
    body = b"RMID" + (info if rng.random() < 0.5 else b"") + data
    return b"RIFF" + struct.pack("<I", int(rng.choice([len(body), 0, 4, 2**32 - 1]))) + body


EDITS: tuple[Edit, ...] = (
    header,
    lengths,
    chunks,
    ends,
    system_messages,
    running_status,
    meta_events,
    texts,
    meters_and_keys,
    tempos,
    channels,
    note_ends,
    deltas,
    riff,
)


@lru_cache(maxsize=64)
def _song(music: bytes) -> Song | None:
    try:
        song = parsed(music)
    except NotMidi:
        return None
    return song if song.tracks else None


def on_bytes(edit: Edit) -> Callable[[bytes, Sequence[bytes], Random], bytes]:
    """The edit as a mutation of bytes, in one of three forms of running status; a broken file stays as it is."""

    @wraps(edit)
    def mutation(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
        known = _song(music)
        if known is None:
            return music
        song = Song(known.form, known.division, [list(events) for events in known.tracks], known.header)
        return edit(song, rng, _one(rng, RUNNING))  # type: ignore[arg-type,return-value]

    return mutation


GRAMMAR = tuple(on_bytes(edit) for edit in EDITS)
