"""The clock of a score: seconds under its tempo map.

Of several tempos at one tick the last in the file's order counts, whichever tracks they stand in (tracks in file
order). A tempo of 0, or one faster than any that people write, makes no music and is ignored: the tempo before it goes
on, and where there is none, the next one holds from there. Before the first tempo the Standard MIDI File's default
holds, 120 quarters a minute (RP-001, "Set Tempo").
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import cast

import numpy as np
import symusic
import symusic.core

from .midi_file import track_chunks, track_events

DEFAULT_TEMPO = 500_000  # microseconds a quarter note
FASTEST_TEMPO = 15_000  # 4,000 quarters a minute, ten times the fastest that people write
_SORTED_STABLY = 16  # symusic keeps the file's order of so many tempos; of more it may swap those at one tick

_TEMPO = b"\xff\x51"
_BYTES_OF_A_TEMPO = 3


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
    for chunk in track_chunks(music):
        if _TEMPO not in chunk:
            continue
        with suppress(ValueError):  # cut off or not MIDI from here on
            for tick, head, data in track_events(chunk):
                if head == _TEMPO and len(data) >= _BYTES_OF_A_TEMPO:
                    found.append((tick, int.from_bytes(data[:_BYTES_OF_A_TEMPO], "big")))
    return found
