"""Annotation of one's own MIDI files, outside of any dataset and run: a table, pictures and CSV in a second or two.

A song has the numbers that 01_annotate.py gives it: the same models read what the same processes converted, under the
same limits. Nothing here imports `datasets`, and matplotlib only what draws.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.settings import one_line
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.conversion import Failure
from process_gigamidi.midi_files import NamedFile, Row, midi_row, named_files
from process_gigamidi.own_tables import own_table_paths, own_tables
from process_gigamidi.prediction import Models, Outcome, converters_for, load_models, predicted
from process_gigamidi.worker_processes import tasks_of_part

from .printed_songs import PrintedSongs, shown

if TYPE_CHECKING:
    from process_gigamidi.own_curves import CurvePictures

MOST_PATHS = 20  # of pictures that are printed one by one
LONGEST_COMPLAINT = 300  # characters


@dataclass(frozen=True)
class Wanted:
    """What becomes of annotations. csv, pictures: folders, None for none. every_bar: print a row for each bar."""

    csv: Path | None
    pictures: Path | None
    every_bar: bool


def annotate_own_music(paths: Sequence[Path], settings: AnnotationSettings, wanted: Wanted) -> bool:
    """Print, draw and write what is in MIDI files and in folders of them; whether all could be annotated.

    What can't be annotated is a line on standard error. Raises UserError if the weights or a folder can't be used, or
    processes that convert can't be started; OSError if something can't be written.
    """
    files, problems = named_files(paths)
    for problem in problems:
        _complain(problem)
    if not files:
        return False
    models = load_models(settings.model)
    songs = PrintedSongs([file.name for file in files], wanted.every_bar)
    pictures: list[Path] = []
    n_failed = 0
    with ExitStack() as stack:
        draw = _drawing(wanted.pictures)
        tables = stack.enter_context(own_tables(wanted.csv, len(files), settings, models)) if wanted.csv else None
        for outcome in stack.enter_context(closing(annotated(files, models, settings))):
            if tables:
                tables.add(outcome)
            if isinstance(outcome.converted, Failure):
                _complain(f"{shown(outcome.row.called)}: {outcome.converted.reason}")
                n_failed += 1
            else:
                _say(songs.lines(outcome))
                pictures += draw(outcome)
    _say(songs.end())
    _say(_where(pictures, wanted))
    return not problems and not n_failed


def annotated(
    files: Sequence[NamedFile], models: Models, settings: AnnotationSettings
) -> Generator[Outcome, None, None]:
    """What becomes of each file, in their order. Raises UserError if processes that convert can't be started."""
    with closing(converters_for(models, settings)) as converters:
        tasks = tasks_of_part(0, _rows(files, settings.limits.file_bytes))
        for batch in predicted(converters.in_order(tasks), models, settings.compute.bars_per_batch):
            yield from batch.outcomes()


def _rows(files: Sequence[NamedFile], most_bytes: int) -> Iterator[Row]:
    for file, name in files:
        try:
            yield midi_row(file, name, most_bytes)
        except OSError:  # a disk that fails costs this file, as one that is gone does
            yield Row("", None, {"title": name}, name)


def _drawing(folder: Path | None) -> Callable[[Outcome], list[Path]]:
    """What draws a song into the folder and says which pictures it made; None: nothing is drawn."""
    if folder is None:
        return lambda outcome: []
    # In a thread: matplotlib is imported while the process that converts starts.
    pictures = ThreadPoolExecutor(1).submit(_curve_pictures, folder)
    return lambda outcome: pictures.result().draw(outcome)


def _curve_pictures(folder: Path) -> CurvePictures:
    from process_gigamidi.own_curves import CurvePictures

    return CurvePictures(folder)


def _where(pictures: Sequence[Path], wanted: Wanted) -> list[str]:
    """Where everything is that was written."""
    lines = [f"curves: {path}" for path in pictures]
    if len(lines) > MOST_PATHS:
        lines = [f"curves: {len(pictures):,} pictures in {wanted.pictures}"]
    return lines + [f"table:  {path}" for path in (own_table_paths(wanted.csv) if wanted.csv else [])]


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _complain(line: str) -> None:
    print(f"error: {one_line(line, LONGEST_COMPLAINT)}", file=sys.stderr)
