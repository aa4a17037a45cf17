"""Annotation of your own MIDI files, without a dataset: a printed table, plots, CSV, JSON and MIDI in a second or two.

A song gets the same values as from 01_annotate.py, since conversion, limits and models are the same. The CSV tables
have the columns of 01_annotate.py and are in a folder of their own, as a single part that every run writes anew.
`datasets` is never imported, and matplotlib only if something is drawn.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from musetok_bridge.worker_processes import tasks_of_part
from pipeline.annotations import FORMAT, RUN_RECORD, TABLES, begun_parts, record_path, table_path
from pipeline.file_names import FileNames
from pipeline.files import atomic_write, provenance, write_json
from pipeline.records import OWN_MUSIC, digest_of, finish_part, writer_in
from pipeline.settings import UserError, note, one_line
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.part_files import PartTables, new_tables
from process_gigamidi.prediction import Annotated, Failed, Models, converters_for, load_models, predict_songs
from song_sources.midi_files import NamedFile, midi_row, named_files
from song_sources.song_rows import Row

from .emotion_track import with_emotion
from .printed_songs import JsonSongs, PrintedSongs, WrittenFile, shown

if TYPE_CHECKING:
    from .own_curves import CurvePlots

MOST_PATHS = 20  # with more files, only their folder is printed
WITH_EMOTION = "-emotion.mid"  # the end of the names of files with valence and arousal
LONGEST_COMPLAINT = 300  # characters


@dataclass(frozen=True)
class Wanted:
    """The output that a user wants.

    csv, plots, midi: folders, or None for none. every_bar: print a row for every bar. json: print a line of JSON for
    each song instead. next_line: what to type next, printed last if any song was annotated.
    """

    csv: Path | None
    plots: Path | None
    every_bar: bool
    midi: Path | None = None
    json: bool = False
    next_line: str = ""


def annotate_own_music(paths: Sequence[Path], settings: AnnotationSettings, wanted: Wanted) -> bool:
    """Annotate MIDI files and folders of them; print, draw and write the results. Returns whether all was annotated.

    For a file that can't be annotated a line is printed on standard error. Raises UserError if the weights or a folder
    can't be used or worker processes can't be started, OSError if something can't be written.
    """
    for option, folder in (("--csv", wanted.csv), ("--plots", wanted.plots), ("--midi", wanted.midi)):
        if folder and folder.exists() and not folder.is_dir():
            raise UserError(f"{option}: {folder} is a file; name a folder")
    files, without = named_files(paths)
    if wanted.midi and any(file.path.resolve().is_relative_to(wanted.midi.resolve()) for file in files):
        raise UserError(f"--midi: {wanted.midi} holds songs that are to be annotated; choose another folder")
    songs = JsonSongs() if wanted.json else PrintedSongs([file.name for file in files], wanted.every_bar)
    for path, reason in without:
        _complain(f"{path}: {reason}")
        _say(songs.failed(Failed(Row("", None, {}, str(path)), "read", reason)))
    if not files:
        return False
    models = load_models(settings.model)
    written: list[WrittenFile] = []
    n_failed = 0
    with ExitStack() as stack:
        draw = _drawing(wanted.plots)
        tables = stack.enter_context(own_tables(wanted.csv, len(files), settings, models)) if wanted.csv else None
        rows = rows_of(files, settings.limits.file_bytes)
        names = FileNames()
        for song in stack.enter_context(closing(annotated(rows, models, settings))):
            if tables:
                tables.add(song)
            if isinstance(song, Failed):
                _complain(f"{shown(song.row.name)}: {song.reason}")
                _say(songs.failed(song))
                n_failed += 1
                continue
            name = names.of(song.row.name, song.row.md5)
            made = [WrittenFile("curves", path) for path in draw(song, name)]
            if wanted.midi:
                made.append(WrittenFile("midi", _write_midi(song, wanted.midi, name)))
            _say(songs.lines(song, made))
            written += made
    _say(songs.end())
    if not wanted.json:
        _say(_where(written, wanted))
        n_asked = len(files) + len(without)
        if (n_failed or without) and n_asked > 1:
            _say([f"{len(files) - n_failed:,} of {n_asked:,} songs annotated"])
        if wanted.next_line and n_failed < len(files):
            _say([wanted.next_line])
    return not without and not n_failed


def _write_midi(song: Annotated, folder: Path, name: str) -> Path:
    path = folder / f"{name}{WITH_EMOTION}"
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_bytes(with_emotion(song))
    return path


def annotated(
    rows: Iterable[Row], models: Models, settings: AnnotationSettings
) -> Generator[Annotated | Failed, None, None]:
    """The result for each row, in their order. Raises UserError if worker processes can't be started."""
    with closing(converters_for(models, settings)) as converters:
        tasks = tasks_of_part(0, rows)
        for batch in predict_songs(converters.in_order(tasks), models, settings.compute.bars_per_batch):
            yield from batch.annotated()


