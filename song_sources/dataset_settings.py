"""The settings of a dataset, a section `dataset` that several phases have; their files in config/ explain them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.settings import FilePath, Pattern, Range

SPLIT_NAME = r"\w+(?:\.\w+)*"  # as the library datasets wants it, and safe as part of a file's name
_LETTER = r'[^<>:"/\\|?*\x00-\x1f]'  # of a release's name


@dataclass(frozen=True)
class DatasetSettings:
    """The songs to read."""

    name: Annotated[str, Pattern(r"(?a:[\w.-]+(/[\w.-]+)?)", "the name of a dataset on the Hub")]
    config: Annotated[str, Pattern(rf"{_LETTER}*\w{_LETTER}*", "the name of a release, such as v2.0.0")]
    split: Annotated[str, Pattern(SPLIT_NAME, "the name of a split: train, validation or test")]
    path: FilePath | None
    revision: str | None
    limit: Annotated[int | None, Range(1)]
    retry_seconds: Annotated[float, Range(0, 86_400)]

    @property
    def title(self) -> str:
        """What messages call it: its path, or its name, release and split on the Hub, and the commit."""
        return self.path or f"{self.name} {self.config} {self.split} at {(self.revision or '')[:12]}"
