"""Broken and malicious MIDI files: mutations of real ones, and handmade ones that cause as much work as possible."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import symusic
from midi_grammar import GRAMMAR

from pipeline.settings import PROJECT_ROOT

Random: TypeAlias = np.random.Generator
Mutation: TypeAlias = Callable[[bytes, Sequence[bytes], Random], bytes]

EXTREMES_16 = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xE728, 0xE250, 0xFFFF)
EXTREMES_32 = (0, 1, 2, 7, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF)
EVENTS = (
    b"\x00\xff\x2f\x00",  # end of track
    b"\x00\xff\x58\x04\x05\x02\x18\x08",  # 5/4
    b"\x00\xff\x58\x04\x00\x00\x18\x08",  # 0/1
    b"\x00\xff\x58\x04\xff\xff\x18\x08",  # 255/2^255
    b"\x01\xff\x58\x04\x01\x06\x18\x08",  # 1/64
    b"\x00\xff\x51\x03\x00\x00\x00",  # a quarter note of no duration
    b"\x00\xff\x51\x03\xff\xff\xff",
    b"\x00\xff\x51\x00",  # a tempo without a value
    b"\x00\xff\x59\x02\x80\x7f",  # a key of 128 flats
    b"\x00\xf0\x05\x7e\x7f",  # system exclusive that never ends
    b"\x00\xf7\x00",
    b"\x00\xff\x7f\xff\xff\xff\x7f",  # a text of 256 MB
    b"\x00\x90\x3c\x40",  # a note that is never closed
    b"\xff\xff\xff\x7f\x90\x3c\x40",  # one at the end of time
    b"\x00\x80\x3c\x00",
    b"\x00\xfe",
    b"\x00\x3c\x40",  # running status, perhaps without an event before it
    b"\x00\xb9\x40\x7f",
)


class Mutated(NamedTuple):
    """A mutated file. by: the name of the mutation."""

    by: str
    music: bytes


def change_values(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Change some values: bytes in all but their highest bit, which tells an event's kind from its values."""
    data = bytearray(music)
    for at in rng.integers(min(22, len(data) - 1), len(data), 1 + int(rng.exponential(8))):
        data[at] = (data[at] & 0x80) | int(rng.integers(128))
    return bytes(data)


