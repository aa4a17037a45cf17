"""Parts done by processes of their own: the same tables, whatever ends a process."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crashing_reader import annotator_with_crashing_reader
from small_dataset import (
    assert_only_these_failed,
    mixed_songs,
    rows_of,
    settings_for,
    song,
    tables,
    write_parquet,
)

from musetok_bridge import worker_processes
from pipeline.annotations import finished_parts
from pipeline.parts import PartClaims, PartQueue
from pipeline.settings import PROJECT_ROOT, UserError
from pretrain_model import head
from pretrain_model.features import BarFeatures
from pretrain_model.played_songs import Played
from process_gigamidi import part_processes
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.annotator import Annotator
from process_gigamidi.part_processes import PartProcesses
from song_sources import local_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """46 rows, a third of them unusable, in twelve row groups: six parts."""
    folder = tmp_path_factory.mktemp("data")
    write_parquet(folder / "train.parquet", rows_of([*mixed_songs(), *mixed_songs()]))
    return folder


@pytest.fixture(scope="module")
def expected(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The tables that one process makes."""
    output = tmp_path_factory.mktemp("expected") / "out"
    annotate(settings_for(data, output))
    return tables(output)


def annotator_that_dies(settings: AnnotationSettings) -> Annotator:
    os._exit(7)


def annotator_with_a_fault(settings: AnnotationSettings) -> Annotator:
    raise KeyError("a fault of our own")


def annotator_on_a_stuttering_disk(settings: AnnotationSettings) -> Annotator:
    """An Annotator of a process whose first reading of the data set fails."""
    read, failed = local_dataset.pq.read_metadata, []

    def read_later(path: Path) -> object:
        if not failed:
            failed.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    local_dataset.pq.read_metadata = read_later
    return Annotator(settings, reopened=True)


def annotator_with_hungry_batches(settings: AnnotationSettings) -> Annotator:
    """An Annotator for whose features of several songs at once no memory is enough."""
    compute = head.features_of_songs

    def eat(songs: Sequence[Played]) -> list[BarFeatures]:
        if len(songs) > 1:
            raise AssertionError(f"{len([bytearray(10_000_000) for _ in range(1000)])} times 10 MB")
        return compute(songs)

    head.features_of_songs = eat
    return Annotator(settings)


@pytest.mark.parametrize("workers", [1, 3])
def test_parts_done_by_processes_are_those_of_one(
    data: Path, expected: dict[str, bytes], tmp_path: Path, workers: int
) -> None:
    annotate(settings_for(data, tmp_path / "out", f"compute.workers={workers}"))
    assert len(finished_parts(tmp_path / "out")) == 6
    assert tables(tmp_path / "out") == expected


def test_files_that_crash_hang_or_bloat_a_parts_process_cost_their_rows_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_of([song(1 + i % 5, 40 + i) for i in range(40)])  # each a file of its own
    write_parquet(tmp_path / "data" / "train.parquet", rows, row_group_size=5)
    annotate(settings_for(tmp_path / "data", tmp_path / "whole"))
    fates = {3: "crashed", 21: "crashed", 22: "too_large", 23: "timeout", 39: "timeout"}
    meet = partial(annotator_with_crashing_reader, {rows[i]["md5"]: fate for i, fate in fates.items()})
    monkeypatch.setattr(part_processes, "open_annotator", meet)
    limits = ("limits.seconds=2", "limits.memory_mb=100")
    settings = settings_for(tmp_path / "data", tmp_path / "out", "compute.workers=2", *limits)
    totals = annotate(settings)
    assert (totals.songs, totals.failures) == (35, 5)
    assert_only_these_failed(tmp_path / "out", tmp_path / "whole", {rows[i]["md5"]: fate for i, fate in fates.items()})


def test_songs_of_a_part_that_is_done_again_are_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = rows_of([song(2, 40 + i) for i in range(8)])
    write_parquet(tmp_path / "data" / "train.parquet", rows)
    meet = partial(annotator_with_crashing_reader, {rows[7]["md5"]: "crashed"})
    monkeypatch.setattr(part_processes, "open_annotator", meet)
    settings = settings_for(tmp_path / "data", tmp_path / "out", "compute.workers=1", "compute.bars_per_batch=1")
    told: list[int] = []
    annotator = Annotator(settings)
    queue = PartQueue(range(annotator.source.n_parts), PartClaims(settings.folder))
    with closing(PartProcesses(settings, annotator.run, 1)) as processes:
        (record,) = processes.annotate(queue, told.append)
    assert (record.totals.songs, record.totals.failures) == (7, 1)
    assert sum(told) == 8


