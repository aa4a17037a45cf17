"""Scores made note by note."""

from symusic import Note, Score, Tempo, TimeSignature, Track


def score_of(notes, signatures=(), tempos=(), ticks_per_quarter=480, drums=()):
    """A score with a track of (start, length, pitch) notes, and one of drums."""
    score = Score(ticks_per_quarter)
    for is_drum, part in ((False, notes), (True, drums)):
        track = Track("", 0, is_drum)
        for start, length, pitch in part:
            track.notes.append(Note(start, length, pitch, 80))
        score.tracks.append(track)
    for time, numerator, denominator in signatures:
        score.time_signatures.append(TimeSignature(time, numerator, denominator))
    for time, bpm in tempos:
        score.tempos.append(Tempo(time, bpm))
    return score
