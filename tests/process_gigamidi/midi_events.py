"""MIDI files as events that can be edited and written again, and a strict reader of what they hold.

Shares no code with the project or with symusic. Format after "Standard MIDI Files 1.0" (MIDI Association, RP-001).
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal, NamedTuple

META, SYSEX, ESCAPE = 0xFF, 0xF0, 0xF7
END, TEMPO, METER = b"\xff\x2f", b"\xff\x51", b"\xff\x58"
LAST_TICK = 2**31 - 1  # the project's times have 32 bits
DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}  # by the upper half of a status byte
SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}  # none follow the others

Running = Literal["never", "standard", "kept"]


class Event(NamedTuple):
    """delta: ticks since the event before. head: status byte, and a meta event's kind; empty for bare data bytes."""

    delta: int
    head: bytes
    data: bytes = b""


class Note(NamedTuple):
    """A note of a file; times in its ticks."""

    start: int
    length: int
    pitch: int
    velocity: int
    program: int
    is_drum: bool


class Reading(NamedTuple):
    """What a song holds. tempos: (tick, microseconds a quarter). meters: (tick, numerator, denominator), or 0 for one
    of 256 and more, which no one writes."""

    notes: Counter[Note]
    tempos: Counter[tuple[int, int]]
    meters: Counter[tuple[int, int, int]]


class NotMidi(ValueError):
    """A file that breaks the standard."""


class EndOfTime(NotMidi):
    """A file with notes, tempos or meters beyond LAST_TICK."""


@dataclass
class Song:
    """A file's events. header: its length in bytes, of which the standard has six."""

    form: int
    division: int
    tracks: list[list[Event]]
    header: int = 6

    def header_chunk(self, n_tracks: int | None = None) -> bytes:
        """The header as a chunk; without n_tracks it tells their true number."""
        fields = struct.pack(">HHH", self.form, len(self.tracks) if n_tracks is None else n_tracks, self.division)
        return chunk(b"MThd", (fields + bytes(max(0, self.header - 6)))[: self.header])

    def track_chunks(self, running: Running) -> list[bytes]:
        """Each track as a chunk."""
        return [chunk(b"MTrk", written(events, running)) for events in self.tracks]

    def file(self, running: Running) -> bytes:
        """The bytes of the file."""
        return self.header_chunk() + b"".join(self.track_chunks(running))


def chunk(name: bytes, content: bytes, length: int | None = None) -> bytes:
    """A chunk, with its true length unless another is given."""
    return name + struct.pack(">I", len(content) if length is None else length & 0xFFFFFFFF) + content


def quantity(value: int) -> bytes:
    """A number as a variable-length quantity."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def written(events: list[Event], running: Running) -> bytes:
    """The bytes of a track.

    running: leave a status byte out where it equals the one before it "never", as the "standard" allows, or "kept" even
    over meta and system events, as many writers do.
    """
    body, status = bytearray(), b""
    for delta, head, data in events:
        body += quantity(delta)
        if head[:1] in (b"\xff", b"\xf0", b"\xf7"):
            body += head + quantity(len(data))
        elif head != status:
            body += head
        body += data
        if b"\x80" <= head < b"\xf0":
            status = head if running != "never" else b""
        elif running != "kept":
            status = b""
    return bytes(body)


def parsed(music: bytes) -> Song:
    """The events of a file. Raises NotMidi unless every length and byte is as the standard has it.

    Allowed are: a longer header, a number of tracks that lies, other chunks, running status over any event, and data
    bytes over 127.
    """
    if music[:4] != b"MThd" or int.from_bytes(music[4:8], "big") < 6 or len(music) < 14:
        raise NotMidi("its header")
    header, form, n_tracks, division = struct.unpack(">IHHH", music[4:14])
    if form > 2 or (form == 2 and n_tracks > 1) or not 0 < division < 0x8000:
        raise NotMidi("its format or time")
    tracks, at = [], 8 + header
    while at < len(music):
        content = music[at + 8 : at + 8 + int.from_bytes(music[at + 4 : at + 8], "big")]
        if chunk(music[at : at + 4], content) != music[at : at + 8 + len(content)]:
            raise NotMidi("the length of a chunk")
        if music[at : at + 4] == b"MTrk":
            tracks.append(_events(content))
        at += 8 + len(content)
    if form == 2 and len(tracks) > 1:
        raise NotMidi("several songs")
    return Song(form, division, tracks, header)


def _events(body: bytes) -> list[Event]:
    events: list[Event] = []
    at = status = 0
    try:
        while not events or events[-1].head != END:
            delta, at = _read_quantity(body, at)
            head = body[at : at + 1]
            if body[at] in (META, SYSEX, ESCAPE):
                head = body[at : at + 1 + (body[at] == META)]
                size, at = _read_quantity(body, at + len(head))
            elif body[at] >= SYSEX:
                size, at = SYSTEM_DATA_BYTES.get(body[at], 0), at + 1
            else:
                if body[at] & 0x80:
                    status, at = body[at], at + 1
                head, size = bytes([status]), DATA_BYTES[status >> 4]
            if at + size > len(body):
                raise NotMidi("an event that its track cuts off")
            events.append(Event(delta, head, body[at : at + size]))
            at += size
    except (IndexError, KeyError):
        raise NotMidi("a track that breaks off, or data without a status") from None
    return events


def _read_quantity(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for length in range(1, 5):
        byte = body[at + length - 1]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + length
    raise NotMidi("a number of more than four bytes")


def reading_of(song: Song) -> Reading:
    """What a song holds. Raises EndOfTime.

    A note's end ends the one of its track, channel and pitch that has sounded longest. Notes that never end are none.
    The program is the last that the note's track has set for its channel. Tempos and meters that are too
    short are none.
    """
    found = Reading(Counter(), Counter(), Counter())
    for events in song.tracks:
        tick, programs = 0, [0] * 16
        sounding: dict[tuple[int, int], deque[tuple[int, int, int]]] = {}
        for delta, head, data in events:
            tick += delta
            kind, channel = head[0] >> 4, head[0] & 15
            if tick > LAST_TICK and (kind in (0x8, 0x9) or head in (TEMPO, METER)):
                raise EndOfTime
            if head == TEMPO and len(data) >= 3:
                found.tempos[tick, int.from_bytes(data[:3], "big")] += 1
            elif head == METER and len(data) >= 2:
                found.meters[tick, data[0], 2 ** data[1] if data[1] < 8 else 0] += 1
            if kind == 0xF:
                continue
            first, *second = (min(value, 127) for value in data)
            if kind == 0xC:
                programs[channel] = first
            elif kind == 0x9 and second[0]:
                sounding.setdefault((channel, first), deque()).append((tick, second[0], programs[channel]))
            elif kind in (0x8, 0x9) and sounding.get((channel, first)):
                start, velocity, program = sounding[channel, first].popleft()
                found.notes[Note(start, tick - start, first, velocity, program, channel == 9)] += 1
    return found
