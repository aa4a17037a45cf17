"""From a MIDI score to MuseTok's bars of words.

A bar is written as `Bar`, then for each note, by position and then from high to low, `Beat`, `Note_Pitch` and
`Note_Duration`, then `Time_Signature`; the last bar closes with `EOS`. Velocity, tempo, instrument and chords have no
words. Notes are taken as symusic reads them, all tracks but drums together, as MuseTok reads one piano.

Conventions: arrays are 1-d, over the bars or over the words of all bars; bars are numbered from 0 at tick 0 of the
score, so that empty bars before the first note, which get no words, still count.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import symusic

from .meters import Stretches, find_stretches, ticks_to_seconds, to_musetok_ticks
from .quantization import cut_overlaps, quantize_durations, quantize_onsets
from .settings import first_line
from .vocabulary import (
    BAR,
    BEAT_IDS,
    DURATION_IDS,
    EOS,
    HIGHEST_PITCH,
    LOWEST_PITCH,
    PITCH_IDS,
    POSITION_TICKS,
)

MIDI_SUFFIXES = (".mid", ".midi", ".kar")
MAX_BARS = 20_000  # some eleven hours of 4/4 at 120 a minute; files that claim more are broken or hostile

SCORE_LOADING_EXCEPTIONS = (RuntimeError, ValueError, OSError, OverflowError, TypeError)  # what symusic raises


AnyScore: TypeAlias = "symusic.core.ScoreTick | symusic.core.ScoreQuarter | symusic.core.ScoreSecond"


class UnusableScore(Exception):
    """A score that has no bars to give. `reason` is one word: unreadable, no_notes, no_time or too_many_bars."""

    def __init__(self, reason: str, detail: str):
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.reason, self.detail)


@dataclass(frozen=True)
class Bars:
    """The bars of one score, from the one of its first note to the one in which its last note ends.

    words: int16 word ids of all bars, one after the other. offsets: int64 (n + 1); bar i is
    `words[offsets[i]:offsets[i + 1]]`. bar_number: int32 (n), ascending by one, 0 is the bar at tick 0.
    start_tick: int64 (n), file ticks. start_seconds: float64 (n), under the tempo map. n_notes: int32 (n).
    meter: n strings, as notated. left_out: notes of the score that are in no bar, counted by why.
    """

    words: np.ndarray
    offsets: np.ndarray
    bar_number: np.ndarray
    start_tick: np.ndarray
    start_seconds: np.ndarray
    n_notes: np.ndarray
    meter: list[str]
    left_out: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.bar_number)

    def __getitem__(self, i: int) -> np.ndarray:
        """The words of bar i."""
        return self.words[self.offsets[i] : self.offsets[i + 1]]


def score_to_bars(source: AnyScore | bytes | str | Path) -> Bars:
    """Convert a score, the bytes of a MIDI file, or a path to a MIDI or ABC file.

    A score in quarters or seconds is put in ticks first.

    Raises UnusableScore if it can't be read, has no note that counts or no sense of time, or claims more than MAX_BARS
    bars, empty ones at its head included.
    """
    score = read_score(source) if isinstance(source, bytes | str | Path) else _in_ticks(source)
    if score.tpq <= 0:
        raise UnusableScore("no_time", f"{score.tpq} ticks per quarter note")
    start, length, pitch, left_out = _pitched_notes(score)
    if not len(start):
        raise UnusableScore("no_notes", f"no pitched note of {LOWEST_PITCH}..{HIGHEST_PITCH} with a length")
    if start[0] < 0:
        raise UnusableScore("no_time", "notes before tick 0: the file's times run over")
    signatures = _in_time_order(score.time_signatures.numpy())
    stretches = find_stretches(signatures["time"], signatures["numerator"], signatures["denominator"], score.tpq)

    onset, is_triplet = quantize_onsets(start, stretches)
    duration = quantize_durations(start + length - onset, is_triplet)
    duration = cut_overlaps(onset, duration, stretches)

    stretch = stretches.of_ticks(onset)
    bar_in_stretch = stretches.bar_in_stretch(stretch, onset)
    note_bar = stretches.first_bar[stretch] + bar_in_stretch
    first_bar, n_bars = _extent(note_bar, int(onset[-1] + duration[-1]), stretches)
    bar_number = np.arange(first_bar, first_bar + n_bars)
    bar_stretch = stretches.of_bars(bar_number)
    position = onset - stretches.bar_span(stretch, bar_in_stretch)[0]
    note_words = np.stack(
        [
            BEAT_IDS[position // POSITION_TICKS],
            PITCH_IDS[pitch],
            DURATION_IDS[np.minimum(duration, stretches.bar_length[stretch])],
        ],
        axis=1,
    )  # (notes, 3)
    words, offsets, n_notes = _write_words(note_words, note_bar - first_bar, stretches.meter_id[bar_stretch])
    start_tick = stretches.bar_start_ticks(bar_number)
    return Bars(
        words=words,
        offsets=offsets,
        bar_number=bar_number.astype(np.int32),
        start_tick=start_tick,
        start_seconds=seconds_at(score, start_tick),
        n_notes=n_notes,
        meter=[stretches.notated[k] for k in bar_stretch.tolist()],
        left_out=left_out,
    )


def read_score(source: bytes | str | Path) -> symusic.core.ScoreTick:
    """A symusic Score from the bytes of a MIDI file or a path; raises UnusableScore if symusic can't read it."""
    try:
        score = symusic.Score.from_midi(source) if isinstance(source, bytes) else symusic.Score(source)
        return cast("symusic.core.ScoreTick", score)
    except SCORE_LOADING_EXCEPTIONS as error:
        raise UnusableScore("unreadable", first_line(error)) from None