def test_a_process_that_always_dies_ends_the_run_with_one_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_processes, "open_annotator", annotator_that_dies)
    monkeypatch.setattr(worker_processes, "FIRST_PAUSE", 0.0)
    monkeypatch.setattr(part_processes, "STARTS", 2)
    with pytest.raises(UserError, match=r"part 00000: its process ended 2 times \(exit code 7\)"):
        annotate(settings_for(data, tmp_path / "out", "compute.workers=1"))
    assert not finished_parts(tmp_path / "out")


def test_a_process_that_cannot_be_started_ends_the_run_with_one_line_and_the_other_processes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[BaseProcess] = []

    def start(process: BaseProcess) -> None:
        if len(started) == 2:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        started.append(process)
        process.start()

    monkeypatch.setattr(part_processes, "start_deaf_to_interrupts", start)
    with pytest.raises(UserError, match=r"compute.workers: a process can't be started \(.*Resource temporarily"):
        annotate(settings_for(data, tmp_path / "out", "compute.workers=3"))
    assert [process.is_alive() for process in started] == [False, False]


def test_what_there_is_to_note_is_noted_once_however_many_processes_there_are(data: Path, tmp_path: Path) -> None:
    wanted = (f"dataset.path={data}", f"output.dir={tmp_path / 'out'}", "output.row_groups_per_part=2")
    settings = [f"--set={setting}" for setting in (*wanted, "compute.workers=3", "model.encoder=official")]
    command = [sys.executable, "process_gigamidi/01_annotate.py", *settings]
    # to the end of the last process: what Python says of leaks comes after the main process has ended
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.count("model.encoder is not used") == 1
    assert "resource_tracker" not in done.stderr


def test_a_disk_that_stutters_when_a_process_opens_the_data_is_borne(
    data: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_processes, "open_annotator", annotator_on_a_stuttering_disk)
    annotate(settings_for(data, tmp_path / "out", "compute.workers=1"))
    assert tables(tmp_path / "out") == expected


MEMORY = """
import sys
from musetok_bridge.conversion import Guard
early = Guard(10, 100)
left_behind = bytearray(60_000_000)
guard = Guard(10, 100) if sys.argv[1] == "late" else early
with guard.watch():
    bytearray(60_000_000)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of data")
@pytest.mark.parametrize(("made", "code"), [("early", 1), ("late", 0)])
def test_what_other_work_has_left_behind_counts_in_the_memory_that_a_song_may_take(made: str, code: int) -> None:
    assert subprocess.run([sys.executable, "-c", MEMORY, made], cwd=PROJECT_ROOT, check=False).returncode == code


def test_a_part_whose_features_fill_the_memory_is_done_again_song_by_song(
    data: Path, expected: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[BaseProcess] = []
    start = part_processes.start_deaf_to_interrupts
    monkeypatch.setattr(part_processes, "start_deaf_to_interrupts", lambda p: started.append(p) or start(p))
    monkeypatch.setattr(part_processes, "open_annotator", annotator_with_hungry_batches)
    annotate(settings_for(data, tmp_path / "out", "compute.workers=2"))
    assert tables(tmp_path / "out") == expected
    assert len(started) > 2  # the first ones ended


def test_a_fault_of_our_own_in_a_process_is_told_with_its_traceback(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part_processes, "open_annotator", annotator_with_a_fault)
    with pytest.raises(RuntimeError, match=r"(?s)part 0000\d: Traceback.*annotator_with_a_fault.*a fault of our own"):
        annotate(settings_for(data, tmp_path / "out", "compute.workers=2"))


def test_a_damaged_row_group_ends_the_run_with_one_line_and_leaves_no_unfinished_file(
    data: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    content = bytearray((data / "train.parquet").read_bytes())
    group = pq.read_metadata(data / "train.parquet").row_group(9)
    music = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == "music")
    at, size = music.dictionary_page_offset or music.data_page_offset, music.total_compressed_size
    content[at : at + size] = bytes(size)
    (folder / "train.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"row group 9 of train.parquet: can't be read"):
        annotate(settings_for(folder, tmp_path / "out", "compute.workers=2", "dataset.retry_seconds=0"))
    assert not list((tmp_path / "out").rglob("*.partial"))


def test_parts_that_another_run_holds_are_left_to_it(tmp_path: Path) -> None:
    others, ours = PartClaims(tmp_path), PartClaims(tmp_path)
    assert others.take(0)
    queue = PartQueue(range(3), ours)
    assert [queue.take(), queue.take(), queue.take(), queue.is_empty] == [1, 2, None, False]
    others.release(0)
    assert [queue.take(), queue.take(), queue.is_empty] == [0, None, True]
