"""run.json: what made an output folder, so that only the same thing goes on in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from musetok_bridge.provenance import provenance, write_json
from musetok_bridge.settings import UserError

from .annotation_settings import AnnotationSettings
from .part_files import Totals, parts_done

NAME = "run.json"


def what_decides(
    settings: AnnotationSettings, identity: Mapping[str, str | None], digests: Mapping[str, str | None]
) -> dict:
    """All that a part's rows and values depend on, by the setting that gives it.

    identity: the dataset's. digests: of the encoder's (None if it isn't used) and the head's weights.
    """
    return {
        **identity,
        "dataset.limit": settings.dataset.limit,
        **digests,
        "model.dtype": settings.model.dtype,
        **{f"bars.{name}": value for name, value in asdict(settings.bars).items()},
        **{f"limits.{name}": value for name, value in asdict(settings.limits).items()},
        "output.songs_per_part": settings.output.songs_per_part,
    }


def begin_or_continue(settings: AnnotationSettings, decides: Mapping[str, Any]) -> int | None:
    """Begin an output folder, or check that it may be continued.

    Returns the number of parts if all were finished before, else None. Raises UserError if the folder was begun with
    something else, naming the first thing that differs.
    """
    folder = settings.folder
    path = folder / NAME
    try:
        if not path.exists():
            if parts_done(folder):
                raise UserError(f"output.dir: {folder} has tables but no {NAME} that says of what; take another folder")
            write_record(settings, decides, Totals(), parts=None)
            return None
        record = json.loads(path.read_text(encoding="utf-8"))
        begun_with = dict(record["decides"])
        parts: int | None = record["parts"]
    except OSError as error:
        raise UserError(f"output.dir: {folder} can't be written to ({error.strerror or error})") from error
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a record of an annotation; take another output.dir") from None
    for key in [*decides, *begun_with]:
        if begun_with.get(key) != decides.get(key):
            raise UserError(
                f"output.dir: {folder} was begun with {key} = {_short(begun_with.get(key))}, "
                f"now it is {_short(decides.get(key))}: set it as it was, or take another output.dir"
            )
    return parts


def write_record(settings: AnnotationSettings, decides: Mapping[str, Any], totals: Totals, parts: int | None) -> None:
    """Write run.json: settings, versions, what decides the result, totals. parts: how many there are, once all are."""
    record = provenance(settings, decides=dict(decides), totals=asdict(totals), parts=parts)
    write_json(settings.folder / NAME, record)


def _short(value: Any) -> str:
    text = "null" if value is None else str(value)
    is_digest = len(text) in (32, 64) and all(c in "0123456789abcdef" for c in text)
    return f"{text[:12]}…" if is_digest else text
