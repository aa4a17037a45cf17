"""Songs with their ratings -> the one form of rated_set.py, for sets whose ratings and MIDI files come apart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt
import pandas as pd

from musetok_bridge import UnusableScore, score_to_bars
from musetok_bridge.scores import read_score
from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.progress import progress_bar
from pipeline.settings import SettingsError, UserError
from song_sources.song_identity import song_key

from .pretrain_settings import SPLITS, SetSettings
from .rated_set import LEFT_OUT, PIECES, RATERS, RATINGS, RatedSet, keep_midi, split_of
from .rating_curves import VALUES, bar_edges, rate_bars, whole_piece


@dataclass(frozen=True)
class RatedSong:
    """A song and its ratings.

    name: unique in the set. midi: the name of its MIDI file, empty if it has none. rated: with a column `seconds` a
    curve (rating_curves.py), with `bar_number` ratings of bars, otherwise at most one row, of the whole piece. group:
    empty for the song itself. split: empty to draw it. raters: the same of single raters; their number and spread in
    a bar then replace those of `rated`.
    """

    name: str
    midi: str
    rated: pd.DataFrame
    group: str = ""
    artist: str = ""
    title: str = ""
    recording: str = ""
    split: str = ""
    raters: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class SongBars:
    """The bars of a MIDI file. bar_number: (n). edges: (n + 1), seconds."""

    bar_number: npt.NDArray[np.integer]
    edges: npt.NDArray[np.float64]


class LeftOut(Exception):
    """A song can't be used; the message is one word, the reason."""


def as_kind(block: SetSettings, curve: pd.DataFrame) -> pd.DataFrame:
    """A curve if the set is rated as that, else its mean as the rating of the whole piece."""
    return curve if block.rated_as == "curve" else whole_piece(curve)


def prepare_songs(
    block: SetSettings, folder: Path, songs: Iterable[RatedSong], midi: RawData, setting: str = "midi"
) -> RatedSet:
    """Rate the songs' pieces or their bars, and keep their MIDI files.

    midi: what the songs' files are in. setting: of the set, that names it, for messages. A song without ratings or a
    usable file is left out. Raises UserError if all are.
    """
    songs = list(songs)
    grouped = _groups(block, songs)
    pieces, ratings, raters, left_out = [], [], [], []
    for song in progress_bar(songs, f"preparing {block.name}", "songs"):
        try:
            content, rated, by_rater = _rated(block, song, midi)
        except LeftOut as error:
            left_out.append((song.name, str(error)))
            continue
        suffix = PurePosixPath(song.midi).suffix
        path, md5 = keep_midi(folder, block.name, song.name.replace("/", "_") + suffix, content)
        group = grouped[song.name]
        split = song.split or split_of(group, block)
        pieces.append((song.name, path, md5, group, split, song.artist, song.title, song.recording, 1.0))
        ratings.append(rated.assign(piece=song.name))
        raters += [table.assign(piece=song.name, rater=rater) for rater, table in by_rater.items()]
    if not pieces:
        why = ", ".join(f"{n:,} {reason}" for reason, n in pd.Series([r for _, r in left_out]).value_counts().items())
        raise UserError(
            f"{midi.path}: no rated song of {block.name} has a usable MIDI file and a rating "
            f"({why or 'no songs'}); set sets.{block.name}.{setting}"
        )
    table = pd.DataFrame(pieces, columns=[*PIECES])
    found = RatedSet(
        table.assign(weight=_shares(table)),
        pd.concat(ratings, ignore_index=True).reindex(columns=[*RATINGS]),
        pd.DataFrame(left_out, columns=[*LEFT_OUT]),
        pd.concat(raters, ignore_index=True).reindex(columns=[*RATERS]) if raters else None,
    )
    return replace(found, counts=count_set(found))


def _shares(pieces: pd.DataFrame) -> pd.Series:
    """The weight of each piece: files of one song, by artist and title, share its weight."""
    keys = [song_key(str(piece.artist), str(piece.title)) or f"piece {piece.piece}" for piece in pieces.itertuples()]
    return 1.0 / pd.Series(keys, index=pieces.index).map(pd.Series(keys).value_counts())


