"""The bytes of a MIDI file made fit for symusic, and files that are something else refused by what they are.

symusic 0.6 reads channel and meta events right, and a system exclusive message that an event with a status byte of its
own follows. After other system messages, which files may not hold or which cut a message into pieces, it loses its
place without a word: notes are missing or come late. It refuses data bytes over 127. Of a tempo, meter or key that is
too short it takes what lacks from the bytes that follow, and it misreads one whose length takes more than one byte. A
file with any of these is written anew: channel and meta events only, each with its status byte, data bytes of at most
127, and no tempo, meter or key that is too short or long.

symusic counts ticks in 32 bits, and after the last begins again at the first: such a file is refused. It reads as many
tracks as the header tells, and mistakes other chunks for them at the end: a header that is wrong is corrected.

Format after "Standard MIDI Files 1.0" (RP-001) and, for the wrapper, "RIFF MIDI" (RP-029), MIDI Manufacturers
Association.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from pipeline.settings import counted

_TRACK = b"MTrk"
_META, _SYSEX, _SYSEX_GOES_ON = 0xFF, 0xF0, 0xF7
END_OF_TRACK = b"\xff\x2f"
_NOTE_OFF, _NOTE_ON = 0x80, 0x90
_TEMPO, _METER, _KEY = b"\xff\x51", b"\xff\x58", b"\xff\x59"
_SHORTEST = {_TEMPO: 3, _METER: 2, _KEY: 2}  # bytes of data that are read
_LARGEST_POWER = b"\x1f"  # of two in a meter: symusic takes a larger one modulo 32
_LAST_TICK = 2**31 - 1  # that symusic counts
_AT_MOST_127 = bytes(min(byte, 127) for byte in range(256))  # what each data byte becomes
_LONGEST_NUMBER = 4  # bytes of a number of variable length
_LONGEST_PAUSE = (1 << 7 * _LONGEST_NUMBER) - 1  # ticks before one event
_NOTHING = b"\xff\x01\x00"  # a text without letters, for pauses that are longer
_CHUNK_HEADER = 8  # bytes: a name of four letters and a length
HEADER_BYTES = 14  # of a file
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}  # of a channel's message, by status
_DATA_BYTES |= {0xF1: 1, 0xF2: 2, 0xF3: 1} | dict.fromkeys((0xF4, 0xF5, 0xF6, *range(0xF8, 0xFF)), 0)  # of the system's

_OTHER_FILES = (  # how some other files begin
    (rb"RIFF.{4}WAVE", "a WAV file"),
    (rb"ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]", "an MP3 file"),
    (rb"OggS", "an Ogg file"),
    (rb"fLaC", "a FLAC file"),
    (rb".{4}ftyp", "an MP4 file"),
    (rb"PK\x03\x04", "a zip"),
    (rb"\x1f\x8b", "a file compressed by gzip"),
    (rb"%PDF", "a PDF"),
    (rb"\s*<(?i:!doctype html|html)", "a web page"),
    (rb"\s*<\?xml", "an XML file"),
    (rb"\x00+$", "nothing but zeros"),
)

_OTHER_LENGTHS = re.compile(rb"[\xc0-\xdf\xf0-\xff]")  # statuses of events with other than two data bytes
_OF_ONE_BYTE = re.compile(rb"[\x00-\x7f](?:[\x80-\xff]{0,3}+[\x00-\x7f]{2})*+")  # data, and events in running status
_ABOVE_127 = bytes(range(128, 256))


class UnusableScore(Exception):
    """A score that can't be converted to bars.

    `reason` is one word: not_midi, format_2, smpte_time, endless_notes, unreadable, no_notes, no_time, too_large,
    too_many_tracks, too_many_notes, too_many_ticks or too_many_bars.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


class PlainMidi(NamedTuple):
    """A MIDI file that symusic reads right.

    n_begun: the number of notes that begin in it. n_clamped: the number of data bytes over 127, which became 127.
    """

    music: bytes
    n_begun: int
    n_clamped: int


class Event(NamedTuple):
    """An event of a track. tick: file ticks. head: the status byte, and a meta event's kind. data: what follows."""

    tick: int
    head: bytes
    data: bytes


