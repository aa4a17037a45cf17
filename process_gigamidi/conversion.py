"""From the bytes of a MIDI file to bars of words.

Whatever the bytes hold, the answer is the song's bars or a Failure that says why there are none. Nothing here imports
torch or datasets, so that the processes that convert start fast and stay small.
"""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from musetok_bridge.bars import Bars, score_to_bars
from musetok_bridge.scores import UnusableScore, read_score, seconds_at

from .annotation_settings import BarSettings, LimitSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    import symusic.core

    from pretrain_model.head import Performance

    Perform: TypeAlias = Callable[[symusic.core.ScoreTick, Bars, LimitSettings], Performance]

LONGEST_REASON = 200  # characters


class Converted(NamedTuple):
    """A song as bars.

    duration_seconds: where its last event ends, under its tempo map; never before its last bar begins, into which the
    onset of a note just before the bar line is rounded. performance: what the head reads beside the bars' words.
    """

    bars: Bars
    duration_seconds: float
    performance: Performance | None


class Failure(NamedTuple):
    """Why a song has no annotation. stage: read, parse, convert or predict; reason: one line."""

    stage: str
    reason: str


def convert_song(
    music: bytes | None, bars: BarSettings, limits: LimitSettings, perform: Perform | None
) -> Converted | Failure:
    """Convert the bytes of one MIDI file. Never raises for what the bytes hold, but MemoryError.

    perform: a head's `performance`.
    """
    if not music:
        return Failure("read", "no_music: there are no bytes to read")
    stage = "parse"
    try:
        score = read_score(music, limits)
        stage = "convert"
        converted = score_to_bars(score, **asdict(bars), limits=limits)
        end_tick = max(score.end(), int(converted.start_tick[-1]))
        seconds = float(seconds_at(score, np.array([end_tick]))[0])
        if not math.isfinite(seconds):
            return Failure(stage, "no_time: its tempos give no time in seconds")
        return Converted(converted, seconds, perform(score, converted, limits) if perform else None)
    except UnusableScore as error:
        return Failure(stage, one_line(str(error)))
    except MemoryError:
        raise
    except Exception as error:  # a fault of ours must cost this song only, and be seen in its row
        return Failure(stage, one_line(f"internal: {type(error).__name__}: {error}"))


def one_line(text: str) -> str:
    """The text in one line of at most LONGEST_REASON characters."""
    return " ".join(text.split())[:LONGEST_REASON]
