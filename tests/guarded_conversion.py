"""Conversion of files in guarded processes, as an annotation does it, without a data set around them."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing
from typing import TYPE_CHECKING

from musetok_bridge.conversion import Converted, Failure
from musetok_bridge.worker_processes import Converters, tasks_of_part
from song_sources.song_rows import Row

if TYPE_CHECKING:
    from musetok_bridge.conversion import Convert


def in_guarded_processes(
    files: Iterable[bytes | None], convert: Convert, workers: int, seconds: float, memory_mb: int
) -> Generator[tuple[bytes | None, Converted | Failure], None, None]:
    """Each file with its outcome, in their order. Arguments as for Converters."""
    tasks = tasks_of_part(0, (Row("", music, {}) for music in files))
    converters = Converters(convert, workers, seconds, memory_mb)
    with closing(converters), closing(converters.in_order(tasks)) as converted:
        for songs in converted:
            yield from ((row.music, outcome) for row, outcome in songs.songs)