def plain_midi(music: bytes) -> PlainMidi:
    """The bytes of a MIDI file without a wrapper and without what symusic misreads.

    Raises UnusableScore if it is no MIDI file, holds several songs (format 2), counts time in frames (SMPTE) or not at
    all, goes beyond the last tick, or is damaged and holds what symusic misreads. Of other damage symusic tells.
    """
    if not music:
        raise UnusableScore("unreadable", "there are no bytes")
    music = _unwrapped(music)
    if music[:4] != b"MThd":
        kind = next((kind for form, kind in _OTHER_FILES if re.match(form, music[:512], re.DOTALL)), None)
        raise UnusableScore("not_midi", kind or f"it begins with {music[:4]!r}, not with MThd")
    if len(music) < HEADER_BYTES:
        return PlainMidi(music, 0, 0)
    chunks = [(size, content) for name, size, content in _chunks(music) if name == _TRACK]
    tracks = [content for _, content in chunks]
    _check_header(music, len(tracks))
    music = _with_true_number(music, [size == len(content) for size, content in chunks])
    _check_ticks(music, tracks)
    if music[4:8] == b"\0\0\0\6":
        n_begun = _notes_of_plain_tracks(tracks)
        if n_begun is not None:
            return PlainMidi(music, n_begun, 0)
    try:
        return _written_anew(music, tracks)
    except ValueError as error:
        raise UnusableScore("unreadable", str(error)) from None


def track_chunks(music: bytes) -> Iterator[bytes]:
    """The events of each track of a MIDI file, as bytes; a track that is cut off comes as far as it goes."""
    return (content for name, _, content in _chunks(music) if name == _TRACK)


def track_events(chunk: bytes) -> Iterator[Event]:
    """The events of a track up to its end. Raises ValueError where they are cut off or not MIDI."""
    position, tick, running = 0, 0, 0
    while position < len(chunk):
        delta, position = _number(chunk, position)
        tick += delta
        status = _byte(chunk, position)
        if status in (_META, _SYSEX, _SYSEX_GOES_ON):
            head = chunk[position : position + (2 if status == _META else 1)]
            if head == END_OF_TRACK:  # whatever length it claims
                yield Event(tick, head, b"")
                return
            size, position = _number(chunk, position + len(head))
        else:
            if status & 0x80:
                position += 1
                running = status if status < _SYSEX else running
            elif not running:
                raise ValueError("a data byte before any status")
            head = bytes([status if status & 0x80 else running])
            size = _DATA_BYTES[head[0] if head[0] >= _SYSEX else head[0] & 0xF0]
        if position + size > len(chunk):
            raise ValueError("an event that goes beyond its track")
        yield Event(tick, head, chunk[position : position + size])
        position += size


def written_track(events: Iterable[Event]) -> bytes:
    """The chunk of a track, with its name and length. events: in the order of their ticks, the last one the end."""
    before, content = 0, bytearray()
    for tick, head, data in events:
        while tick - before > _LONGEST_PAUSE:
            content += _as_number(_LONGEST_PAUSE) + _NOTHING
            before += _LONGEST_PAUSE
        length = _as_number(len(data)) if head[0] in (_META, _SYSEX, _SYSEX_GOES_ON) else b""
        content += _as_number(tick - before) + head + length + data
        before = tick
    return _TRACK + len(content).to_bytes(4, "big") + content


def _unwrapped(music: bytes) -> bytes:
    """The MIDI file in a RIFF file of the kind RMID; other bytes as they are."""
    if music[:4] != b"RIFF" or music[8:12] != b"RMID":
        return music
    position = 12
    while position + _CHUNK_HEADER <= len(music):
        size = int.from_bytes(music[position + 4 : position + 8], "little")
        if music[position : position + 4] == b"data":
            return music[position + 8 : position + 8 + size]
        position += _CHUNK_HEADER + size + size % 2
    raise UnusableScore("unreadable", "a RIFF file of MIDI without its chunk of data")


def _with_true_number(music: bytes, whole: list[bool]) -> bytes:
    """The file with a header that tells the true number of tracks, unless one that it tells of is cut off.

    whole: of each track, whether it has the length that it claims.
    """
    n_tracks, told = min(sum(whole), 0xFFFF), int.from_bytes(music[10:12], "big")
    if n_tracks == told or (n_tracks < told and not all(whole)):
        return music
    return music[:10] + n_tracks.to_bytes(2, "big") + music[12:]


