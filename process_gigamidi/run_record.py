"""run.json of an output folder: what its parts depend on, which keeps different work out of it, and their totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from filelock import FileLock

from pipeline.annotations import FORMAT, RECORDS, RUN_RECORD
from pipeline.files import provenance, write_json
from pipeline.parts import SECONDS_TO_BEGIN, cannot_write
from pipeline.records import DATASET, Totals, read_dataset_run
from pipeline.settings import UserError
from song_sources.gigamidi_source import pinned_as_begun

from .annotation_settings import AnnotationSettings
from .trained_on import TRAINED_ON, RatedSetFacts


def what_decides(
    settings: AnnotationSettings,
    identity: Mapping[str, str | None],
    digests: Mapping[str, str | None],
    levels: int | None = None,
) -> dict[str, Any]:
    """Everything that a part's tables depend on, by the name of the setting.

    identity: that of the Source. digests: of the weights of the encoder (None if it is not used) and the head.
    levels: of the encoder, if it is not all of them.
    """
    return {
        "format": FORMAT,
        **identity,
        "dataset.limit": settings.dataset.limit,
        **digests,
        "model.dtype": settings.model.dtype,
        "model.motion": settings.model.motion,
        **({} if levels is None else {"model.levels": levels}),
        **{f"bars.{name}": value for name, value in asdict(settings.bars).items()},
        **{f"limits.{name}": value for name, value in asdict(settings.limits).items()},
        "compute.bars_per_batch": settings.compute.bars_per_batch,
        "output.row_groups_per_part": settings.output.row_groups_per_part,
    }


def with_pinned_revision(settings: AnnotationSettings) -> AnnotationSettings:
    """The settings with a commit of the dataset: the one the folder was begun with, unless they name a revision.

    Raises UserError if the Hub doesn't answer or run.json can't be read.
    """

    def begun_with() -> Mapping[str, Any] | None:
        record = read_dataset_run(settings.folder)
        return record["decides"] if record else None

    return replace(settings, dataset=pinned_as_begun(settings.dataset, begun_with))


def begin_or_continue(
    settings: AnnotationSettings, decides: Mapping[str, Any], n_parts: int, sets: Sequence[RatedSetFacts] = ()
) -> None:
    """Write run.json if there is none; otherwise check that its folder was begun with the same.

    sets: what the head learned from, which decides nothing.

    Raises UserError if the folder can't be written to, or names the first thing that differs.
    """
    folder = settings.folder
    try:
        (folder / RECORDS).mkdir(parents=True, exist_ok=True)
        with FileLock(folder / RECORDS / ".run.lock", timeout=SECONDS_TO_BEGIN):
            record = read_dataset_run(folder)
            if record is None:
                if any(path.is_file() for path in folder.glob("*/part-*")):
                    raise UserError(
                        f"output.dir: {folder} has tables but no {RUN_RECORD} that describes them; take another folder"
                    )
                facts = {"parts": n_parts, "totals": None, TRAINED_ON: list(sets)}
                record = provenance(settings, DATASET, decides=dict(decides), **facts)
                write_json(folder / RUN_RECORD, record)
    except OSError as error:
        raise cannot_write(folder, error) from error
    begun_with = record["decides"]
    for key in [*decides, *begun_with]:
        if begun_with.get(key) != decides.get(key):
            if key == "files in dataset.path" and key in begun_with:
                raise UserError(
                    f"output.dir: the files in {settings.dataset.path} are others than when {folder} was begun: "
                    "take another output.dir"
                )
            raise UserError(
                f"output.dir: {folder} was begun with {key} = {_short(begun_with.get(key))}, "
                f"now it is {_short(decides.get(key))}: set it as it was, or take another output.dir"
            )


def write_totals(settings: AnnotationSettings, totals: Totals) -> None:
    """Write the totals of all parts into run.json. Raises UserError if that fails."""
    record = read_dataset_run(settings.folder)
    if record and record["totals"] != asdict(totals):
        try:
            write_json(settings.folder / RUN_RECORD, record | {"totals": asdict(totals)})
        except OSError as error:
            raise cannot_write(settings.folder, error) from error


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    is_digest = len(text) in (32, 64) and all(c in "0123456789abcdef" for c in text)
    return f"{text[:12]}…" if is_digest else text
