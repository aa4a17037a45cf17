"""Whether sets are still what 01_prepare_datasets.py prepared: a later step with other settings would misread them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.json_files import read_json
from pipeline.settings import UserError, as_override, command, settings_as_dict

from .pretrain_settings import PretrainSettings, SetSettings
from .rated_set import PREPARE

RECORD = "datasets.json"  # what 01_prepare_datasets.py was run with
# settings of a block that its tables were made by; paths may be left out later
_DECIDE = (
    *("adapter", "kind", "group", "lag", "points", "alignment", "columns", "match_by"),
    *("split_seed", "val_share", "test_share"),
)


def check_unchanged(settings: PretrainSettings, blocks: Sequence[SetSettings]) -> None:
    """Raise UserError, naming the first setting, if a set was prepared with others than these."""
    path = settings.folder / RECORD
    try:
        before = {str(block["name"]): block for block in read_json(path)["settings"]["sets"]}
    except FileNotFoundError:
        return  # a missing table is told when it is read
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{path}: not a record of {PREPARE}; run {command(PREPARE)} again") from None
    for block in blocks:
        block.rated_as  # noqa: B018  # refuses a kind that the adapter never has
        now: dict[str, Any] = settings_as_dict(block)
        for key in _DECIDE:
            old = before.get(block.name, now).get(key)
            if old != now[key]:
                raise UserError(
                    f"'sets.{block.name}.{key}' was {_shown(old)} when the set was prepared, now it is "
                    f"{_shown(now[key])}: set it as it was, or run {command(PREPARE)} again"
                )


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, dict) else as_override(value)
