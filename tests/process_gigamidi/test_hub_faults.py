"""The Hub answers late, with errors, half a file, garbage or not at all, and the tables stay the same."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_hub import COMMIT, FakeHub, Fault, Request
from small_dataset import README, mixed_songs, rows_of, settings_for, song, tables, write_parquet

from pipeline.annotations import TABLES, finished_parts, table_path
from pipeline.files import file_digest
from pipeline.records import read_record
from process_gigamidi.annotation import annotate

SCRIPT = Path(__file__).parent / "annotate_with_short_pauses.py"


@dataclass(frozen=True)
class Reference:
    """A dataset, its tables from a run without faults, and the number of Parquet reads of that run."""

    folder: Path
    tables: dict[str, bytes]
    n_reads: int


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Reference:
    """Rows with a large column, which is not asked for, between those that are, as in GigaMIDI."""
    folder = tmp_path_factory.mktemp("reference")
    data = folder / "hub"
    numbers = random.Random(0)
    rows = [
        {"md5": row["md5"], "music": row["music"], "loops": numbers.randbytes(20_000), "title": row["title"]}
        for row in rows_of(mixed_songs())
    ]
    write_parquet(data / "v2.0.0" / "train" / "train-00000.parquet", rows[:10])
    write_parquet(data / "v2.0.0" / "train" / "train-00001.parquet", rows[10:])
    write_parquet(data / "v1.0.0" / "train.parquet", rows_of([song(1, 30)]))
    (data / "README.md").write_text(README, encoding="utf-8")
    with FakeHub(data) as hub:
        ran = run(hub, folder)
        assert ran.returncode == 0, ran.stderr
        assert ran.stderr == ""
        n_reads = sum(request.range != "" and ".parquet" in request.path for request in hub.requests)
    return Reference(data, tables(folder / "out"), n_reads)


def run(hub: FakeHub, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Annotate what the hub has into folder/out."""
    own = (f"output.dir={folder / 'out'}", "output.row_groups_per_part=2", "compute.workers=0", *overrides)
    words = [word for setting in own for word in ("--set", setting)]
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DOWNLOAD_TIMEOUT": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    }
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def from_read(first: int, last: int, strike: Callable[[], Fault | None]) -> Callable[[Request], Fault | None]:
    """A mood with a fault in the reads of Parquet from number `first` to number `last`."""
    n_reads = 0

    def mood(request: Request) -> Fault | None:
        nonlocal n_reads
        if not request.path.endswith(".parquet"):
            return None
        n_reads += 1
        return strike() if first < n_reads <= last else None

    return mood


def whole_parts(output: Path) -> set[int]:
    """The finished parts; asserts that each is as its record says."""
    done = finished_parts(output)
    for part in done:
        record = read_record(output, part)
        assert record.sha256 == {kind: file_digest(table_path(output, kind, part)) for kind in TABLES}
    return done


def test_the_tables_are_those_of_a_local_copy(reference: Reference, tmp_path: Path) -> None:
    annotate(settings_for(reference.folder, tmp_path))
    assert tables(tmp_path) == reference.tables


FAULTS = [
    Fault("status", 500),
    Fault("status", 503),
    Fault("status", 429),
    Fault("slow", 3),  # longer than the client waits
    Fault("half"),
    Fault("short"),
    Fault("garbage"),
    Fault("silent"),
]
NAMES = [f"{fault.kind}{fault.amount or '':.0f}" if fault.amount else fault.kind for fault in FAULTS]


def one_quick(faults: list[Fault], quick: Fault) -> list[object]:
    """The faults as parameters of a test, all but one of them slow: each takes several whole runs."""
    return [
        pytest.param(fault, id=name, marks=[] if fault == quick else pytest.mark.slow)
        for fault, name in zip(FAULTS, NAMES, strict=True)
        if fault in faults
    ]


