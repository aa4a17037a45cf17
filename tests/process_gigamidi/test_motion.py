"""model.motion: how far the bars of a song move from its level, at the same level."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_dataset import read, settings_for, tables
from symusic import Note, Score, Tempo, Track

from pipeline.annotations import DIMENSIONS
from process_gigamidi.annotation import annotate

ROUNDED = 5.1e-5  # of four decimals


def rising(n_bars: int) -> bytes:
    """A song that goes from slow, low and soft in minor to fast, high and loud in major."""
    score = Score(480)
    track = Track(program=0)
    for bar in range(n_bars):
        score.tempos.append(Tempo(1920 * bar, 60 + 5 * bar))
        parts = 1 if bar < n_bars / 2 else 4
        third = 3 if bar < n_bars / 2 else 4
        for quarter in range(4 * parts):
            for pitch in (0, third, 7):
                start = 1920 * bar + 480 * quarter // parts
                track.notes.append(Note(start, 480 // parts, 48 + bar + pitch, 30 + 90 * bar // n_bars))
    score.tracks.append(track)
    return score.dumps_midi()


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders with the annotations of a song, named after the motion, and the song's own folder."""
    folder = tmp_path_factory.mktemp("motion")
    (folder / "midi").mkdir()
    (folder / "midi" / "rising.mid").write_bytes(rising(24))
    for motion in ("full", "cautious"):
        annotate(settings_for(folder / "midi", folder / motion, f"model.motion={motion}"))
    return folder


def test_cautious_bars_move_less_in_the_same_direction(outputs: Path) -> None:
    full, cautious = (read(outputs / motion, "bars") for motion in ("full", "cautious"))
    assert full[["bar_number", "start_tick", "n_notes"]].equals(cautious[["bar_number", "start_tick", "n_notes"]])
    for name in DIMENSIONS:
        assert full[name].abs().max() < 1  # nothing is clipped
        large, small = (table[name] - table[name].mean() for table in (full, cautious))
        ratio = (large @ small) / (large @ large)
        assert 0.1 < ratio < 0.9 and large.std() > 0.02
        np.testing.assert_allclose(small, ratio * large, atol=3 * ROUNDED)


def test_the_level_of_a_song_is_the_same(outputs: Path) -> None:
    full, cautious = (read(outputs / motion, "songs").iloc[0] for motion in ("full", "cautious"))
    for name in DIMENSIONS:
        assert full[f"{name}_mean"] == pytest.approx(cautious[f"{name}_mean"], abs=2 * ROUNDED)
        assert cautious[f"{name}_sd"] < full[f"{name}_sd"]


def test_a_head_without_motion_gives_the_same(outputs: Path, tmp_path: Path) -> None:
    for motion in ("full", "cautious"):
        settings = ("model.head=bundled_heard", f"model.motion={motion}")
        annotate(settings_for(outputs / "midi", tmp_path / motion, *settings))
    assert tables(tmp_path / "full") == tables(tmp_path / "cautious")


def test_runs_of_another_motion_are_told_apart(outputs: Path) -> None:
    decides, digests = [], []
    for motion in ("full", "cautious"):
        folder = outputs / motion
        decides.append(json.loads((folder / "run.json").read_text())["decides"])
        digests.append(json.loads((folder / "parts" / "part-00000.json").read_text())["run"])
    assert [run["model.motion"] for run in decides] == ["full", "cautious"]
    assert digests[0] != digests[1]
    assert {name for name in decides[0] if decides[0][name] != decides[1][name]} == {"model.motion"}
