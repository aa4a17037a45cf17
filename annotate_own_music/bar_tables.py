"""Your own music as a table in Python: `annotate("song.mid")`, in a notebook or a program."""

from __future__ import annotations

import warnings
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import symusic.core

from musetok_bridge.scores import LOADING_EXCEPTIONS, AnyScore, in_ticks
from pipeline.annotations import BARS, names
from pipeline.files import midi_md5
from pipeline.settings import first_line, load_settings, path_argument
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.part_files import bar_values
from process_gigamidi.prediction import Failed, load_models
from song_sources.midi_files import named_files
from song_sources.song_rows import Row

from .own_music import annotated, rows_of

if TYPE_CHECKING:
    import pandas as pd

Music: TypeAlias = "str | Path | bytes | AnyScore"
COLUMNS = names(BARS[1:])  # all but the md5
SCORES = symusic.core.ScoreTick | symusic.core.ScoreQuarter | symusic.core.ScoreSecond
IN_MEMORY = "in memory {}"  # the name of music that is in no file, by its number from 0


class NotAnnotated(ValueError):
    """A song that can't be annotated. file: its name. stage: read, parse, convert or predict. reason: one line."""

    def __init__(self, file: str, stage: str, reason: str):
        super().__init__(f"{file}: {reason}" if file else reason)
        self.file, self.stage, self.reason = file, stage, reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.file, self.stage, self.reason)


def annotate(
    music: Music | Sequence[Music],
    *,
    head: str | Path | None = None,
    settings: str | Sequence[str] = (),
    errors: Literal["raise", "warn"] = "raise",
) -> pd.DataFrame:
    """Valence and arousal of every bar of a song, or of several.

    music: the path of a MIDI file, its bytes, or a symusic score; a folder, which is searched with all folders below
    it; or a list of these. head: `bundled` (the default), `bundled_heard`, `bundled_mlp`, or the path of a trained
    head. settings: those of config/gigamidi.yaml that differ, each as "section.key=value". errors: `raise` at the first
    song that can't be annotated, or `warn` and leave it out.

    Returns a row for each bar with the columns of COLUMNS, which docs/reference.md explains: bar_number, valence and
    arousal from −1 to 1, start_seconds, … For a folder or a list there is a column `file` before them, with the song's
    path within the folder, its file name, or its whole path where two have the same name; a file is there once, and
    music in memory comes last, as "in memory 0". The values are those of 01_annotate.py, before they are rounded.

    Songs are converted in this process, so one that crashes symusic ends it; 01_annotate_file.py has other processes do
    it.

    Raises NotAnnotated, a ValueError, with the reason for which a song can't be annotated, and UserError if a setting
    or the weights can't be used.
    """
    import pandas as pd  # the commands, which import this package too, need no pandas

    if errors not in ("raise", "warn"):
        raise ValueError(f"errors is {errors!r}, not raise or warn")
    changed = [settings] if isinstance(settings, str) else settings
    made = load_settings(AnnotationSettings, SETTINGS_FILE, None, ["compute.workers=0", *changed])
    if head is not None:
        made = replace(made, model=replace(made.model, head=str(head)))
    several: Sequence[Music] = music if isinstance(music, list | tuple) else [cast("Music", music)]
    rows, has_folder = _rows_of(several, made.limits.file_bytes, errors)
    is_one = several is not music and not has_folder
    tables = []
    with closing(annotated(rows, load_models(made.model), made)) as songs:
        for song in songs:
            if isinstance(song, Failed):
                _tell(NotAnnotated(song.row.name, song.stage, song.reason), errors)
                continue
            values = bar_values(song.row.md5, song.bars, song.predicted)
            table = pd.DataFrame({name: values[name] for name in COLUMNS})
            if not is_one:
                table.insert(0, "file", song.row.name)
            tables.append(table)
    columns = COLUMNS if is_one else ("file", *COLUMNS)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(columns))


def _rows_of(several: Sequence[Music], max_bytes: int, errors: Literal["raise", "warn"]) -> tuple[Iterator[Row], bool]:
    """A row for each song, those in memory last, and whether a folder was among what was given.

    Raises NotAnnotated, or warns, for what has no music, and TypeError for what can't be music.
    """
    failed, paths = [], []
    for path in (path for path in several if isinstance(path, str | Path)):
        try:
            paths.append(path_argument(str(path)))
        except ArgumentTypeError as error:
            failed.append(NotAnnotated(str(path), "read", str(error)))
    files, without = named_files(paths)
    failed += [NotAnnotated(str(path), "read", reason) for path, reason in without]
    in_memory, unwritten = _rows_in_memory([content for content in several if not isinstance(content, str | Path)])
    for problem in (*failed, *unwritten):
        _tell(problem, errors)
    missing = {path for path, _ in without}
    return chain(rows_of(files, max_bytes), in_memory), any(path.is_dir() for path in paths if path not in missing)


def _rows_in_memory(several: Sequence[bytes | AnyScore]) -> tuple[list[Row], list[NotAnnotated]]:
    """A row for each song that is not in a file, named by its number, and the scores that are no MIDI.

    Raises TypeError for what is no music.
    """
    rows, failed = [], []
    for n, music in enumerate(several):
        name = IN_MEMORY.format(n)
        if not isinstance(music, bytes | SCORES):
            raise TypeError(f"music is a {type(music).__name__}, not a path, bytes, a symusic score or a list of these")
        try:
            content = music if isinstance(music, bytes) else in_ticks(music).dumps_midi()
        except LOADING_EXCEPTIONS as error:
            failed.append(NotAnnotated(name, "read", f"can't be written as MIDI ({first_line(error)})"))
        else:
            rows.append(Row(midi_md5(content), content, {}, name))
    return rows, failed


def _tell(error: NotAnnotated, errors: Literal["raise", "warn"]) -> None:
    if errors == "raise":
        raise error
    warnings.warn(f"left out: {error}", stacklevel=3)
