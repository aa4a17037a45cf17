"""Parts as tasks of a Ray cluster: each goes to a free machine, and to another one if that machine fails.

A task annotates one part. Each of Ray's worker processes opens the models, the dataset and its converting processes
once and keeps them for the parts that follow. The output folder, and a local copy of the dataset, must be on a file
system that all machines see under the same path.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from musetok_bridge.bridge_settings import Workers
from pipeline.parts import LOOK_AGAIN, PartClaims
from pipeline.records import PartRecord, read_record
from pipeline.settings import GO_ON, UserError, first_line, note

from .annotation_settings import AnnotationSettings
from .annotator import Annotator, annotate_part

RETRIES = 10  # of a part whose machine or process died
ANSWERS_WITHIN = 10  # seconds for a connection to the head of the cluster

_opened: dict[AnnotationSettings, Annotator] = {}  # kept by each of Ray's processes from part to part


def annotate_on_cluster(
    settings: AnnotationSettings, run: str, parts: Sequence[int]
) -> Generator[PartRecord, None, None]:
    """Annotate parts as tasks of a cluster; yields the record of each as it is finished.

    run: the digest of everything that decides the result; a machine that computes another one is an error. Raises
    UserError if the cluster can't be reached or a part can't be done; finished parts are kept.
    """
    settings = _for_all_machines(settings)
    cpus, gpus = settings.ray.cpus_per_task, settings.ray.gpus_per_task
    with _cluster(settings):
        _check_demand({"CPU": cpus, "GPU": gpus}, others_may_join=settings.ray.address is not None)
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(claim_and_annotate)
        under_way = {task.remote(settings, run, part): part for part in parts}
        try:
            while under_way:
                (finished,), _ = ray.wait(list(under_way), num_returns=1)
                part = under_way.pop(finished)
                record = _result(finished, part)
                if record is None:  # another run holds it: try again after other parts
                    time.sleep(LOOK_AGAIN)
                    under_way[task.remote(settings, run, part)] = part
                else:
                    yield record
        finally:
            for reference in under_way:
                ray.cancel(reference)


def claim_and_annotate(settings: AnnotationSettings, run: str, part: int) -> PartRecord | None:
    """Annotate one part in this process; returns its record, or None if another run holds it.

    Raises UserError if the part can't be done, or this machine's data and weights don't have the digest `run`.
    """
    claims = PartClaims(settings.folder)
    with closing(claims):
        if not claims.take(part):
            return read_record(settings.folder, part) if claims.is_done(part) else None
        try:
            if settings not in _opened:
                _opened[settings] = Annotator(settings, reopened=True)
            return annotate_part(_opened[settings], run, part)
        except BaseException:
            if settings in _opened:
                _opened.pop(settings).close()
            raise


def _for_all_machines(settings: AnnotationSettings) -> AnnotationSettings:
    """The settings with absolute paths: a task may run in any folder."""

    def absolute(path: str) -> str:
        return str(Path(path).resolve()) if Path(path).exists() else path

    path = settings.dataset.path
    return replace(
        settings,
        dataset=replace(settings.dataset, path=None if path is None else absolute(path)),
        model=replace(settings.model, encoder=absolute(settings.model.encoder), head=absolute(settings.model.head)),
        output=replace(settings.output, dir=str(settings.folder.resolve())),
        compute=replace(settings.compute, workers=_workers_of_a_task(settings)),
    )


def _workers_of_a_task(settings: AnnotationSettings) -> Workers:
    """How many processes convert for a task; `auto` are its processors but for one, which writes."""
    workers = settings.compute.workers
    return str(max(1, math.floor(settings.ray.cpus_per_task) - 1)) if workers == "auto" else workers


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
    try:
        return ray.get(finished)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(f"part {part:05d}: {error.cause}") from error
        raise
    except RayError as error:
        raise UserError(f"part {part:05d}: its process or machine died {RETRIES} times; {GO_ON}") from error
