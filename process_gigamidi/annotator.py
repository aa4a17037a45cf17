"""Parts of a dataset annotated in this process: rows -> bars -> predictions -> tables.

A thread reads rows ahead. With a guard one thread does everything else, as in the processes of part_processes.py.
Otherwise all stages run at once: processes convert (with compute.workers=0 this one does), a thread encodes and
predicts the bars of many songs at a time, and the main thread writes. A part's tables depend only on its rows and the
weights: no batch mixes songs of two parts, and songs keep the dataset's order however many workers there are. So parts
can be done in any order, by any number of runs, and done again after any stop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing

from musetok_bridge.conversion import Guard
from musetok_bridge.worker_processes import TASKS_AHEAD, batches_of_part, prefetch, tasks_of_parts
from pipeline.records import PartRecord, digest_of
from pipeline.settings import UserError
from song_sources.gigamidi_source import open_source

from .annotation_settings import AnnotationSettings
from .part_files import complete_part, part_tables
from .prediction import converters_for, load_models, predict_songs
from .run_record import what_decides

BATCHES_AHEAD = 2


class Annotator:
    """Annotates parts in this process: holds the models, the dataset and the processes that convert.

    reopened: as for open_source and load_models. Creating one raises UserError if the dataset or the weights can't be
    used.
    """

    def __init__(self, settings: AnnotationSettings, reopened: bool = False):
        self.settings = settings
        self.models = load_models(settings.model, reopened)
        self.source = open_source(
            settings.dataset, settings.output.row_groups_per_part, settings.limits.file_bytes, reopened
        )
        self.decides = what_decides(settings, self.source.identity, self.models.digests, self.models.fewer_levels)
        self.run = digest_of(self.decides)
        self._converters = converters_for(self.models, settings)

    def annotate(
        self,
        parts: Iterable[int],
        progress: Callable[[int], None] = lambda songs: None,
        guard: Guard | None = None,
    ) -> Generator[PartRecord, None, None]:
        """Annotate parts into the output folder; yields the record of each when it is finished.

        progress: called with the number of songs annotated since its last call. guard: if given, songs are
        converted and predicted in this thread, and it ends the process if one exceeds the limits. Raises UserError if
        the dataset can't be read or the folder can't be written to: finished parts are kept, the unfinished one leaves
        no files.
        """
        folder, columns = self.settings.folder, self.source.columns
        converters = converters_for(self.models, self.settings, guard) if guard else self._converters
        tasks = tasks_of_parts(self.source, parts)
        converted = converters.in_order(prefetch(tasks, TASKS_AHEAD) if guard else tasks)
        predicted_songs = predict_songs(converted, self.models, self.settings.compute.bars_per_batch, guard)
        batches = predicted_songs if guard else prefetch(predicted_songs, BATCHES_AHEAD)
        with closing(batches):
            for batch in batches:
                with part_tables(folder, batch.part, columns) as tables:
                    for predicted in batches_of_part(batch, batches):
                        for song in predicted.annotated():
                            tables.add(song)
                        progress(len(predicted.songs))
                yield complete_part(folder, batch.part, self.run, tables.totals)

    def close(self) -> None:
        """End the processes."""
        self._converters.close()


def annotate_part(
    annotator: Annotator,
    run: str,
    part: int,
    progress: Callable[[int], None] = lambda songs: None,
    guard: Guard | None = None,
) -> PartRecord:
    """Annotate one part; returns its record. progress, guard: as for Annotator.annotate.

    run: the digest of everything that decides the result. Raises UserError if the annotator has another one, or the
    part can't be done.
    """
    if annotator.run != run:
        raise UserError("this machine has other weights, or another copy of the dataset, than where the run began")
    (record,) = annotator.annotate([part], progress, guard)
    return record
