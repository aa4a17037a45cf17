"""A row of a dataset is one song; a Source gives rows in numbered parts, the same for every reader."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .dataset_settings import DatasetSettings
from .song_identities import SongIdentity


@dataclass(frozen=True)
class Row:
    """One song.

    music: the bytes of a MIDI file, None if it has none. described: the values of its descriptive columns, as the
    contract wants them. name: what to print for it if not its md5. read_error: why its bytes could not be read; empty
    if they were, or if there are none. has_other_bytes: whether its md5, as the dataset gives it, is not that of its
    bytes. n_emptied: the number of descriptive values that did not fit their columns.
    """

    md5: str
    music: bytes | None
    described: Mapping[str, Any]
    name: str = ""
    read_error: str = ""
    has_other_bytes: bool = False
    n_emptied: int = 0


class Source(ABC):
    """Rows in numbered parts of `groups_per_part` row groups each.

    identity: what identifies the dataset, by the name of the setting. columns: the descriptive columns that it has.
    n_rows: None if not known. max_bytes: as for `open_source`.
    """

    def __init__(
        self,
        settings: DatasetSettings,
        groups_per_part: int,
        max_bytes: int | None,
        identity: Mapping[str, str | None],
        columns: tuple[str, ...],
        n_rows: int | None,
        n_groups: int,
    ):
        self.identity = identity
        self.columns = columns
        self.n_rows = n_rows
        self._settings = settings
        self._groups_per_part = groups_per_part
        self._max_bytes = max_bytes
        self._n_groups = n_groups
        self._last_group: int | None = None  # rows to take from the last row group; None takes all

    @abstractmethod
    def group_rows(self, group: int) -> Generator[Row, None, None]:
        """Yield the rows of a row group. Raises UserError if they can't be read on."""

    @abstractmethod
    def group_md5s(self, group: int) -> list[str]:
        """The md5s of a row group's rows. Raises UserError if they can't be read."""

    @abstractmethod
    def group_identities(self, group: int) -> list[SongIdentity]:
        """Who a row group's songs are, in their order, without their music if possible.

        Raises UserError if the rows can't be read.
        """

    @property
    def n_parts(self) -> int:
        """The number of parts."""
        return -(-self._n_groups // self._groups_per_part)

    def rows(self, part: int) -> Generator[Row, None, None]:
        """Yield the rows of a part. Raises UserError if they can't be read on."""
        for group in self._groups(part):
            with closing(self.group_rows(group)) as rows:
                yield from islice(rows, self._taken(group))

    def all_rows(self) -> Generator[Row, None, None]:
        """Yield the rows of all parts. Raises UserError if they can't be read on."""
        for part in range(self.n_parts):
            yield from self.rows(part)

    def md5s(self, part: int) -> list[str]:
        """The md5s of a part's rows, in their order. Raises UserError if they can't be read."""
        return [md5 for group in self._groups(part) for md5 in self.group_md5s(group)[: self._taken(group)]]

    def chosen_rows(
        self, part: int, is_chosen: Callable[[SongIdentity], bool], progress: Callable[[int], None]
    ) -> Generator[tuple[SongIdentity, Row], None, None]:
        """Yield the chosen rows of a part; of row groups without any, only the identities are read.

        progress: called with the number of rows of a row group when all of it was read. Raises UserError if the rows
        can't be read on.
        """
        for group in self._groups(part):
            identities = self.group_identities(group)[: self._taken(group)]
            chosen = [is_chosen(identity) for identity in identities]
            if any(chosen):
                with closing(self.group_rows(group)) as rows:
                    for identity, is_one, row in zip(identities, chosen, rows, strict=False):
                        if is_one:
                            yield identity, row
            progress(len(identities))

    def cut_off(self, limit: int) -> None:
        """Take only the first `limit` rows."""
        left = limit
        for group in range(self._n_groups):
            n_rows = len(self.group_md5s(group))
            if n_rows >= left:
                self.n_rows, self._n_groups, self._last_group = limit, group + 1, left
                return
            left -= n_rows
        self.n_rows = limit - left

    def _groups(self, part: int) -> range:
        first = part * self._groups_per_part
        return range(first, min(first + self._groups_per_part, self._n_groups))

    def _taken(self, group: int) -> int | None:
        return self._last_group if group == self._n_groups - 1 else None
