"""Drums alone: annotated by the heads that read the music, and refused by the one that reads a tokenizer's latents.

Drums have tempo, density and loudness, which tell arousal, but neither mode nor harmony, so they tell no valence.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_dataset import read, settings_for, song
from symusic import Note, Score, Tempo, Track

from pipeline.files import midi_md5
from process_gigamidi.annotation import annotate

KICK, SNARE, HIHAT = 36, 38, 42


def drums(n_bars: int, quarters_a_minute: float, velocity: int) -> bytes:
    """Bars of a rock beat: kick on one and three, snare on two and four, the hi-hat in eighths."""
    score = Score(480)
    score.tempos.append(Tempo(0, quarters_a_minute))
    track = Track(program=0, is_drum=True)
    for eighth in range(8 * n_bars):
        track.notes.append(Note(eighth * 240, 60, HIHAT, velocity))
        if eighth % 2 == 0:
            track.notes.append(Note(eighth * 240, 60, SNARE if eighth % 4 == 2 else KICK, velocity))
    score.tracks.append(track)
    return score.dumps_midi()


SOFT, LOUD = drums(8, 60, 30), drums(8, 170, 120)
PIANO = song(8)


@pytest.fixture
def midi_folder(tmp_path: Path) -> Path:
    """A folder of two files of drums and one of piano."""
    folder = tmp_path / "midi"
    folder.mkdir()
    for name, music in (("soft", SOFT), ("loud", LOUD), ("piano", PIANO)):
        (folder / f"{name}.mid").write_bytes(music)
    return folder


def of(table: pd.DataFrame, music: bytes) -> pd.DataFrame:
    """The rows of one song."""
    return table[table["md5"] == midi_md5(music)]


@pytest.mark.parametrize("head", ["bundled", "bundled_heard"])
def test_drums_alone_are_annotated_by_heads_that_read_the_music(midi_folder: Path, tmp_path: Path, head: str) -> None:
    annotate(settings_for(midi_folder, tmp_path / "out", f"model.head={head}"))
    bars, songs = read(tmp_path / "out", "bars"), read(tmp_path / "out", "songs")
    assert len(songs) == 3 and not len(read(tmp_path / "out", "failures"))
    for music in (SOFT, LOUD):
        own, whole = of(bars, music), of(songs, music).iloc[0]
        assert own["n_notes"].tolist() == [0] * 8 and own["n_drum_notes"].tolist() == [12] * 8
        assert (whole["n_notes"], whole["n_drum_notes"], whole["n_instruments"]) == (0, 96, 1)
        assert own["valence"].nunique() == 1 and own["valence_error_sd"].nunique() == 1
        assert own["valence_error_sd"].min() > of(bars, PIANO)["valence_error_sd"].max()
        assert np.isfinite(own[["arousal", "arousal_error_sd"]]).all(axis=None)
        assert (own["arousal_error_sd"] > 0).all()
    assert of(bars, SOFT)["valence"].iloc[0] == of(bars, LOUD)["valence"].iloc[0]
    piano = of(songs, PIANO).iloc[0]
    assert (piano["n_drum_notes"], piano["n_instruments"]) == (0, 1)


@pytest.mark.parametrize("head", ["bundled", "bundled_heard"])
def test_loud_and_fast_drums_are_more_excited_than_soft_and_slow_ones(
    midi_folder: Path, tmp_path: Path, head: str
) -> None:
    annotate(settings_for(midi_folder, tmp_path / "out", f"model.head={head}"))
    songs = read(tmp_path / "out", "songs")
    assert of(songs, LOUD)["arousal_mean"].iloc[0] > of(songs, SOFT)["arousal_mean"].iloc[0] + 0.2


def test_a_head_that_reads_latents_refuses_drums_alone(midi_folder: Path, tmp_path: Path) -> None:
    annotate(settings_for(midi_folder, tmp_path / "out", "model.head=bundled_mlp"))
    failures = read(tmp_path / "out", "failures")
    assert set(failures["md5"]) == {midi_md5(SOFT), midi_md5(LOUD)}
    assert failures["stage"].tolist() == ["convert"] * 2
    assert failures["reason"].str.startswith("no_pitch: ").all()
    assert read(tmp_path / "out", "songs")["md5"].tolist() == [midi_md5(PIANO)]


def test_a_note_beside_the_drums_makes_them_music_for_every_head(tmp_path: Path) -> None:
    (tmp_path / "midi").mkdir()
    score = Score.from_midi(LOUD)
    score.tracks.append(Track(program=33))
    score.tracks[-1].notes.append(Note(0, 480, 40, 80))
    (tmp_path / "midi" / "mixed.mid").write_bytes(score.dumps_midi())
    annotate(settings_for(tmp_path / "midi", tmp_path / "out", "model.head=bundled_mlp"))
    row = read(tmp_path / "out", "songs").iloc[0]
    assert row[["n_bars", "n_notes", "n_drum_notes", "n_instruments", "left_out_drums"]].tolist() == [1, 1, 12, 2, 96]
