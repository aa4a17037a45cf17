"""MuseTok's 167 REMI words and the tables that map musical quantities to them.

A word's id is its index when the words are sorted as plain strings; the padding id follows the last word. Ticks are 480
per quarter note; a `Beat` word is the onset within the bar in units of 40 ticks. Source: the vocabulary of MuseTok's
release.
"""

from __future__ import annotations

import numpy as np

TICKS_PER_QUARTER = 480
TICKS_PER_WHOLE = 4 * TICKS_PER_QUARTER
POSITION_TICKS = 40  # one step of a Beat word

N_PITCHES = 128  # MIDI note numbers
LOWEST_PITCH, HIGHEST_PITCH = 21, 108  # the piano's range

PLAIN_DURATIONS = (120, 240, 360, 480, 720, 960, 1440, 1920)  # ticks
TRIPLET_DURATIONS = (80, 160, 320, 640)  # ticks
LONGEST_DURATION = max(PLAIN_DURATIONS)
METERS = ((12, 8), (2, 2), (2, 4), (3, 2), (3, 4), (3, 8), (4, 2), (4, 4), (6, 4), (6, 8), (9, 4), (9, 8))

MAX_BAR_WORDS = 128  # MuseTok's encoder reads no further

# fmt: off
_BEATS = (
    0, 2, 3, 4, 6, 8, 9, 10, 12, 14, 15, 16, 18, 20, 21, 22, 24, 26, 27, 28, 30, 32, 33, 34, 36, 38, 39, 40, 42, 44, 45,
    46, 48, 51, 54, 56, 57, 60, 63, 64, 66, 69, 72, 78, 80, 81, 84, 87, 88, 90, 93, 96, 102,
)
# fmt: on

WORDS: tuple[str, ...] = tuple(
    sorted(
        ["Bar_None", "EOS_None"]
        + [f"Beat_{b}" for b in _BEATS]
        + [f"Note_Duration_{d}" for d in PLAIN_DURATIONS + TRIPLET_DURATIONS]
        + [f"Note_Pitch_{p}" for p in range(LOWEST_PITCH, HIGHEST_PITCH + 1)]
        + [f"Time_Signature_{n}/{d}" for n, d in METERS]
    )
)
WORD_ID = {word: i for i, word in enumerate(WORDS)}
BAR, EOS = WORD_ID["Bar_None"], WORD_ID["EOS_None"]
PAD = len(WORDS)
N_TOKENS = len(WORDS) + 1

METER_ID = {meter: WORD_ID[f"Time_Signature_{meter[0]}/{meter[1]}"] for meter in METERS}

LONGEST_BAR = max(TICKS_PER_WHOLE * n // d for n, d in METERS)  # ticks


def _table(ids: dict[int, int], size: int) -> np.ndarray:
    table = np.full(size, -1, dtype=np.int16)
    table[list(ids)] = list(ids.values())
    return table


def _nearest_beat_ids() -> np.ndarray:
    """Id of the nearest `Beat` word (of two equally near the earlier), for each position of the longest bar."""
    beats = np.array(_BEATS)
    positions = np.arange(LONGEST_BAR // POSITION_TICKS)
    nearest = beats[np.abs(positions[:, None] - beats).argmin(axis=1)]
    return np.array([WORD_ID[f"Beat_{b}"] for b in nearest], dtype=np.int16)


def _longest_fitting_duration_ids() -> np.ndarray:
    """Id of the longest duration word that fits into each of 0..1920 ticks; the shortest word where none fits."""
    durations = np.array(sorted(PLAIN_DURATIONS + TRIPLET_DURATIONS))
    fitting = durations[np.maximum(np.searchsorted(durations, np.arange(durations[-1] + 1), side="right") - 1, 0)]
    return np.array([WORD_ID[f"Note_Duration_{d}"] for d in fitting], dtype=np.int16)


BEAT_IDS = _nearest_beat_ids()  # by position in 40-tick steps
DURATION_IDS = _longest_fitting_duration_ids()  # by ticks
PITCH_IDS = _table({p: WORD_ID[f"Note_Pitch_{p}"] for p in range(LOWEST_PITCH, HIGHEST_PITCH + 1)}, N_PITCHES)
