"""The columns of the published tables: type, unit, range and meaning, from which schemas and the data card follow.

`bars` has a row a bar, with the columns of bars/*.csv. `songs` has a row a song: the columns of songs/*.csv, and each
of the bars' columns as a list over the song's bars. Three of those lists share their name with a number of the whole
song and have `bar_` before it.

Valence, arousal and their deviations are float32, which tells numbers of four decimals apart; seconds are float64,
since float32 loses the third decimal after some two hours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from process_gigamidi.gigamidi_source import INSTRUMENT_CATEGORY, STYLE_COLUMNS

CURATED_STYLES = "music_styles_curated"
_NUMBER, _SECONDS, _COUNT, _TEXT = pa.float32(), pa.float64(), pa.int32(), pa.string()


@dataclass(frozen=True)
class Column:
    """A column. unit: with its range. over_bars: of a list in `songs`, the column of `bars` that it holds."""

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    over_bars: str | None = None


BARS = (
    Column("md5", _TEXT, "32 hex digits", "the MIDI file, by the md5 of its bytes"),
    Column("bar_number", _COUNT, "0 or more", "0 is the bar at tick 0; empty bars before the first note have no row"),
    Column("valence", _NUMBER, "−1 to 1", "from unpleasant to pleasant"),
    Column("arousal", _NUMBER, "−1 to 1", "from calm to excited"),
    Column("start_tick", _COUNT, "ticks, 0 or more", "where the bar begins, in the file's own resolution"),
    Column("start_seconds", _SECONDS, "seconds, 0 or more", "the same under the file's tempo map, three decimals"),
    Column("meter", _TEXT, "such as 3/4", "the bar's meter as notated"),
    Column("n_notes", _COUNT, "notes, 0 or more", "notes that begin in the bar; 0: predicted from the bars around"),
    Column("valence_sd", _NUMBER, "0 or more", "standard deviation of the error that valence is expected to have"),
    Column("arousal_sd", _NUMBER, "0 or more", "standard deviation of the error that arousal is expected to have"),
)

_FACTS = (
    BARS[0],
    Column("n_bars", _COUNT, "bars, 1 or more", "length of every list over bars"),
    Column("n_notes", _COUNT, "notes, 0 or more", "notes in all bars"),
    Column("duration_seconds", _SECONDS, "seconds, 0 or more", "where the last event ends, three decimals"),
    Column("valence_mean", _NUMBER, "−1 to 1", "mean of valence over the bars"),
    Column("valence_sd", _NUMBER, "0 to 1", "standard deviation of valence over the bars (ddof 0)"),
    Column("arousal_mean", _NUMBER, "−1 to 1", "mean of arousal over the bars"),
    Column("arousal_sd", _NUMBER, "0 to 1", "standard deviation of arousal over the bars (ddof 0)"),
    Column("left_out_drums", _COUNT, "notes, 0 or more", "notes of drum tracks, which no bar has"),
    Column("left_out_zero_length", _COUNT, "notes, 0 or more", "notes without a length"),
    Column("left_out_out_of_range", _COUNT, "notes, 0 or more", "notes outside the piano's range"),
    Column("left_out_merged", _COUNT, "notes, 0 or more", "notes that another one on their pitch and onset doubles"),
    Column("left_out_thinned", _COUNT, "notes, 0 or more", "inner notes taken out of bars that were too long to read"),
)
_SHARED_NAMES = {fact.name for fact in _FACTS}
_LISTS = tuple(
    replace(
        column,
        name=f"bar_{column.name}" if column.name in _SHARED_NAMES else column.name,
        type=pa.list_(column.type),
        meaning=f"of each bar: {column.meaning}",
        over_bars=column.name,
    )
    for column in BARS[1:]
)
_STYLES_FROM = ("curated", "scraped", "matched with Discogs", "matched with Last.fm", "matched with Tagtraum")
_STYLES = tuple(
    Column(name, _TEXT if "scraped" in name else pa.list_(_TEXT), "", f"GigaMIDI's style tags, {origin}")
    for name, origin in zip(STYLE_COLUMNS, _STYLES_FROM, strict=True)
)
_DESCRIPTIVE = (
    *_STYLES,
    Column("title", _TEXT, "", "as in the source; of a folder of MIDI files the path within it"),
    Column("artist", _TEXT, "", "as in the source"),
    Column("num_tracks", _COUNT, "tracks", "as in GigaMIDI"),
    Column("tempo", _TEXT, "", "as GigaMIDI writes it"),
    Column("NOMML", pa.list_(pa.int64()), "a number a track", "GigaMIDI's note onset median metric level"),
    Column(INSTRUMENT_CATEGORY, _COUNT, "0, 1 or 2", "as in GigaMIDI; its values are in its name"),
)


def type_in_words(column: Column) -> str:
    """A column's type as the card names it."""
    item, words = column.type, ""
    if pa.types.is_list(item):
        item, words = item.value_type, "list of "
    return words + {_NUMBER: "float32", _SECONDS: "float64"}.get(item, str(item))


def songs_columns(described: Sequence[str]) -> tuple[Column, ...]:
    """The columns of `songs`. described: which descriptive columns the songs have."""
    return (*_FACTS, *_LISTS, *(column for column in _DESCRIPTIVE if column.name in described))


def schema_of(columns: Sequence[Column]) -> pa.Schema:
    """The schema of a table of these columns."""
    return pa.schema([(column.name, column.type) for column in columns])


def type_in_csv(column: Column) -> pa.DataType:
    """As what a column is read from CSV: lists as the JSON text that they are there.

    A whole number that comes from the source may be written 2.0: a column that has gaps is often one of floats.
    """
    if pa.types.is_list(column.type):
        return _TEXT
    return pa.float64() if column in _DESCRIPTIVE and column.type == _COUNT else column.type
