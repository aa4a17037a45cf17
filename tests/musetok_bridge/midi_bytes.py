"""MIDI files written byte by byte, and a reader of their tempos that shares no code with the project or with symusic.

Both follow the Standard MIDI Files 1.0 specification (MIDI Association, RP-001).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction

DATA_BYTES = {0x8: 2, 0x9: 2, 0xA: 2, 0xB: 2, 0xC: 1, 0xD: 1, 0xE: 2}  # by the upper half of a status byte


def quantity(value: int) -> bytes:
    """A number as a variable-length quantity: seven bits a byte, the highest first, the top bit set in all but one."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def tempo(microseconds: int) -> bytes:
    """The event Set Tempo, without its time."""
    return b"\xff\x51\x03" + microseconds.to_bytes(3, "big")


def track(events: Sequence[tuple[int, bytes]]) -> bytes:
    """A track chunk of (tick, event); the ticks ascend."""
    body, before = b"", 0
    for tick, event in [*events, (max((tick for tick, _ in events), default=0), b"\xff\x2f\x00")]:
        body += quantity(tick - before) + event
        before = tick
    return b"MTrk" + struct.pack(">I", len(body)) + body


def midi_file(tracks: Sequence[Sequence[tuple[int, bytes]]], resolution: int = 480) -> bytes:
    """A file of format 1. tracks: of each its (tick, event), ascending. resolution: ticks a quarter."""
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), resolution)
    return header + b"".join(map(track, tracks))


def read_quantity(music: bytes, at: int) -> tuple[int, int]:
    """A variable-length quantity, and the position after it."""
    value = 0
    while music[at] >= 0x80:
        value, at = value * 128 + music[at] - 0x80, at + 1
    return value * 128 + music[at], at + 1


def read_tempos(music: bytes) -> tuple[list[tuple[int, int]], int]:
    """All (tick, microseconds a quarter) of a file, track by track as they are written, and its ticks a quarter."""
    assert music[:4] == b"MThd"
    n_tracks, resolution = struct.unpack(">HH", music[10:14])
    found, at = [], 8 + int.from_bytes(music[4:8], "big")
    for _ in range(n_tracks):
        assert music[at : at + 4] == b"MTrk"
        end = at + 8 + int.from_bytes(music[at + 4 : at + 8], "big")
        at, tick, status = at + 8, 0, 0
        while at < end:
            delta, at = read_quantity(music, at)
            tick += delta
            if music[at] >= 0x80:
                status, at = music[at], at + 1
            if status == 0xFF:
                kind = music[at]
                length, at = read_quantity(music, at + 1)
                if kind == 0x51:
                    found.append((tick, int.from_bytes(music[at : at + length], "big")))
            elif status in (0xF0, 0xF7):
                length, at = read_quantity(music, at)
            else:
                length = DATA_BYTES[status >> 4]
            at += length
        at = end
    return found, resolution


def seconds_by_the_file(music: bytes, tick: int) -> Fraction:
    """When a tick is, exactly: the last tempo of a tick counts, and 120 quarters a minute before the first."""
    tempos, resolution = read_tempos(music)
    steps = dict(sorted(tempos, key=lambda event: event[0]))  # sorting is stable, and dict keeps the last of a tick
    passed, since, pace = Fraction(0), 0, 500_000
    for start, microseconds in steps.items():
        if start >= tick:
            break
        passed += Fraction((start - since) * pace, resolution)
        since, pace = start, microseconds
    return (passed + Fraction((tick - since) * pace, resolution)) / 1_000_000
