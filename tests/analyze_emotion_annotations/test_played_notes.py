"""The notes by which the report plays its songs: where music is found, what is read from it, and what is left out."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numpy as np
import pytest
from analyse_folder import analysis_of
from example_report import curve_of
from small_dataset import mixed_songs, song, write_parquet
from symusic import Note, Score, Track
from unruly_reader import CRASHING, HANGING, unruly_text

from analyze_emotion_annotations import report_content
from analyze_emotion_annotations.played_notes import (
    LEFT_OUT,
    STEPS_PER_SECOND,
    TOO_LARGE,
    UNREADABLE,
    VOICES,
    NoteReader,
    Sound,
    sounds_of,
    text_of_midi,
    text_of_notes,
    voice_of_program,
)
from analyze_emotion_annotations.plot_canvas import WIDE
from analyze_emotion_annotations.report_content import report_of
from analyze_emotion_annotations.song_music import NOT_FOUND, NOT_HERE, ON_THE_HUB, UNKNOWN, music_of


def numbers_in(text):
    """The whole numbers of a text of notes, (n, 5)."""
    numbers, value, shift = [], 0, 0
    for byte in base64.b64decode(text):
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            numbers.append(value)
            value = shift = 0
    return np.array(numbers).reshape(-1, 5)


def md5_of(music):
    return hashlib.md5(music).hexdigest()


def listed(*files):
    """A song of the report for each file, titled `song 0.mid` and so on."""
    return [curve_of(md5_of(music), f"song {i}.mid") for i, music in enumerate(files)]


def run_with(path):
    """What run.json says of where the music is."""
    return {"settings": {"dataset": {"path": None if path is None else str(path)}}}


@pytest.mark.parametrize("name", ["two_tracks", "random_mix", "performance_384", "long_notes"])
def test_the_notes_are_those_that_symusic_reads(synthetic, name):
    file = synthetic / f"{name}.mid"
    expected = sorted(
        (note.start, note.end, note.pitch, note.velocity)
        for track in Score(file).to("second").tracks
        for note in track.notes
    )
    found = numbers_in(text_of_midi(file.read_bytes()))
    start = np.cumsum(found[:, 0]) / STEPS_PER_SECOND
    rows = sorted(zip(start, start + found[:, 1] / STEPS_PER_SECOND, found[:, 2], found[:, 3], strict=True))
    assert len(rows) == len(expected) > 0
    for column in (0, 1):
        np.testing.assert_allclose(
            sorted(row[column] for row in rows), sorted(row[column] for row in expected), atol=0.51 / STEPS_PER_SECOND
        )
    for column in (2, 3):
        assert sorted(row[column] for row in rows) == sorted(row[column] for row in expected)


def test_a_note_is_five_numbers_in_seven_bits_a_byte():
    score = Score(480)  # 120 quarters a minute, so a quarter is half a second
    score.tracks.append(Track(program=0, is_drum=True))
    score.tracks[0].notes.append(Note(0, 1, 36, 127))
    score.tracks.append(Track(program=33))
    for note in (Note(1920, 960, 40, 100), Note(0, 240, 28, 1)):
        score.tracks[1].notes.append(note)
    text = text_of_notes(score.to("second").tracks)
    bass, drums = VOICES.index("bass"), VOICES.index("drums")
    assert numbers_in(text).tolist() == [[0, 50, 28, 1, bass], [0, 1, 36, 127, drums], [400, 200, 40, 100, bass]]
    assert len(base64.b64decode(text)) == 5 + 5 + 7
    assert text_of_notes([]) == text_of_notes(Score(480).to("second").tracks) == ""


def test_every_program_has_its_voice():
    voices = {voice_of_program(program) for program in range(128)}
    assert voices == set(VOICES) - {"drums"}
    named = {0: "piano", 19: "sustained", 25: "piano", 33: "bass", 40: "sustained", 46: "piano", 56: "lead", 73: "lead"}
    assert {program: voice_of_program(program) for program in named} == named


def test_songs_are_found_in_parquet_files_by_their_md5(tmp_path):
    files = [song(n) for n in (1, 2, 3, 4)]
    rows = [{"md5": md5_of(music), "music": music} for music in files]
    write_parquet(tmp_path / "odd [1]*" / "a.parquet", [rows[0], {"md5": "f" * 32, "music": b"another"}])
    write_parquet(tmp_path / "odd [1]*" / "b.parquet", [{"md5": rows[1]["md5"].upper(), "music": files[1]}])
    write_parquet(tmp_path / "c.parquet", [{"md5": rows[2]["md5"], "music": {"bytes": files[2], "path": "x.mid"}}])
    write_parquet(tmp_path / "d.parquet", [{"other": 1}])
    (tmp_path / "aa.parquet").write_bytes(b"PAR1 and no more")
    found, why = music_of(listed(*files), run_with(tmp_path))
    assert found == {md5_of(music): music for music in files[:3]}
    assert why == NOT_FOUND


def test_songs_are_found_in_a_folder_by_their_path_and_bytes(tmp_path):
    files = [song(1), song(2), song(3)]
    songs = [
        curve_of(md5_of(files[0]), "deep/er/one.mid"),
        curve_of(md5_of(files[1]), "changed.mid"),
        curve_of(md5_of(files[2]), "../outside.mid"),
        curve_of("a" * 32, ""),
        curve_of("b" * 32, "folder\0.mid"),
    ]
    music = tmp_path / "music"
    (music / "deep" / "er").mkdir(parents=True)
    (music / "deep" / "er" / "one.mid").write_bytes(files[0])
    (music / "changed.mid").write_bytes(files[0])
    (tmp_path / "outside.mid").write_bytes(files[2])
    assert music_of(songs, run_with(music)) == ({md5_of(files[0]): files[0]}, NOT_FOUND)
    one = curve_of(md5_of(files[2]), "outside.mid")
    assert music_of([one], run_with(tmp_path / "outside.mid"))[0] == {one.md5: files[2]}


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (run_with(None), ON_THE_HUB),
        (run_with("moved/away"), NOT_HERE),
        (run_with("a\0b"), NOT_HERE),
        ({}, UNKNOWN),
        ({"settings": {"output": {"dir": "x"}}}, UNKNOWN),
    ],
)
def test_why_music_is_not_at_hand(run, why):
    assert music_of(listed(b"a"), run) == ({}, why)
    assert sounds_of(listed(b"a"), run, 2) == {md5_of(b"a"): Sound(why_silent=why)}


def write_midi(folder: Path, *files: bytes) -> Path:
    for i, music in enumerate(files):
        (folder / f"song {i}.mid").write_bytes(music)
    return folder


def test_notes_keep_within_the_limit_and_the_first_songs_come_first(tmp_path):
    files = [song(4), song(40), song(5), song(6)]
    run = run_with(write_midi(tmp_path, *files))
    whole = [sound.notes for sound in sounds_of(listed(*files), run, 1).values()]
    assert whole == [text_of_midi(music) for music in files]
    limit = len(whole[0]) + len(whole[2])
    sounds = list(sounds_of(listed(*files), run, limit / 10**6).values())
    assert [sound.notes for sound in sounds] == [whole[0], "", whole[2], ""]
    assert {sound.why_silent for sound in sounds} == {"", TOO_LARGE}
    assert {sound.why_silent for sound in sounds_of(listed(*files), run, 0).values()} == {LEFT_OUT}


def test_a_damaged_file_costs_its_own_song(tmp_path):
    files = [b"MThd and then nothing", song(3), Score(480).dumps_midi(), song(2)[:30], song(1)]
    sounds = sounds_of(listed(*files), run_with(write_midi(tmp_path, *files)), 2)
    assert [bool(sound.notes) for sound in sounds.values()] == [False, True, False, False, True]
    assert sounds[md5_of(files[0])].why_silent == UNREADABLE


def test_a_file_that_crashes_or_hangs_the_reader_costs_its_own_song():
    with NoteReader(0.5, unruly_text) as reader:
        assert [reader.notes(music) for music in (b"a", CRASHING, b"b", HANGING, b"c")] == ["a", "", "b", "", "c"]


def test_the_report_has_the_notes_of_its_songs(finished, unchanged_hub_copy, monkeypatch):
    monkeypatch.setattr(report_content, "plots_of", lambda analysis, dpi, layout=WIDE: iter(()))
    report = report_of(analysis_of(finished, "report.min_bars=2"), finished, 50, {}, notes_mb=2)
    music = {md5_of(file or b""): file for file in mixed_songs()}
    assert {curve.md5: Sound(text_of_midi(music[curve.md5])) for curve in report.curves} == report.sounds
    assert len(report.sounds) > 5
