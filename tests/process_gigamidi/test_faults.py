"""Runs that are killed, or meet a full disk or a broken file: the next run completes the folder correctly."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from small_dataset import mixed_songs, rows_of, settings_for, tables, write_parquet

from pipeline.annotations import finished_parts
from pipeline.settings import PROJECT_ROOT, UserError
from process_gigamidi.annotation import annotate
from process_gigamidi.verification import verify

HERE = Path(__file__).parent
SCRIPT = str(PROJECT_ROOT / "process_gigamidi" / "01_annotate.py")


@pytest.fixture(scope="module")
def many_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """460 rows in twenty row groups."""
    folder = tmp_path_factory.mktemp("many")
    rows = [row for _ in range(20) for row in rows_of(mixed_songs())]
    write_parquet(folder / "train.parquet", rows, row_group_size=23)
    return folder


@pytest.fixture(scope="module")
def expected(many_rows: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables of an undisturbed run over them, by the default head."""
    output = tmp_path_factory.mktemp("whole") / "out"
    annotate(settings_for(many_rows, output))
    return tables(output)


def command(data: Path, output: Path, *overrides: str) -> list[str]:
    own = (f"dataset.path={data}", f"output.dir={output}", "output.row_groups_per_part=2", "compute.workers=0")
    return [sys.executable, SCRIPT, *(word for setting in (*own, *overrides) for word in ("--set", setting))]