def _groups(block: SetSettings, songs: Iterable[RatedSong]) -> dict[str, str]:
    """The group of each song, by its name. Raises SettingsError if block.group is something that the set lacks."""
    own = {song.name: song.group or song.name for song in songs}
    if block.adapter == "table" or block.grouped_by == "song":
        return own
    if block.grouped_by == "artist" and any(song.artist for song in songs):
        return {song.name: song.artist or own[song.name] for song in songs}
    known = "song or artist" if any(song.artist for song in songs) else "song"
    raise SettingsError(f"'sets.{block.name}.group' is {block.group!r}: {block.adapter}'s files know the {known} only")


def play(content: bytes) -> SongBars:
    """The bars of a MIDI file. Raises UnusableScore."""
    score = read_score(content)
    bars = score_to_bars(score)
    return SongBars(bars.bar_number, bar_edges(score, bars))


def _rated(block: SetSettings, song: RatedSong, midi: RawData) -> tuple[bytes, pd.DataFrame, dict[str, pd.DataFrame]]:
    """A song's MIDI file, its ratings and those of its raters. Raises LeftOut."""
    if not song.midi:
        raise LeftOut("no_midi")
    content = midi.read(song.midi)
    try:
        bars = play(content)
    except UnusableScore as error:
        raise LeftOut(f"unusable_midi_{error.reason}") from None
    rated = _of_bars(block, song.rated, bars)
    if rated.empty:
        over_time = {"seconds", "bar_number"} & {*song.rated.columns}
        raise LeftOut("no_rated_bar" if over_time else "no_rating")
    by_rater = {rater: _of_bars(block, table, bars) for rater, table in song.raters.items()}
    return content, _with_spread(rated, by_rater), by_rater


def _of_bars(block: SetSettings, rated: pd.DataFrame, bars: SongBars) -> pd.DataFrame:
    """bar_number and VALUES, from ratings of any of the three forms; rows without valence and arousal are dropped."""
    if "seconds" in rated:
        return rate_bars(rated, bars.bar_number, bars.edges, block.lag)
    rated = rated[rated[[*DIMENSIONS]].notna().any(axis=1)] if len(rated) else rated
    if "bar_number" not in rated:
        return rated.assign(bar_number=math.nan)
    rated = rated[rated["bar_number"].isin(bars.bar_number)]
    return rated.groupby("bar_number", as_index=False)[[*VALUES]].mean().astype({"bar_number": int})


def _with_spread(rated: pd.DataFrame, by_rater: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Ratings with the number and the population standard deviation of the single raters, if there are any.

    One rater has no standard deviation.
    """
    tables = [table for table in by_rater.values() if len(table)]
    if not tables:
        return rated
    single = pd.concat(tables).groupby("bar_number", dropna=False)[[*DIMENSIONS]]
    rated = rated.set_index("bar_number")
    spreads, counts = single.std(ddof=0), single.count()
    for dimension in DIMENSIONS:
        spread = spreads[dimension].where(counts[dimension] > 1)
        rated[f"{dimension}_sd"] = spread.reindex(rated.index).round(6)
    rated["n_raters"] = counts.max(axis=1).reindex(rated.index)
    return rated.reset_index()


def count_set(found: RatedSet) -> dict[str, int]:
    """The numbers of pieces, groups and rated bars, of pieces by split, and of those left out by reason."""
    pieces = found.pieces
    counts = {"pieces": len(pieces), "groups": pieces["group"].nunique()}
    if n_bars := int(found.ratings["bar_number"].notna().sum()):
        counts["bars"] = n_bars
    if found.raters is not None:
        counts["raters"] = found.raters["rater"].nunique()
    counts |= {f"pieces in {split}": int((pieces["split"] == split).sum()) for split in SPLITS}
    return counts | left_out_counts(found.left_out)


def left_out_counts(left_out: pd.DataFrame) -> dict[str, int]:
    """How many pieces were left out, by the reason."""
    return {f"left out, {why}": int(n) for why, n in left_out["reason"].value_counts().sort_index().items()}


def leave_out(found: RatedSet, songs: Iterable[str], reason: str) -> RatedSet:
    """The set with songs more that are left out, by their names; `found` has no pieces of them."""
    rows = pd.DataFrame([(song, reason) for song in songs], columns=[*LEFT_OUT])
    if rows.empty:
        return found
    left_out = pd.concat([found.left_out, rows], ignore_index=True)
    counts = {name: n for name, n in found.counts.items() if not name.startswith("left out, ")}
    return replace(found, left_out=left_out, counts=counts | left_out_counts(left_out))
