"""From a MIDI score to MuseTok's bars of words.

A bar is written as `Bar`, then for each note, by position and then from high to low, `Beat`, `Note_Pitch` and
`Note_Duration`, then `Time_Signature`; the last bar closes with `EOS`. Velocity, tempo, instrument and chords have no
words. The notes of all tracks except drums, as symusic reads them, are merged into one part, since MuseTok reads one
piano.

Conventions: arrays are 1-d, over the bars or over the words of all bars; bars are numbered from 0 at tick 0 of the
score, so empty bars before the first note, which get no words, are counted too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import symusic.core

from .meters import Stretches, find_stretches, meter_changes, one_meter, to_musetok_ticks
from .quantization import cut_overlaps, distinct, quantize_durations, quantize_onsets
from .scores import (
    AnyScore,
    Limits,
    Notes,
    ReadScore,
    UnusableScore,
    check_times,
    clock_of,
    in_ticks,
    in_time_order,
    read_midi,
    usable_notes,
)
from .tempos import Clock
from .vocabulary import (
    BAR,
    BEAT_IDS,
    DURATION_IDS,
    EOS,
    LONGEST_DURATION,
    MAX_BAR_WORDS,
    N_PITCHES,
    PITCH_IDS,
    POSITION_TICKS,
)

HUNG_SECONDS = 30.0  # a note that sounds for longer, and beyond the last bar, was never ended
_NO_NOTES = np.empty(0, dtype=np.int64)
WORDS_OF_A_NOTE = 3  # Beat, Note_Pitch, Note_Duration
WORDS_OF_AN_EMPTY_BAR = 2  # Bar, Time_Signature
MAX_BAR_NOTES = (MAX_BAR_WORDS - WORDS_OF_AN_EMPTY_BAR) // WORDS_OF_A_NOTE
MAX_LAST_BAR_NOTES = (MAX_BAR_WORDS - WORDS_OF_AN_EMPTY_BAR - 1) // WORDS_OF_A_NOTE  # EOS takes a word too


@dataclass(frozen=True)
class Bars:
    """The bars of one score, from the bar of its first pitched note to that in which its last one ends.

    A score without a pitched note has the bars from that of its first drum note to that of its last, without notes.

    words: int16 word ids of all bars, one after the other. offsets: int64 (n + 1); bar i is
    `words[offsets[i]:offsets[i + 1]]`. bar_number: int32 (n), ascending by one, 0 is the bar at tick 0.
    start_tick: int64 (n), file ticks. start_seconds: float64 (n), under the tempo map. end_tick: the bar line after the
    last bar. n_notes, n_drum_notes: int32 (n). meter: n strings, as notated. barred_as: n strings, the meter whose
    length the bar has, which differs where the notated one is barred anew. n_instruments: the number of General MIDI
    programs that play, and one more for drums. duration_seconds: when the last note stops sounding, and not before the
    last bar's start. left_out: number of notes without words, by reason: drums, zero_length, out_of_range, merged,
    thinned, endless (which no score has). n_clamped: as in ReadScore; 0 if the score was not read here.
    """

    words: np.ndarray
    offsets: np.ndarray
    bar_number: np.ndarray
    start_tick: np.ndarray
    start_seconds: np.ndarray
    end_tick: int
    n_notes: np.ndarray
    n_drum_notes: np.ndarray
    meter: list[str]
    barred_as: list[str]
    n_instruments: int
    duration_seconds: float
    left_out: Mapping[str, int]
    n_clamped: int = 0

    def __len__(self) -> int:
        return len(self.bar_number)

    def __getitem__(self, i: int) -> np.ndarray:
        """The words of bar i."""
        return self.words[self.offsets[i] : self.offsets[i + 1]]


class ReadBars(NamedTuple):
    """The bars of a score, and what they were made from: all its notes, its clock, and the ticks of a quarter note."""

    bars: Bars
    notes: Notes
    clock: Clock
    ticks_per_quarter: int


def score_to_bars(
    source: AnyScore | ReadScore | bytes | str | Path,
    *,
    merge_doubled: bool = False,
    thin_long_bars: bool = False,
    limits: Limits | None = None,
) -> Bars:
    """Convert a score, of code or of `read_midi`, the bytes of a MIDI file, or the path of a MIDI or ABC file.

    A score in quarters or seconds is converted to ticks first. merge_doubled: of notes with the same quantized onset
    and pitch only the longest is kept (it then decides which bar is the last). thin_long_bars: remove inner notes from
    a bar that has more words than MuseTok's encoder reads until it fits. With both off, a score in a single meter of
    MuseTok's vocabulary gets exactly the words of MuseTok's own conversion.

    Raises UnusableScore if it can't be read, has neither a note to convert nor drums, has unusable times, or exceeds
    the limits.
    """
    return read_bars(source, merge_doubled=merge_doubled, thin_long_bars=thin_long_bars, limits=limits).bars


def read_bars(
    source: AnyScore | ReadScore | bytes | str | Path,
    *,
    merge_doubled: bool = False,
    thin_long_bars: bool = False,
    limits: Limits | None = None,
) -> ReadBars:
    """As `score_to_bars`, with what the bars were made from."""
    limits = limits or Limits()
    if isinstance(source, bytes | str | Path):
        source = read_midi(source, limits)
    score, n_endless, n_clamped = source if isinstance(source, ReadScore) else (in_ticks(source), 0, 0)
    check_times(score)
    notes = usable_notes(score, limits)
    clock = clock_of(score)
    stretches = _stretches(score, limits)
    pitched = notes.only(notes.is_pitched)
    left_out = notes.left_out() | {"endless": n_endless}
    if len(pitched):
        bar_number, note_words, note_bar, removed = _pitched_bars(
            pitched, stretches, score.tpq, merge_doubled, thin_long_bars, limits
        )
        left_out |= removed
    else:
        bar_number = _bars_of_drums(notes.start[notes.is_drum], stretches, limits)
        note_words, note_bar = (_NO_NOTES,) * WORDS_OF_A_NOTE, _NO_NOTES
    stretch = stretches.index_at_bars(bar_number)
    words, offsets, n_notes = _write_words(note_words, note_bar, stretches.meter_id[stretch])
    bar_lines = stretches.bar_start_ticks(np.append(bar_number, bar_number[-1] + 1))
    start_seconds = clock.seconds_at(bar_lines[:-1])
    bars = Bars(
        words=words,
        offsets=offsets,
        bar_number=bar_number.astype(np.int32),
        start_tick=bar_lines[:-1],
        start_seconds=start_seconds,
        end_tick=int(bar_lines[-1]),
        n_notes=n_notes,
        n_drum_notes=np.diff(np.searchsorted(np.sort(notes.start[notes.is_drum]), bar_lines)).astype(np.int32),
        meter=[stretches.notated[k] for k in stretch.tolist()],
        barred_as=[stretches.barred_as[k] for k in stretch.tolist()],
        n_instruments=_count(pitched.program) + int(notes.is_drum.any()),
        duration_seconds=max(_last_sound(clock, notes, int(bar_lines[-1])), float(start_seconds[-1])),
        left_out=left_out,
        n_clamped=n_clamped,
    )
    return ReadBars(bars, notes, clock, score.tpq)


def _pitched_bars(
    pitched: Notes,
    stretches: Stretches,
    ticks_per_quarter: int,
    merge_doubled: bool,
    thin_long_bars: bool,
    limits: Limits,
) -> tuple[np.ndarray, tuple[np.ndarray, ...], np.ndarray, dict[str, int]]:
    """The numbers of the bars, (bars); of each note its three words and the index of its bar, (notes) each.

    Last come the numbers of notes that were merged and thinned.
    """
    removed: dict[str, int] = {}
    notes = _quantized(pitched, stretches, ticks_per_quarter, limits)
    if merge_doubled:
        kept = not_doubled(notes.onset, notes.pitch, notes.duration)
        removed["merged"] = int((~kept).sum())
        notes = notes.only(kept) if removed["merged"] else notes
    notes = _GridNotes(notes.onset, notes.pitch, cut_overlaps(notes.onset, notes.duration, stretches))
    note_bar, bar_first, _ = stretches.bar_of_ticks(notes.onset)
    last_bar = int(stretches.bar_of_ticks(notes.onset[-1:] + notes.duration[-1:] - 1)[0][0])
    _check_bars(last_bar + 1, limits)
    bar_number = np.arange(note_bar[0], last_bar + 1)
    note_bar -= bar_number[0]
    if thin_long_bars:
        kept = thinned(note_bar, notes.onset, notes.pitch, notes.duration, len(bar_number))
        removed["thinned"] = int((~kept).sum())
        if removed["thinned"]:
            notes, note_bar, bar_first = notes.only(kept), note_bar[kept], bar_first[kept]
    bar_length = stretches.bar_length[stretches.index_at_bars(bar_number)[note_bar]]
    return bar_number, _note_words(notes, notes.onset - bar_first, bar_length), note_bar, removed


def _bars_of_drums(start: np.ndarray, stretches: Stretches, limits: Limits) -> np.ndarray:
    """The numbers of the bars from that of the first drum note to that of the last. start: file ticks."""
    ends = np.array([start.min(), start.max()])
    bar = stretches.bar_of_ticks(stretches.on_time_line(ends))[0]
    # a bar line may be rounded to another file tick
    bar = bar + (stretches.bar_start_ticks(bar + 1) <= ends)
    bar = bar - (stretches.bar_start_ticks(bar) > ends)
    _check_bars(int(bar[1]) + 1, limits)
    return np.arange(bar[0], bar[1] + 1)


def _count(program: np.ndarray) -> int:
    """The number of different programs. program: (notes), in runs, since the notes of a track follow each other."""
    return len(set(program[distinct(program)[0]].tolist()))


def _last_sound(clock: Clock, notes: Notes, end_tick: int) -> float:
    """When the last pitched note or drum stops sounding, in seconds.

    A note that lasts longer than HUNG_SECONDS has lost its end, and sounds to the bar line after the last bar at most.
    """
    sounds = notes.is_pitched | notes.is_drum
    start = notes.start[sounds]
    ends = start + np.maximum(notes.length[sounds], 0)
    late = np.flatnonzero(ends > end_tick)
    begun, ended = np.split(clock.seconds_at(np.append(start[late], ends[late])), 2)
    hung = late[ended - begun > HUNG_SECONDS]
    ends[hung] = np.maximum(start[hung], end_tick)
    return float(clock.seconds_at(ends.max(keepdims=True))[0])


@dataclass(frozen=True)
class _GridNotes:
    """Notes in MuseTok's order; int64 arrays over notes. onset: ticks of the time line. duration: MuseTok ticks."""

    onset: np.ndarray
    pitch: np.ndarray
    duration: np.ndarray

    def only(self, kept: np.ndarray) -> _GridNotes:
        """The notes where `kept`, bool (notes), is true."""
        return _GridNotes(self.onset[kept], self.pitch[kept], self.duration[kept])


