"""Valence and arousal of every bar of a dataset: rows -> bars -> predictions -> tables, part by part.

All stages are at work at once: a thread reads rows, processes convert them, another thread encodes and predicts the
bars of many songs at a time, and here they are written. What a part's tables hold depends on its rows and the weights
only: nothing crosses a part's border, and songs stand in the order of the dataset however many workers there are. So
parts may be done in any order, by any number of runs, and again after any stop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace

from pipeline.settings import UserError

from .annotation_settings import AnnotationSettings
from .gigamidi_source import Source, open_source
from .part_claims import PartClaims, parts_to_do
from .part_files import PartRecord, Totals, complete_part, part_tables, parts_done, read_record
from .prediction import Predicted, converters_for, load_models, predicted
from .run_log import end_lines, run_log, say, start_line
from .run_record import begin_or_continue, digest_of, what_decides, with_pinned_revision, write_totals
from .worker_processes import RowsOfPart, tasks_of_part
from .working_ahead import working_ahead

BATCHES_AHEAD = 2


class Annotator:
    """What annotates parts in this process: models, the dataset, and processes that convert.

    Opening it raises UserError if the dataset or the weights can't be used. patient: as for open_source.
    """

    def __init__(self, settings: AnnotationSettings, patient: bool = False):
        self.settings = settings
        self.models = load_models(settings.model)
        self.source = open_source(
            settings.dataset, settings.output.row_groups_per_part, settings.limits.file_bytes, patient
        )
        self.decides = what_decides(settings, self.source.identity, self.models.digests)
        self.run = digest_of(self.decides)
        self._converters = converters_for(self.models, settings)

    def annotate(
        self, parts: Iterable[int], progress: Callable[[int], None] = lambda songs: None
    ) -> Generator[PartRecord, None, None]:
        """Annotate parts into the output folder, and give the record of each when it is done.

        progress: told how many songs more were annotated. Raises UserError if the dataset can't be read or the folder
        not be written to: the parts before stay whole, and nothing is left of the one that was begun.
        """
        folder, columns = self.settings.folder, self.source.columns
        converted = self._converters.in_order(_read(self.source, parts))
        batches = working_ahead(
            predicted(converted, self.models, self.settings.compute.bars_per_batch),
            BATCHES_AHEAD,
        )
        with closing(batches):
            for batch in batches:
                with part_tables(folder, batch.part, columns) as tables:
                    for following in _of_one_part(batch, batches):
                        for outcome in following.outcomes():
                            tables.add(outcome)
                        progress(len(following.songs))
                yield complete_part(folder, batch.part, self.run, tables.totals)

    def close(self) -> None:
        """End the processes."""
        self._converters.close()


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
        done = parts_done(folder)
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
    done = parts_done(folder)
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


def _read(source: Source, parts: Iterable[int]) -> Generator[RowsOfPart, None, None]:
    """The rows of parts, in tasks for the workers."""
    for part in parts:
        with closing(source.rows(part)) as rows:
            yield from tasks_of_part(part, rows)


def _of_one_part(first: Predicted, following: Iterator[Predicted]) -> Iterator[Predicted]:
    """The batches of a part, of which the first has been taken."""
    yield first
    while not first.ends_part:
        first = next(following)
        yield first
