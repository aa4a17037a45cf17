"""MERP: 54 full songs, rated ten times a second by many raters each (Koh et al., Sensors 23(1), 2023).

`annotations_raw.parquet` has a row a rater and song: `song_id`, and lists `valence` and `arousal` of slider values from
0 s on. The set has audio only; the user transcribes it. Songs named `deam_ID` are DEAM's.

Raters use a slider differently, so each is rescaled to [−1, 1] by the least and the greatest value of all that rater's
trials of that dimension, over all songs and before any trial is dropped. Whoever never moved the slider of a dimension
tells nothing of it: those trials count as not made, as do those without a value. Then, for each song and dimension,
trials shorter than 80 % of the median length are dropped, the others are cut to that length (rounded down), and every
moment is the mean of the trials that reach it. Without a column of raters, or a name in it, each row is a rater of its
own.
"""

from __future__ import annotations

import io
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow

from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.settings import UserError, first_line

from .pretrain_settings import SetSettings
from .rated_files import SONG_COLUMNS, column_of, needed_file, set_files, song_id, song_midi
from .rated_set import RatedSet
from .rated_songs import RatedSong, as_kind, prepare_songs

_FILE = "annotations_raw.parquet"
_RATERS = (
    "workerid",
    "rater",
    "raterid",
    "participant",
    "participantid",
    "annotator",
    "annotatorid",
    "userid",
    "worker",
)
_DEAM = "deam_"
_SECONDS = 0.1  # from a sample to the next
_LEAST_LENGTH = 0.8  # of the song's median
_NO_SPREAD = 1e-9
Trace = npt.NDArray[np.float64]


@dataclass(frozen=True)
class _Trial:
    """One rater's slider values of one song and dimension, (samples)."""

    song: str
    rater: str
    values: Trace


def prepare_merp(block: SetSettings, folder: Path) -> RatedSet:
    """The songs: curves, or else their means, and the single raters.

    The group of DEAM's songs is that in DEAM, so with equal seeds they are in one split there and here. Raises
    UserError if the layout isn't MERP's or no song has a MIDI file.
    """
    raw, midis = set_files(block, folder), song_midi(block)
    counts: Counter[str] = Counter()
    read = _read(block, raw)
    trials = {dimension: _rescaled(found, dimension, counts) for dimension, found in read.items()}
    songs = []
    for song in sorted({trial.song for found in read.values() for trial in found}):
        kept = {
            dimension: _usable([t for t in found if t.song == song], dimension, counts)
            for dimension, found in trials.items()
        }
        in_deam = song.removeprefix(_DEAM) if song.startswith(_DEAM) else ""
        midi = midis.of_song((song, in_deam or f"merp_{song}"))
        raters = {rater: as_kind(block, curve) for rater, curve in _by_rater(kept).items()}
        mean = as_kind(block, _curve({d: [t.values for t in found] for d, found in kept.items()}))
        recording = f"deam {in_deam}" if in_deam else f"merp {song}"
        songs.append(RatedSong(song, midi, mean, in_deam, recording=recording, raters=raters))
    found = prepare_songs(block, folder, songs, midis.raw)
    return replace(found, counts={**found.counts, **counts})


def _read(block: SetSettings, raw: RawData) -> dict[str, list[_Trial]]:
    """The raw trials of each dimension. Raises UserError if the file isn't MERP's."""
    name = needed_file(block, raw, _FILE)
    try:
        table = pd.read_parquet(io.BytesIO(raw.read(name)))
        where = f"{raw.path}: {name}"
        columns = {column: column_of(table, (column,), where) for column in DIMENSIONS}
        columns["song"] = column_of(table, SONG_COLUMNS, where)
        if lacking := [column for column, header in columns.items() if header is None]:
            raise UserError(f"{where} has no column {lacking[0]}; is this MERP?")
        table = table[table[columns["song"]].notna()]
        raters = _raters(table, column_of(table, _RATERS, where))
        names = [song_id(str(song)) for song in table[columns["song"]]]
        return {
            dimension: [
                _Trial(song, rater, np.asarray(values, dtype=np.float64).reshape(-1))
                for song, rater, values in zip(names, raters, table[columns[dimension]], strict=True)
            ]
            for dimension in DIMENSIONS
        }
    except (ValueError, TypeError, KeyError, OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{raw.path}: {name} is no table of MERP's trials ({first_line(error)})") from None


def _raters(table: pd.DataFrame, header: str | None) -> list[str]:
    """Who made each trial: the rater of the column, or the row itself where there is none."""
    names = [""] * len(table) if header is None else table[header].astype(object).where(table[header].notna(), "")
    return [str(name).strip() or f"row {row}" for row, name in enumerate(names)]


def _rescaled(trials: list[_Trial], dimension: str, counts: Counter[str]) -> list[_Trial]:
    """The trials in [−1, 1] by each rater's own range.

    Without those that have no value, and without raters who never moved; both are counted.
    """
    ranges: dict[str, tuple[float, float]] = {}
    made = [trial for trial in trials if np.isfinite(trial.values).any()]
    if empty := len(trials) - len(made):
        counts[f"trials left out, without a value, {dimension}"] += empty
    for trial in made:
        values = trial.values[np.isfinite(trial.values)]
        least, most = ranges.get(trial.rater, (math.inf, -math.inf))
        ranges[trial.rater] = min(least, float(values.min())), max(most, float(values.max()))
    moved = {rater: span for rater, span in ranges.items() if span[1] - span[0] > _NO_SPREAD}
    if unmoved := len(ranges) - len(moved):
        counts[f"raters left out, never moved {dimension}"] += unmoved
    rescaled = []
    for trial in made:
        if trial.rater in moved:
            least, most = moved[trial.rater]
            values = np.where(np.isfinite(trial.values), trial.values, math.nan)
            rescaled.append(replace(trial, values=2 * (values - least) / (most - least) - 1))
    return rescaled


def _usable(trials: list[_Trial], dimension: str, counts: Counter[str]) -> list[_Trial]:
    """A song's trials of one dimension without those that are far too short, cut to the median length."""
    if not trials:
        return []
    median = float(np.median([len(trial.values) for trial in trials]))
    kept = [trial for trial in trials if len(trial.values) >= _LEAST_LENGTH * median]
    if short := len(trials) - len(kept):
        counts[f"trials left out, too short, {dimension}"] += short
    return [replace(trial, values=trial.values[: int(median)]) for trial in kept]


def _by_rater(kept: Mapping[str, list[_Trial]]) -> dict[str, pd.DataFrame]:
    """The curve of each rater of a song, the mean of those who rated it twice."""
    raters = dict.fromkeys(trial.rater for found in kept.values() for trial in found)
    return {
        rater: _curve({d: [t.values for t in found if t.rater == rater] for d, found in kept.items()})
        for rater in raters
    }


def _curve(traces: Mapping[str, list[Trace]]) -> pd.DataFrame:
    """The mean of some trials at every moment that one reaches: seconds, valence, arousal."""
    columns = {
        dimension: pd.concat(map(pd.Series, found), axis=1).mean(axis=1) for dimension, found in traces.items() if found
    }
    table = pd.DataFrame(columns).reindex(columns=[*DIMENSIONS]).astype(float)
    table.insert(0, "seconds", np.arange(len(table)) * _SECONDS)
    return table
