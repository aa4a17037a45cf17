"""Scores as symusic reads them: loading, limits, the notes to convert, and seconds under the tempo map.

Conventions: times are in file ticks, the score's own resolution, unless a name says otherwise. An unusable score is
refused with one word for the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias, cast

import numpy as np
import symusic

from pipeline.settings import Range, counted, first_line

from .midi_file import UnusableScore, plain_midi
from .tempos import Clock, NoTempo, in_file_order
from .vocabulary import HIGHEST_PITCH, LOWEST_PITCH

LOADING_EXCEPTIONS = (RuntimeError, ValueError, OSError, OverflowError, TypeError)  # what symusic raises

# reasons for which a note has no words
WHY_LEFT_OUT = ("drums", "zero_length", "out_of_range", "merged", "thinned", "endless")

_BYTES_OF_A_PROGRAM = 3  # a program change: delta time, status byte, program number

_TRACKS_AT_ONCE = 1_000  # whose events are arrays of their own at a time; real files have fewer

_NOTHING = np.empty(0, dtype=np.int64)

AnyScore: TypeAlias = "symusic.core.ScoreTick | symusic.core.ScoreQuarter | symusic.core.ScoreSecond"


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
class Notes:
    """All notes of a score; arrays over notes, in file ticks, sorted by track and then by start.

    start, length, pitch, velocity: int64, as symusic reads them. program: int64, General MIDI program from 0, of no
    meaning for drums. is_drum: bool.
    """

    start: np.ndarray
    length: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    program: np.ndarray
    is_drum: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def only(self, which: np.ndarray) -> Notes:
        """The notes at the given indices, or where a mask is true."""
        return Notes(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @cached_property
    def is_pitched(self) -> np.ndarray:
        """Which notes are converted, bool (n): those with a length, in the piano's range, outside drum tracks."""
        in_range = (self.pitch >= LOWEST_PITCH) & (self.pitch <= HIGHEST_PITCH)
        return ~self.is_drum & (self.length > 0) & in_range

    def left_out(self) -> dict[str, int]:
        """The number of notes that are not converted, by the reasons of WHY_LEFT_OUT."""
        pitched = self.is_pitched
        left_out = dict.fromkeys(WHY_LEFT_OUT, 0)
        if not pitched.all():
            silent = ~self.is_drum & (self.length <= 0)
            left_out["drums"] = int(self.is_drum.sum())
            left_out["zero_length"] = int(silent.sum())
            left_out["out_of_range"] = len(self) - int(pitched.sum()) - left_out["drums"] - left_out["zero_length"]
        return left_out


class ReadScore(NamedTuple):
    """A score that was read.

    n_endless: the number of notes that begin and never end, which symusic leaves out. n_clamped: the number of data
    bytes over 127, which MIDI does not have, read as 127.
    """

    score: symusic.core.ScoreTick
    n_endless: int
    n_clamped: int


def read_score(source: bytes | str | Path, limits: Limits | None = None) -> symusic.core.ScoreTick:
    """As `read_midi`, the score alone."""
    return read_midi(source, limits or Limits()).score


def read_midi(source: bytes | str | Path, limits: Limits) -> ReadScore:
    """Read the bytes of a MIDI file or the path of a MIDI or ABC file.

    Raises UnusableScore if they can't be read or exceed the limits.
    """
    try:
        if not isinstance(source, bytes):
            if Path(source).stat().st_size > limits.file_bytes:
                raise UnusableScore("too_large", f"more than {limits.file_bytes:,} bytes")
            if Path(source).suffix.lower() == ".abc":
                return ReadScore(cast("symusic.core.ScoreTick", symusic.Score(Path(source))), 0, 0)
            source = Path(source).read_bytes()
        _check_size(source, limits)
        music, n_begun, n_clamped = plain_midi(source)
        score = cast("symusic.core.ScoreTick", symusic.Score.from_midi(music))
        in_file_order(score, music)
    except LOADING_EXCEPTIONS as error:
        raise UnusableScore("unreadable", first_line(error)) from None
    if n_begun and not score.note_num():
        raise UnusableScore("endless_notes", f"{counted(n_begun, 'note')} that never end")
    return ReadScore(score, max(0, n_begun - score.note_num()), n_clamped)


