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

from analyze_emotion_annotations.analysis_settings import SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.plot_canvas import save_plot
from analyze_emotion_annotations.song_curves import Song, plot_song
from pipeline.annotations import FORMAT, RUN_RECORD, TABLES, table_path
from pipeline.files import provenance, write_json
from pipeline.records import digest_of, finish_part
from pipeline.settings import UserError, load_settings, one_line
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.midi_files import NamedFile, midi_row, named_files
from process_gigamidi.part_files import PartTables, new_tables
from process_gigamidi.prediction import Annotated, Failed, Models, converters_for, load_models, predict_songs
from process_gigamidi.song_rows import Row
from process_gigamidi.worker_processes import tasks_of_part

from .printed_songs import PrintedSongs, shown

if TYPE_CHECKING:
    pass


MOST_PATHS = 20  # of plots that are printed one by one
LONGEST_COMPLAINT = 300  # characters
_MARK = "own_files"  # that the record of such a folder has, and no other
_KEPT = "-_.,()[]+&' "  # in a plot's name, beside letters and digits
_LONGEST_NAME = 120  # bytes: file systems take 255, and the suffix and more come on top


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
                _complain(f"{shown(song.row.called)}: {song.reason}")
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


def _rows(files: Sequence[NamedFile], most_bytes: int) -> Iterator[Row]:
    for file, name in files:
        try:
            yield midi_row(file, name, most_bytes)
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
    pass

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


def as_song(song: Annotated) -> Song:
    """What a song's curves are drawn from."""
    bars = song.bars
    valence, arousal, valence_error_sd, arousal_error_sd = song.predicted.T
    return Song(
        md5=song.row.md5,
        title=song.row.called,
        artist="",
        duration_seconds=song.duration_seconds,
        bar_number=bars.bar_number,
        start_seconds=bars.start_seconds,
        valence=valence,
        arousal=arousal,
        valence_error_sd=valence_error_sd,
        arousal_error_sd=arousal_error_sd,
        n_notes=bars.n_notes,
    )


class CurvePlots:
    """Plots of songs in one folder, each named after its song, as config/analysis.yaml has plots."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._plot = load_settings(AnalysisSettings, SETTINGS_FILE).plot
        self._taken: set[str] = set()

    def draw(self, song: Annotated) -> list[Path]:
        """Draw a song; returns the paths. Raises OSError if they can't be written."""
        name = plot_name(song.row.called)
        if name.casefold() in self._taken:
            name = f"{name}-{song.row.md5[:8]}"
        self._taken.add(name.casefold())
        return save_plot(plot_song(as_song(song), self._plot.dpi), self._folder, name, self._plot.formats)


def plot_name(called: str) -> str:
    """The name of a song's plot, without suffix: the song's own, fit for any file system."""
    stem = called.removesuffix(Path(called).suffix)
    name = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in stem)
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore").strip("._ ") or "song"
