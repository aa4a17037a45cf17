"""One run of 01_annotate.py: annotates the parts that are not finished, on this machine or on a cluster.

It stands above both engines, annotator.py and ray_engine.py, since a task of the cluster uses the first as well.
"""

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
from .run_record import PartClaims, begin_or_continue, parts_to_do, with_pinned_revision, write_totals


def annotate(settings: AnnotationSettings) -> Totals:
    """Annotate a dataset into settings.folder, continuing earlier runs; returns the totals of the whole folder.

    Other runs may work in the same folder: this one takes the parts that they don't, and ends when all parts are
    finished. Raises UserError if the dataset, the weights or the folder can't be used; finished parts are kept.
    """
    settings.compute.share_of([])  # so that a malformed share is reported before anything is loaded
    settings = with_pinned_revision(settings)
    folder = settings.folder
    on_cluster = settings.compute.engine == "ray"
    # A cluster does the work with models of its own: here they only give their digests, for which a CPU is enough.
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
                    log.part(record, songs_counted=False)
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
    """The sum of the totals in the records of finished parts. Raises UserError if a record can't be read."""
    totals = Totals()
    for part in sorted(parts):
        totals.add(read_record(settings.folder, part).totals)
    return totals
