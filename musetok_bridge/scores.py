"""Scores as symusic reads them: loading, limits, the notes to convert, and seconds under the tempo map.

Conventions: times are in file ticks, the score's own resolution, unless a name says otherwise. An unusable score is
refused with one word for the reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias, cast

import numpy as np
import symusic

from pipeline.settings import Range, first_line

from .vocabulary import HIGHEST_PITCH, LOWEST_PITCH

MIDI_SUFFIXES = (".mid", ".midi", ".kar")
LOADING_EXCEPTIONS = (RuntimeError, ValueError, OSError, OverflowError, TypeError)  # what symusic raises

WHY_LEFT_OUT = ("drums", "zero_length", "out_of_range", "merged", "thinned")  # reasons for which a note has no words

_BYTES_OF_A_PROGRAM = 3  # a program change: delta time, status byte, program number

_NOTHING = np.empty(0, dtype=np.int64)

AnyScore: TypeAlias = "symusic.core.ScoreTick | symusic.core.ScoreQuarter | symusic.core.ScoreSecond"


class UnusableScore(Exception):
    """A score that can't be converted to bars.

    `reason` is one word: unreadable, no_notes, no_time, too_large, too_many_tracks,
    too_many_notes, too_many_ticks or too_many_bars.
    """

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True)
class Limits:
    """The largest score to convert, far above any real one; the limits bound the time and memory of the conversion.

    file_bytes: size of a file. tracks: chunks and program changes, each of which may open a track. notes: of all tracks
    including drums. ticks: file ticks to the end of the last note. bars: all bars, including empty ones at the start.
    """

    file_bytes: Annotated[int, Range(1)] = 8_000_000
    tracks: Annotated[int, Range(1)] = 30_000
    notes: Annotated[int, Range(1)] = 300_000
    ticks: Annotated[int, Range(1, 2_000_000_000)] = 1_000_000_000  # symusic counts them in 32 bits
    bars: Annotated[int, Range(1, 100_000)] = 20_000  # about eleven hours of 4/4 at 120 quarters a minute


@dataclass(frozen=True)
class PitchedNotes:
    """The notes that are converted; arrays over notes, in file ticks, sorted by track and then by start.

    start, length, pitch, velocity: int64. left_out: the number of other notes in the score, by reason.
    """

    start: np.ndarray
    length: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    left_out: dict[str, int]


def read_score(source: bytes | str | Path, limits: Limits | None = None) -> symusic.core.ScoreTick:
    """Read a symusic Score from the bytes of a MIDI file or the path of a MIDI or ABC file.

    Raises UnusableScore if symusic can't read it or it exceeds the limits.
    """
    limits = limits or Limits()
    try:
        size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
        if size > limits.file_bytes:
            raise UnusableScore("too_large", f"more than {limits.file_bytes:,} bytes")
        if not isinstance(source, bytes) and Path(source).suffix.lower() == ".abc":
            return cast("symusic.core.ScoreTick", symusic.Score(Path(source)))
        music = source if isinstance(source, bytes) else Path(source).read_bytes()
        n_tracks = _most_tracks(music) if len(music) > limits.tracks * _BYTES_OF_A_PROGRAM else 0
        if n_tracks > limits.tracks:
            raise UnusableScore("too_many_tracks", f"perhaps {n_tracks:,} tracks, the limit is {limits.tracks:,}")
        return cast("symusic.core.ScoreTick", symusic.Score.from_midi(music))
    except LOADING_EXCEPTIONS as error:
        raise UnusableScore("unreadable", first_line(error)) from None


def _most_tracks(music: bytes) -> int:
    """An upper bound on a MIDI file's tracks: symusic makes one for each program in each chunk, some kilobytes each.

    Bytes of texts that look like program changes are counted too; the limit is far above what texts contain.
    """
    program_changes = (np.frombuffer(music, dtype=np.uint8) & 0xF0) == 0xC0
    return music.count(b"MTrk") + int(program_changes.sum())


def in_ticks(score: AnyScore) -> symusic.core.ScoreTick:
    """The score in ticks, converted from quarters or seconds if necessary."""
    is_tick = isinstance(score, symusic.core.ScoreTick)
    return cast("symusic.core.ScoreTick", score if is_tick else score.to("tick"))


def in_time_order(events: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Sort events by time, stably; in a score built in code they may be in any order."""
    times = events["time"]
    if (times[1:] >= times[:-1]).all():
        return events
    order = np.argsort(events["time"], kind="stable")
    return {name: values[order] for name, values in events.items()}