def _check_header(music: bytes, n_tracks: int) -> None:
    n_tracks = max(n_tracks, int.from_bytes(music[10:12], "big"))
    size, division = int.from_bytes(music[4:8], "big"), int.from_bytes(music[12:14], "big")
    if size < HEADER_BYTES - _CHUNK_HEADER:
        raise UnusableScore("unreadable", f"a header of {counted(size, 'byte')}, too short for the length of a tick")
    if music[8:10] == b"\0\2" and n_tracks > 1:
        raise UnusableScore("format_2", f"{n_tracks:,} sequences that are independent of each other, not one song")
    if division & 0x8000:
        raise UnusableScore("smpte_time", "it counts time in frames of film (SMPTE), which give no bars")


def _check_ticks(music: bytes, tracks: list[bytes]) -> None:
    """Refuse a file with a note, tempo or meter beyond the last tick."""
    if _most_ticks(music) <= _LAST_TICK:
        return
    for chunk in tracks:
        if _most_ticks(chunk) <= _LAST_TICK:
            continue
        with suppress(ValueError):  # damaged from here on, of which symusic tells
            for tick, head, _ in track_events(chunk):
                if tick > _LAST_TICK and (head[0] & 0xF0 in (_NOTE_OFF, _NOTE_ON) or head in (_TEMPO, _METER)):
                    raise UnusableScore("no_time", f"an event at tick {tick:,}: the file's times overflow")


def _most_ticks(music: bytes) -> int:
    """An upper bound on the ticks of a file or track, from the bytes that may be pauses."""
    goes_on = np.frombuffer(music, dtype=np.uint8) >= 0x80
    ends = ~goes_on
    ticks = len(music) << 7
    for length in range(2, _LONGEST_NUMBER + 1):  # of the numbers with so many bytes or more
        goes_on = goes_on[:-1] & goes_on[1:] if length > 2 else goes_on
        ticks += int((goes_on[:-1] & ends[length - 1 :]).sum()) << 7 * length
    return ticks


