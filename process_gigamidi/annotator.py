"""Parts of a dataset annotated in this process: rows -> bars -> predictions -> tables.

All stages are at work at once: a thread reads rows, processes convert them, another thread encodes and predicts the
bars of many songs at a time, and here they are written. What a part's tables hold depends on its rows and the weights
only: nothing crosses a part's border, and songs stand in the order of the dataset however many workers there are. So
parts may be done in any order, by any number of runs, and again after any stop.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

from pipeline.records import PartRecord, digest_of

from .annotation_settings import AnnotationSettings
from .gigamidi_source import open_source
from .part_files import complete_part, part_tables
from .prediction import PredictedSongs, converters_for, load_models, predict_songs
from .run_record import (
    what_decides,
)
from .song_rows import Source
from .worker_processes import RowsOfPart, prefetch, tasks_of_part

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
        batches = prefetch(
            predict_songs(converted, self.models, self.settings.compute.bars_per_batch),
            BATCHES_AHEAD,
        )
        with closing(batches):
            for batch in batches:
                with part_tables(folder, batch.part, columns) as tables:
                    for following in _of_one_part(batch, batches):
                        for song in following.annotated():
                            tables.add(song)
                        progress(len(following.songs))
                yield complete_part(folder, batch.part, self.run, tables.totals)

    def close(self) -> None:
        """End the processes."""
        self._converters.close()


def _read(source: Source, parts: Iterable[int]) -> Generator[RowsOfPart, None, None]:
    """The rows of parts, in tasks for the workers."""
    for part in parts:
        with closing(source.rows(part)) as rows:
            yield from tasks_of_part(part, rows)


def _of_one_part(first: PredictedSongs, following: Iterator[PredictedSongs]) -> Iterator[PredictedSongs]:
    """The batches of a part, of which the first has been taken."""
    yield first
    while not first.ends_part:
        first = next(following)
        yield first
