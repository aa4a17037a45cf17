"""A run: the parts of a dataset that are not done, annotated on this machine or on a cluster."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace

from pipeline.annotations import finished_parts
from pipeline.records import Totals, read_record
from pipeline.settings import UserError, say

from .annotation_settings import AnnotationSettings
from .annotator import Annotator
from .run_log import end_lines, run_log, start_line
from .run_record import (
    PartClaims,
    begin_or_continue,
    parts_to_do,
    with_pinned_revision,
    write_totals,
)


def annotate(settings: AnnotationSettings) -> Totals:
    """Annotate a dataset into settings.folder, going on where runs before were stopped; returns the totals of all runs.

    Other runs may be at work in the same folder: this one takes the parts that they don't, and ends when all are done.
    Raises UserError if the dataset, the weights or the folder can't be used; parts that are whole stay so.
    """
    settings.compute.share_of([])  # a share that is none is said before anything is loaded
    settings = with_pinned_revision(settings)
    folder = settings.folder
    on_cluster = settings.compute.engine == "ray"
    # where a cluster does the work, its models are needed here for their digests only, and there may be no GPU
    here = replace(settings, model=replace(settings.model, device="cpu")) if on_cluster else settings
    with closing(Annotator(here)) as annotator:
        source = annotator.source
        if not source.n_parts:
            raise UserError(f"{settings.dataset.path or settings.dataset.name}: there are no songs in it")
        begin_or_continue(settings, annotator.decides, source.n_parts)
        done = finished_parts(folder)
        before = total_of(settings, done)
        mine = settings.compute.share_of(range(source.n_parts))
        to_do = [part for part in mine if part not in done]
        say(start_line(settings, source.n_parts, len(to_do), len(done)))
        with run_log(len(to_do), before, source.n_rows) as log:
            if to_do and on_cluster:
                from .ray_engine import annotate_on_cluster  # Ray is there only where it is used

                for record in annotate_on_cluster(settings, annotator.run, to_do):
                    log.part(record, told=False)
            elif to_do:
                with closing(PartClaims(folder)) as claims:
                    for record in annotator.annotate(parts_to_do(to_do, claims), log.songs):
                        claims.release(record.part)
                        log.part(record)
    done = finished_parts(folder)
    totals = total_of(settings, done)
    if len(done) == source.n_parts:
        write_totals(settings, totals)
    for line in end_lines(folder, totals, len(done), source.n_parts):
        say(line)
    return totals


def total_of(settings: AnnotationSettings, parts: Iterable[int]) -> Totals:
    """The totals of parts that are done, from their records. Raises UserError if one can't be read."""
    totals = Totals()
    for part in sorted(parts):
        totals.add(read_record(settings.folder, part).totals)
    return totals
