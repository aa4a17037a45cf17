"""Several runs in one output folder: every part is made once."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from small_dataset import mixed_songs, rows_of, settings_for, tables, write_parquet

from pipeline.annotations import finished_parts, record_path
from pipeline.parts import PartClaims, parts_to_do
from pipeline.settings import PROJECT_ROOT, SettingsError
from process_gigamidi.annotation import annotate
from process_gigamidi.verification import verify


def test_a_part_is_one_runs_at_a_time(tmp_path: Path) -> None:
    ours, theirs = PartClaims(tmp_path), PartClaims(tmp_path)
    assert ours.take(3) and not theirs.take(3) and theirs.take(4) and not ours.take(4)
    ours.close()
    assert theirs.take(3)


def test_a_part_that_is_done_is_taken_by_nobody(tmp_path: Path) -> None:
    ours, theirs = PartClaims(tmp_path), PartClaims(tmp_path)
    assert ours.take(3) and not theirs.take(3)
    record_path(tmp_path, 3).touch()
    ours.release(3)
    assert not theirs.take(3) and not ours.take(3)
    theirs.close()
    assert [path.name for path in (tmp_path / "parts").iterdir() if path.suffix != ".lock"] == ["part-00003.json"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_the_parts_of_a_run_that_was_killed_are_free(tmp_path: Path) -> None:
    ready, told = os.pipe()
    child = os.fork()
    if not child:
        PartClaims(tmp_path).take(0)
        held = PartClaims(tmp_path)
        held.take(1)
        os.write(told, b"x")
        signal.pause()
    os.read(ready, 1)
    ours = PartClaims(tmp_path)
    assert not ours.take(1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert ours.take(1)


def test_a_run_waits_for_the_parts_of_others_and_takes_what_they_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = PartClaims(tmp_path), PartClaims(tmp_path)
    assert theirs.take(0) and theirs.take(2)

    def meanwhile(_: float) -> None:
        if record_path(tmp_path, 0).exists():
            theirs.close()  # without having done part 2
        record_path(tmp_path, 0).touch()

    monkeypatch.setattr("pipeline.parts.time.sleep", meanwhile)
    assert list(parts_to_do(range(4), ours)) == [1, 3, 2]


def test_without_locks_a_run_prints_a_note_and_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_locks(*_: object, **__: object) -> None:
        raise NotImplementedError("FileSystem does not appear to support flock")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    assert list(parts_to_do(range(3), PartClaims(tmp_path))) == [0, 1, 2]
    assert capsys.readouterr().err.count("without locks") == 1


@pytest.mark.usefixtures("models")
def test_shares_make_the_whole(hub_copy: Path, finished: Path, tmp_path: Path) -> None:
    for share, parts in [("2/3", {1}), ("3/3", {1, 2}), ("1/3", {0, 1, 2, 3})]:
        annotate(settings_for(hub_copy, tmp_path / "out", f"compute.share={share}"))
        assert finished_parts(tmp_path / "out") == parts
    assert tables(tmp_path / "out") == tables(finished)
    assert verify(settings_for(hub_copy, tmp_path / "out")).findings == []


@pytest.mark.parametrize("share", ["0/3", "4/3", "1", "1/0", "a/b", "1/2/3"])
def test_a_malformed_share_is_one_line(hub_copy: Path, tmp_path: Path, share: str) -> None:
    with pytest.raises(SettingsError, match=r"compute.share: .* is not of the form K/N"):
        annotate(settings_for(hub_copy, tmp_path / "out", f"compute.share={share}"))


@pytest.mark.slow
def test_runs_at_once_do_every_part_once(tmp_path: Path) -> None:
    rows = [row for i in range(12) for row in rows_of(mixed_songs())]
    write_parquet(tmp_path / "data" / "train.parquet", rows, row_group_size=23)
    script = str(PROJECT_ROOT / "process_gigamidi" / "01_annotate.py")
    words = [f"dataset.path={tmp_path / 'data'}", "output.row_groups_per_part=1", "compute.workers=1"]

    def start(output: Path) -> subprocess.Popen[str]:
        settings = [word for setting in (*words, f"output.dir={output}") for word in ("--set", setting)]
        return subprocess.Popen([sys.executable, script, *settings], stdout=subprocess.PIPE, text=True)

    runs = [start(tmp_path / "out") for _ in range(3)]
    logs = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    done = [part for log in logs for part in re.findall(r"part (\d+): ", log)]
    assert sorted(done) == [f"{part:05d}" for part in range(12)]
    assert all("228 songs annotated, 1,152 bars, 48 failed" in log for log in logs)  # each ends when all is done
    alone = start(tmp_path / "alone")
    alone.communicate(timeout=300)
    assert tables(tmp_path / "out") == tables(tmp_path / "alone")
