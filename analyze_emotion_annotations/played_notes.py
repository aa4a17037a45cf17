"""The notes of a song, as the report's page plays them, read from a MIDI file by a process of their own.

The text of a song's notes is base64 of whole numbers, five for each note in order of the starts: the time since the
start of the note before, and the length, both in steps of 1/STEPS_PER_SECOND second; the pitch and the velocity, 0 to
127; and the voice, an index into VOICES. A number is written as LEB128: seven bits in each byte, the lowest first, and
the eighth bit set in all but the last. A note takes about seven letters.
"""

from __future__ import annotations

import base64
import multiprocessing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

import numpy as np

from .song_curves import Song
from .song_music import music_of

if TYPE_CHECKING:
    from symusic.core import TrackSecond

STEPS_PER_SECOND = 200  # 5 ms, less than the ear tells apart; report_page_files/player.js has the same
VOICES = ("piano", "sustained", "bass", "lead", "drums")  # as in player.js
# Programs of General MIDI, from 0 to before `end`, with their voice: piano stands for all that is struck or plucked
_VOICE_OF_PROGRAMS = (
    *((16, "piano"), (24, "sustained"), (32, "piano"), (40, "bass"), (45, "sustained"), (48, "piano")),
    *((56, "sustained"), (88, "lead"), (104, "sustained"), (109, "piano"), (112, "lead"), (128, "piano")),
)
SECONDS_A_SONG = 10.0  # to read a song; real ones take milliseconds
SECONDS_TO_START = 60.0
_READY = b"ready"
TOO_LARGE = "the report holds no more notes (report.notes_mb)"
LEFT_OUT = "the report was made without notes (report.notes_mb)"
UNREADABLE = "its MIDI file can't be read"


@dataclass(frozen=True)
class Sound:
    """What the page knows of a song's sound: its notes as a text, or a few words on why it can't be heard."""

    notes: str = ""
    why_silent: str = ""


def sounds_of(songs: Sequence[Song], run: Mapping[str, Any], notes_mb: float) -> dict[str, Sound]:
    """The sound of each song by md5, within a limit of size for all of them, in 10^6 bytes; the first songs come first.

    run: run.json of the annotations.
    """
    if not notes_mb:
        return {song.md5: Sound(why_silent=LEFT_OUT) for song in songs}
    music, why_missing = music_of(songs, run)
    left = int(notes_mb * 10**6)
    sounds: dict[str, Sound] = {}
    with NoteReader() as reader:
        for song in songs:
            if song.md5 not in music:
                sounds[song.md5] = Sound(why_silent=why_missing)
                continue
            notes = reader.notes(music[song.md5])
            if notes and len(notes) <= left:
                left -= len(notes)
                sounds[song.md5] = Sound(notes)
            else:
                sounds[song.md5] = Sound(why_silent=TOO_LARGE if notes else UNREADABLE)
    return sounds


class NoteReader:
    """Reads songs in a process of its own, since a damaged file may crash native code or keep it busy for ever.

    A process that a song ends is replaced for the next one. Not a pool of concurrent.futures, which can't end a process
    that hangs.
    """

    def __init__(self, seconds: float = SECONDS_A_SONG, text_of_file: Callable[[bytes], str] | None = None) -> None:
        """seconds: the time limit for a song. text_of_file: what the process does; None: `text_of_midi`."""
        self._seconds = seconds
        self._text_of_file = text_of_file or text_of_midi
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None

    def __enter__(self) -> NoteReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def notes(self, music: bytes) -> str:
        """The text of a song's notes; "" if its file has none, can't be read, or takes longer than the limit."""
        try:
            connection = self._started()
            connection.send_bytes(music)
            if connection.poll(self._seconds):
                return connection.recv_bytes().decode("ascii")
        except (EOFError, OSError):  # the process has died
            pass
        self._end()
        return ""

    def _started(self) -> Connection:
        """The connection to the process. Raises OSError or EOFError if it doesn't start."""
        if self._connection is None:
            context = multiprocessing.get_context("spawn")  # a fork of a process with threads may wait for ever
            self._connection, other = context.Pipe()
            self._process = context.Process(target=_serve, args=(other, self._text_of_file), daemon=True)
            self._process.start()
            other.close()  # so that the process's own end is the last one, and its death is seen
            if not self._connection.poll(SECONDS_TO_START):
                raise OSError("the process that reads songs does not start")
            self._connection.recv_bytes()
        return self._connection

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None


def _serve(connection: Connection, text_of_file: Callable[[bytes], str]) -> None:
    """What the process does: answer each file with its text until the connection is closed."""
    connection.send_bytes(_READY)
    with suppress(EOFError, OSError):
        while True:
            music = connection.recv_bytes()
            try:
                text = text_of_file(music)
            except Exception:  # of whatever kind: the song can't be heard, nothing more
                text = ""
            connection.send_bytes(text.encode("ascii"))


def text_of_midi(music: bytes) -> str:
    """The text of the notes in a MIDI file. Raises errors of symusic, and may crash, if the file is damaged."""
    from symusic import Score  # here only, so that the report itself doesn't wait for it

    score: Any = Score.from_midi(music)  # typed for the unit of its times, which symusic leaves open
    return text_of_notes(score.to("second").tracks)


def text_of_notes(tracks: Iterable[TrackSecond]) -> str:
    """The notes of tracks in seconds as a text, in the form that the module describes; "" if there are none."""
    parts = [np.zeros((5, 0), np.int64)]
    for track in tracks:
        notes = track.notes.numpy()
        start = _steps(notes["time"])
        length = np.maximum(_steps(notes["time"] + notes["duration"]) - start, 1)
        voice = np.full(len(start), VOICES.index("drums" if track.is_drum else voice_of_program(track.program)))
        parts.append(np.stack([start, length, notes["pitch"], notes["velocity"], voice]))
    table = np.concatenate(parts, axis=1)
    table = table[:, np.lexsort(table[[2, 4, 0]])]  # by start, then voice, then pitch
    table[0] = np.diff(table[0], prepend=0)
    return base64.b64encode(_leb128(table.T.ravel().tolist())).decode("ascii")


def voice_of_program(program: int) -> str:
    """The one of VOICES that plays a program of General MIDI, 0 to 127."""
    return next(voice for end, voice in _VOICE_OF_PROGRAMS if program < end)


def _steps(seconds: np.ndarray) -> np.ndarray:
    return np.rint(np.maximum(seconds, 0).astype(np.float64) * STEPS_PER_SECOND).astype(np.int64)


def _leb128(numbers: Iterable[int]) -> bytes:
    written = bytearray()
    for number in numbers:
        while number > 0x7F:
            written.append(number & 0x7F | 0x80)
            number >>= 7
        written.append(number)
    return bytes(written)