def kill_runs(data: Path, folder: Path, how: str) -> int:
    script = [sys.executable, str(HERE / "kill_runs.py"), str(data), str(folder), how]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent, PROJECT_ROOT)))}
    ran = subprocess.run(script, capture_output=True, text=True, timeout=400, check=False, env=environment)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("runs", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_runs_killed_at_random_moments_leave_what_one_run_makes(many_rows: Path, tmp_path: Path, runs: int) -> None:
    annotate(settings_for(many_rows, tmp_path / "whole"))
    assert kill_runs(many_rows, tmp_path, str(runs)) >= runs
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")
    assert verify(settings_for(many_rows, tmp_path / "out")).findings == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.usefixtures("models")
def test_a_run_killed_before_or_after_any_move_of_a_file_is_continued(hub_copy: Path, tmp_path: Path) -> None:
    annotate(settings_for(hub_copy, tmp_path / "whole"))
    n_moves = 1 + 4 * 4 + 1  # run.json, four files of each of four parts, run.json with the totals
    assert kill_runs(hub_copy, tmp_path, "each") == 2 * n_moves
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")
    assert verify(settings_for(hub_copy, tmp_path / "out")).findings == []


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to see the processes")
def test_a_whole_run_with_its_workers_killed_and_workers_killed_alone(
    many_rows: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with_workers = command(many_rows, out, "compute.workers=2")
    first = subprocess.Popen(with_workers, stdout=subprocess.PIPE, text=True)
    assert first.stdout
    while "part 0" not in first.stdout.readline():
        pass
    first.kill()
    first.wait()
    assert 0 < len(finished_parts(out)) < 10
    second = subprocess.Popen(with_workers, stdout=subprocess.DEVNULL)
    workers: list[int] = []
    while len(workers) < 2 and second.poll() is None:
        workers = workers_of(second.pid)
        time.sleep(0.01)
    moments = random.Random()
    for worker in workers:  # each once, and not those that replace them: so no song dies twice
        time.sleep(moments.uniform(0, 1))
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    assert second.wait(120) == 0 and len(workers) == 2
    assert tables(out) == expected


def workers_of(run: int) -> list[int]:
    """The processes that convert for a run."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{run}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
        return [child for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]
    except OSError:
        return []


def test_ctrl_c_ends_a_run_with_one_line_and_no_process_left(
    many_rows: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run = subprocess.Popen(
        command(many_rows, out, "compute.workers=2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert run.stdout
    while "part 0" not in run.stdout.readline():
        pass
    children = workers_of(run.pid)
    run.send_signal(signal.SIGINT)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 130
    assert stderr.splitlines() == ["stopped; what was finished is kept, and the same command goes on from there"]
    assert not list(out.rglob("*.partial"))
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{child}/exe").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{child}/exe").exists() for child in children)
    annotate(settings_for(many_rows, out))
    assert tables(out) == expected


def own_disk(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script that sees a small disk of its own at $DISK. Skips where this user may not mount one."""
    disk = folder / "disk"
    disk.mkdir()
    unshare = shutil.which("unshare")
    inner = f'set -u; DISK="{disk}"; mount -t tmpfs -o size=120k none "$DISK" || exit 77\n{script}'
    if not unshare:
        pytest.skip("needs unshare, to mount a small disk")
    words = [unshare, "--user", "--map-root-user", "--mount", "sh", "-c", inner]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
    if ran.returncode == 77 or "unshare failed" in ran.stderr:
        pytest.skip("this user may not mount a small disk")
    return ran


def shell(words: list[str]) -> str:
    return " ".join(f"'{word}'" for word in words)


def test_a_full_disk_ends_the_run_in_one_line_and_a_larger_one_continues_it(
    many_rows: Path, expected: dict[str, bytes], tmp_path: Path
) -> None:
    annotate_there = shell(command(many_rows, tmp_path / "disk" / "out"))
    ran = own_disk(
        f"""
        {annotate_there} 2> {tmp_path}/errors; echo "rc $?"
        find "$DISK" -name '*.partial'
        ls "$DISK/out/parts" | grep -c json
        mount -o remount,size=20m "$DISK"
        {annotate_there} || exit 1
        cp -r "$DISK/out" {tmp_path}/out
        """,
        tmp_path,
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    at = lines.index("rc 1")
    assert 0 < int(lines[at + 1]) < 10  # finished parts, and no file of the one that did not fit
    assert (tmp_path / "errors").read_text() == (
        f"error: output.dir: {tmp_path}/disk/out can't be written to (No space left on device); "
        "finished parts are kept, the same command goes on from there\n"
    )
    assert tables(tmp_path / "out") == expected


@pytest.mark.slow
def test_a_folder_that_may_not_be_written_to_is_one_line(many_rows: Path, tmp_path: Path) -> None:
    annotate_there = shell(command(many_rows, tmp_path / "disk" / "out", "dataset.limit=50"))
    ran = own_disk(
        f"""
        mount -o remount,ro "$DISK"; {annotate_there} > {tmp_path}/log; echo "rc $?"
        mount -o remount,rw "$DISK"; {annotate_there} > {tmp_path}/log; echo "rc $?"
        rm "$DISK"/out/parts/part-00001.json
        mount -o remount,ro "$DISK"; {annotate_there} > {tmp_path}/log; echo "rc $?"
        """,
        tmp_path,
    )
    assert ran.stdout.splitlines() == ["rc 1", "rc 0", "rc 1"]
    assert len(ran.stderr.splitlines()) == 2
    assert ran.stderr.count("can't be written to (Read-only file system)") == 2


@pytest.mark.usefixtures("models")
def test_an_output_folder_below_a_file_is_one_line(hub_copy: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"output.dir: .* can't be written to \(Not a directory\)"):
        annotate(settings_for(hub_copy, tmp_path / "file" / "out"))


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit to the size of files")
def test_a_file_that_grows_too_large_ends_the_run_with_one_line(many_rows: Path, tmp_path: Path) -> None:
    limited = ["sh", "-c", f"ulimit -f 16; {shell(command(many_rows, tmp_path / 'out'))}"]
    # coverage is not measured here: its own file would be too large as well
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    ran = subprocess.run(limited, capture_output=True, text=True, timeout=120, check=False, env=environment)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1 and "can't be written to (File too large)" in ran.stderr
    assert not list((tmp_path / "out").rglob("*.partial"))


@pytest.mark.usefixtures("models")
def test_a_corrupt_row_group_is_named_and_the_parts_before_it_are_whole(tmp_path: Path) -> None:
    rows = [row for _ in range(6) for row in rows_of(mixed_songs())]
    folder = tmp_path / "data"
    write_parquet(folder / "train-0.parquet", rows[:69], row_group_size=23)
    write_parquet(folder / "train-1.parquet", rows[69:], row_group_size=23)
    annotate(settings_for(folder, tmp_path / "whole", "output.row_groups_per_part=1"))
    file = folder / "train-1.parquet"
    sound = bytearray(file.read_bytes())
    group = pq.read_metadata(file).row_group(1)
    music = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == "music")
    at = music.dictionary_page_offset or music.data_page_offset
    file.write_bytes(sound[:at] + bytes(music.total_compressed_size) + sound[at + music.total_compressed_size :])
    settings = settings_for(folder, tmp_path / "out", "output.row_groups_per_part=1")
    with pytest.raises(UserError, match=r"row group 1 of train-1.parquet: can't be read") as raised:
        annotate(settings)
    assert "\n" not in str(raised.value)
    assert finished_parts(tmp_path / "out") == {0, 1, 2, 3}
    file.write_bytes(sound)
    annotate(settings)
    assert tables(tmp_path / "out") == tables(tmp_path / "whole")


@pytest.mark.usefixtures("models")
def test_a_dead_thread_of_the_pipeline_does_not_leave_the_run_waiting(
    hub_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("song_sources.parquet_rows._row", no_memory)
    before = threading.active_count()
    with pytest.raises(MemoryError):
        annotate(settings_for(hub_copy, tmp_path / "out"))
    assert threading.active_count() <= before + 1  # a pool's thread may take a moment to end
    assert finished_parts(tmp_path / "out") == set()
