"""Parts of a dataset matched in this process: rows -> those that are wanted -> bars -> latents and a table of matches.

A thread reads the rows and finds those that are wanted, processes convert them, and the main thread encodes some at a
time and writes. A song is called by the md5 of its bytes, never by what the dataset says, so no text of a stranger
becomes a path. Songs whose latents are there already, from an earlier part or set, are not converted again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from safetensors import SafetensorError

from musetok_bridge.bridge_settings import BarSettings, number_of
from musetok_bridge.conversion import Converted, Failure, convert_song
from musetok_bridge.worker_processes import Converters, RowsOfPart, tasks_of_part
from pipeline.files import midi_md5
from pretrain_model.extraction import MATCHED, ConvertedPiece, encode_pieces, is_made, latents_path, read_latents
from pretrain_model.features import PERFORMANCE, BarFeatures, song_features
from song_sources.song_identities import SongIdentity
from song_sources.song_rows import Row, Source

from .match_parts import MatchedPart, MatchedSong, finish_part
from .match_settings import RatingMatchSettings
from .wanted_songs import Match, WantedSongs

if TYPE_CHECKING:
    from musetok_bridge.encoder import BarEncoder

BARS = BarSettings(merge_doubled=True, thin_long_bars=True)  # as score_to_bars has them, and so 02_extract_latents.py
SAME_TEMPO = (2 / 3, 4 / 3)  # bounds of a ratio of tempos, the upper one excluded; one octave
_TEMPO = PERFORMANCE.index("tempo")


class SongFacts(NamedTuple):
    """What a match says of a converted song. tempo: quarters a minute, the median over time."""

    n_bars: int
    tempo: float


@dataclass(frozen=True)
class MatchedRow(Row):
    """A row that is wanted; its md5 is that of its bytes if it has any. made: None if it is to be converted.

    other_bytes: whether it was found by an md5 that is not that of its bytes.
    """

    matches: tuple[Match, ...] = ()
    score: float | None = None
    made: SongFacts | None = None
    other_bytes: bool = False


def tempo_of(values: np.ndarray, edges: np.ndarray) -> float:
    """The median over time of the tempo of n bars, quarters a minute, which is between 20 and 400.

    values: features, (n, …). edges: seconds of the bar lines, (n + 1).
    """
    tempo = np.exp2(values[:, _TEMPO].astype(np.float64))
    order = np.argsort(tempo, kind="stable")
    passed = np.cumsum(np.diff(edges)[order])
    return float(tempo[order[np.searchsorted(passed, passed[-1] / 2)]])


def tempo_ratio(tempo: float, wanted: float) -> float | None:
    """A tempo over the wanted one, halved or doubled until it is in SAME_TEMPO; None if one of the two is not known."""
    ratio = tempo / wanted
    if not (math.isfinite(ratio) and ratio > 0):
        return None
    low, high = SAME_TEMPO
    ratio /= 2.0 ** math.floor(math.log2(ratio / low))
    return ratio / 2 if ratio >= high else ratio  # if the logarithm was rounded


class Matcher:
    """Matches parts in this process: holds the encoder, the dataset and the processes that convert."""

    def __init__(self, settings: RatingMatchSettings, wanted: WantedSongs, encoder: BarEncoder, source: Source):
        limits = settings.limits
        convert = partial(convert_song, bars=BARS, limits=limits, perform=song_features, needs_pitch=True)
        self._settings, self._wanted, self._encoder, self._source = settings, wanted, encoder, source
        self._converters = Converters(convert, number_of(settings.compute.workers), limits.seconds, limits.memory_mb)
        self._rows_read: dict[int, int] = {}

    def match(
        self, parts: Iterable[int], run: str, progress: Callable[[int], None]
    ) -> Generator[MatchedPart, None, None]:
        """Match parts into the folder; yields the record of each when it is finished.

        progress: called with the number of songs looked at since its last call. Raises UserError if the dataset can't
        be read or the folder can't be written to; finished parts are kept.
        """
        matches: list[MatchedSong] = []
        waiting: dict[str, ConvertedPiece] = {}
        with closing(self._converters.in_order(self._tasks(parts, progress))) as converted:
            for part, songs, ends_part in converted:
                for row, result in cast("list[tuple[MatchedRow, Converted | Failure]]", songs):
                    matches += self._matched(row, result, waiting)
                    if len(waiting) == self._settings.compute.pieces_per_batch:
                        self._encode(waiting)
                if ends_part:
                    self._encode(waiting)
                    rows = self._rows_read.pop(part)
                    yield finish_part(self._settings.matched, part, run, rows, matches)
                    matches = []

    def close(self) -> None:
        """End the processes."""
        self._converters.close()

    def _tasks(self, parts: Iterable[int], progress: Callable[[int], None]) -> Generator[RowsOfPart, None, None]:
        for part in parts:
            self._rows_read[part] = 0
            yield from tasks_of_part(part, self._rows(part, progress))

    def _rows(self, part: int, progress: Callable[[int], None]) -> Generator[MatchedRow, None, None]:
        """The wanted rows of a part."""

        def count(rows: int) -> None:
            self._rows_read[part] += rows
            progress(rows)

        with closing(self._source.chosen_rows(part, lambda song: bool(self._wanted.matches(song)), count)) as rows:
            for song, row in rows:
                yield self._matched_row(song, row)

    def _matched_row(self, song: SongIdentity, row: Row) -> MatchedRow:
        """A wanted row under the md5 of its bytes; without its music if that is not needed."""
        is_whole = row.music is not None and len(row.music) <= self._settings.limits.file_bytes
        md5 = midi_md5(row.music) if row.music is not None and is_whole else row.md5
        matches = self._wanted.matches(replace(song, md5=md5.lower()))
        # without matches, the md5 that was given is that of another file
        made = self._made(md5) if is_whole and matches else None
        return MatchedRow(
            md5=md5,
            music=row.music if matches and not made else None,
            described={},
            name=row.name,
            read_error=row.read_error,
            matches=tuple(matches or self._wanted.matches(song)),
            score=song.score,
            made=made,
            other_bytes=not matches,
        )

    def _made(self, md5: str) -> SongFacts | None:
        """The facts of a song whose latents this encoder has made already; None if there are none."""
        path = self._path(md5)
        if not is_made(path, self._encoder, md5):
            return None
        try:
            song = read_latents(path)
            return SongFacts(len(song.bar_number), tempo_of(song.features, song.edges))
        except (OSError, SafetensorError, TypeError, ValueError, IndexError):
            return None

    def _matched(
        self, row: MatchedRow, result: Converted | Failure, waiting: dict[str, ConvertedPiece]
    ) -> list[MatchedSong]:
        """The matches of a row; a song that is to be encoded joins those that wait."""
        facts, reason = row.made, ""
        if facts is None and isinstance(result, Converted):
            features = cast("BarFeatures", result.performance)
            facts = SongFacts(len(result.bars), tempo_of(features.values, features.edges))
            waiting.setdefault(row.md5, ConvertedPiece(self._path(row.md5), row.md5, result.bars, features))
        elif facts is None and isinstance(result, Failure):
            reason = result.reason
        if row.other_bytes:
            reason = "other_bytes: the dataset's md5 is not that of the file"
        n_bars, tempo = facts or (None, math.nan)
        return [
            MatchedSong(
                match.set,
                match.row,
                row.md5,
                match.matched_by,
                row.score,
                tempo_ratio(tempo, match.tempo),
                n_bars,
                reason,
            )
            for match in row.matches
        ]

    def _encode(self, waiting: dict[str, ConvertedPiece]) -> None:
        """Encode and write the songs that wait, and empty the list."""
        encode_pieces(list(waiting.values()), self._encoder)
        waiting.clear()

    def _path(self, md5: str) -> Path:
        return latents_path(self._settings.folder, self._encoder, MATCHED, md5)


def encoder_of(settings: RatingMatchSettings) -> BarEncoder:
    """The encoder that the settings name. Raises UserError if it can't be loaded."""
    return settings.model.load()
