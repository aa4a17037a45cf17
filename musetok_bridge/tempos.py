"""The clock of a score: seconds under its tempo map.

Of several tempos at one tick the last in the file's order counts, whichever tracks they stand in (tracks in file
order). A tempo of 0, or one faster than any that people write, makes no music and is ignored: the tempo before it goes
on, and where there is none, the next one holds from there. Before the first tempo the Standard MIDI File's default
holds, 120 quarters a minute (RP-001, "Set Tempo").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
import symusic
import symusic.core

DEFAULT_TEMPO = 500_000  # microseconds a quarter note
FASTEST_TEMPO = 15_000  # 4,000 quarters a minute, ten times the fastest that people write
_SORTED_STABLY = 16  # symusic keeps the file's order of so many tempos; of more it may swap those at one tick

_TEMPO = b"\xff\x51\x03"
_END_OF_TRACK = 0x2F
_LONGEST_NUMBER = 4  # bytes
_META, _SYSEX, _SYSEX_GOES_ON = 0xFF, 0xF0, 0xF7
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}  # of a channel's message


class NoTempo(ValueError):
    """A score whose tempos are all unplayable."""


@dataclass(frozen=True)
class Clock:
    """A tempo map; arrays over its steps, the first of which begins at tick 0.

    tick: int64, ascending, all different. seconds: float64, when each step begins. pace: float64, seconds a tick.
    """

    tick: np.ndarray
    seconds: np.ndarray
    pace: np.ndarray

    @classmethod
    def of(cls, score: symusic.core.ScoreTick) -> Clock:
        """The clock of a score. Raises NoTempo if it has tempos and none of them is playable."""
        tick, tempo = np.zeros(1, dtype=np.int64), np.array([DEFAULT_TEMPO])
        if len(score.tempos):
            events = score.tempos.numpy()
            tick, tempo = _steps(events["time"].astype(np.int64), events["mspq"].astype(np.int64))
        pace = tempo / (1e6 * score.tpq)
        return cls(tick, np.concatenate([[0.0], np.cumsum(np.diff(tick) * pace[:-1])]), pace)

    def seconds_at(self, ticks: np.ndarray) -> np.ndarray:
        """Seconds from tick 0 at each of the given file ticks, float64 of the same shape."""
        step = np.maximum(np.searchsorted(self.tick, ticks, side="right") - 1, 0)
        return self.seconds[step] + (ticks - self.tick[step]) * self.pace[step]


def _steps(tick: np.ndarray, tempo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The steps of a tempo map from its events in file order: first ticks, the first of them 0, and tempos."""
    order = np.argsort(tick, kind="stable")
    tick, tempo = tick[order], tempo[order]
    playable = tempo >= FASTEST_TEMPO
    if not playable.any():
        raise NoTempo("its tempos give no time in seconds")
    if not playable[0]:  # there is no tempo before it that could go on: it takes the one that follows
        tempo = np.concatenate([[tempo[playable.argmax()]], tempo[1:]])
        playable = tempo >= FASTEST_TEMPO
    tick, tempo = tick[playable], tempo[playable]
    last = np.append(tick[1:] != tick[:-1], True)
    tick, tempo = tick[last], tempo[last]
    if tick[0] > 0:
        tick, tempo = np.append(0, tick), np.append(DEFAULT_TEMPO, tempo)
    return tick, tempo


def in_file_order(score: symusic.core.ScoreTick, music: bytes) -> None:
    """Put the tempos of a score into the order of the file that it was read from, where reading has mixed them."""
    if len(score.tempos) > _SORTED_STABLY:
        ticks = score.tempos.numpy()["time"]
        if (ticks[1:] == ticks[:-1]).any():
            events = sorted(tempo_events(music), key=lambda event: event[0])  # stable
            if [tick for tick, _ in events] == ticks.tolist():  # else the file is damaged, and symusic's reading holds
                tempos = np.array([tempo for _, tempo in events], dtype=np.int32)
                score.tempos = cast("symusic.core.TempoTickList", symusic.Tempo.from_numpy(ticks, tempos))


def tempo_events(music: bytes) -> list[tuple[int, int]]:
    """The tempo events of a Standard MIDI File, (file tick, microseconds a quarter), tracks in file order."""
    found: list[tuple[int, int]] = []
    for chunk in _track_chunks(music):
        with suppress(IndexError, KeyError):  # cut off or not MIDI from here on
            for event in _tempos_of_track(chunk):
                found.append(event)
    return found


def _track_chunks(music: bytes) -> Iterator[bytes]:
    position = music.find(b"MThd")
    while 0 <= position <= len(music) - 8:
        size = int.from_bytes(music[position + 4 : position + 8], "big")
        if music[position : position + 4] == b"MTrk":
            yield music[position + 8 : position + 8 + size]
        position += 8 + size


def _tempos_of_track(chunk: bytes) -> Iterator[tuple[int, int]]:
    """The tempos of a track's events. Raises IndexError or KeyError where they are not MIDI."""
    position, tick, running = 0, 0, 0
    last = chunk.rfind(_TEMPO)
    while position <= last:
        delta, position = _number(chunk, position)
        tick += delta
        status = chunk[position]
        if status in (_META, _SYSEX, _SYSEX_GOES_ON):
            if status == _META and chunk[position + 1] == _END_OF_TRACK:
                return
            is_tempo = chunk[position : position + 3] == _TEMPO
            size, position = _number(chunk, position + (2 if status == _META else 1))
            if is_tempo:
                yield tick, int.from_bytes(chunk[position : position + 3], "big")
            position += size
            continue
        if status & 0x80:
            running = status
            position += 1
        position += _DATA_BYTES[running & 0xF0]


def _number(chunk: bytes, position: int) -> tuple[int, int]:
    """A number of variable length, and the position after it. Raises IndexError if none of its four bytes ends it."""
    value = 0
    for length, byte in enumerate(chunk[position : position + _LONGEST_NUMBER], 1):
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, position + length
    raise IndexError
