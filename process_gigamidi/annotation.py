"""One run of 01_annotate.py: annotates the parts that are not finished, on this machine or on a cluster.

It stands above the ways to do so: annotator.py in this process, part_processes.py in several, which each use the first,
and ray_engine.py on several machines.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import replace

from musetok_bridge.bridge_settings import number_of
from pipeline.annotations import finished_parts
from pipeline.parts import PartClaims, PartQueue, parts_to_do
from pipeline.records import DATASET, PartRecord, RecordError, Totals, read_record, writer_in
from pipeline.settings import UserError, counted, note, one_line, say

from .annotation_settings import AnnotationSettings
from .annotator import Annotator
from .part_processes import PartProcesses
from .run_log import end_lines, run_log, start_line
from .run_record import begin_or_continue, with_pinned_revision, write_totals

MOST_FAILURES = 0.95  # share of the songs in the first part; in real data sets a few in a thousand fail


def annotate(settings: AnnotationSettings) -> Totals:
    """Annotate a dataset into settings.folder, continuing earlier runs; returns the totals of the whole folder.

    Other runs may work in the same folder: this one takes the parts that they don't, and ends when all parts are
    finished. Raises UserError if the dataset, the weights or the folder can't be used, or nearly every song of the
    first part failed; finished parts are kept.
    """
    settings.compute.share_of([])  # so that a malformed share is reported before anything is loaded
    if (writer := writer_in(settings.folder)) not in (None, DATASET):
        raise RecordError(f"output.dir: {settings.folder} holds the results of {writer}; choose another folder")
    settings = with_pinned_revision(settings)
    folder = settings.folder
    on_cluster = settings.compute.engine == "ray"
    # A cluster does the work with models of its own: here they only give their digests, for which a CPU is enough.
    here = replace(settings, model=replace(settings.model, device="cpu")) if on_cluster else settings
    with closing(Annotator(here)) as annotator:
        source = annotator.source
        if not source.n_parts or source.n_rows == 0:
            raise UserError(f"{settings.dataset.path or settings.dataset.name}: there are no songs in it")
        begin_or_continue(settings, annotator.decides, source.n_parts, annotator.models.trained_on)
        done = finished_parts(folder)
        before = total_of(settings, done)
        mine = settings.compute.share_of(range(source.n_parts))
        to_do = [part for part in mine if part not in done]
        say(start_line(settings, source.n_parts, len(to_do), len(done)))
        with (
            run_log(len(to_do), before, source.n_rows) as log,
            closing(_finished(settings, annotator, to_do, log.songs)) as finished,
        ):
            for n_finished, record in enumerate(finished):
                log.part(record, songs_counted=not on_cluster)
                if not n_finished and (failed := _first_part_failed(settings)):  # now, not after days
                    note(failed)
    done = finished_parts(folder)
    totals = total_of(settings, done)
    if len(done) == source.n_parts:
        write_totals(settings, totals)
    for line in end_lines(folder, totals, len(done), source.n_parts):
        say(line)
    if failed := _first_part_failed(settings):
        raise UserError(failed)
    return totals


def _finished(
    settings: AnnotationSettings, annotator: Annotator, parts: list[int], progress: Callable[[int], None]
) -> Generator[PartRecord, None, None]:
    """Annotate parts, here or on a cluster; yields the record of each as it is finished. progress: as for Annotator.

    Each part is a process's work, which is fastest, where no encoder is at work and, here, there are enough parts. An
    encoder has the bars of all parts one after the other, from processes that convert, and uses all cores or a GPU.
    """
    with_encoder, number = annotator.models.encoder is not None, number_of(settings.compute.workers)
    if not parts:
        return
    if settings.compute.engine == "ray":
        from .ray_engine import annotate_on_cluster  # Ray is there only where it is used

        yield from annotate_on_cluster(settings, annotator.run, parts, with_encoder)
        return
    with ExitStack() as opened:
        claims = opened.enter_context(closing(PartClaims(settings.folder)))
        if not with_encoder and 0 < number <= len(parts) > 1:
            processes = opened.enter_context(closing(PartProcesses(settings, annotator.run, number)))
            finished = processes.annotate(PartQueue(parts, claims), progress)
        else:
            finished = opened.enter_context(closing(annotator.annotate(parts_to_do(parts, claims), progress)))
        for record in finished:
            claims.release(record.part)
            yield record


def _first_part_failed(settings: AnnotationSettings) -> str | None:
    """One line if nearly every song of the first finished part failed: the dataset is then not what it seems."""
    first = total_of(settings, sorted(finished_parts(settings.folder))[:1])
    if first.failures <= MOST_FAILURES * first.rows:
        return None
    reason, n = first.by_reason()[0]
    reasons = settings.folder / "failures"
    meant = "are these the weights" if reason == "not_finite" else "is this the dataset, and its column,"
    return (
        f"{first.failures:,} of {counted(first.rows, 'song')} in the first part failed, {n:,} of them with "
        f"{one_line(reason, 40)}: {meant} that you mean? See {reasons}"
    )


def total_of(settings: AnnotationSettings, parts: Iterable[int]) -> Totals:
    """The sum of the totals in the records of finished parts. Raises UserError if a record can't be read."""
    totals = Totals()
    for part in sorted(parts):
        totals.add(read_record(settings.folder, part).totals)
    return totals
