"""Music for training a tokenizer: bars of words from a folder or zip of MIDI files, and their transposition."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.annotations import MIDI_SUFFIXES
from pipeline.files import RawData
from pipeline.progress import progress_bar
from pipeline.settings import UserError

from .bars import score_to_bars
from .scores import UnusableScore
from .vocabulary import HIGHEST_PITCH, LOWEST_PITCH, MAX_BAR_WORDS, PAD, PITCH_IDS, WORDS

_PITCH_OF_ID = np.full(PAD + 1, -1)
_PITCH_OF_ID[PITCH_IDS[LOWEST_PITCH : HIGHEST_PITCH + 1]] = np.arange(LOWEST_PITCH, HIGHEST_PITCH + 1)


@dataclass(frozen=True)
class Corpus:
    """Distinct training bars, and distinct bars of held-out songs that do not occur in training; int16 word ids.

    digest: sha256 over the files' digests, 64 hex digits.
    """

    training: list[np.ndarray]
    validation: list[np.ndarray]
    n_songs: int
    n_validation_songs: int
    n_unusable: int
    digest: str


def midi_files(path: Path) -> Iterator[bytes]:
    """The bytes of every MIDI file in a folder with its subfolders, or in a zip, sorted by name.

    Raises UserError if the path is neither, contains no MIDI file, or is damaged.
    """
    music = RawData(path, "corpus.path")
    names = [name for name in music.names if name.lower().endswith(MIDI_SUFFIXES)]
    if not names:
        raise UserError(f"{path}: no MIDI file in it ({', '.join(MIDI_SUFFIXES)})")
    yield from map(music.read, names)


def read_corpus(path: Path, validation_share: float) -> Corpus:
    """Convert all songs. A song's digest decides whether it is held out, so the split stays when the corpus grows.

    Raises UserError if there is no bar to train on or none to validate with.
    """
    training: dict[bytes, np.ndarray] = {}
    held_out: dict[bytes, np.ndarray] = {}
    n_songs = n_validation = n_unusable = 0
    whole = hashlib.sha256()
    for data in progress_bar(midi_files(path), "converting", "songs"):
        digest = hashlib.sha256(data).digest()
        whole.update(digest)
        try:
            bars = score_to_bars(data)
        except UnusableScore:
            n_unusable += 1
            continue
        is_validation = int.from_bytes(digest[:4]) < validation_share * 2**32
        n_songs += 1
        n_validation += is_validation
        kept = held_out if is_validation else training
        for i in range(len(bars)):
            words = bars[i][:MAX_BAR_WORDS]
            kept.setdefault(words.tobytes(), words)
    validation = [words for key, words in held_out.items() if key not in training]
    if not training or not validation:
        raise UserError(f"{path}: too few songs: {n_songs} usable, of which {n_validation} held out; both are needed")
    return Corpus(list(training.values()), validation, n_songs, n_validation, n_unusable, whole.hexdigest())


def transpose_words(words: np.ndarray, semitones: int, rng: np.random.Generator) -> np.ndarray:
    """Transpose each bar of (bars, words) by a random number of semitones that keeps all its notes in range."""
    pitch = _PITCH_OF_ID[words]
    is_pitch = pitch >= 0
    down = np.minimum(np.where(is_pitch, pitch - LOWEST_PITCH, semitones).min(axis=1), semitones)
    up = np.minimum(np.where(is_pitch, HIGHEST_PITCH - pitch, semitones).min(axis=1), semitones)
    shift = rng.integers(-down, up + 1)
    return np.where(is_pitch, PITCH_IDS[np.where(is_pitch, pitch + shift[:, None], LOWEST_PITCH)], words)


def bar_notes(words: np.ndarray) -> set[tuple[str, str, str]]:
    """The notes in the words of a bar, each as its three words; incomplete notes are ignored."""
    names = [WORDS[w] for w in words.tolist() if w != PAD]
    return {
        (beat, pitch, duration)
        for beat, pitch, duration in zip(names, names[1:], names[2:], strict=False)
        if beat.startswith("Beat") and pitch.startswith("Note_Pitch") and duration.startswith("Note_Duration")
    }
