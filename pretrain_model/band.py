"""What a band adds to a piano: drums by their role, and the instruments that sound, for each bar.

General MIDI says which drum a pitch of channel 10 is and which instrument a program is (General MIDI System Level 1,
MIDI Association, RP-003). All features are 0 in music for pianos alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from musetok_bridge.quantization import distinct

from .onsets import clusters, rises
from .played_songs import PlayedSongs

ROLES = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hihat": (42, 44, 46),
    "tom": (41, 43, 45, 47, 48, 50),
    "crash": (49, 52, 55, 57),
    "ride": (51, 53, 59),
    "hand": tuple(range(60, 82)),
}
CHARACTERS = {  # programs from 0; the others, pianos, are what the rated music is played on
    "mallets": range(8, 16),
    "organ": range(16, 24),
    "clean_guitar": (24, 25, 26, 27, 28, 31),
    "distorted_guitar": (29, 30),
    "bass": range(32, 40),
    "strings": (*range(40, 47), *range(48, 52)),
    "voices": range(52, 55),
    "brass": range(56, 64),
    "reeds": range(64, 72),
    "pipes": range(72, 80),
    "lead": range(80, 88),
    "pad": range(88, 96),
    "ethnic": range(104, 112),
    "percussive": (47, *range(112, 120)),
    "effects": (55, *range(96, 104), *range(120, 128)),
}
BAND = (
    *(f"{role}_per_second" for role in ROLES),  # hits, log(1 + x)
    "drums",  # 1 from two hits in a bar, 0.5 for one, 0 without drums
    "drums_per_second",  # onsets of any drum, log(1 + x)
    "drums_velocity",  # mean, as a share of 127
    "backbeat",  # share of the snare's hits on the second and fourth quarter of the bar's time, whatever its meter
    *CHARACTERS,  # share of the seconds that all pitched notes sound
    "instruments",  # log of the number of pitched instruments that begin a note in the bar; all pianos are one
    "bass_per_second",  # the bass's notes, log(1 + x)
)
DRUM_SECONDS = 0.2  # for which a drum sounds
LONGEST_SOUND = 8.0  # seconds of a pitched note that count
_ENOUGH = 2  # hits in a bar from which `drums` is 1
_BEATS = 4  # parts of a bar of which the second and the fourth are the backbeat
_NEAR_A_BEAT = (0.1, 0.2)  # parts between which a hit goes from on the beat to off it
_N_MIDI = 128  # pitches, and programs


def _numbered(groups: Mapping[str, Iterable[int]], first: int, others: int) -> np.ndarray:
    """For each of 128 pitches or programs the number of its group, counted from `first`, or `others`."""
    numbers = np.full(_N_MIDI, others)
    for number, members in enumerate(groups.values(), first):
        numbers[list(members)] = number
    return numbers


_ROLE = _numbered(ROLES, 0, len(ROLES))
_CHARACTER = _numbered(CHARACTERS, 1, 0)
_MISSED = 0.25  # share of the drums that are usual in a band that instruments without drums are compared with
_DRUMS = BAND.index("drums")
_IS_OF_DRUMS = np.arange(len(BAND)) < len(ROLES) + 4  # the roles, all drums, their velocity and the backbeat
_SNARE = list(ROLES).index("snare")
_FIRST_CHARACTER = BAND.index(next(iter(CHARACTERS)))
_BASS = 1 + list(CHARACTERS).index("bass")


@dataclass(frozen=True)
class Drums:
    """The drum notes of songs with n bars together.

    bar, pitch, velocity, begins: over notes, in the order of songs and of begins, seconds. counts, onset_counts: (n),
    notes and onsets of each bar. loudness: (n), sum over each bar's hits of DRUM_SECONDS times the velocity as a share
    of 127.
    """

    bar: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray
    begins: np.ndarray
    counts: np.ndarray
    onset_counts: np.ndarray
    loudness: np.ndarray

    @classmethod
    def of(cls, songs: PlayedSongs) -> Drums:
        """The drums that begin within the bars."""
        which = songs.drums.which
        begins = songs.begins[which]
        onset = clusters(begins, songs.drums.first)
        first, _ = distinct(onset)
        onset_bar = songs.bars.of_onsets(begins[first], songs.drums.first_cluster(onset))
        bar, velocity = onset_bar[onset], songs.notes.velocity[which]
        return cls(
            bar,
            songs.notes.pitch[which],
            velocity,
            begins,
            np.bincount(bar, minlength=len(songs.bars)),
            np.bincount(onset_bar, minlength=len(songs.bars)),
            np.bincount(bar, weights=velocity / 127 * DRUM_SECONDS, minlength=len(songs.bars)),
        )


def band_features(songs: PlayedSongs, drums: Drums) -> np.ndarray:
    """The features BAND of bars, (bars, len(BAND)).

    A pitched note belongs to the bar in which it begins, or to the next from EARLY before the bar line.
    """
    pitched, first_note = songs.pitched
    begins = songs.begins[pitched]
    bar = songs.bars.of_onsets(begins, first_note)
    program = songs.notes.program[pitched] % _N_MIDI  # a score built in code may have others
    sounds = np.clip(songs.ends[pitched] - begins, 0, LONGEST_SOUND)
    return np.concatenate([_of_drums(drums, songs), _of_instruments(bar, program, sounds, songs.bars.seconds)], axis=1)


def _of_drums(drums: Drums, songs: PlayedSongs) -> np.ndarray:
    """Rates of the roles, whether drums play, the rate of all drums, velocity and backbeat."""
    seconds = songs.bars.seconds
    n, width = len(seconds), len(ROLES) + 1
    role = _ROLE[drums.pitch]
    hits = np.bincount(drums.bar * width + role, minlength=n * width).reshape(n, width)
    velocity = np.bincount(drums.bar, weights=drums.velocity / 127, minlength=n) / np.maximum(drums.counts, 1)
    beat = (drums.begins - songs.bars.begin[drums.bar]) / seconds[drums.bar] * _BEATS
    away = np.abs((beat - 1) - 2 * np.round((beat - 1) / 2))
    back = (role == _SNARE) * (1 - rises(away, *_NEAR_A_BEAT))
    backbeat = np.bincount(drums.bar, weights=back, minlength=n) / np.maximum(hits[:, _SNARE], 1)
    rates = np.log1p(np.column_stack([hits[:, : len(ROLES)], drums.onset_counts]) / seconds[:, None])
    play = np.minimum(drums.counts / _ENOUGH, 1)
    return np.column_stack([rates[:, : len(ROLES)], play, rates[:, -1], velocity, backbeat])


def _of_instruments(bar: np.ndarray, program: np.ndarray, sounds: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Shares of the characters, number of instruments and rate of the bass.

    bar, program, sounds: of each pitched note its bar, its program and the seconds for which it sounds.
    """
    n, width = len(seconds), len(CHARACTERS) + 1
    character = _CHARACTER[program]
    shares = np.bincount(bar * width + character, weights=sounds, minlength=n * width).reshape(n, width)
    shares = shares[:, 1:] / np.maximum(shares.sum(axis=1, keepdims=True), 1e-9)
    instrument = np.where(character > 0, program, 0)
    notes = np.bincount(bar * _N_MIDI + instrument, minlength=n * _N_MIDI).reshape(n, _N_MIDI)
    instruments = np.log(np.maximum(np.count_nonzero(notes, axis=1), 1))
    bass = np.log1p(np.bincount(bar[character == _BASS], minlength=n) / seconds)
    return np.column_stack([shares, instruments, bass])