def check_times(score: symusic.core.ScoreTick) -> None:
    """Raise UnusableScore if the score's resolution or the times of its meters or tempos make no sense."""
    if score.tpq <= 0:
        raise UnusableScore("no_time", f"{score.tpq} ticks per quarter note")
    for kind, events in (("meters", score.time_signatures), ("tempos", score.tempos)):
        earliest = events[0].time if len(events) == 1 else events.numpy()["time"].min(initial=0)
        if earliest < 0:
            raise UnusableScore("no_time", f"{kind} before tick 0: the file's times overflow")


def pitched_notes(score: symusic.core.ScoreTick, limits: Limits) -> PitchedNotes:
    """The notes with a length, within the piano's range, outside drum tracks.

    Raises UnusableScore if there are none, if the notes' times make no sense, or if they exceed the limits.
    """
    lists, n_drums = [], 0
    for part in score.tracks:
        if part.is_drum:
            n_drums += len(part.notes)
        elif part.notes:
            lists.append(part.notes)
    n_notes = n_drums + sum(map(len, lists))
    if n_notes > limits.notes:
        raise UnusableScore("too_many_notes", f"{n_notes:,} notes, the limit is {limits.notes:,}")
    tracks = [in_time_order(notes.numpy()) for notes in lists]
    start, length, pitch, velocity = (
        np.concatenate([_NOTHING, *(track[name] for track in tracks)])
        for name in ("time", "duration", "pitch", "velocity")
    )
    sounds = length > 0
    counts = sounds & (pitch >= LOWEST_PITCH) & (pitch <= HIGHEST_PITCH)
    left_out = dict.fromkeys(WHY_LEFT_OUT, 0) | {"drums": n_drums}
    if not counts.all():
        left_out |= {"zero_length": int((~sounds).sum()), "out_of_range": int((sounds & ~counts).sum())}
        start, length, pitch, velocity = (values[counts] for values in (start, length, pitch, velocity))
    if not len(start):
        others = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in left_out.items() if count)
        wanted = f"no pitched note of {LOWEST_PITCH}..{HIGHEST_PITCH} with a length"
        raise UnusableScore("no_notes", f"{wanted} ({others or 'no note at all'})")
    if start.min() < 0:
        raise UnusableScore("no_time", "notes before tick 0: the file's times overflow")
    last_tick = int((start + length).max())
    if last_tick > limits.ticks:
        raise UnusableScore("too_many_ticks", f"{last_tick:,} ticks, the limit is {limits.ticks:,}")
    return PitchedNotes(start, length, pitch, velocity, left_out)


def seconds_at(score: symusic.core.ScoreTick, ticks: np.ndarray) -> np.ndarray:
    """Seconds from tick 0 at each of the given ticks, under the score's tempo map. float64, same shape.

    The conversion is symusic's own, so bar lines and notes converted with `Score.to("second")` share one clock: single
    precision, 120 quarters a minute before the first tempo. Of several tempos at one tick the last applies, except that
    with dozens of tempos symusic's sorting may put another one last.
    """
    times = ticks.astype(np.int32)
    filler = np.ones(len(times), dtype=np.int8)
    marks = symusic.core.TrackTick()
    marks.notes = cast("symusic.core.NoteTickList", symusic.Note.from_numpy(times, np.ones_like(times), filler, filler))
    clock = symusic.core.ScoreTick(score.tpq)
    clock.tempos = score.tempos
    clock.tracks.append(marks)
    in_seconds = cast("symusic.core.ScoreSecond", clock.to("second"))
    return in_seconds.tracks[0].notes.numpy()["time"].astype(np.float64)
