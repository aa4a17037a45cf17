"""The progress of a run: a line with the time for each event, so that a log of many hours can be followed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline.parts import what_is_left
from pipeline.progress import songs_bar
from pipeline.records import PartRecord, Totals
from pipeline.settings import counted, next_command, say

from .annotation_settings import AnnotationSettings


class RunLog:
    """Prints a line for each part, and on a terminal a progress bar of the songs.

    n_parts: the number of parts that this run has to do. before: the totals of the parts that were finished before.
    n_rows: the number of rows in the whole dataset, None if it is not known.
    """

    def __init__(self, n_parts: int, before: Totals, n_rows: int | None):
        self._left = n_parts
        self._done = self._songs = 0
        self._began = time.monotonic()
        self._bar = songs_bar("annotating", n_rows, before.rows)

    def songs(self, more: int) -> None:
        """Add songs to the progress bar."""
        self._bar.update(more)

    def part(self, record: PartRecord, songs_counted: bool = True) -> None:
        """Print the line of a finished part. songs_counted: whether `songs` has counted its songs already."""
        if not songs_counted:
            self.songs(record.totals.rows)
        self._left -= 1
        self._done += 1
        self._songs += record.totals.rows
        seconds = max(time.monotonic() - self._began, 1e-3)
        line = f"part {record.part:05d}: {counts_line(record.totals)}; {self._songs / seconds:,.0f} songs a second"
        say(line + what_is_left(self._left, self._done, seconds))

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()


@contextmanager
def run_log(n_parts: int, before: Totals, n_rows: int | None) -> Iterator[RunLog]:
    """A RunLog as a context manager that closes it."""
    with closing(RunLog(n_parts, before, n_rows)) as log:
        yield log


def start_line(settings: AnnotationSettings, n_parts: int, n_to_do: int, n_done: int) -> str:
    """What the run is going to do, in one line."""
    title = settings.dataset.title
    share = f" (share {settings.compute.share})" if settings.compute.share else ""
    done = f", {n_done:,} done" if n_done else ""
    return f"{title}: {counted(n_parts, 'part')}{done}, {n_to_do:,} to do{share}, into {settings.folder}"


def end_lines(folder: Path, totals: Totals, n_done: int, n_parts: int) -> list[str]:
    """The results of a run and where they are, in lines."""
    lines = [counts_line(totals) + (f" in {n_done:,} of {n_parts:,} parts" if n_done < n_parts else "")]
    lines += [f"  {n:,} failed: {reason}" for reason, n in totals.by_reason()]
    if totals.failures:
        lines.append(f"the reason for each: {folder / 'failures'}/*.csv")
    lines += [*remarks(totals), f"bars, songs, failures and run.json are in {folder}"]
    if n_done == n_parts and totals.songs:
        lines.append(f"next: {next_command('process_gigamidi/02_verify.py', {}, str(folder))}")
    return lines


def remarks(totals: Totals) -> list[str]:
    """Lines about what was not as it should be in the dataset."""
    lines = []
    if totals.other_bytes:
        lines.append(
            f"{counted(totals.other_bytes, 'song')} with other bytes than the md5 says: files were changed or damaged, "
            "or the dataset's md5s are not those of its files"
        )
    if totals.emptied:
        lines.append(f"{counted(totals.emptied, 'value')} of the dataset left empty, not being what the column holds")
    return lines


def counts_line(totals: Totals) -> str:
    """The numbers of songs, bars and failures, as the end of a sentence."""
    failed = f", {totals.failures:,} failed" if totals.failures else ""
    return f"{counted(totals.songs, 'song')} annotated, {counted(totals.bars, 'bar')}{failed}"
