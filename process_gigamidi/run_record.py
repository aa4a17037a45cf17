"""run.json of an output folder: what its parts depend on, which keeps different work out of it, and their totals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from pipeline import parts
from pipeline.annotations import FORMAT, RUN_RECORD
from pipeline.files import provenance, write_json
from pipeline.parts import cannot_write
from pipeline.records import DATASET, Totals, read_dataset_run
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
    return replace(settings, dataset=pinned_as_begun(settings.dataset, lambda: _begun_with(settings.folder)))


def begin_or_continue(
    settings: AnnotationSettings, decides: Mapping[str, Any], n_parts: int, sets: Sequence[RatedSetFacts] = ()
) -> None:
    """As `parts.begin_or_continue`, for annotations. sets: what the head learned from, which decides nothing."""
    folder = settings.folder
    facts = {"parts": n_parts, "totals": None, TRAINED_ON: list(sets)}
    parts.begin_or_continue(
        folder,
        decides,
        lambda: _begun_with(folder),
        lambda: provenance(settings, DATASET, decides=dict(decides), **facts),
        instead="take another output.dir",
    )


def _begun_with(folder: Path) -> Mapping[str, Any] | None:
    """What decided when a folder was begun; None if it was not. Raises RecordError if run.json can't be read."""
    record = read_dataset_run(folder)
    return record["decides"] if record else None


def write_totals(settings: AnnotationSettings, totals: Totals) -> None:
    """Write the totals of all parts into run.json. Raises UserError if that fails."""
    record = read_dataset_run(settings.folder)
    if record and record["totals"] != asdict(totals):
        try:
            write_json(settings.folder / RUN_RECORD, record | {"totals": asdict(totals)})
        except OSError as error:
            raise cannot_write(settings.folder, error) from error
