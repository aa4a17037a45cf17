"""Your own music as a table in Python: `annotate("song.mid")`, in a notebook or a program."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from musetok_bridge.scores import AnyScore, in_ticks
from pipeline.annotations import BARS, MD5, names
from pipeline.settings import load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings, ModelSettings
from process_gigamidi.part_files import bar_values
from process_gigamidi.prediction import Failed, Models, load_models
from song_sources.midi_files import named_files
from song_sources.song_rows import Row

from .own_music import annotated, rows_of

if TYPE_CHECKING:
    import pandas as pd

Music: TypeAlias = "str | Path | bytes | AnyScore"
COLUMNS = tuple(name for name in names(BARS) if name != MD5.name)
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
    settings: Sequence[str] = (),
    errors: Literal["raise", "warn"] = "raise",
) -> pd.DataFrame:
    """Valence and arousal of every bar of a song, or of several.

    music: the path of a MIDI file, its bytes, or a symusic score; a folder, which is searched with all folders below
    it; or a list of these. head: `bundled` (the default), `bundled_heard`, `bundled_mlp`, or the path of a trained
    head. settings: those of config/gigamidi.yaml that differ, each as "section.key=value". errors: `raise` at the first
    song that can't be annotated, or `warn` and leave it out.

    Returns a row for each bar with the columns of COLUMNS, which docs/reference.md explains: bar_number, valence and
    arousal from −1 to 1, start_seconds, … For a folder or a list there is a column `file` before them, with the song's
    path within the folder or its file name; a file is there once, and music in memory comes last, as "in memory 0".
    The values are those of 01_annotate.py.

    Songs are converted in this process, so one that crashes symusic ends it; `settings=["compute.workers=2"]` has two
    others do it, for programs that guard their main module as multiprocessing asks for.

    Raises NotAnnotated, a ValueError, with the reason for which a song can't be annotated, and UserError if a setting
    or the weights can't be used.
    """
    import pandas as pd  # the commands, which import this package too, need no pandas

    made = load_settings(AnnotationSettings, SETTINGS_FILE, None, ["compute.workers=0", *settings])
    if head is not None:
        made = replace(made, model=replace(made.model, head=str(head)))
    several: Sequence[Music] = music if isinstance(music, list | tuple) else [cast("Music", music)]
    is_one = several is not music and not (isinstance(music, str | Path) and Path(music).is_dir())
    files, problems = named_files([Path(path) for path in several if isinstance(path, str | Path)])
    for problem in problems:
        _tell(NotAnnotated("", "read", problem), errors)
    in_memory = [content for content in several if not isinstance(content, str | Path)]
    rows = chain(rows_of(files, made.limits.file_bytes), _rows_in_memory(in_memory))
    tables = []
    with closing(annotated(rows, _models(made.model), made)) as songs:
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


def _rows_in_memory(several: Sequence[bytes | AnyScore]) -> Iterator[Row]:
    """A row for each song that is not in a file, named by its number."""
    for n, music in enumerate(several):
        content = music if isinstance(music, bytes) else in_ticks(music).dumps_midi()
        yield Row(hashlib.md5(content).hexdigest(), content, {}, IN_MEMORY.format(n))


def _tell(error: NotAnnotated, errors: Literal["raise", "warn"]) -> None:
    if errors == "raise":
        raise error
    warnings.warn(f"left out: {error}", stacklevel=3)


@lru_cache(maxsize=2)
def _models(model: ModelSettings) -> Models:
    return load_models(model)
