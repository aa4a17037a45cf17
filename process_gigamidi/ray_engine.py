"""Parts as tasks of a Ray cluster: each goes to a free machine, and to another one if that machine fails.

A task annotates one part as it is done on one machine: by a process of part_processes.py, or, where an encoder is at
work, by an Annotator with processes that convert. Each of Ray's worker processes keeps what it has started for the
parts that follow. The output folder, and a local copy of the dataset, must be on a file system that all machines see
under the same path.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from musetok_bridge.worker_processes import pause_after
from pipeline.parts import LOOK_AGAIN, PartClaims, PartQueue
from pipeline.processors import usable_processors
from pipeline.records import PartRecord, read_record
from pipeline.settings import GO_ON, UserError, first_line, note

from .annotation_settings import AnnotationSettings
from .annotator import Annotator, annotate_part
from .part_processes import PartProcesses

TRIES = 10  # at a part whose machine or process dies; Ray's own follow too fast to outlast a machine that has just died
ANSWERS_WITHIN = 10  # seconds for a connection to the head of the cluster

CPUS_WITH_AN_ENCODER = 3.0  # of a task: the encoder's, and two that convert
_opened: dict[AnnotationSettings, Annotator | PartProcesses] = {}  # kept by each of Ray's processes from part to part


def annotate_on_cluster(
    settings: AnnotationSettings, run: str, parts: Sequence[int], with_encoder: bool
) -> Generator[PartRecord, None, None]:
    """Annotate parts as tasks of a cluster; yields the record of each as it is finished.

    run: the digest of everything that decides the result; a machine that computes another one is an error.
    with_encoder: whether the head reads latents. Raises UserError if the cluster can't be reached or a part can't be
    done; finished parts are kept.
    """
    wanted = CPUS_WITH_AN_ENCODER if with_encoder else 1.0
    here = usable_processors() if settings.ray.address is None else wanted
    cpus = settings.ray.cpus_per_task or min(wanted, here)
    gpus = settings.ray.gpus_per_task
    settings = _for_all_machines(settings, cpus)
    by_process = not with_encoder and settings.compute.workers != "0"
    with _cluster(settings):
        _check_demand({"CPU": cpus, "GPU": gpus}, others_may_join=settings.ray.address is not None)
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=0)(claim_and_annotate)
        under_way = {task.remote(settings, run, part, by_process): part for part in parts}
        deaths: Counter[int] = Counter()  # by part
        try:
            while under_way:
                (finished,), _ = ray.wait(list(under_way), num_returns=1)
                part = under_way.pop(finished)
                record, pause = None, LOOK_AGAIN
                try:
                    record = _result(finished, part)
                except RayError as error:
                    deaths[part] += 1
                    if deaths[part] == TRIES:
                        raise UserError(
                            f"part {part:05d}: its process or machine died {TRIES} times ({first_line(error)}); {GO_ON}"
                        ) from error
                    pause = pause_after(deaths[part])
                if record is None:  # it died, or another run holds it: try again after other parts
                    time.sleep(pause)
                    under_way[task.remote(settings, run, part, by_process)] = part
                else:
                    yield record
        finally:
            for reference in under_way:
                ray.cancel(reference)


def claim_and_annotate(settings: AnnotationSettings, run: str, part: int, by_process: bool) -> PartRecord | None:
    """Annotate one part; returns its record, or None if another run holds it. by_process: by a process of its own.

    Raises UserError if the part can't be done, or this machine's data and weights don't have the digest `run`.
    """
    with closing(PartClaims(settings.folder)) as claims:
        if not claims.take(part):
            return read_record(settings.folder, part) if claims.is_done(part) else None
        try:
            if settings not in _opened:
                _opened[settings] = (
                    PartProcesses(settings, run, 1) if by_process else Annotator(settings, reopened=True)
                )
            opened = _opened[settings]
            if isinstance(opened, Annotator):
                return annotate_part(opened, run, part)
            record = next(opened.annotate(PartQueue([part], claims)), None)
            # on a file system without locks another run may have been faster
            return record or read_record(settings.folder, part)
        except BaseException:
            if settings in _opened:
                _opened.pop(settings).close()
            raise


def _for_all_machines(settings: AnnotationSettings, cpus: float) -> AnnotationSettings:
    """The settings with absolute paths, as a task may run in any folder, and its own number of processes.

    cpus: processors of a task.
    """

    def absolute(path: str) -> str:
        return str(Path(path).resolve()) if Path(path).exists() else path

    path, workers = settings.dataset.path, settings.compute.workers
    if workers == "auto":
        workers = str(max(1, math.floor(cpus) - 1))  # the other one writes, and is the encoder's
    return replace(
        settings,
        dataset=replace(settings.dataset, path=None if path is None else absolute(path)),
        model=replace(settings.model, encoder=absolute(settings.model.encoder), head=absolute(settings.model.head)),
        output=replace(settings.output, dir=str(settings.folder.resolve())),
        compute=replace(settings.compute, workers=workers),
    )


def _cluster(settings: AnnotationSettings) -> Any:
    """A connection to the cluster, as a context manager. Raises UserError if it can't be reached.

    Ray's makers are told nothing, unless the user wants it. Its metrics are only served on this machine, to who asks.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        _check_listening(settings.ray.address)
        return ray.init(
            address=settings.ray.address or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (RayError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"ray.address: no Ray cluster at {settings.ray.address}, or it asks for a token that is not set here "
            f"(RAY_AUTH_MODE, see docs/many_machines.md): {first_line(error)}"
        ) from error


def _check_listening(address: str | None) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would try for minutes, in silence."""
    host, _, port = (address or "").rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN).close()


def _check_demand(wanted: dict[str, float], others_may_join: bool) -> None:
    """Print a note if no machine of the cluster has the resources of a task, which then waits for one that joins.

    Raises UserError if none can join, as in a cluster that was started for this run.
    """
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if any(all(machine.get(kind, 0) >= n for kind, n in wanted.items()) for machine in machines):
        return
    needs = f"{wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs for a part (ray.cpus_per_task, ray.gpus_per_task)"
    if not others_may_join:
        raise UserError(f"this machine has not the {needs}")
    note(f"no machine of the cluster has the {needs}: waiting for one that joins")


def _result(finished: ray.ObjectRef[PartRecord | None], part: int) -> PartRecord | None:
    """What a task returned. Raises RayError if its process or machine died, and what the task raised otherwise."""
    try:
        return ray.get(finished)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(f"part {part:05d}: {error.cause}") from error
        raise RuntimeError(f"part {part:05d}: {error}") from error