def flip_bits(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Flip one bit of some bytes after the file's header."""
    data = bytearray(music)
    for at in rng.integers(min(14, len(data) - 1), len(data), 1 + int(rng.exponential(8))):
        data[at] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut_off(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Keep only the beginning."""
    return music[: int(rng.integers(0, len(music)))]


def cut_out(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Take some bytes out."""
    at = int(rng.integers(0, len(music)))
    return music[:at] + music[at + 1 + int(rng.exponential(20)) :]


def repeat(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Write a stretch of bytes several times."""
    at, length = int(rng.integers(0, len(music))), 1 + int(rng.exponential(100))
    return music[:at] + music[at : at + length] * int(rng.integers(2, 200)) + music[at + length :]


def splice(music: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """The beginning of one file, the end of another."""
    other = others[int(rng.integers(len(others)))]
    return music[: int(rng.integers(0, len(music)))] + other[int(rng.integers(0, len(other))) :]


def header_field(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Set format, number of tracks or ticks per quarter to an extreme."""
    at = int(rng.choice([8, 10, 12]))
    return music[:at] + struct.pack(">H", int(rng.choice(EXTREMES_16))) + music[at + 2 :]


def chunk_length(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Set the length of the header or of a track to an extreme."""
    chunks = [4] + [at + 4 for at in range(len(music)) if music.startswith(b"MTrk", at)]
    at = int(rng.choice(chunks))
    return music[:at] + struct.pack(">I", int(rng.choice(EXTREMES_32))) + music[at + 4 :]


def insert_event(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Write an invalid event into a track, once or many times."""
    first = music.find(b"MTrk") + 8
    at = int(rng.integers(min(first, len(music)), len(music) + 1))
    often = int(rng.choice([1, 1, 1, 3, 50, 3000]))
    return music[:at] + EVENTS[int(rng.integers(len(EVENTS)))] * often + music[at:]


def long_delta(music: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Put a variable-length quantity of up to 268 million ticks, or one that doesn't end, somewhere."""
    at = int(rng.integers(0, len(music)))
    quantity = [b"\xff\xff\xff\x7f", b"\x81\x80\x80\x00", b"\xff\xff\x7f", b"\xff" * 9][int(rng.integers(4))]
    return music[:at] + quantity + music[at + int(rng.integers(0, 5)) :]


ON_BYTES: tuple[Mutation, ...] = (
    change_values,
    flip_bits,
    cut_off,
    cut_out,
    repeat,
    splice,
    header_field,
    chunk_length,
    insert_event,
    long_delta,
)
MUTATIONS = ON_BYTES + GRAMMAR


def with_true_lengths(music: bytes) -> bytes:
    """Give every track its true length and an end, so that a reader reaches the broken bytes inside it."""
    header, *tracks = music.split(b"MTrk")
    bodies = [track[4:].removesuffix(b"\x00\xff\x2f\x00") + b"\x00\xff\x2f\x00" for track in tracks]
    return header + b"".join(b"MTrk" + struct.pack(">I", len(body)) + body for body in bodies)


def mutations(files: Sequence[bytes], n: int, seed: int) -> Iterator[Mutated]:
    """n mutations of the files, the same for the same seed.

    Each kind as often, one in four of them with one on bytes as well. Of those on bytes two in three get their true
    lengths again; those that know the grammar write their own.
    """
    rng = np.random.default_rng(seed)
    for i in range(n):
        music = files[int(rng.integers(len(files)))]
        mutation = MUTATIONS[i % len(MUTATIONS)]
        music = mutation(music, files, rng)
        on_bytes = mutation in ON_BYTES
        if music and rng.random() < 0.25:
            music = ON_BYTES[int(rng.integers(len(ON_BYTES)))](music, files, rng)
        yield Mutated(mutation.__name__, with_true_lengths(music) if on_bytes and rng.random() < 2 / 3 else music)


def midi_file(*tracks: bytes, division: int = 480) -> bytes:
    """A MIDI file of tracks of events; their ends are added."""
    ended = [track + b"\x00\xff\x2f\x00" for track in tracks]
    header = b"MThd" + struct.pack(">IHHH", 6, 1, len(tracks), division)
    return header + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in ended)


NOTE = b"\x00\x90\x3c\x50\x60\x3c\x00"  # a sixteenth


def worst_files(max_bytes: int, max_notes: int, max_bars: int) -> Iterator[tuple[str, bytes]]:
    """Files at or just beyond the limits that cause as much work as possible: (description, bytes)."""

    def filled(event: bytes, start: bytes = b"") -> bytes:
        return start + event * ((max_bytes - 100 - len(start)) // len(event))

    chord = b"".join(bytes([0, 30 + i, 80]) for i in range(40)) + b"\x78\x1e\x00"
    chord += b"".join(bytes([0, 31 + i, 0]) for i in range(39))
    meters = b"\x01\xff\x58\x04\x03\x02\x18\x08\x01\xff\x58\x04\x04\x02\x18\x08"
    yield "as many notes as the bytes hold", midi_file(filled(b"\x01\x3c\x50\x01\x3c\x00", b"\x00\x90\x3c\x50"))
    yield "as many notes as are allowed", midi_file(NOTE + b"\x01\x3c\x50\x01\x3c\x00" * (max_notes - 1))
    yield "as many, in chords of forty", midi_file(NOTE + chord * (max_notes // 40 - 1))
    yield "notes that are never closed", midi_file(filled(b"\x00\x3c\x50", b"\x00\x90\x3c\x50"))
    yield "notes all open at once", midi_file(NOTE + b"\x00\x3c\x50" * 140_000 + b"\x01\x3c\x00" * 140_000)
    yield "notes of no length", midi_file(filled(b"\x00\x3c\x50\x00\x3c\x00", b"\x00\x90\x3c\x50"))
    yield "pressure", midi_file(filled(b"\x01\x10", b"\x00\xd0\x10"), NOTE)
    pressure = filled(b"\x01\x10", b"\x00\xf8\x00\xd0\x10")
    yield "pressure after a clock, which is written anew", midi_file(pressure, NOTE)
    late = b"\xff\xff\xff\x7f\xd0\x10" * 10
    yield "pressure after the end of time", midi_file(filled(b"\x00\x10", late), NOTE)
    yield "pitch bends", midi_file(filled(b"\x01\x10\x10", b"\x00\xe0\x10\x10"), NOTE)
    yield "pedals", midi_file(filled(b"\x01\x40\x00\x01\x40\x7f", b"\x00\xb0\x40\x7f"), NOTE)
    yield "meter changes", midi_file(filled(meters), NOTE)
    bars = max_bars // 2 - 1
    yield "as many meter changes as are allowed", midi_file(meters * bars, NOTE + b"\x01\x3c\x50\x01\x3c\x00" * bars)
    yield "meters of one tick", midi_file(filled(b"\x00" + meters[1:8]), NOTE)
    yield "tempos", midi_file(filled(b"\x01\xff\x51\x03\x07\xa1\x20"), NOTE)
    yield "lyrics", midi_file(filled(b"\x00\xff\x05\x01a"), NOTE)
    yield "tracks", midi_file(*[NOTE] * 30_000)
    yield "too many tracks", midi_file(*[NOTE] * 65_535)
    length = max_bytes - 200
    in_sevens = bytes([0x80 | length >> 21, 0x80 | length >> 14 & 0x7F, 0x80 | length >> 7 & 0x7F, length & 0x7F])
    programs = b"".join(bytes([0, 0xC0 | c, p, 0, 0x90 | c, 60, 80, 1, 60, 0]) for p in range(128) for c in range(16))
    yield "tracks by program", midi_file(*[programs] * 14)
    yield "too many tracks by program", midi_file(*[programs] * 200)
    yield "one long text", midi_file(b"\x00\xff\x01" + in_sevens + bytes(length), NOTE)
    late = b"\xff\xff\xff\x7f\xb0\x01\x01" * 10
    yield "meters beyond the end of time", midi_file(late + meters * 2, NOTE)
    yield "tempos beyond the end of time", midi_file(late + b"\x00\xff\x51\x03\x07\xa1\x20", NOTE)
    yield "the end of time", midi_file(NOTE + b"\xff\xff\xff\x7f\x3c\x50\x10\x3c\x00" * 20, division=1)
    yield "ticks of no size", midi_file(NOTE * 100, division=32_767)


def bundled_files() -> list[bytes]:
    """The real files in the project: those of the tests, and the samples as MIDI; and one of them played on drums."""
    made = [path.read_bytes() for path in sorted((PROJECT_ROOT / "tests" / "fixtures" / "synthetic").glob("*.mid"))]
    tunes = sorted((PROJECT_ROOT / "samples").glob("*.abc"))
    scores = [symusic.Score.from_abc(tune.read_text(encoding="utf-8")) for tune in tunes]
    drums = scores[0].copy()
    for track in drums.tracks:
        track.is_drum = True
    return made + [score.dumps_midi() for score in (*scores, drums)]
