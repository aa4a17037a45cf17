"""Parts as tasks of a Ray cluster of several nodes on this machine, one of which is killed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

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

from pipeline.annotations import finished_parts
from pipeline.parts import PartClaims
from pipeline.settings import UserError
from process_gigamidi import part_processes
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.annotator import Annotator
from process_gigamidi.verification import verify

ray = pytest.importorskip("ray", reason="Ray is not installed (requirements-ray.txt)")
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed (requirements-ray.txt)")
pytestmark = pytest.mark.slow  # a cluster of several processes


@pytest.fixture(scope="module")
def cluster() -> Iterator[cluster_utils.Cluster]:
    """A head node without processors and three nodes with one each."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "1"
    made = cluster_utils.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(3):
        made.add_node(num_cpus=1)
    yield made
    made.shutdown()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """690 rows in thirty row groups."""
    rows = [row for _ in range(30) for row in rows_of(mixed_songs())]
    write_parquet(tmp_path / "data" / "train.parquet", rows, row_group_size=23)
    return tmp_path / "data"


def on(cluster: cluster_utils.Cluster, data: Path, output: Path, *overrides: str) -> AnnotationSettings:
    own = (
        "compute.engine=ray",
        f"ray.address={cluster.address}",
        "output.row_groups_per_part=1",
    )
    return settings_for(data, output, *own, *overrides)


def test_a_cluster_of_which_a_node_is_killed_writes_what_one_machine_writes(
    cluster: cluster_utils.Cluster, data: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    annotate(settings_for(data, tmp_path / "alone", "output.row_groups_per_part=1"))
    out = tmp_path / "out"
    left = []

    def kill_a_node() -> None:
        while len(finished_parts(out)) < 3:
            time.sleep(0.01)
        left.append(30 - len(finished_parts(out)))
        cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)

    killer = threading.Thread(target=kill_a_node)
    killer.start()
    capfd.readouterr()
    totals = annotate(on(cluster, data, out, "compute.workers=auto"))
    killer.join()
    assert left[0] > 0  # it was killed in mid-run
    assert (totals.songs, totals.failures) == (570, 120)
    assert tables(out) == tables(tmp_path / "alone")
    log = capfd.readouterr().out
    assert sum(f"part {part:05d}: 19 songs annotated" in log for part in range(30)) == 30
    assert verify(settings_for(data, out, "output.row_groups_per_part=1")).findings == []
    cluster.add_node(num_cpus=1)


def test_a_part_that_another_run_holds_is_left_to_it(
    cluster: cluster_utils.Cluster, hub_copy: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    theirs = PartClaims(out)
    theirs.take(2)
    seen = []

    def let_go() -> None:
        while len(finished_parts(out)) < 6:
            time.sleep(0.01)
        seen.append(sorted(finished_parts(out)))
        theirs.close()

    holder = threading.Thread(target=let_go)
    holder.start()
    annotate(on(cluster, hub_copy, out))
    holder.join()
    assert seen == [[0, 1, 3, 4, 5, 6]]
    assert finished_parts(out) == set(range(7))


def test_a_file_that_crashes_the_process_of_a_task_costs_its_row_and_a_later_task_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from process_gigamidi import ray_engine

    rows = rows_of([song(1 + i % 5, 40 + i) for i in range(12)])
    write_parquet(tmp_path / "data" / "train.parquet", rows, row_group_size=4)
    annotate(settings_for(tmp_path / "data", tmp_path / "whole", "output.row_groups_per_part=1"))
    fates = {rows[6]["md5"]: "crashed"}
    monkeypatch.setattr(part_processes, "open_annotator", partial(annotator_with_crashing_reader, fates))
    settings = settings_for(tmp_path / "data", tmp_path / "out", "output.row_groups_per_part=1", "compute.workers=1")
    annotator = Annotator(settings)
    annotator.close()
    theirs = PartClaims(tmp_path / "out")
    theirs.take(2)
    made = [ray_engine.claim_and_annotate(settings, annotator.run, part, by_process=True) for part in range(3)]
    theirs.close()
    made[2] = ray_engine.claim_and_annotate(settings, annotator.run, 2, by_process=True) if made[2] is None else None
    ray_engine._opened.pop(settings).close()
    assert [record and (record.totals.songs, record.totals.failures) for record in made] == [(4, 0), (3, 1), (4, 0)]
    assert_only_these_failed(tmp_path / "out", tmp_path / "whole", fates)


def test_what_ends_a_task_ends_the_run_with_one_line(
    cluster: cluster_utils.Cluster, hub_copy: Path, tmp_path: Path
) -> None:
    (tmp_path / "out" / "bars").mkdir(parents=True)
    (tmp_path / "out" / "songs").touch()  # a file where a folder should be
    with pytest.raises(UserError, match=r"part 0000\d: output.dir: .* can't be written to"):
        annotate(on(cluster, hub_copy, tmp_path / "out"))


def test_another_head_on_a_machine_of_the_cluster_is_found_out(
    cluster: cluster_utils.Cluster, hub_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("process_gigamidi.annotator.digest_of", lambda _: "0" * 64)  # here, not on the nodes
    with pytest.raises(UserError, match="this machine has other weights, or another copy of the dataset"):
        annotate(on(cluster, hub_copy, tmp_path / "out"))


def test_no_cluster_at_an_address_is_one_line(hub_copy: Path, tmp_path: Path) -> None:
    settings = settings_for(hub_copy, tmp_path / "out", "compute.engine=ray", "ray.address=127.0.0.1:9")
    with pytest.raises(UserError, match=r"ray.address: no Ray cluster at 127.0.0.1:9"):
        annotate(settings)


def test_a_part_that_needs_more_than_this_machine_has_is_refused_and_on_a_cluster_waits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 2.0}}])
    from process_gigamidi import ray_engine

    ray_engine._check_demand({"CPU": 2, "GPU": 0}, others_may_join=False)
    with pytest.raises(UserError, match=r"this machine has not the 3 CPUs and 0 GPUs for a part \(ray.cpus_per_task"):
        ray_engine._check_demand({"CPU": 3, "GPU": 0}, others_may_join=False)
    ray_engine._check_demand({"CPU": 3, "GPU": 0}, others_may_join=True)
    assert "waiting for one that joins" in capsys.readouterr().err
