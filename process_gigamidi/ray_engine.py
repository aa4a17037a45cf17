"""The parts as tasks of a Ray cluster: any free machine takes the next one, and another one if that machine leaves.

A task does with one part what a local run does with many. What it needs (models, dataset, processes that convert) is
opened once in each of Ray's worker processes and kept for the parts that follow. The output folder, and a local copy of
the dataset, must be on a file system that all machines see under the same path.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from pipeline.records import PartRecord, read_record
from pipeline.settings import UserError, first_line, note

from .annotation_settings import GO_ON, AnnotationSettings
from .annotator import Annotator
from .run_record import LOOK_AGAIN, PartClaims

RETRIES = 10  # of a part whose machine or process has died
ANSWERS_WITHIN = 10  # seconds for a connection to the head of the cluster

_opened: dict[AnnotationSettings, Annotator] = {}  # what this process of Ray's keeps from part to part


def annotate_on_cluster(
    settings: AnnotationSettings, run: str, parts: Sequence[int]
) -> Generator[PartRecord, None, None]:
    """Annotate parts as tasks of a cluster; give the record of each that was done, as they come.

    run: digest of what the parts must follow from; a machine where it comes out otherwise is an error. Raises UserError
    if there is no such cluster or a part can't be done; parts that are done stay so.
    """
    settings = _for_all_machines(settings)
    cpus, gpus = settings.ray.cpus_per_task, settings.ray.gpus_per_task
    with _cluster(settings):
        _check_demand({"CPU": cpus, "GPU": gpus})
        task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES)(annotate_part)
        under_way = {task.remote(settings, run, part): part for part in parts}
        try:
            while under_way:
                (finished,), _ = ray.wait(list(under_way), num_returns=1)
                part = under_way.pop(finished)
                record = _result(finished, part)
                if record is None:  # another run holds it; it is looked at again when others are done
                    time.sleep(LOOK_AGAIN)
                    under_way[task.remote(settings, run, part)] = part
                else:
                    yield record
        finally:
            for reference in under_way:
                ray.cancel(reference)


def annotate_part(settings: AnnotationSettings, run: str, part: int) -> PartRecord | None:
    """Annotate one part in this process; its record, or None if another run holds it.

    Raises UserError if the part can't be done, or what it would follow from is not what `run` stands for.
    """
    claims = PartClaims(settings.folder)
    with closing(claims):
        if not claims.take(part):
            return read_record(settings.folder, part) if claims.is_done(part) else None
        try:
            if settings not in _opened:
                _opened[settings] = Annotator(settings, patient=True)
            annotator = _opened[settings]
            if annotator.run != run:
                raise UserError("this machine has other weights, or another copy of the dataset, than the others")
            (record,) = annotator.annotate([part])
        except BaseException:
            if settings in _opened:
                _opened.pop(settings).close()
            raise
        return record


def _for_all_machines(settings: AnnotationSettings) -> AnnotationSettings:
    """The settings with whole paths: a task may run in any folder."""

    def whole(path: str) -> str:
        return str(Path(path).expanduser().resolve()) if Path(path).expanduser().exists() else path

    path = settings.dataset.path
    return replace(
        settings,
        dataset=replace(settings.dataset, path=None if path is None else whole(path)),
        model=replace(settings.model, encoder=whole(settings.model.encoder), head=whole(settings.model.head)),
        output=replace(settings.output, dir=str(settings.folder.resolve())),
    )


def _cluster(settings: AnnotationSettings) -> Any:
    """The connection to the cluster, as a context that ends it. Raises UserError if there is none."""
    try:
        _check_heard(settings.ray.address)
        return ray.init(address=settings.ray.address or "local", log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, OSError, RuntimeError, ValueError) as error:
        raise UserError(
            f"ray.address: no Ray cluster at {settings.ray.address}, or it asks for a token that is not set here "
            f"(RAY_AUTH_MODE, see docs/many_machines.md): {first_line(error)}"
        ) from error


def _check_heard(address: str | None) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would try for minutes, without a word."""
    host, _, port = (address or "").rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN).close()


def _check_demand(wanted: dict[str, float]) -> None:
    """Say so if no machine of the cluster has what a task asks for: it would wait for ever."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(all(machine.get(kind, 0) >= n for kind, n in wanted.items()) for machine in machines):
        note(
            f"no machine of the cluster has {wanted['CPU']:g} CPUs and {wanted['GPU']:g} GPUs for a part "
            "(ray.cpus_per_task, ray.gpus_per_task): waiting for one that joins"
        )


def _result(finished: ray.ObjectRef[PartRecord | None], part: int) -> PartRecord | None:
    try:
        return ray.get(finished)
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(f"part {part:05d}: {error.cause}") from error
        raise
    except RayError as error:
        raise UserError(f"part {part:05d}: its process or machine died {RETRIES} times; {GO_ON}") from error
