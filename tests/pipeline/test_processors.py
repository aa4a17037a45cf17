import os
import subprocess
import sys

import pytest
from threadpoolctl import threadpool_limits

from pipeline.processors import THREAD_SETTINGS, limit_threads, usable_processors
from pipeline.settings import PROJECT_ROOT

HERE = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def machine(tmp_path, groups, files):
    """A made /proc and /sys. groups: /proc/self/cgroup. files: by path below /sys/fs/cgroup."""
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for path, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.max": "100000 100000"}),
        ("0::/job/step\n", {"job/cpu.max": "150000 100000", "job/step/cpu.max": "max 100000"}),  # of the group above
        ("0::/elsewhere\n", {"cpu.max": "100000 100000"}),  # the path of the host, seen from a container
        (
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            {"cpu,cpuacct/x/cpu.cfs_quota_us": "50000", "cpu,cpuacct/x/cpu.cfs_period_us": "100000"},
        ),
        ("3:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "150000", "cpu/x/cpu.cfs_period_us": "100000"}),
    ],
)
def test_a_quota_of_a_control_group_counts(tmp_path, groups, files):
    assert usable_processors(machine(tmp_path, groups, files)) == 1


@pytest.mark.parametrize(
    ("groups", "files"),
    [
        ("0::/\n", {"cpu.max": "max 100000"}),
        ("0::/\n", {"cpu.max": "9000000 100000"}),
        ("0::/\n", {"cpu.max": "nonsense"}),
        ("0::/\n", {"cpu.max": "100000 0"}),
        ("2:memory:/\n1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}),
        ("", {}),
        ("no colons\n", {"cpu.max": "100000 100000"}),
    ],
)
def test_without_a_lower_quota_it_is_the_affinity(tmp_path, groups, files):
    assert usable_processors(machine(tmp_path, groups, files)) == HERE


def test_a_machine_without_control_groups(tmp_path):
    assert usable_processors(tmp_path) == HERE


THREADS = """
import os, numpy, torch
from pipeline.processors import THREAD_SETTINGS, limit_threads
from threadpoolctl import threadpool_info
limit_threads()
most = max(library["num_threads"] for library in threadpool_info())
print(most, torch.get_num_threads(), os.environ["OMP_NUM_THREADS"])
"""


@pytest.mark.parametrize(("threads", "kept"), [("16", HERE), ("1", 1), ("", HERE), ("many", HERE)])
def test_no_library_has_more_threads_than_processors_and_fewer_are_kept(threads, kept):
    environment = os.environ | dict.fromkeys(THREAD_SETTINGS if threads != "many" else THREAD_SETTINGS[:2], threads)
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=environment, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(kept)] * 3


@pytest.mark.parametrize(("before", "after"), [(None, "passive"), ("active", "active")])
def test_threads_sleep_while_they_wait_unless_the_user_wants_otherwise(monkeypatch, before, after):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    if before:
        monkeypatch.setenv("OMP_WAIT_POLICY", before)
    with threadpool_limits():
        limit_threads()
    assert os.environ["OMP_WAIT_POLICY"] == after


def test_what_is_loaded_later_inherits_the_limit(monkeypatch):
    for name in THREAD_SETTINGS:
        monkeypatch.setenv(name, "64")
    with threadpool_limits():  # which restores what is loaded
        limit_threads()
    assert {os.environ[name] for name in THREAD_SETTINGS} == {str(usable_processors())}
