"""Annotation of one's own MIDI files, outside of any dataset and run: a table, plots and CSV in a second or two.

A song has the numbers that 01_annotate.py gives it: the same models read what the same processes converted, under the
same limits. Its tables have the columns of 01_annotate.py and stand in a folder of their own, as one part, which each
run makes anew. Nothing here imports `datasets`, and matplotlib only what draws.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.annotations import FORMAT, RUN_RECORD, TABLES, table_path
from pipeline.files import provenance, write_json
from pipeline.records import digest_of, finish_part
from pipeline.settings import UserError, one_line
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.midi_files import NamedFile, midi_row, named_files
from process_gigamidi.part_files import PartTables, new_tables
from process_gigamidi.prediction import Annotated, Failed, Models, converters_for, load_models, predict_songs
from process_gigamidi.song_rows import Row
from process_gigamidi.worker_processes import tasks_of_part

from .printed_songs import PrintedSongs, shown

if TYPE_CHECKING:
    from .own_curves import CurvePlots

MOST_PATHS = 20  # of plots that are printed one by one
LONGEST_COMPLAINT = 300  # characters
_MARK = "own_files"  # that the record of such a folder has, and no other


@dataclass(frozen=True)
class Wanted:
    """What becomes of annotations. csv, plots: folders, None for none. every_bar: print a row for each bar."""

    csv: Path | None
    plots: Path | None
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
    plots: list[Path] = []
    n_failed = 0
    with ExitStack() as stack:
        draw = _drawing(wanted.plots)
        tables = stack.enter_context(own_tables(wanted.csv, len(files), settings, models)) if wanted.csv else None
        for song in stack.enter_context(closing(annotated(files, models, settings))):
            if tables:
                tables.add(song)
            if isinstance(song, Failed):
                _complain(f"{shown(song.row.name)}: {song.reason}")
                n_failed += 1
            else:
                _say(songs.lines(song))
                plots += draw(song)
    _say(songs.end())
    _say(_where(plots, wanted))
    return not problems and not n_failed


def annotated(
    files: Sequence[NamedFile], models: Models, settings: AnnotationSettings
) -> Generator[Annotated | Failed, None, None]:
    """What becomes of each file, in their order. Raises UserError if processes that convert can't be started."""
    with closing(converters_for(models, settings)) as converters:
        tasks = tasks_of_part(0, _rows(files, settings.limits.file_bytes))
        for batch in predict_songs(converters.in_order(tasks), models, settings.compute.bars_per_batch):
            yield from batch.annotated()


def _rows(files: Sequence[NamedFile], max_bytes: int) -> Iterator[Row]:
    for file, name in files:
        try:
            yield midi_row(file, name, max_bytes)
        except OSError:  # a disk that fails costs this file, as one that is gone does
            yield Row("", None, {"title": name}, name)


def _drawing(folder: Path | None) -> Callable[[Annotated], list[Path]]:
    """What draws a song into the folder and says which plots it made; None: nothing is drawn."""
    if folder is None:
        return lambda song: []
    # In a thread: matplotlib is imported while the process that converts starts.
    plots = ThreadPoolExecutor(1).submit(_curve_plots, folder)
    return lambda song: plots.result().draw(song)


def _curve_plots(folder: Path) -> CurvePlots:
    from .own_curves import CurvePlots

    return CurvePlots(folder)


def _where(plots: Sequence[Path], wanted: Wanted) -> list[str]:
    """Where everything is that was written."""
    lines = [f"curves: {path}" for path in plots]
    if len(lines) > MOST_PATHS:
        lines = [f"curves: {len(plots):,} plots in {wanted.plots}"]
    return lines + [f"table:  {path}" for path in (own_table_paths(wanted.csv) if wanted.csv else [])]


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _complain(line: str) -> None:
    print(f"error: {one_line(line, LONGEST_COMPLAINT)}", file=sys.stderr)


@contextmanager
def own_tables(folder: Path, n_files: int, settings: AnnotationSettings, models: Models) -> Iterator[PartTables]:
    """Tables to fill, which come to their places when the block ends without an error.

    n_files: of which they tell, for the record of what made them. Raises UserError if the folder has tables that
    something else made, OSError if it can't be written to.
    """
    if any(folder.glob("*/part-*")) and not _is_own(folder):
        raise UserError(f"--csv: {folder} holds tables that 01_annotate.py made; give another folder")
    decides = {"format": FORMAT, **models.digests}
    write_json(folder / RUN_RECORD, provenance(settings, **{_MARK: n_files}, decides=decides))
    with new_tables(folder, 0, ("title",)) as tables:
        yield tables
    finish_part(folder, 0, digest_of(decides), tables.totals)


def own_table_paths(folder: Path) -> list[Path]:
    """Where the tables stand."""
    return [table_path(folder, table, 0) for table in TABLES]


def _is_own(folder: Path) -> bool:
    with suppress(OSError, ValueError):
        return _MARK in json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))
    return False
