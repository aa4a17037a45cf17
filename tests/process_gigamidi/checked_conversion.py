"""A conversion that checks its own result: what must be true of the bars of any file, however broken."""

from __future__ import annotations

import re
import time
from collections import Counter
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from midi_events import EndOfTime, Note, NotMidi, Reading, parsed, reading_of

from musetok_bridge.bars import Bars
from musetok_bridge.conversion import Converted, Failure, convert_song
from musetok_bridge.scores import read_score
from musetok_bridge.vocabulary import BAR, EOS, MAX_BAR_WORDS, METER_ID, PAD
from pretrain_model.band import BAND
from pretrain_model.features import FEATURES, BarFeatures, song_features
from pretrain_model.head import load_head
from process_gigamidi.prediction import predict_song

REASONS = {
    "no_music",
    "not_midi",
    "format_2",
    "smpte_time",
    "endless_notes",
    "unreadable",
    "no_notes",
    "no_time",
    "too_large",
    "too_many_tracks",
    "too_many_notes",
    "too_many_ticks",
    "too_many_bars",
    "timeout",
    "crashed",
}


def convert_and_check(music: bytes | None, **how: Any) -> Converted | Failure:
    """As convert_song with both options on, but bars that can't be true are a Failure `wrong: …`."""
    outcome = convert_song(music, **how, perform=song_features)
    if isinstance(outcome, Converted):
        assert music is not None and isinstance(outcome.performance, BarFeatures)
        wrong = [name for name, holds in facts(outcome.bars, music) if not holds]
        values, edges = outcome.performance.values, outcome.performance.edges
        band, drums_alone = outcome.performance.band, not outcome.bars.n_notes.any()
        if values.shape != (len(outcome.bars), len(FEATURES)) or not (np.isfinite(values) | drums_alone).all():
            wrong.append("features are numbers")
        if band.shape != (len(outcome.bars), len(BAND)) or not np.isfinite(band).all():
            wrong.append("features of the band are numbers")
        if len(edges) != len(outcome.bars) + 1 or not (np.diff(edges) >= 0).all() or not np.isfinite(edges).all():
            wrong.append("bar lines follow each other in time")
        if wrong:
            return Failure("check", f"wrong: {', '.join(wrong)}")
    elif outcome.reason.startswith("unreadable") and music and isinstance(by_the_standard(music), Reading):
        return Failure("check", f"wrong: a valid file is {outcome.reason}")
    return outcome


def by_the_standard(music: bytes) -> Reading | NotMidi:
    """What a file holds by a reader of the tests' own, or why it does not keep to the standard."""
    try:
        return reading_of(parsed(music))
    except NotMidi as error:
        return error


def as_read(music: bytes) -> Reading:
    """What a file holds as the project reads it."""
    score = read_score(music)
    notes = Counter(
        Note(note.time, note.duration, note.pitch, note.velocity, track.program, track.is_drum)
        for track in score.tracks
        for note in track.notes
    )
    tempos = Counter((tempo.time, tempo.mspq) for tempo in score.tempos)
    return Reading(notes, tempos, Counter((m.time, m.numerator, m.denominator) for m in score.time_signatures))


def facts(bars: Bars, music: bytes) -> list[tuple[str, bool]]:
    """What must be true: (the statement, whether it holds)."""
    n_words = np.diff(bars.offsets)
    is_last = np.arange(len(bars)) == len(bars) - 1
    tracks = read_score(music).tracks
    n_notes, n_drums = (sum(len(t.notes) for t in tracks if t.is_drum or not drums) for drums in (False, True))
    valid = by_the_standard(music)
    left_out = {why: n for why, n in bars.left_out.items() if why != "endless"}  # of which a score has none
    seconds = [*bars.start_seconds.tolist(), bars.duration_seconds]
    return [
        ("there are bars", len(bars) > 0),
        ("words are of the vocabulary", bool(((bars.words >= 0) & (bars.words < PAD)).all())),
        ("bars hold three words a note", bool((n_words == 2 + 3 * bars.n_notes + is_last).all())),
        ("bars begin with Bar", bool((bars.words[bars.offsets[:-1]] == BAR).all())),
        ("only the last ends with EOS", np.flatnonzero(bars.words == EOS).tolist() == [len(bars.words) - 1]),
        ("each has a meter", bool(np.isin(bars.words[bars.offsets[1:] - 1 - is_last], list(METER_ID.values())).all())),
        ("the encoder reads them whole", bool((n_words <= MAX_BAR_WORDS).all())),
        ("bars are numbered one by one", bool((np.diff(bars.bar_number) == 1).all() and bars.bar_number[0] >= 0)),
        ("bars start one after the other", bool((np.diff(bars.start_tick) >= 0).all() and bars.start_tick[0] >= 0)),
        ("time goes on", bool(np.isfinite(seconds).all() and (np.diff(seconds) >= 0).all())),
        ("time begins at zero", bool(bars.start_seconds[0] >= 0)),
        ("every note is counted", int(bars.n_notes.sum()) + sum(left_out.values()) == n_notes),
        ("no drum note is counted twice", bool((bars.n_drum_notes >= 0).all()) and bars.n_drum_notes.sum() <= n_drums),
        ("of drums alone each is counted", bool(bars.n_notes.any()) or int(bars.n_drum_notes.sum()) == n_drums),
        ("time does not overflow", not isinstance(valid, EndOfTime)),
        ("a valid file is read whole", isinstance(valid, NotMidi) or valid == as_read(music)),
        ("endless notes are counted", bars.left_out["endless"] >= 0),
        ("an instrument plays", 1 <= bars.n_instruments <= 129),
    ]


def convert_and_weigh(music: bytes, answer: Connection, how: dict[str, Any]) -> None:
    """Convert a file in its own process; sends how it ended, the process's peak memory in MB, and the seconds."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is measured from here on
    began = time.perf_counter()
    outcome = convert_song(music, **how, perform=partial(predict_song, load_head(), 200))
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert peak
    answer.send(("bars" if isinstance(outcome, Converted) else outcome.reason, int(peak[1]) / 1000, seconds))