def seconds_at(score: symusic.core.ScoreTick, ticks: np.ndarray) -> np.ndarray:
    """Seconds from tick 0 at each of a score's ticks, under its tempo map. float64, same shape."""
    tempos = _in_time_order(score.tempos.numpy())
    return ticks_to_seconds(ticks, tempos["time"], tempos["mspq"], score.tpq)


def _in_ticks(score: AnyScore) -> symusic.core.ScoreTick:
    is_tick = isinstance(score, symusic.core.ScoreTick)
    return cast("symusic.core.ScoreTick", score if is_tick else score.to("tick"))


def _in_time_order(events: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Events by ascending time, those of one tick as they stood; a score made by hand may have them in any order."""
    order = np.argsort(events["time"], kind="stable")
    return {name: values[order] for name, values in events.items()}


def _pitched_notes(
    score: symusic.core.ScoreTick,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, int]]:
    """Start and length in MuseTok ticks and pitch of the notes that count, in MuseTok's order; and counts of the rest.

    The order is by start, then from high to low; ties stand by track, then by start in file ticks.
    """
    left_out = {"drums": 0, "zero_length": 0, "out_of_range": 0}
    columns: list[np.ndarray] = []
    for i, track in enumerate(score.tracks):
        if track.is_drum:
            left_out["drums"] += len(track.notes)
            continue
        notes = track.notes.numpy()
        time, duration, pitch = (notes[name].astype(np.int64) for name in ("time", "duration", "pitch"))
        sounds = duration > 0
        in_range = (pitch >= LOWEST_PITCH) & (pitch <= HIGHEST_PITCH)
        left_out["zero_length"] += int((~sounds).sum())
        left_out["out_of_range"] += int((sounds & ~in_range).sum())
        columns.append(np.stack([time, duration, pitch, np.full_like(time, i)])[:, sounds & in_range])
    time, duration, pitch, track_index = np.concatenate([*columns, np.empty((4, 0), dtype=np.int64)], axis=1)
    start, length = (to_musetok_ticks(ticks, score.tpq) for ticks in (time, duration))
    order = np.lexsort([time, track_index, -pitch, start])
    return start[order], length[order], pitch[order], left_out


def _extent(note_bar: np.ndarray, last_end: int, stretches: Stretches) -> tuple[int, int]:
    """The first bar's number, and how many bars there are up to the one in which the last note ends."""
    tick = np.array([last_end - 1])
    stretch = stretches.of_ticks(tick)
    last_bar = int((stretches.first_bar[stretch] + stretches.bar_in_stretch(stretch, tick))[0])
    if last_bar >= MAX_BARS:
        raise UnusableScore("too_many_bars", f"{last_bar + 1:,} bars, the limit is {MAX_BARS:,}")
    return int(note_bar[0]), last_bar - int(note_bar[0]) + 1


def _write_words(
    note_words: np.ndarray, note_bar: np.ndarray, meter_id: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay the words of all bars out: words, offsets (bars + 1), notes per bar.

    note_words: (notes, 3), in the order in which they are written. note_bar: (notes), ascending. meter_id: (bars).
    """
    n_notes = np.bincount(note_bar, minlength=len(meter_id))
    offsets = np.concatenate([[0], np.cumsum(2 + 3 * n_notes)])
    words = np.empty(offsets[-1] + 1, dtype=np.int16)
    words[offsets[:-1]] = BAR
    words[offsets[1:] - 1] = meter_id
    first = 1 + 2 * note_bar + 3 * np.arange(len(note_bar))  # two words for each bar before, and this bar's Bar
    words[first[:, None] + np.arange(3)] = note_words
    words[-1] = EOS
    offsets[-1] += 1
    return words, offsets, n_notes.astype(np.int32)
