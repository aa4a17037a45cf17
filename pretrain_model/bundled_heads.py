"""The heads that come with the project: their names, what they read, and how well they agree with ratings.

The facts are in weights/agreement.json, in the folder of the weights; MODEL_CARD.md and the data card of an export are
made from them. Nothing here imports torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

AGREEMENT_FILE = Path(__file__).resolve().parent / "weights" / "agreement.json"
FIGURE = ("dataset", "level", "predictor", "dimension", "metric")  # these say which figure a row of agreement is


class Agreement(NamedTuple):
    """An agreement with its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The value with its interval, such as 0.793 (0.738–0.842)."""
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True)
class BundledHead:
    """A bundled head.

    name: its name in settings. predictor: its name in the tables of agreement. reads: what it reads, in words. digest:
    of the weights, 64 hex digits.
    """

    name: str
    predictor: str
    reads: str
    digest: str

    def agreement(self, dataset: str, level: str, dimension: str, metric: str) -> Agreement:
        """Its agreement with the ratings of a dataset; arguments as in agreement.json."""
        return agreement_of(self.predictor, dataset, level, dimension, metric)


def bundled_heads() -> list[BundledHead]:
    """All bundled heads, the default first."""
    return [BundledHead(**head) for head in _record()["heads"]]


def bundled_head(digest: str) -> BundledHead | None:
    """The bundled head with this digest, or None."""
    return next((head for head in bundled_heads() if head.digest == digest), None)


def agreement_of(predictor: str, dataset: str, level: str, dimension: str, metric: str) -> Agreement:
    """A predictor's agreement with the ratings of a dataset. Raises KeyError if it was not measured."""
    return _agreements()[dataset, level, predictor, dimension, metric]


@cache
def _record() -> dict[str, Any]:
    return json.loads(AGREEMENT_FILE.read_text(encoding="utf-8"))


@cache
def _agreements() -> dict[tuple[str, ...], Agreement]:
    return {
        tuple(row[key] for key in FIGURE): Agreement(row["value"], row["low"], row["high"])
        for row in _record()["agreement"]
    }