def _check_size(music: bytes, limits: Limits) -> None:
    if len(music) > limits.file_bytes:
        raise UnusableScore("too_large", f"more than {limits.file_bytes:,} bytes")
    n_tracks = _most_tracks(music) if len(music) > limits.tracks * _BYTES_OF_A_PROGRAM else 0
    if n_tracks > limits.tracks:
        raise UnusableScore("too_many_tracks", f"perhaps {n_tracks:,} tracks, the limit is {limits.tracks:,}")


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


def _events_of(tracks: Sequence[symusic.core.TrackTick]) -> list[np.ndarray]:
    """Time, duration, pitch and velocity of the notes of tracks, one array each, sorted by track and then by time."""
    columns = [in_time_order(track.notes.numpy()) for track in tracks]
    return [np.concatenate([column[name] for column in columns]) for name in ("time", "duration", "pitch", "velocity")]


def all_notes(score: symusic.core.ScoreTick) -> Notes:
    """The notes of all tracks."""
    tracks = [track for track in score.tracks if len(track.notes)]
    sizes = [len(track.notes) for track in tracks]
    some = [_events_of(tracks[i : i + _TRACKS_AT_ONCE]) for i in range(0, len(tracks), _TRACKS_AT_ONCE)]
    columns = zip([_NOTHING] * 4, *some, strict=True)
    start, length, pitch, velocity = map(np.concatenate, columns)
    program = np.repeat(np.array([track.program for track in tracks], dtype=np.int64), sizes)
    is_drum = np.repeat(np.array([track.is_drum for track in tracks], dtype=np.bool_), sizes)
    return Notes(start, length, pitch, velocity, program, is_drum)


def usable_notes(score: symusic.core.ScoreTick, limits: Limits) -> Notes:
    """As `all_notes`.

    Raises UnusableScore if none of them is pitched or a drum's, if their times make no sense, or if they exceed the
    limits.
    """
    n_notes = sum(len(track.notes) for track in score.tracks)
    if n_notes > limits.notes:
        raise UnusableScore("too_many_notes", f"{n_notes:,} notes, the limit is {limits.notes:,}")
    notes = all_notes(score)
    sounds = notes.is_pitched | notes.is_drum
    if not sounds.any():
        others = ", ".join(f"{count:,} {why.replace('_', ' ')}" for why, count in notes.left_out().items() if count)
        wanted = f"no drums, and no pitched note of {LOWEST_PITCH}..{HIGHEST_PITCH} with a length"
        raise UnusableScore("no_notes", f"{wanted} ({others or 'no note at all'})")
    if notes.start[sounds].min() < 0:
        raise UnusableScore("no_time", "notes before tick 0: the file's times overflow")
    last_tick = int((notes.start + np.maximum(notes.length, 0))[sounds].max())
    if last_tick > limits.ticks:
        raise UnusableScore("too_many_ticks", f"{last_tick:,} ticks, the limit is {limits.ticks:,}")
    return notes


def clock_of(score: symusic.core.ScoreTick) -> Clock:
    """The clock of a score. Raises UnusableScore if its tempos are all unplayable."""
    try:
        return Clock.of(score)
    except NoTempo as error:
        raise UnusableScore("no_time", str(error)) from None


def seconds_at(score: symusic.core.ScoreTick, ticks: np.ndarray) -> np.ndarray:
    """Seconds from tick 0 at each of the given file ticks, under the score's tempo map. float64, same shape.

    Raises UnusableScore if the score's tempos are all unplayable.
    """
    return clock_of(score).seconds_at(ticks)
