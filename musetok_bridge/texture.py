"""Thinner textures: notes that are doubled, and notes that a bar has no words left for.

MuseTok was made for one piano. Songs of many tracks double the same note, and fill a bar with more notes than the
encoder reads. Both functions take parallel 1-d arrays over notes, in MuseTok ticks where they are times, and return
which notes stay.
"""

from __future__ import annotations

import numpy as np

from .quantization import distinct
from .vocabulary import LONGEST_DURATION, MAX_BAR_WORDS, N_PITCHES

WORDS_OF_A_NOTE = 3  # Beat, Note_Pitch, Note_Duration
WORDS_OF_AN_EMPTY_BAR = 2  # Bar, Time_Signature
MAX_BAR_NOTES = (MAX_BAR_WORDS - WORDS_OF_AN_EMPTY_BAR) // WORDS_OF_A_NOTE
MAX_LAST_BAR_NOTES = (MAX_BAR_WORDS - WORDS_OF_AN_EMPTY_BAR - 1) // WORDS_OF_A_NOTE  # EOS takes a word too


def not_doubled(onset: np.ndarray, pitch: np.ndarray, duration: np.ndarray) -> np.ndarray:
    """Of the notes with the same onset and pitch the longest stays, of several as long the first. bool, (notes)."""
    key = onset * N_PITCHES + pitch
    order = np.argsort(key * (LONGEST_DURATION + 1) - duration, kind="stable")
    stays = np.ones(len(order), dtype=bool)
    key = key[order]
    stays[order[1:]] = key[1:] != key[:-1]
    return stays


def thinned(bar: np.ndarray, onset: np.ndarray, pitch: np.ndarray, duration: np.ndarray, n_bars: int) -> np.ndarray:
    """Which notes stay where no bar may have more words than the encoder reads. bool, (notes).

    bar: index of each note's bar, ascending, as onset is; n_bars: how many there are, the last closes with EOS.
    A crowded bar loses inner notes, neither the highest nor the lowest of their onset, the shortest first, of notes as
    long those of the thickest chords. If the outer voices alone are too many, then notes of the lower one go as well,
    and of the highest last.
    """
    stays = np.ones(len(bar), dtype=bool)
    excess = np.bincount(bar, minlength=n_bars) - MAX_BAR_NOTES
    excess[-1] += MAX_BAR_NOTES - MAX_LAST_BAR_NOTES
    if excess.max() <= 0:
        return stays
    crowded = np.flatnonzero(excess[bar] > 0)
    bar, onset, pitch, duration = bar[crowded], onset[crowded], pitch[crowded], duration[crowded]
    first, chord = distinct(onset)
    lowest, highest = np.minimum.reduceat(pitch, first), np.maximum.reduceat(pitch, first)
    voice = np.where(pitch == highest[chord], 2, np.where(pitch == lowest[chord], 1, 0))
    # place among the inner notes of the chord, from the top: a chord of many has more notes of high places to lose
    leaving = np.lexsort([-_places(chord, voice, pitch), duration, voice, bar])
    place_in_bar = np.arange(len(bar)) - np.searchsorted(bar, bar)[leaving]
    stays[crowded[leaving]] = place_in_bar >= excess[bar[leaving]]
    return stays


def _places(chord: np.ndarray, voice: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Each note's place among those of its chord and voice, 0 for the highest."""
    order = np.lexsort([-pitch, voice, chord])
    group = (chord * 3 + voice)[order]
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order)) - np.searchsorted(group, group)
    return places