def _quantized(pitched: Notes, stretches: Stretches, ticks_per_quarter: int, limits: Limits) -> _GridNotes:
    """The notes on MuseTok's grid, sorted by start, then from high to low, then by track and start in file ticks.

    Raises UnusableScore if there are too many bars.
    """
    start = stretches.on_time_line(pitched.start)
    # the notes come sorted by track and start; a stable sort keeps that order among notes of one start and pitch
    order = np.argsort(start * N_PITCHES - pitched.pitch, kind="stable")
    start = start[order]
    _check_bars(int(stretches.bar_of_ticks(start[-1:])[0][0]) + 1, limits)
    length = to_musetok_ticks(pitched.length[order], ticks_per_quarter)
    onset, is_triplet = quantize_onsets(start, stretches)
    return _GridNotes(onset, pitched.pitch[order], quantize_durations(start + length - onset, is_triplet))


def _stretches(score: symusic.core.ScoreTick, limits: Limits) -> Stretches:
    """The score's stretches of one meter. Raises UnusableScore, before the layout, if they exceed the limit of bars."""
    if len(score.time_signatures) <= 1:
        only = score.time_signatures[0] if len(score.time_signatures) else None
        return one_meter(only.numerator, only.denominator, score.tpq) if only else one_meter(4, 4, score.tpq)
    signatures = in_time_order(score.time_signatures.numpy())
    changes = meter_changes(signatures["time"], signatures["numerator"], signatures["denominator"])
    _check_bars(len(changes), limits)
    return find_stretches(changes, score.tpq)


