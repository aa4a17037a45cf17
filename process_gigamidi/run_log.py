"""What a run says while it goes on: one line an event, with the time, so that a log of hours can be followed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from tqdm import tqdm

from pipeline.records import PartRecord, Totals
from pipeline.settings import counted, say

from .annotation_settings import AnnotationSettings


class RunLog:
    """The lines of a run over parts, and on a terminal a bar of the songs.

    n_parts: that this run is to see to. before: what was done. n_rows: of the whole dataset, None if that isn't known.
    """

    def __init__(self, n_parts: int, before: Totals, n_rows: int | None):
        self._left = n_parts
        self._done = self._songs = 0
        self._began = time.monotonic()
        self._bar = tqdm(
            desc="annotating", unit=" songs", total=n_rows, initial=before.rows, mininterval=1, disable=None
        )

    def songs(self, more: int) -> None:
        """So many more songs have been annotated."""
        self._bar.update(more)

    def part(self, record: PartRecord, told: bool = True) -> None:
        """A part is done. told: whether its songs were."""
        if not told:
            self.songs(record.totals.rows)
        self._left -= 1
        self._done += 1
        self._songs += record.totals.rows
        seconds = max(time.monotonic() - self._began, 1e-3)
        line = f"part {record.part:05d}: {in_words(record.totals)}; {self._songs / seconds:,.0f} songs a second"
        if self._left:
            left = in_time(self._left * seconds / self._done)
            line += f"; {counted(self._left, 'part')} left, about {left}"
        say(line)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


@contextmanager
def run_log(n_parts: int, before: Totals, n_rows: int | None) -> Iterator[RunLog]:
    """A RunLog that is closed at the end."""
    with closing(RunLog(n_parts, before, n_rows)) as log:
        yield log


def start_line(settings: AnnotationSettings, n_parts: int, n_to_do: int, n_done: int) -> str:
    """What the run sets out to do."""
    dataset = settings.dataset
    name = f"{dataset.name} {dataset.config} {dataset.split} at {(dataset.revision or '')[:12]}"
    share = f" (share {settings.compute.share})" if settings.compute.share else ""
    done = f", {n_done:,} done" if n_done else ""
    return f"{dataset.path or name}: {counted(n_parts, 'part')}{done}, {n_to_do:,} to do{share}, into {settings.folder}"


def end_lines(folder: Path, totals: Totals, n_done: int, n_parts: int) -> list[str]:
    """What there is at the end of a run, and where."""
    lines = [in_words(totals) + (f" in {n_done:,} of {n_parts:,} parts" if n_done < n_parts else "")]
    lines += [f"  {n:,} failed: {reason}" for reason, n in totals.by_reason()]
    if totals.failures:
        lines.append(f"why each of them failed: {folder / 'failures'}/*.csv")
    return [*lines, f"bars, songs, failures and run.json are in {folder}"]


def in_words(totals: Totals) -> str:
    """Counts of songs, bars and failures as the end of a sentence."""
    failed = f", {totals.failures:,} failed" if totals.failures else ""
    return f"{counted(totals.songs, 'song')} annotated, {counted(totals.bars, 'bar')}{failed}"


def in_time(seconds: float) -> str:
    """A length of time in the unit that fits it."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
