"""A song as a MIDI file with its valence and arousal: two controller lanes, and markers where the curves change most.

All events of the song stay as they are, unless symusic would misread its file, which is then written as it is read
(musetok_bridge/midi_file.py). The lanes are on a track of their own, on a channel that the song doesn't use if there is
one; the markers are on the first track, where programs look for them (Standard MIDI Files 1.0, RP-001, "Marker"). A
marker may stand some bars after the change in the notes, since the listener, as raters do, follows with a lag.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from musetok_bridge.midi_file import (
    END_OF_TRACK,
    HEADER_BYTES,
    Event,
    plain_midi,
    track_chunks,
    track_events,
    written_track,
)
from pipeline.annotations import DIMENSIONS
from process_gigamidi.prediction import Annotated

CONTROLLERS = dict(zip(DIMENSIONS, (102, 103), strict=True))  # which the MIDI 1.0 specification leaves undefined
MOST_MARKERS = 8  # as many as a screen shows at once
MARKERS_APART = 8  # bars between two markers, at least: the length of a usual section
MARKED_BARS = 4  # a change is the mean of so many bars from the marked one on, less that of as many before
LEAST_CHANGE = 0.05  # the usual standard deviation of valence and arousal within a song (docs/results.md)
_CONTROL, _N_CHANNELS = 0xB0, 16
_NAME, _MARKER = b"\xff\x03", b"\xff\x06"


def with_emotion(song: Annotated) -> bytes:
    """The bytes of a song's MIDI file with its valence and arousal from −1 to 1 as controllers from 0 to 127."""
    plain = plain_midi(cast("bytes", song.row.music)).music
    tracks = [list(track_events(chunk)) for chunk in track_chunks(plain)]
    first, *others = tracks
    written = [_with_markers(first, song), *map(_ended, others), _lanes(song, _free_channel(tracks))]
    header = plain[:8] + b"\0\1" + len(written).to_bytes(2, "big") + plain[12:HEADER_BYTES]  # format 1: tracks together
    return header + b"".join(map(written_track, written))


def largest_changes(predicted: np.ndarray) -> list[tuple[int, str]]:
    """The bars at which valence and arousal change most, in their order, and what changes, such as "arousal +0.12".

    predicted: (bars, 2 or more), valence and arousal first.
    """
    n, w = len(predicted), MARKED_BARS
    if n < 2 * w:
        return []
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(predicted[:, :2], axis=0, dtype=np.float64)])
    changes = (sums[2 * w :] - 2 * sums[w : n - w + 1] + sums[: n - 2 * w + 1]) / w  # of the bars from w on
    size = np.abs(changes).max(axis=1)
    chosen: list[int] = []
    for i in np.argsort(-size, kind="stable").tolist():
        if size[i] < LEAST_CHANGE or len(chosen) == MOST_MARKERS:
            break
        if all(abs(i - other) >= MARKERS_APART for other in chosen):
            chosen.append(i)
    return [(i + w, _in_words(changes[i])) for i in sorted(chosen)]


def _in_words(change: np.ndarray) -> str:
    parts = zip(DIMENSIONS, change.tolist(), strict=True)
    return ", ".join(f"{dimension} {by:+.2f}" for dimension, by in parts if abs(by) >= LEAST_CHANGE)


def _with_markers(events: Sequence[Event], song: Annotated) -> list[Event]:
    """A track's events with the markers among them."""
    ticks = song.bars.start_tick.tolist()
    markers = [Event(ticks[bar], _MARKER, text.encode()) for bar, text in largest_changes(song.predicted)]
    return _ended([*events, *markers])


def _lanes(song: Annotated, channel: int) -> list[Event]:
    """The track of the controllers, a value at each bar at which it differs from the one before."""
    events = [Event(0, _NAME, " and ".join(DIMENSIONS).encode())]
    head = bytes([_CONTROL | channel])
    for controller, values in zip(CONTROLLERS.values(), song.predicted.T, strict=False):
        events += [Event(tick, head, bytes([controller, value])) for tick, value in _steps(song, values)]
    return _ended(events)


def _steps(song: Annotated, values: np.ndarray) -> Iterator[tuple[int, int]]:
    """The tick of each bar at which a controller changes, and its value."""
    before = None
    for tick, value in zip(song.bars.start_tick.tolist(), np.rint((values + 1) / 2 * 127).astype(int), strict=True):
        if value != before:
            yield tick, int(value)
        before = value


def _ended(events: Sequence[Event]) -> list[Event]:
    """Events in the order of their ticks, with the end of the track after them, and no earlier than it was."""
    end = Event(max((event.tick for event in events), default=0), END_OF_TRACK, b"")
    return [*sorted((event for event in events if event.head != END_OF_TRACK), key=lambda event: event.tick), end]


def _free_channel(tracks: Sequence[Sequence[Event]]) -> int:
    """The highest channel without an event, from 0, or the last one if all have some."""
    used = {event.head[0] & 0x0F for events in tracks for event in events if event.head[0] < 0xF0}
    return max(set(range(_N_CHANNELS)) - used, default=_N_CHANNELS - 1)
