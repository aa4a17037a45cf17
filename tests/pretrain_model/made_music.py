"""Songs made in code: chorales on the beat, arpeggios, drums, and notes moved by a little."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from symusic import Note, Score, Tempo, TimeSignature, Track

from musetok_bridge import score_to_bars
from pretrain_model.bar_context import BarViews, view_song
from pretrain_model.head import Head, HeadInput

TPQ = 480
KICK, SNARE, HIHAT, CRASH = 36, 38, 42, 49
Hit = tuple[float, int, int]  # beat, drum, velocity


def empty_score(qpm: float = 120, tpq: int = TPQ) -> Score:
    """A score in 4/4 without notes."""
    score = Score(tpq)
    score.tempos.append(Tempo(0, qpm))
    score.time_signatures.append(TimeSignature(0, 4, 4))
    return score


def chorale(seed: int = 0, n_bars: int = 8, qpm: float = 96, tpq: int = TPQ, beat: float = 1.0) -> Score:
    """Four voices that move together, on a random walk through triads of C major; beat: quarters from chord to chord"""
    draw = np.random.default_rng(seed)
    score = empty_score(qpm, tpq)
    piano = Track("piano", 0, False)
    step = int(beat * tpq)
    for i in range(int(4 * n_bars / beat)):
        root = int(draw.choice([0, 5, 7, 9]))
        third = 3 if root == 9 else 4
        for pitch in (36 + root, 48 + root, 60 + (root + third) % 12, 67 + root % 7):
            piano.notes.append(Note(i * step, step, pitch, 64 + int(draw.integers(0, 20))))
    score.tracks.append(piano)
    return score


def arpeggios(seed: int = 0, n_bars: int = 8, qpm: float = 120, tpq: int = TPQ) -> Score:
    """Sixteenths over a bass of half notes and a tune in quarters and eighths."""
    draw = np.random.default_rng(100 + seed)
    score = empty_score(qpm, tpq)
    piano = Track("piano", 0, False)
    for bar in range(n_bars):
        root = int(draw.choice([0, 2, 5, 7, 9]))
        for half in range(2):
            piano.notes.append(Note(4 * tpq * bar + 2 * tpq * half, 2 * tpq, 36 + root, 70))
        for i in range(16):
            pitch = 60 + root + (0, 4 if root in (0, 5, 7) else 3, 7, 12)[i % 4]
            piano.notes.append(Note(4 * tpq * bar + tpq * i // 4, tpq // 4, pitch, 60))
        for i in range(8):
            if draw.random() < 0.7:
                piano.notes.append(Note(4 * tpq * bar + tpq * i // 2, tpq // 2, 76 + int(draw.integers(0, 8)), 85))
    score.tracks.append(piano)
    return score


def beat_of_drums(n_bars: int, hits: Sequence[Hit], tpq: int = TPQ) -> Track:
    """A track of drums that repeats its hits in every bar of four quarters."""
    drums = Track("drums", 0, True)
    for bar in range(n_bars):
        drums.notes.extend([Note(int((4 * bar + beat) * tpq), tpq // 8, drum, v) for beat, drum, v in hits])
    return drums


def rock(velocity: int = 90, per_beat: int = 2) -> list[Hit]:
    """Kick on the first and third beat, snare on the second and fourth, the hihat `per_beat` times a beat."""
    hihat = [(i / per_beat, HIHAT, velocity) for i in range(4 * per_beat)]
    return [(0, KICK, velocity), (2, KICK, velocity), (1, SNARE, velocity), (3, SNARE, velocity), *hihat]


def with_drums(score: Score, hits: Sequence[Hit], n_bars: int = 8) -> Score:
    """A copy of the score with a track of drums."""
    joined = score.copy()
    joined.tracks.append(beat_of_drums(n_bars, hits, score.tpq))
    return joined


def drums_alone(hits: Sequence[Hit], qpm: float = 120, n_bars: int = 8) -> Score:
    """A score that has only drums."""
    return with_drums(empty_score(qpm), hits, n_bars)


def finer(score: Score, factor: int) -> Score:
    """The same score with `factor` times as many ticks a quarter."""
    fine = empty_score(tpq=score.tpq * factor)
    fine.tempos = type(fine.tempos)([Tempo(t.time * factor, t.qpm) for t in score.tempos])
    fine.time_signatures = type(fine.time_signatures)(
        [TimeSignature(m.time * factor, m.numerator, m.denominator) for m in score.time_signatures]
    )
    for track in score.tracks:
        copy = Track(track.name, track.program, track.is_drum)
        copy.notes.extend([Note(n.time * factor, n.duration * factor, n.pitch, n.velocity) for n in track.notes])
        fine.tracks.append(copy)
    return fine


def moved(score: Score, by: Callable[[int], int]) -> Score:
    """A copy whose notes begin later or earlier by as many ticks as `by` gives for a note's number; none before 0."""
    copy = score.copy()
    number = 0
    for track in copy.tracks:
        for note in track.notes:
            note.time = max(note.time + by(number), 0)
            number += 1
    return copy


def views_of(score: Score) -> BarViews:
    """What a listener reads of a score."""
    return view_song(score, score_to_bars(score, merge_doubled=True, thin_long_bars=True))


def rated(head: Head, score: Score) -> np.ndarray:
    """The head's predictions for all bars of a score, (n, 4)."""
    return head.predict([HeadInput(views_of(score))])[0]
