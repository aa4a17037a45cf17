"""The finished output folders of 01_annotate.py that make up one data set, one folder for each split.

A folder that isn't finished, or was made with other weights or settings than the others, is refused with one line that
ends in the command to run.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count, islice
from pathlib import Path
from typing import Any

from pipeline.annotations import RUN_RECORD, SONGS, finished_parts, names, table_path
from pipeline.records import PartRecord, RecordError, Totals, digest_of, read_dataset_run, read_record
from pipeline.settings import UserError, command_line, counted, load_settings, one_line, settings_from
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.trained_on import TRAINED_ON, RatedSetFacts, checked_sets
from process_gigamidi.verification import annotate_command
from song_sources.dataset_settings import SPLIT_NAME

LONGEST_SPLIT_NAME = 50  # letters, of up to four bytes each; a file's name, which has more than that, takes 255
ONLY_SPLIT = "train"  # name of the split of data without splits, such as a folder of MIDI files, as on the Hub

LONGEST_HEADER = 10_000  # letters of a table's first line that are read; the columns of songs take 600

# These decide which songs are annotated and how they are divided into parts, not the values.
MAY_DIFFER = ("dataset.split", "files in dataset.path", "dataset.limit", "output.row_groups_per_part")


@dataclass(frozen=True)
class AnnotatedSplit:
    """A split whose parts are all finished.

    settings: those it was annotated with. decides, versions: as in run.json. described: the names of its songs'
    descriptive columns. trained_on: the rated sets that its head learned from, as far as that is known.
    """

    name: str
    folder: Path
    settings: AnnotationSettings
    decides: Mapping[str, Any]
    versions: Mapping[str, str]
    records: tuple[PartRecord, ...]
    totals: Totals
    described: tuple[str, ...]
    trained_on: tuple[RatedSetFacts, ...] = ()


def annotated_splits(folders: Sequence[str]) -> list[AnnotatedSplit]:
    """The split in each folder, in the order of the folders.

    Raises UserError if a split isn't finished, if two folders hold the same split, or if two splits were made with
    different weights or settings or have different columns.
    """
    splits: dict[str, AnnotatedSplit] = {}
    for folder in folders:
        split = _annotated_split(Path(folder))
        if split.name in splits:
            raise UserError(
                f"export.folders: {splits[split.name].folder} and {folder} both hold the split {split.name!r}; "
                "name one folder for each split"
            )
        splits[split.name] = split
    first, *others = splits.values()
    for other in others:
        _check_alike(first, other)
    return list(splits.values())


def is_split_name(name: object) -> bool:
    """Whether `datasets` takes this as the name of a split; it becomes part of the names of files."""
    return isinstance(name, str) and len(name) <= LONGEST_SPLIT_NAME and bool(re.fullmatch(SPLIT_NAME, name))


def verify_command(folder: Path) -> str:
    """The command that prints what is wrong with a folder."""
    return command_line("process_gigamidi/02_verify.py", {"output.dir": str(folder)})


def _annotated_split(folder: Path) -> AnnotatedSplit:
    defaults = load_settings(AnnotationSettings, SETTINGS_FILE)
    here = replace(defaults, output=replace(defaults.output, dir=str(folder)))
    run = read_dataset_run(folder)
    if run is None:
        raise UserError(
            f"export.folders: {folder} holds no {RUN_RECORD}; annotate into it first: {annotate_command(here)}"
        )
    made_with = settings_from(AnnotationSettings, run["settings"], str(folder / RUN_RECORD))
    settings = replace(made_with, output=replace(made_with.output, dir=str(folder)))
    finished = {part for part in finished_parts(folder) if part < run["parts"]}
    n_missing = run["parts"] - len(finished)  # counted, since run.json may name any number of parts
    if n_missing:
        first_three = islice((part for part in count() if part not in finished), min(n_missing, 3))
        which = ", ".join(f"{part:05d}" for part in first_three) + (", …" if n_missing > 3 else "")
        raise UserError(
            f"export.folders: {folder}: {n_missing:,} of {counted(run['parts'], 'part')} not finished ({which}); "
            f"finish it first: {annotate_command(settings)}"
        )
    records = tuple(read_record(folder, part) for part in range(run["parts"]))
    totals = Totals()
    for part, record in enumerate(records):
        if (record.part, record.run) != (part, digest_of(run["decides"])):
            raise UserError(f"export.folders: part {part:05d} of {folder} belongs to another run; {_look(folder)}")
        totals.add(record.totals)
    if run["totals"] != asdict(totals):
        raise UserError(
            f"export.folders: {folder / RUN_RECORD} doesn't have the totals of all parts; "
            f"finish it first: {annotate_command(settings)}"
        )
    if not totals.songs:
        raise UserError(f"export.folders: no song in {folder} was annotated; the reasons are in {folder / 'failures'}")
    name = run["decides"].get("dataset.split") or ONLY_SPLIT
    if not is_split_name(name):
        raise RecordError(
            f"{folder / RUN_RECORD}: its dataset.split is not the name of a split, which has letters, digits, _ and "
            f"single dots, at most {LONGEST_SPLIT_NAME} of them; annotate again into another folder"
        )
    learned_from = tuple(checked_sets(run.get(TRAINED_ON)))
    return AnnotatedSplit(
        name, folder, settings, run["decides"], run["versions"], records, totals, _described(folder), learned_from
    )


def _shown(value: object) -> str:
    return one_line(str(value), 80)


def _look(folder: Path) -> str:
    return f"see what is wrong: {verify_command(folder)}"


def _described(folder: Path) -> tuple[str, ...]:
    """The names of the descriptive columns of a folder's songs."""
    path = table_path(folder, "songs", 0)
    try:
        if not path.is_file():  # a named pipe would be waited for
            raise FileNotFoundError
        with path.open(encoding="utf-8", newline="") as file:
            columns = tuple(next(csv.reader([file.readline(LONGEST_HEADER)])))
    except (OSError, ValueError, StopIteration, csv.Error):
        columns = ()
    if columns[: len(SONGS)] != names(SONGS):
        raise UserError(f"{path}: can't be read as a table of songs; {_look(folder)}")
    return columns[len(SONGS) :]


def _check_alike(first: AnnotatedSplit, other: AnnotatedSplit) -> None:
    """Raise UserError if two splits don't belong in one data set."""
    again = replace(
        first.settings,
        dataset=replace(other.settings.dataset, revision=first.settings.dataset.revision),
        output=replace(other.settings.output, dir=f"{other.folder}-again"),
    )
    for key in dict.fromkeys([*first.decides, *other.decides]):
        values = first.decides.get(key), other.decides.get(key)
        if values[0] != values[1] and key not in MAY_DIFFER:
            raise UserError(
                f"export.folders: {first.folder} was made with {key} = {_shown(values[0])}, "
                f"{other.folder} with {_shown(values[1])}; "
                f"annotate the second again with the settings of the first: {annotate_command(again)}"
            )
    if first.described != other.described:
        differing = sorted({*first.described} ^ {*other.described})
        raise UserError(
            f"export.folders: the songs of {first.folder} and {other.folder} have different columns "
            f"({one_line(', '.join(differing), 200) or 'in another order'}); export them into separate folders"
        )