def drums_share(band: np.ndarray) -> np.ndarray:
    """Share of the time in which drums play, (rows,), 0 to 1. band: (rows, len(BAND))."""
    return band[:, _DRUMS].astype(np.float64)


def others_share(band: np.ndarray) -> np.ndarray:
    """Share of what sounds that no piano plays, (rows,), 0 to 1. band: (rows, len(BAND))."""
    others = band[:, _FIRST_CHARACTER : _FIRST_CHARACTER + len(CHARACTERS)].astype(np.float64).sum(axis=1)
    return np.clip(others, 0, 1)


def band_share(band: np.ndarray) -> np.ndarray:
    """How far music is a band's, (rows,), from 0 for pianos alone to 1. band: (rows, len(BAND))."""
    return 1 - (1 - others_share(band)) * (1 - drums_share(band))


def from_usual(band: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """How features differ from what is usual where drums and instruments play as far as here, (rows, len(BAND)).

    usual: (len(BAND)), the features of drums and of instruments where these play all along. Instruments that don't play
    make no difference; but where other instruments than pianos play without drums, a part of the usual drums counts as
    missing.
    """
    drums, others = drums_share(band), others_share(band)
    expected = drums + _MISSED * np.maximum(others - drums, 0)
    return band - np.where(_IS_OF_DRUMS, expected[:, None], others[:, None]) * usual