@pytest.mark.parametrize("fault", one_quick(FAULTS, Fault("half")))
def test_a_fault_that_passes_costs_nothing(reference: Reference, tmp_path: Path, fault: Fault) -> None:
    middle = reference.n_reads * 2 // 3
    with FakeHub(reference.folder) as hub:
        hub.mood = from_read(middle, middle + 4, lambda: fault)
        ran = run(hub, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert tables(tmp_path / "out") == reference.tables
    notes = ran.stderr.splitlines()
    assert notes and all("note: " in line and "trying again in" in line for line in notes)
    assert "19 songs annotated, 96 bars, 4 failed" in ran.stdout


@pytest.mark.slow
def test_an_answer_that_is_late_but_comes_is_waited_for(reference: Reference, tmp_path: Path) -> None:
    with FakeHub(reference.folder) as hub:
        hub.mood = from_read(0, 10**6, lambda: Fault("slow", 0.2))
        ran = run(hub, tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert tables(tmp_path / "out") == reference.tables


@pytest.mark.slow
def test_a_server_that_goes_and_comes_back_costs_nothing(reference: Reference, tmp_path: Path) -> None:
    with FakeHub(reference.folder) as hub:

        def go() -> None:
            hub.stop()
            threading.Timer(2, hub.start).start()

        middle = reference.n_reads // 2
        hub.mood = from_read(middle, middle + 1, go)
        ran = run(hub, tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert tables(tmp_path / "out") == reference.tables
    assert "trying again in" in ran.stderr


@pytest.mark.parametrize("fault", one_quick(FAULTS[::2], Fault("status", 500)))
def test_a_fault_that_stays_ends_the_run_in_one_line_and_the_next_run_continues(
    reference: Reference, tmp_path: Path, fault: Fault
) -> None:
    with FakeHub(reference.folder) as hub:
        hub.mood = from_read(reference.n_reads * 2 // 3, 10**6, lambda: fault)
        ran = run(hub, tmp_path, "dataset.retry_seconds=1")
        assert ran.returncode == 1, ran.stderr
        *notes, error = ran.stderr.splitlines()
        assert error.startswith("error: ") and error.endswith("the same command goes on from there")
        assert all("note: " in line for line in notes)
        done = whole_parts(tmp_path / "out")
        assert 0 < len(done) < 4
        assert not list((tmp_path / "out").rglob("*.partial"))
        hub.mood = lambda request: None
        again = run(hub, tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"{len(done)} done, {4 - len(done)} to do" in again.stdout
    assert tables(tmp_path / "out") == reference.tables


@pytest.mark.parametrize("status", [403, *(pytest.param(status, marks=pytest.mark.slow) for status in (401, 404))])
def test_what_the_hub_refuses_is_not_asked_for_again(reference: Reference, tmp_path: Path, status: int) -> None:
    with FakeHub(reference.folder) as hub:
        hub.mood = from_read(reference.n_reads * 2 // 3, 10**6, lambda: Fault("status", status))
        ran = run(hub, tmp_path)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1 and ran.stderr.startswith("error: Metacreation/GigaMIDI: ")
    assert whole_parts(tmp_path / "out")


def test_a_hub_that_is_not_there_when_a_run_begins_is_one_line(reference: Reference, tmp_path: Path) -> None:
    with FakeHub(reference.folder) as hub:
        pass
    ran = run(hub, tmp_path)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1 and "can't be reached" in ran.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_run_goes_on_with_the_commit_that_it_was_begun_with(reference: Reference, tmp_path: Path) -> None:
    with FakeHub(reference.folder) as hub:
        assert run(hub, tmp_path).returncode == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text())["decides"]["dataset.revision"] == COMMIT
    (tmp_path / "out" / "parts" / "part-00002.json").unlink()
    with FakeHub(reference.folder) as newer:
        newer.commit = "f" * 40
        ran = run(newer, tmp_path)
        assert ran.returncode == 1  # the newer one doesn't know that commit
        assert f"has no revision '{COMMIT}'" in ran.stderr
        ran = run(newer, tmp_path, "dataset.revision=main")
        assert f"was begun with dataset.revision = {COMMIT}, now it is {'f' * 40}" in ran.stderr
    with FakeHub(reference.folder) as hub:
        assert run(hub, tmp_path).returncode == 0
        assert not any("/main" in request.path for request in hub.requests)
    assert tables(tmp_path / "out") == reference.tables
