"""The MIDI file with valence and arousal: the song as it was, two lanes, and markers where the curves change."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import symusic

from annotate_own_music import annotate
from annotate_own_music.emotion_track import CONTROLLERS, MARKERS_APART, MOST_MARKERS, largest_changes
from annotate_own_music.own_music import Wanted, annotate_own_music
from musetok_bridge.midi_file import track_chunks, track_events
from pipeline.settings import load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings

CONTROL, MARKER = 0xB0, b"\xff\x06"


def written(path: Path, folder: Path) -> bytes:
    settings = load_settings(AnnotationSettings, SETTINGS_FILE, None, ["compute.workers=0"])
    assert annotate_own_music([path], settings, Wanted(None, None, False, midi=folder))
    return (folder / f"{path.stem}-emotion.mid").read_bytes()


def notes(music: bytes) -> list[tuple[int, ...]]:
    """Program, channel's kind, start, length, pitch and velocity of all notes, sorted."""
    tracks = symusic.Score.from_midi(music).tracks
    return sorted((t.program, t.is_drum, n.time, n.duration, n.pitch, n.velocity) for t in tracks for n in t.notes)


@pytest.mark.parametrize("name", ["random_mix", "meter_3_4", "performance_384", "leading_empty_bars"])
def test_the_song_stays_as_it_is_and_the_lanes_have_the_values_of_its_bars(
    name: str, synthetic: Path, tmp_path: Path
) -> None:
    path = synthetic / f"{name}.mid"
    music, made = path.read_bytes(), written(path, tmp_path / "midi")
    assert notes(made) == notes(music)
    before, after = symusic.Score.from_midi(music), symusic.Score.from_midi(made)
    assert [(t.time, t.mspq) for t in after.tempos] == [(t.time, t.mspq) for t in before.tempos]
    assert after.time_signatures == before.time_signatures and after.tpq == before.tpq
    assert made[8:10] == b"\0\1" and int.from_bytes(made[10:12], "big") == len(list(track_chunks(made)))
    *_, lanes = ([*track_events(chunk)] for chunk in track_chunks(made))
    assert lanes[0].data == b"valence and arousal"
    bars = annotate(path)
    for dimension, controller in CONTROLLERS.items():
        steps = {e.tick: e.data[1] for e in lanes if e.head[0] & 0xF0 == CONTROL and e.data[0] == controller}
        value = None
        for tick, expected in zip(bars["start_tick"], bars[dimension], strict=True):
            value = steps.get(tick, value)
            assert value is not None and abs(value / 127 * 2 - 1 - expected) <= 1 / 127 + 1e-6
    annotated = annotate(tmp_path / "midi" / f"{name}-emotion.mid")
    np.testing.assert_array_equal(annotated["valence"], bars["valence"])


def test_the_lanes_are_on_a_channel_of_their_own(synthetic: Path, tmp_path: Path) -> None:
    path = synthetic / "random_mix.mid"
    *song, lanes = ([*track_events(chunk)] for chunk in track_chunks(written(path, tmp_path)))
    used = {event.head[0] & 0x0F for track in song for event in track if event.head[0] < 0xF0}
    assert {event.head[0] & 0x0F for event in lanes if event.head[0] < 0xF0} == {15} and 15 not in used


def test_the_folder_of_the_song_keeps_the_song(synthetic: Path, tmp_path: Path) -> None:
    path = tmp_path / "song.mid"
    shutil.copy(synthetic / "random_mix.mid", path)
    before = path.read_bytes()
    written(path, tmp_path)
    assert path.read_bytes() == before


def test_a_file_in_a_wrapper_or_that_symusic_misreads_is_written_as_it_is_read(synthetic: Path, tmp_path: Path) -> None:
    music = (synthetic / "random_mix.mid").read_bytes()
    (tmp_path / "song.rmi").write_bytes(b"RIFF" + bytes(4) + b"RMIDdata" + len(music).to_bytes(4, "little") + music)
    assert notes(written(tmp_path / "song.rmi", tmp_path / "midi")) == notes(music)
    first, *others = track_chunks(music)
    parts = [b"\0\xfe" + first, *others]  # an active sensing message, after which symusic would lose its place
    chunks = (b"MTrk" + len(part).to_bytes(4, "big") + part for part in parts)
    (tmp_path / "sensing.mid").write_bytes(music[:14] + b"".join(chunks))
    assert notes(written(tmp_path / "sensing.mid", tmp_path / "midi")) == notes(music)


def test_a_track_ends_where_it_ended_or_gets_an_end(tmp_path: Path) -> None:
    notes = b"\0\x90\x3c\x40\x83\x60\x80\x3c\x40"
    late, none = notes + b"\xbb\x00\xff\x2f\0", notes  # ends 7,552 ticks after its note; has no end
    tracks = b"".join(b"MTrk" + len(track).to_bytes(4, "big") + track for track in (late, none))
    (tmp_path / "song.mid").write_bytes(b"MThd\0\0\0\6\0\1\0\2\x01\xe0" + tracks)
    first, second, lanes = ([*track_events(chunk)] for chunk in track_chunks(written(tmp_path / "song.mid", tmp_path)))
    assert [track[-1].head for track in (first, second, lanes)] == [b"\xff\x2f"] * 3
    assert (first[-1].tick, second[-1].tick) == (480 + 0x3B * 128, 480)


def test_markers_stand_at_the_largest_changes_on_the_first_track(tmp_path: Path) -> None:
    score = symusic.Score(480)
    track = symusic.Track()
    for quarter in range(4 * 32):  # sixteen soft bars, then sixteen loud and dense ones
        loud = quarter >= 4 * 16
        for part in range(4 if loud else 1):
            track.notes.append(symusic.Note(480 * quarter + 120 * part, 110, 60 + quarter % 12, 120 if loud else 30))
    score.tracks.append(track)
    (tmp_path / "song.mid").write_bytes(score.dumps_midi())
    first = next(track_chunks(written(tmp_path / "song.mid", tmp_path)))
    markers = {event.tick // 1920: event.data.decode() for event in track_events(first) if event.head == MARKER}
    assert 0 < len(markers) <= MOST_MARKERS
    # the listener follows some seconds after the music
    assert any(16 <= bar <= 21 and "arousal +" in text for bar, text in markers.items())


def test_changes_are_apart_few_and_of_some_size() -> None:
    steps = np.zeros((200, 2))
    for i, at in enumerate(range(10, 200, 10)):
        steps[at:, i % 2] += (-1) ** (i // 2) * (0.06 + 0.001 * i)
    changes = largest_changes(steps)
    bars = [bar for bar, _ in changes]
    assert len(bars) == MOST_MARKERS and bars == sorted(bars) and min(np.diff(bars)) >= MARKERS_APART
    assert all(bar % 10 == 0 for bar in bars) and changes[-1] == (190, "valence -0.08")
    assert largest_changes(np.full((200, 4), 0.3)) == [] and largest_changes(steps[:7]) == []
