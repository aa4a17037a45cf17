"""`annotate`: a row for each bar, with the values of the commands, and exceptions with the reason."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import symusic

from annotate_own_music import NotAnnotated, annotate
from annotate_own_music.own_music import Wanted, annotate_own_music
from pipeline.annotations import BARS, names
from pipeline.settings import PROJECT_ROOT, SettingsError, WeightsError, load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings

NAMES = ["chords_4_4.mid", "meter_3_4.mid", "random_mix.mid"]


@pytest.fixture
def music(tmp_path: Path, synthetic: Path) -> Path:
    for name in NAMES:
        (tmp_path / "music").mkdir(exist_ok=True)
        (tmp_path / "music" / name).write_bytes((synthetic / name).read_bytes())
    return tmp_path / "music"


def test_a_song_has_a_row_for_each_bar_with_the_values_of_the_command(music: Path, tmp_path: Path) -> None:
    bars = annotate(music / "random_mix.mid")
    settings = load_settings(AnnotationSettings, SETTINGS_FILE, None, ["compute.workers=0"])
    assert annotate_own_music([music / "random_mix.mid"], settings, Wanted(tmp_path / "csv", None, False))
    written = pd.read_csv(tmp_path / "csv" / "bars" / "part-00000.csv").drop(columns="md5")
    assert list(bars.columns) == list(names(BARS)[1:]) == list(written.columns)
    for name in bars.columns:
        if bars[name].dtype.kind == "f":
            np.testing.assert_allclose(bars[name], written[name], atol=5.1e-4 if name == "start_seconds" else 5.1e-5)
        else:
            assert bars[name].tolist() == written[name].tolist(), name


def test_a_folder_and_a_list_have_a_column_of_files(music: Path) -> None:
    below = annotate(music)
    assert list(below.columns[:2]) == ["file", "bar_number"]
    assert below["file"].unique().tolist() == NAMES
    listed = annotate([str(music / name) for name in NAMES])
    pd.testing.assert_frame_equal(listed, below)
    pd.testing.assert_frame_equal(
        below[below["file"] == NAMES[2]].drop(columns="file").reset_index(drop=True), annotate(music / NAMES[2])
    )


def test_bytes_and_scores_have_the_values_of_their_file(music: Path) -> None:
    path = music / "meter_3_4.mid"
    of_file = annotate(path)
    pd.testing.assert_frame_equal(annotate(path.read_bytes()), of_file)
    pd.testing.assert_frame_equal(annotate(symusic.Score(path)), of_file)
    several = annotate([path.read_bytes(), path])
    assert several["file"].unique().tolist() == ["meter_3_4.mid", "in memory 0"]


def test_a_song_that_cannot_be_annotated_raises_with_the_reason_or_is_left_out(music: Path) -> None:
    (music / "broken.mid").write_bytes(b"MThd")
    with pytest.raises(NotAnnotated, match=r"broken\.mid: unreadable") as raised:
        annotate(music)
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.file, again.stage, str(again)) == ("broken.mid", "parse", str(raised.value))
    with pytest.warns(UserWarning, match=r"left out: broken\.mid: unreadable"):
        assert annotate(music, errors="warn")["file"].unique().tolist() == NAMES
    with pytest.raises(NotAnnotated, match=r"nowhere\.mid: No such file"):
        annotate(music / "nowhere.mid")
    with pytest.warns(UserWarning, match=r"nowhere\.mid: No such file"):
        nothing = annotate([music / "nowhere.mid"], errors="warn")
    assert nothing.empty and list(nothing.columns) == ["file", *names(BARS)[1:]]


def test_what_is_no_music_is_refused_before_anything_is_annotated(music: Path) -> None:
    with pytest.raises(TypeError, match="music is a NoneType, not a path, bytes, a symusic score or a list of these"):
        annotate([music, None])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="errors is 'rais', not raise or warn"):
        annotate(music, errors="rais")  # type: ignore[arg-type]
    assert annotate([]).empty


def test_another_head_and_settings_have_an_effect(music: Path) -> None:
    path = music / "random_mix.mid"
    heard = annotate(path, head="bundled_heard")
    assert not np.allclose(heard["valence"], annotate(path)["valence"])
    pd.testing.assert_frame_equal(annotate(path, settings="model.head=bundled_heard"), heard)
    with pytest.raises(NotAnnotated, match="too_many_notes"):
        annotate(path, settings=["limits.notes=1"])
    with pytest.raises(SettingsError, match=r"limits\.note\b"):
        annotate(path, settings=["limits.note=1"])
    with pytest.raises(WeightsError, match="no file"):
        annotate(path, head="nowhere")


def test_the_command_imports_no_pandas_and_no_torch(music: Path) -> None:
    code = (
        "import sys; from annotate_own_music import own_music; import annotate_own_music;"
        "assert not {'torch', 'pandas', 'datasets'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, check=True)