def _check_bars(n_bars: int, limits: Limits) -> None:
    if n_bars > limits.bars:
        raise UnusableScore("too_many_bars", f"{n_bars:,} bars, the limit is {limits.bars:,}")


def _note_words(notes: _GridNotes, tick_in_bar: np.ndarray, bar_length: np.ndarray) -> tuple[np.ndarray, ...]:
    """The three words of each note: its position in the bar, pitch and duration; no note is longer than a bar.

    tick_in_bar, bar_length: (notes), in MuseTok ticks. Returns three arrays (notes).
    """
    beat = BEAT_IDS[tick_in_bar // POSITION_TICKS]
    return beat, PITCH_IDS[notes.pitch], DURATION_IDS[np.minimum(notes.duration, bar_length)]


def _write_words(
    note_words: tuple[np.ndarray, ...], note_bar: np.ndarray, meter_id: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay out the words of all bars; returns words, offsets (bars + 1) and notes per bar.

    note_words: arrays (notes) in the order in which they are written. note_bar: (notes), ascending. meter_id: (bars).
    """
    n_notes = np.bincount(note_bar, minlength=len(meter_id))
    offsets = np.concatenate([[0], np.cumsum(2 + 3 * n_notes)])
    words = np.empty(offsets[-1] + 1, dtype=np.int16)
    words[offsets[:-1]] = BAR
    words[offsets[1:] - 1] = meter_id
    first = 1 + 2 * note_bar + 3 * np.arange(len(note_bar))  # two words for each bar before, and this bar's Bar
    for shift, word in enumerate(note_words):
        words[first + shift] = word
    words[-1] = EOS
    offsets[-1] += 1
    return words, offsets, n_notes.astype(np.int32)


def not_doubled(onset: np.ndarray, pitch: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Which notes remain when of those with one onset and pitch only the longest (of equals the first) is kept.

    Returns bool (notes).
    """
    key = onset * N_PITCHES + pitch
    order = np.argsort(key * (LONGEST_DURATION + 1) - duration, kind="stable")
    kept = np.ones(len(order), dtype=bool)
    key = key[order]
    kept[order[1:]] = key[1:] != key[:-1]
    return kept


def thinned(bar: np.ndarray, onset: np.ndarray, pitch: np.ndarray, duration: np.ndarray, n_bars: int) -> np.ndarray:
    """Which notes remain when no bar may have more words than the encoder reads, bool (notes).

    bar: index of each note's bar; bar and onset are ascending. n_bars: number of bars; the last closes with EOS.
    A crowded bar first loses inner notes, those that are neither the highest nor the lowest of their onset: the
    shortest first, and among equally short ones those of the thickest chords. If the outer voices alone are too many,
    notes of the lowest voice go next and notes of the highest voice last.
    """
    kept = np.ones(len(bar), dtype=bool)
    excess = np.bincount(bar, minlength=n_bars) - MAX_BAR_NOTES
    excess[-1] += MAX_BAR_NOTES - MAX_LAST_BAR_NOTES
    if excess.max() <= 0:
        return kept
    crowded = np.flatnonzero(excess[bar] > 0)
    bar, onset, pitch, duration = bar[crowded], onset[crowded], pitch[crowded], duration[crowded]
    first, chord = distinct(onset)
    lowest, highest = np.minimum.reduceat(pitch, first), np.maximum.reduceat(pitch, first)
    voice = np.where(pitch == highest[chord], 2, np.where(pitch == lowest[chord], 1, 0))
    # rank within the chord and voice, 0 for the highest: notes of high rank go first, and only thick chords have them
    leaving = np.lexsort([-_ranks(chord, voice, pitch), duration, voice, bar])
    rank_in_bar = np.arange(len(bar)) - np.searchsorted(bar, bar)[leaving]
    kept[crowded[leaving]] = rank_in_bar >= excess[bar[leaving]]
    return kept


def _ranks(chord: np.ndarray, voice: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Each note's rank among the notes of its chord and voice, 0 for the highest."""
    order = np.lexsort([-pitch, voice, chord])
    group = (chord * 3 + voice)[order]
    ranks = np.empty(len(order), dtype=np.int64)
    ranks[order] = np.arange(len(order)) - np.searchsorted(group, group)
    return ranks
