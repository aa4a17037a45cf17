"""Your own MIDI files: what is printed, drawn and written, and that the values are those of 01_annotate.py."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from script_runs import run_script

from analyze_emotion_annotations.annotation_tables import find_songs, parts_of
from annotate_own_music import own_curves, own_music
from annotate_own_music.own_music import Wanted, annotate_own_music
from annotate_own_music.printed_songs import LONGEST_NAME, MOST_ROWS, bars_per_row, shown
from pipeline.annotations import TABLES
from pipeline.cells import guarded
from pipeline.files import midi_md5
from pipeline.settings import PROJECT_ROOT, UserError, load_settings
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.prediction import load_models
from song_sources.midi_files import NamedFile, named_files

SCRIPT = "annotate_own_music/01_annotate_file.py"
NAMES = ("random_mix", "meter_3_4", "long_notes")


@pytest.fixture
def music(tmp_path: Path, synthetic: Path) -> Path:
    """A folder of three MIDI files, one of them in a folder below."""
    folder = tmp_path / "music"
    (folder / "below").mkdir(parents=True)
    for name in NAMES:
        parent = folder / "below" if name == NAMES[-1] else folder
        shutil.copy(synthetic / f"{name}.mid", parent / f"{name}.mid")
    return folder


def settings_for(*overrides: str) -> AnnotationSettings:
    return load_settings(AnnotationSettings, SETTINGS_FILE, None, ["compute.workers=0", *overrides])


def annotated(paths: list[Path], csv: Path | None = None, plots: Path | None = None, every_bar: bool = False) -> bool:
    return annotate_own_music(paths, settings_for(), Wanted(csv, plots, every_bar))


def read(folder: Path, kind: str) -> pd.DataFrame:
    return pd.read_csv(folder / kind / "part-00000.csv", keep_default_na=False)


def rows_of_songs(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.count(" ± ") == 2]


def test_the_tables_are_those_of_a_run_over_the_folder(music, tmp_path):
    assert annotated([music], csv=tmp_path / "own")
    annotate(settings_for(f"dataset.path={music}", f"output.dir={tmp_path / 'run'}"))
    for kind in TABLES:
        own, run = read(tmp_path / "own", kind), read(tmp_path / "run", kind)
        by = ["md5", "bar_number"] if kind == "bars" else ["md5"]
        own, run = (table.sort_values(by).reset_index(drop=True) for table in (own, run))
        pd.testing.assert_frame_equal(own, run)
    assert len(read(tmp_path / "own", "songs")) == len(NAMES)


def test_the_song_that_is_drawn_has_the_values_of_its_tables(synthetic, tmp_path):
    midi = tmp_path / "my song: no. #1 [live].MID"
    shutil.copy(synthetic / "leading_empty_bars.mid", midi)
    assert annotated([midi], csv=tmp_path / "own")
    settings = settings_for()
    files, _ = named_files([midi])
    (outcome,) = own_music.annotated(own_music.rows_of(files, 10**6), load_models(settings.model), settings)
    song = own_curves.as_song(outcome)
    assert (song.md5, song.title) == (midi_md5(midi.read_bytes()), midi.name)
    assert song.bar_number[0] > 0 and song.n_notes[0] > 0
    assert ((song.valence_error_sd > 0) & (song.valence_error_sd < 1)).all()
    (found,) = find_songs(parts_of(tmp_path / "own")[0], [song.md5], first=1)
    for column in ("bar_number", "n_notes"):
        np.testing.assert_array_equal(getattr(song, column), getattr(found, column))
    for column in ("valence", "arousal", "valence_error_sd", "arousal_error_sd"):
        np.testing.assert_allclose(getattr(song, column), getattr(found, column), atol=5.1e-5)
    np.testing.assert_allclose(song.start_seconds, found.start_seconds, atol=5.1e-4)


def test_a_song_has_the_same_values_alone_and_among_others(music, tmp_path):
    path = music / "random_mix.mid"
    assert annotated([music], csv=tmp_path / "all")
    assert annotated([path], csv=tmp_path / "one")
    bars = read(tmp_path / "all", "bars")
    alone = bars[bars["md5"] == midi_md5(path.read_bytes())].reset_index(drop=True)
    pd.testing.assert_frame_equal(read(tmp_path / "one", "bars"), alone)


def test_one_song_is_printed_as_a_table_of_its_bars(music, capsys):
    assert annotated([music / "meter_3_4.mid"])
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("meter_3_4.mid: 3/4, ") and "mean valence" in out[0]
    rows = [line for line in out if " ± " in line and line.lstrip()[0].isdigit()]
    assert len(rows) == int(out[0].split(", ")[1].split()[0])
    assert out[2].split() == ["bar", "seconds", "meter", "notes", "valence", "arousal"]


def test_several_songs_are_printed_as_a_row_each_unless_every_bar_is_asked_for(music, capsys):
    assert annotated([music])
    out = capsys.readouterr().out
    rows = [line.split()[0] for line in out.splitlines() if ".mid" in line]
    assert sorted(rows) == sorted(["below/long_notes.mid", "meter_3_4.mid", "random_mix.mid"])
    assert annotated([music], every_bar=True)
    assert capsys.readouterr().out.count("mean valence") == len(NAMES)


def test_a_file_that_cannot_be_annotated_is_reported_and_the_others_are_annotated(music, tmp_path, capsys):
    (music / "broken.mid").write_bytes(b"MThd and then nothing")
    assert not annotated([music, tmp_path / "nowhere.mid"], csv=tmp_path / "own")
    told = capsys.readouterr()
    assert "broken.mid: unreadable" in told.err and "nowhere.mid" in told.err
    assert all(line.startswith("error: ") for line in told.err.splitlines())
    assert len(read(tmp_path / "own", "songs")) == len(NAMES)
    failures = read(tmp_path / "own", "failures")
    assert list(failures["md5"]) == [midi_md5(b"MThd and then nothing")]


def test_plots_have_the_names_of_the_songs_and_none_replaces_another(music, tmp_path):
    shutil.copy(music / "meter_3_4.mid", music / "below" / "x.mid")
    assert annotated([music / "meter_3_4.mid", music / "below" / "x.mid"], plots=tmp_path / "curves")
    names = sorted(path.name for path in (tmp_path / "curves").iterdir())
    assert names == ["meter_3_4.png", "meter_3_4.svg", "x.png", "x.svg"]
    for odd in ("y*.mid", "y?.mid", "y|.mid"):
        shutil.copy(music / "meter_3_4.mid", tmp_path / odd)
    assert annotated(sorted(tmp_path.glob("*.mid")), plots=tmp_path / "more")
    assert len(list((tmp_path / "more").glob("*.png"))) == 3


@pytest.mark.parametrize("record", ["{}", "null", "3", '"own_files"', "[" * 100_000, "{"])
def test_the_results_of_another_command_are_not_overwritten(music, tmp_path, record):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "run.json").write_text(record)
    with pytest.raises(UserError, match=r"--csv: .*taken holds the results of another command"):
        annotated([music], csv=tmp_path / "taken")
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["run.json"]
    assert (tmp_path / "taken" / "run.json").read_text() == record


ODD_NAMES = ("a$b$\\frac{.mid", '<b>&".mid', "new\nline\x1b[31m.mid", "夜曲 é.mid", "x" * 250 + ".mid", "-dash.KAR")


def test_files_of_any_name_are_printed_drawn_and_written_the_same_every_time(synthetic, tmp_path, capsys):
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD_NAMES:
        shutil.copy(synthetic / "meter_3_4.mid", folder / name)
    assert annotated([folder], csv=tmp_path / "csv", plots=tmp_path / "curves")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed and len(rows_of_songs(printed)) == len(ODD_NAMES)
    assert len(list((tmp_path / "curves").iterdir())) == 2 * len(ODD_NAMES)
    titles = read(tmp_path / "csv", "songs")["title"]
    assert set(titles) == {guarded(name.replace("\n", " ").replace("\x1b", " ")) for name in ODD_NAMES}

    assert annotated([folder / ODD_NAMES[0]], plots=tmp_path / "again")
    plots = list((tmp_path / "again").iterdir())
    assert len(plots) == 2
    for plot in plots:
        assert plot.read_bytes() == (tmp_path / "curves" / plot.name).read_bytes()


def test_files_in_other_folders_that_share_a_name_are_told_apart(music, capsys):
    shutil.copy(music / "meter_3_4.mid", music / "below" / "random_mix.mid")
    assert annotated([music / "random_mix.mid", music / "below" / "random_mix.mid", music / "random_mix.mid"])
    rows = rows_of_songs(capsys.readouterr().out)
    assert [row.split()[0][-20:] for row in rows] == ["music/random_mix.mid", "below/random_mix.mid"]


def test_the_limits_of_the_settings_hold(music, capsys):
    settings = settings_for("limits.notes=5")
    assert not annotate_own_music([music / "random_mix.mid"], settings, Wanted(None, None, False))
    told = capsys.readouterr()
    assert told.err.startswith("error: random_mix.mid: too_many_notes: ") and told.err.count("\n") == 1
    assert told.out == ""


def test_names_are_printed_in_one_line_and_a_long_song_in_at_most_forty_rows():
    assert "\n" not in shown("a\nb\x1b[31m.mid") and "\x1b" not in shown("\x1b[31m.mid")
    assert len(shown("y" * 300 + ".mid")) == LONGEST_NAME and shown("y" * 300 + ".mid").endswith("y.mid")
    for n in (1, 40, 41, 80, 81, 20_000):
        assert np.ceil(n / bars_per_row(n)) <= MOST_ROWS
        assert bars_per_row(n) == 1 or np.ceil(2 * n / bars_per_row(n)) > MOST_ROWS


def test_a_folder_that_a_run_made_is_left_alone(music, tmp_path):
    annotate(settings_for(f"dataset.path={music}", f"output.dir={tmp_path / 'run'}"))
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=r"--csv: .*choose another folder"):
        annotated([music], csv=tmp_path / "run")
    assert before == {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}


def test_as_a_user_runs_it(music, tmp_path):
    done = run_script(SCRIPT, music / "random_mix.mid", "--plots", tmp_path / "curves", "--csv", tmp_path / "own")
    assert done.returncode == 0 and not done.stderr
    assert (tmp_path / "curves" / "random_mix.png").read_bytes().startswith(b"\x89PNG")
    assert str(tmp_path / "own" / "bars" / "part-00000.csv") in done.stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run_script(SCRIPT, empty)
    assert done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    done = run_script(SCRIPT, music, "--set", "model.hed=bundled")
    assert done.returncode == 2 and "unknown setting 'model.hed'" in done.stderr


def test_neither_torch_nor_datasets_is_imported_for_a_head_that_needs_no_encoder(music):
    program = (
        "import sys; from pathlib import Path; from annotate_own_music.own_music import *; "
        "from process_gigamidi.annotation_settings import *; from pipeline.settings import load_settings; "
        "settings = load_settings(AnnotationSettings, SETTINGS_FILE, None, ['compute.workers=0']); "
        f"assert annotate_own_music([Path({str(music)!r})], settings, Wanted(None, None, False)); "
        "sys.exit(bool({'torch', 'datasets', 'matplotlib'} & set(sys.modules)))"
    )
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0


def test_an_option_that_names_a_file_is_refused_by_its_name(music):
    file = music / "random_mix.mid"
    for option, wanted in (("--csv", Wanted(file, None, False)), ("--plots", Wanted(None, file, False))):
        with pytest.raises(UserError, match=f"{option}: .*random_mix.mid is a file; name a folder"):
            annotate_own_music([music], settings_for(), wanted)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read_says_so(music, capsys):
    (music / "random_mix.mid").chmod(0)
    annotated([music])
    assert "random_mix.mid: not_read: Permission denied" in capsys.readouterr().err


def test_a_file_that_went_away_says_so(music, capsys, monkeypatch):
    def gone(*_):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "open", gone)
    (row,) = own_music.rows_of([NamedFile(music / "random_mix.mid", "random_mix.mid")], 10)
    assert row.read_error == "No such file or directory" and row.music is None


def test_json_is_a_line_for_each_song_with_the_values_of_its_tables(music, tmp_path):
    (music / "broken.mid").write_bytes(b"MThd")
    (music / os.fsdecode(b"\xff.mid")).write_bytes((music / "random_mix.mid").read_bytes())  # no UTF-8
    made = run_script(
        SCRIPT, str(music), "nowhere", "--json", "--csv", str(tmp_path / "own"), "--midi", str(tmp_path / "midi")
    )
    assert made.returncode == 1 and "broken.mid: unreadable" in made.stderr
    nowhere, *lines = [json.loads(line) for line in made.stdout.splitlines()]
    assert nowhere == {"file": "nowhere", "md5": "", "stage": "read", "reason": "No such file or directory"}
    names = ["below/long_notes.mid", "broken.mid", "meter_3_4.mid", "random_mix.mid", os.fsdecode(b"\xff.mid")]
    assert [line["file"] for line in lines] == names
    failed = lines.pop(1)
    lines.pop()  # the same song again, whose rows follow in the tables
    assert failed["stage"] == "parse" and failed["reason"].startswith("unreadable") and "bars" not in failed
    songs, bars = read(tmp_path / "own", "songs").set_index("md5"), read(tmp_path / "own", "bars").set_index("md5")
    for line in lines:
        assert Path(line["midi"][0]).is_file() and "curves" not in line
        row, own = songs.loc[[line["md5"]]].iloc[0], bars.loc[line["md5"]].head(line["n_bars"])
        for name in ("n_bars", "n_notes", "duration_seconds", "valence_mean", "left_out_drums"):
            assert line[name] == row[name], name
        for name in own.columns:
            assert [bar[name] for bar in line["bars"]] == own[name].tolist(), name


def test_json_draws_where_plots_are_asked_for(music, tmp_path):
    made = run_script(SCRIPT, str(music / "random_mix.mid"), "--json", "--plots", str(tmp_path / "plots"))
    (line,) = map(json.loads, made.stdout.splitlines())
    assert sorted(line["curves"]) == sorted(map(str, (tmp_path / "plots").iterdir())) and len(line["curves"]) == 2


def test_with_a_broken_file_the_others_are_counted_and_the_next_command_is_told(music):
    (music / "broken.mid").write_bytes(b"MThd")
    made = run_script(SCRIPT, str(music), "--no-plots")
    *_, count, following = made.stdout.splitlines()
    assert made.returncode == 1 and count == "3 of 4 songs annotated"
    assert following.startswith("next, for tables of every bar: python annotate_own_music/01_annotate_file.py --csv ")
    alone = run_script(SCRIPT, str(music / "broken.mid"), "--no-plots")
    assert alone.returncode == 1 and alone.stdout == ""
