"""How many processors this process may use, no more threads than that, and memory kept for the next piece of work.

Libraries start as many threads as the machine has processors. In a container, or where a scheduler gives a job a part
of a machine, most of them then wait for each other, and OpenMP's wait in busy loops that take the time of those that
work: beside one other process training CustomMLP took three to nine times as long.
"""

from __future__ import annotations

import ctypes
import math
import os
from contextlib import suppress
from pathlib import Path

from threadpoolctl import threadpool_info, threadpool_limits

THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # read by libraries as they are loaded
_WAIT = "OMP_WAIT_POLICY"  # active, in loops, or passive, asleep (OpenMP 5.2, 21.7)
_LONGEST = 10  # digits of a number of threads
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's mallopt(3)
_KEPT = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20}  # bytes; the second is the most that glibc takes


def usable_processors(root: Path = Path("/")) -> int:
    """The processors that this process may use, 1 or more: its affinity, and the limits of its control groups.

    A quota of one and a half processors counts as one. root: where /proc and /sys are.
    """
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on; the user may set it lower by PYTHON_CPU_COUNT
        here = min(here, os.process_cpu_count() or here)
    return max(1, math.floor(min(here, _quota(root))))


def _quota(root: Path) -> float:
    """The processor time a second that the control groups of this process allow; infinite without a limit.

    Version 2 has cpu.max, "QUOTA PERIOD" or "max PERIOD"; version 1 cpu.cfs_quota_us and cpu.cfs_period_us, the first
    −1 for none. A group's limit holds for the groups below it. Source: the kernel's cgroup-v2.rst and sched-bwc.rst.
    """
    lowest = math.inf
    with suppress(OSError, ValueError):  # no such file, or not as the kernel writes it
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            tops = [
                root / "sys/fs/cgroup" / name for name in ((controllers, "cpu") if controllers else (".", "unified"))
            ]
            for top in tops:
                group = top / path.lstrip("/")
                for folder in (group, *group.parents):
                    if not folder.is_relative_to(top):
                        break
                    lowest = min(lowest, _limit_in(folder))
    return lowest


def _limit_in(folder: Path) -> float:
    """The limit that a control group's folder states; infinite if it states none."""
    with suppress(OSError, ValueError, ArithmeticError):
        quota, period = (folder / "cpu.max").read_text("utf-8").split()
        return math.inf if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    with suppress(OSError, ValueError, ArithmeticError):
        quota, period = ((folder / f"cpu.cfs_{name}_us").read_text("utf-8") for name in ("quota", "period"))
        return math.inf if int(quota) <= 0 else int(quota) / int(period)
    return math.inf


def limit_threads() -> None:
    """Let libraries use no more threads than there are processors: those loaded already, and those loaded later.

    Threads of libraries that are loaded later sleep while they wait. Processes that are started later inherit both. A
    lower number that the user has set stays, and so does the user's way of waiting.
    """
    usable = usable_processors()
    os.environ.setdefault(_WAIT, "passive")
    for name in THREAD_SETTINGS:
        set_before = os.environ.get(name, "")
        if not (set_before.isdecimal() and len(set_before) < _LONGEST and 0 < int(set_before) <= usable):
            os.environ[name] = str(usable)
    if above := {library["prefix"]: usable for library in threadpool_info() if library["num_threads"] > usable}:
        threadpool_limits(above)


def keep_freed_memory() -> None:
    """Let this process keep memory that it frees, up to 64 MiB, where the C library can (glibc).

    A process that computes with the same few megabytes again and again otherwise returns them to the system each time,
    which clears every page before it gives it back: in annotation that took a sixteenth of the processor time.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, n_bytes in _KEPT.items():
            mallopt(parameter, n_bytes)