def _chunks(music: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """The chunks of a MIDI file: their names, the lengths that they claim, and contents."""
    position = 0
    while position + _CHUNK_HEADER <= len(music):
        size = int.from_bytes(music[position + 4 : position + 8], "big")
        yield music[position : position + 4], size, music[position + 8 : position + 8 + size]
        position += _CHUNK_HEADER + size


def _notes_of_plain_tracks(tracks: list[bytes]) -> int | None:
    """The number of notes that begin in the tracks of a file.

    None if symusic may misread one: for bytes of a system message or over 127 where it would lose its place. A track
    that goes on in running status after an event of another length may give None as well.

    Between the events that _add_runs leaves out, every event has two data bytes and a time, so three bytes below 128.
    Their number before a byte above 127 therefore tells what that byte is: a multiple of three, and it goes on in the
    number that is the time; one more, and it is a status; two more, and it stands where data should.
    """
    runs: list[bytes] = []
    if not all(_add_runs(track, runs) for track in tracks):
        return None
    music = np.frombuffer(b"".join(runs), dtype=np.uint8)
    is_high = music >= 0x80
    high = np.flatnonzero(is_high).astype(np.int32)  # positions of bytes above 127
    ends = np.cumsum(np.array([len(run) for run in runs], dtype=np.int32))
    lows_before_end = ends - np.searchsorted(high, ends).astype(np.int32)
    in_run = np.searchsorted(ends, high, side="right").astype(np.int32)  # each run ends with the time of its last event
    event, place = np.divmod(high - np.arange(len(high), dtype=np.int32) - in_run, 3)
    is_status = place == 1
    follows_high = np.diff(high, prepend=-2) == 1
    too_long = len(high) >= _LONGEST_NUMBER and (high[_LONGEST_NUMBER - 1 :] - high[: 1 - _LONGEST_NUMBER] == 3).any()
    if too_long or (place == 2).any() or (is_status & follows_high).any():
        return None
    status_of, statuses = event[is_status], music[high[is_status]]
    events_before_end = (lows_before_end - np.arange(1, len(runs) + 1)) // 3
    first_events = np.append(0, events_before_end[:-1])[np.diff(events_before_end, prepend=0) > 0]
    n_events = int(events_before_end[-1]) if runs else 0
    has_status = np.zeros(n_events, dtype=bool)
    has_status[status_of] = True
    if not has_status[first_events].all():
        return None
    status = np.repeat(statuses, np.diff(np.append(status_of, n_events)))  # an event without one has that before it
    data = np.delete(music[~is_high], lows_before_end - 1)  # without the times that runs end with
    return int(np.count_nonzero((status & 0xF0 == _NOTE_ON) & (data[2::3] > 0)))


def _add_runs(chunk: bytes, runs: list[bytes]) -> bool:
    """Add a track's runs: its bytes between the events with other than two data bytes, each with that event's time.

    Returns whether all of the track up to its end is such runs and events, and symusic reads these events right.
    """
    position = 0
    while (at := _event_of_other_length(chunk, position)) is not None:
        if at == len(chunk):  # without the event that ends a track
            runs.append(chunk[position:] + b"\0")
            return True
        runs.append(chunk[position:at])
        status = chunk[at]
        if status < _SYSEX:  # of a channel, with one data byte
            events = _OF_ONE_BYTE.match(chunk, at + 1)
            if not events:
                return False
            position = events.end()
            continue
        if status not in (_META, _SYSEX):
            return False
        if chunk[at : at + 2] == END_OF_TRACK:
            return True
        head = chunk[at : at + (2 if status == _META else 1)]
        starts = at + len(head)
        try:
            size, position = _number(chunk, starts)
        except ValueError:
            return False
        if head in _SHORTEST and (size < _SHORTEST[head] or position - starts > 1):
            return False
        if head == _METER and chunk[position + 1 : position + 2] > _LARGEST_POWER:
            return False
        position += size
        if position > len(chunk):
            return False
    return False


def _event_of_other_length(chunk: bytes, position: int) -> int | None:
    """Where the first status of an event with other than two data bytes stands, from the end of an event on.

    The length of the chunk if there is none; None if a byte stands where it may not, or an event is cut off.
    """
    scanned, lows = position, 0
    while found := _OTHER_LENGTHS.search(chunk, scanned):
        at = found.start()
        lows += len(chunk[scanned:at].translate(None, _ABOVE_127))
        if lows % 3:
            return at if lows % 3 == 1 and chunk[at - 1] < 0x80 else None
        scanned = at + 1  # a long time's byte
    lows += len(chunk[scanned:].translate(None, _ABOVE_127))
    is_whole = lows % 3 == 0 and (position == len(chunk) or chunk[-1] < 0x80)
    return len(chunk) if is_whole else None


class _Counts:
    """What is counted as a file is written anew, as in PlainMidi."""

    n_begun = n_clamped = 0


def _written_anew(music: bytes, tracks: list[bytes]) -> PlainMidi:
    """A file of the channel and meta events alone. Raises ValueError if it is damaged."""
    counts = _Counts()
    header = b"MThd\0\0\0\6" + music[8:HEADER_BYTES]
    written = header + b"".join(written_track(_plain_events(chunk, counts)) for chunk in tracks)
    return PlainMidi(written, counts.n_begun, counts.n_clamped)


def _plain_events(chunk: bytes, counts: _Counts) -> Iterator[Event]:
    """The channel and meta events of a track, made fit for symusic. Raises ValueError if it is damaged."""
    for tick, head, data in track_events(chunk):
        if _SYSEX <= head[0] < _META or len(data) < _SHORTEST.get(head, 0):
            continue
        if head[0] == _META:
            plain = data[:1] + min(data[1:2], _LARGEST_POWER) if head == _METER else data[: _SHORTEST.get(head)]
        else:
            plain = data.translate(_AT_MOST_127)
            counts.n_begun += head[0] & 0xF0 == _NOTE_ON and plain[1] > 0
            counts.n_clamped += sum(map(int.__ne__, plain, data)) if plain != data else 0
        yield Event(tick, head, plain)


def _byte(chunk: bytes, position: int) -> int:
    if position >= len(chunk):
        raise ValueError("an event that is cut off")
    return chunk[position]


def _number(chunk: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and the position after it. Raises ValueError if none of its four bytes ends it."""
    value = 0
    for length, byte in enumerate(chunk[position : position + _LONGEST_NUMBER], 1):
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position + length
    raise ValueError("a number without an end")


def _as_number(value: int) -> bytes:
    """A number of variable length."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))
