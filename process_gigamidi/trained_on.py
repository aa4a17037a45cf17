"""What a head learned from, as the metadata of its file say it: the rated sets with their licences and citations.

A head file and a run.json may be a stranger's, so every text is bounded and on one line, and whatever has another form
counts as not known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from pipeline.settings import is_unicode, one_line
from pretrain_model.known_sets import LONGEST_TERMS

SETS = "sets"  # key of a head's metadata: JSON, a list of objects with the keys below
TRAINED_ON = "trained_on"  # key of run.json and export.json
MOST_SETS = 50
LONGEST_METADATA = 100_000  # characters
_LONGEST = {"name": 40, "adapter": 40, "kind": 40, "licence": LONGEST_TERMS, "citation": LONGEST_TERMS}
_MOST_PIECES = 10**9

RatedSetFacts: TypeAlias = dict[str, str | int]  # name, adapter, kind, licence, citation: texts; pieces: their number


def trained_on(facts: Mapping[str, str]) -> list[RatedSetFacts]:
    """The sets that a head learned from, by the metadata of its file; empty if they don't say so in the right form."""
    text = facts.get(SETS)
    if not isinstance(text, str) or len(text) > LONGEST_METADATA:
        return []
    try:
        return checked_sets(json.loads(text))
    except (ValueError, RecursionError):
        return []


def checked_sets(value: Any) -> list[RatedSetFacts]:
    """The sets in a record or in metadata, texts cut to one line; empty if anything has another form."""
    if not isinstance(value, list) or len(value) > MOST_SETS:
        return []
    sets = [_checked(member) for member in value]
    return [found for found in sets if found is not None] if None not in sets else []


def _checked(value: Any) -> RatedSetFacts | None:
    if not isinstance(value, dict):
        return None
    texts, pieces = {key: value.get(key) or "" for key in _LONGEST}, value.get("pieces")
    if not all(isinstance(text, str) and is_unicode(text) for text in texts.values()) or not texts["name"]:
        return None
    if type(pieces) is not int or not 0 <= pieces <= _MOST_PIECES:
        return None
    return {**{key: one_line(str(text), _LONGEST[key]) for key, text in texts.items()}, "pieces": pieces}