def rows_of(files: Sequence[NamedFile], max_bytes: int) -> Iterator[Row]:
    """A row for each file, named like it. max_bytes: of a larger file only these and one more are read."""
    for file, name in files:
        try:
            yield midi_row(file, name, max_bytes)
        except OSError as error:  # a file that can't be read fails alone, like one that is gone
            yield Row("", None, {"title": name}, name, error.strerror or str(error))


def _drawing(folder: Path | None) -> Callable[[Annotated, str], list[Path]]:
    """A function that draws a song into the folder under a name and returns the paths; with None it draws nothing."""
    if folder is None:
        return lambda song, name: []
    # In a thread, so that matplotlib is imported while the worker process starts.
    plots = ThreadPoolExecutor(1).submit(_curve_plots, folder)
    return lambda song, name: plots.result().draw(song, name)


def _curve_plots(folder: Path) -> CurvePlots:
    from .own_curves import CurvePlots

    return CurvePlots(folder)


def _where(written: Sequence[WrittenFile], wanted: Wanted) -> list[str]:
    """Lines that say where everything was written."""
    lines = []
    for kind, folder in (("curves", wanted.plots), ("midi", wanted.midi)):
        paths = [file.path for file in written if file.kind == kind]
        many = len(paths) > MOST_PATHS
        lines += [f"{kind}: {len(paths):,} files in {folder}"] if many else [f"{kind}: {path}" for path in paths]
    return lines + [f"table:  {path}" for path in (own_table_paths(wanted.csv) if wanted.csv else [])]


def _say(lines: Sequence[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _complain(line: str) -> None:
    print(f"error: {one_line(line, LONGEST_COMPLAINT)}", file=sys.stderr)


@contextmanager
def own_tables(folder: Path, n_files: int, settings: AnnotationSettings, models: Models) -> Iterator[PartTables]:
    """Yield tables to fill, which get their final names when the block ends without an error.

    n_files: the number of files annotated, for run.json. Raises UserError if the folder has results of another
    command, OSError if it can't be written to.
    """
    if (folder / RUN_RECORD).exists() or begun_parts(folder):
        writer = writer_in(folder)
        if writer != OWN_MUSIC:
            raise UserError(
                f"--csv: {folder} holds the results of {writer or 'another command'}; choose another folder"
            )
        note(f"--csv: the tables of an earlier command in {folder} are replaced")
    decides = {"format": FORMAT, **models.digests}
    with new_tables(folder, 0, ("title",)) as tables:
        yield tables
        # the tables are replaced when this block ends: records of earlier ones must not outlive them
        record_path(folder, 0).unlink(missing_ok=True)
        write_json(folder / RUN_RECORD, provenance(settings, OWN_MUSIC, own_files=n_files, decides=decides))
    finish_part(folder, 0, digest_of(decides), tables.totals)


def own_table_paths(folder: Path) -> list[Path]:
    """The paths of the tables."""
    return [table_path(folder, table, 0) for table in TABLES]
