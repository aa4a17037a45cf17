"""The heads that come with the project: which there are, what they read, and how well they agree with ratings.

All of it is in weights/agreement.json, beside the weights; MODEL_CARD.md and the data card of an export are made from
it. Nothing here imports torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

AGREEMENT_FILE = Path(__file__).resolve().parent / "weights" / "agreement.json"


class Agreement(NamedTuple):
    """A measure of agreement with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """As 0.793 (0.738–0.842)."""
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True)
class BundledHead:
    """A head by its setting (name) and its row in the tables of agreement (predictor).

    reads: in words. digest: of the weights, 64 hex digits.
    """

    name: str
    predictor: str
    reads: str
    digest: str

    def agreement(self, dataset: str, level: str, dimension: str, metric: str) -> Agreement:
        """How well it agrees with the ratings of a set; the arguments as in agreement.json."""
        return agreement_of(self.predictor, dataset, level, dimension, metric)


def bundled_heads() -> list[BundledHead]:
    """All of them, the default first."""
    return [BundledHead(**head) for head in _record()["heads"]]


def bundled_head(digest: str) -> BundledHead | None:
    """The head with this digest; None if it is none of the bundled ones."""
    return next((head for head in bundled_heads() if head.digest == digest), None)


def agreement_of(predictor: str, dataset: str, level: str, dimension: str, metric: str) -> Agreement:
    """How well a predictor agrees with the ratings of a set. Raises KeyError if that was not measured."""
    return _agreements()[predictor, dataset, level, dimension, metric]


@cache
def _record() -> dict[str, Any]:
    return json.loads(AGREEMENT_FILE.read_text(encoding="utf-8"))


@cache
def _agreements() -> dict[tuple[str, ...], Agreement]:
    keys = ("predictor", "dataset", "level", "dimension", "metric")
    return {
        tuple(row[key] for key in keys): Agreement(row["value"], row["low"], row["high"])
        for row in _record()["agreement"]
    }
