"""Checks that a folder of 03_encode.py is complete: every file unchanged, and every row of the dataset in it once.

Each problem is one line, with the files to remove; the same command as before then makes the part again.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pipeline.annotations import RUN_RECORD, TEXT, finished_parts, record_path
from pipeline.cells import cell
from pipeline.files import file_digest
from pipeline.progress import progress_bar
from pipeline.records import RecordError
from pipeline.settings import UserError, settings_from

from .encoding import Encoding, begun_with
from .encoding_settings import EncodingSettings
from .latent_files import Counts, read_part


class Problem(NamedTuple):
    """What is wrong, in one line, and the files to remove so that the part is made again; () if none has to be."""

    what: str
    remove: tuple[Path, ...] = ()


def verify(settings: EncodingSettings) -> tuple[list[Problem], Counts]:
    """Check every part of settings.folder; returns what is wrong, and the counts of the parts that can be read.

    The dataset is the one that the folder was begun with; dataset.path, if set, is where it is now. Raises UserError if
    the folder has no run.json, or the dataset or the encoder can't be read or is another one.
    """
    folder = settings.folder
    record = begun_with(folder)
    if record is None:
        raise UserError(f"output.dir: {folder} has no {RUN_RECORD}, so it can't be checked")
    begun = settings_from(EncodingSettings, record["settings"], str(folder / RUN_RECORD))
    dataset = replace(begun.dataset, path=settings.dataset.path or begun.dataset.path)
    model = replace(begun.model, device=settings.model.device)  # nothing is encoded
    output = replace(begun.output, dir=str(folder))
    if dataset.path is not None and not Path(dataset.path).exists():
        raise UserError(f"dataset.path: {dataset.path} does not exist; give where the music is now: --verify PATH")
    encoding = Encoding(replace(begun, dataset=dataset, model=model, output=output))
    for key, value in encoding.decides.items():
        if record["decides"].get(key) != value:
            raise UserError(f"output.dir: {folder} was made with another value of {key}: it can't be checked with this")
    problems: list[Problem] = []
    totals = Counts()
    for part in progress_bar(range(encoding.source.n_parts), "verifying", "parts"):
        path = record_path(folder, part)
        if not path.exists():
            problems.append(Problem(f"part {part:05d}: not finished"))
            continue
        try:
            totals.add(read_part(folder, part, encoding.run, encoding.format.files).counts)
            wrong = next(_wrong(encoding, part), None)
        except RecordError as error:
            wrong = str(error)
        except (OSError, KeyError, ValueError) as error:
            wrong = f"its tables can't be read ({type(error).__name__})"
        if wrong:
            problems.append(Problem(f"part {part:05d}: {wrong}", (path,)))
    for part in sorted(finished_parts(folder)):
        if part >= encoding.source.n_parts:
            problems.append(Problem(f"part {part:05d}: the dataset has no such part", (record_path(folder, part),)))
    return problems, totals


def _wrong(encoding: Encoding, part: int) -> Iterator[str]:
    """What is wrong with a finished part, in words."""
    folder = encoding.settings.folder
    record = read_part(folder, part, encoding.run, encoding.format.files)
    for path, digest in record.sha256.items():
        yield from _changed(folder, path, digest)
    songs, failures = (_rows(folder / f"{table}/part-{part:05d}.csv") for table in ("songs", "failures"))
    for row in songs:
        if row["sha256"]:
            yield from _changed(folder, row["file"], row["sha256"])
    n_bars = sum(int(row["n_bars"]) for row in songs)
    if (len(songs), n_bars, len(failures)) != (record.counts.songs, record.counts.bars, record.counts.failures):
        yield "its tables hold other counts than its record"
    found = sorted(row["md5"] for row in (*songs, *failures))
    if found != sorted(cell(TEXT, md5) for md5 in encoding.source.md5s(part)):
        yield "its songs and failures are not the rows of the dataset, each once"


def _changed(folder: Path, path: str, digest: str) -> Iterator[str]:
    try:
        if file_digest(folder / path) != digest:
            yield f"{path} was changed"
    except OSError as error:
        yield f"{path} can't be read ({error.strerror or error})"


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
