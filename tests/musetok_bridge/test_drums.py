"""Drums: the bars of drums alone, the drum notes of each bar, and how many instruments play."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from score_from_notes import score_of
from symusic import Note, Score, Track
from test_bar_placement import ANY_METERS, ANY_NOTES, ANY_RESOLUTION, drawn_bar_lines

from musetok_bridge import Limits, UnusableScore, score_to_bars
from musetok_bridge.meters import written_meter
from musetok_bridge.vocabulary import WORDS

KICK, SNARE = 36, 38
ANY_DRUMS = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(0, 400), st.integers(35, 81)), min_size=1, max_size=60
)


def spell(bars):
    return [[WORDS[w] for w in bars[i]] for i in range(len(bars))]


def beat(n_bars, first=0):
    """A kick on the first and third quarter of each bar of 4/4, a snare on the others."""
    return [(480 * i, 120, (KICK, SNARE)[i % 2]) for i in range(4 * first, 4 * (first + n_bars))]


def test_drums_alone_have_bars_of_two_words():
    bars = score_to_bars(score_of([], drums=beat(2)))
    assert spell(bars) == [["Bar_None", "Time_Signature_4/4"], ["Bar_None", "Time_Signature_4/4", "EOS_None"]]
    assert bars.n_notes.tolist() == [0, 0]
    assert bars.n_drum_notes.tolist() == [4, 4]
    assert bars.left_out == {"drums": 8, "zero_length": 0, "out_of_range": 0, "merged": 0, "thinned": 0, "endless": 0}


def test_bars_of_drums_alone_go_from_the_first_drum_note_to_the_last():
    """They are numbered from tick 0, and a bar of silence between them is a bar."""
    bars = score_to_bars(score_of([], drums=beat(1, first=2) + beat(1, first=4)))
    assert bars.bar_number.tolist() == [2, 3, 4]
    assert bars.start_tick.tolist() == [3840, 5760, 7680] and bars.end_tick == 9600
    assert bars.start_seconds.tolist() == [4, 6, 8]
    assert bars.n_drum_notes.tolist() == [4, 0, 4]


def test_a_drum_belongs_to_the_bar_in_which_it_is_struck_however_long_it_lasts():
    bars = score_to_bars(score_of([], drums=[(0, 120, KICK), (1919, 5000, SNARE)]))
    assert bars.n_drum_notes.tolist() == [2] and len(bars) == 1


def test_a_struck_drum_needs_no_length():
    """Many programs write drums as notes that end as they begin."""
    bars = score_to_bars(score_of([], drums=[(time, 0, pitch) for time, _, pitch in beat(2)]))
    assert bars.n_drum_notes.tolist() == [4, 4]
    assert bars.duration_seconds == 3.5


def test_drums_alone_change_their_meter_at_the_bar_line():
    """One bar of 4/4, two of 3/4 and one of 7/8, with a kick on each first beat."""
    kicks = [(tick, 60, KICK) for tick in (0, 1920, 3360, 4800)]
    bars = score_to_bars(score_of([], [(0, 4, 4), (1920, 3, 4), (4800, 7, 8)], [(0, 60)], drums=kicks))
    assert bars.meter == ["4/4", "3/4", "3/4", "7/8"]
    assert bars.start_tick.tolist() == [0, 1920, 3360, 4800] and bars.end_tick == 6480
    assert bars.start_seconds.tolist() == [0, 4, 7, 10]
    assert bars.n_drum_notes.tolist() == [1, 1, 1, 1]
    n, d = written_meter(7, 8)[0]
    assert [words[1] for words in spell(bars)] == [f"Time_Signature_{m}" for m in ("4/4", "3/4", "3/4", f"{n}/{d}")]


@settings(max_examples=150, deadline=None)
@given(ANY_DRUMS, ANY_METERS, ANY_RESOLUTION)
@example([(1100, 10, KICK)], [(0, 9, 16)], 489)  # a bar line at tick 1100.25, rounded to 1100
def test_every_drum_note_of_drums_alone_is_in_the_bar_where_a_notation_program_draws_it(drums, meters, resolution):
    score = Score.from_midi(score_of([], sorted(meters), (), resolution, drums).dumps_midi())
    bars = score_to_bars(score)
    struck = score.tracks[0].notes.numpy()["time"]
    lines = drawn_bar_lines(score, until=int(struck.max()) + 1)
    first, last = (sum(tick <= at for tick, _ in lines) - 1 for at in (struck.min(), struck.max()))
    assert bars.bar_number.tolist() == list(range(first, last + 1))
    assert list(zip(bars.start_tick.tolist(), bars.meter, strict=True)) == lines[first : last + 1]
    assert bars.n_drum_notes.sum() == len(struck)
    assert bars.n_drum_notes.tolist() == np.histogram(struck, [*bars.start_tick, np.inf])[0].tolist()
    assert not bars.n_notes.any() and bars.left_out["drums"] == len(struck)
    assert all(len(words) == 2 for words in spell(bars)[:-1]) and spell(bars)[-1][2:] == ["EOS_None"]


@settings(max_examples=100, deadline=None)
@given(ANY_NOTES, ANY_DRUMS, ANY_METERS, ANY_RESOLUTION)
def test_drums_move_no_bar_of_the_notes_and_are_counted_where_they_are_struck(notes, drums, meters, resolution):
    """Drums before the first bar with a note and after the last are in no bar."""
    plain, mixed = (score_of(notes, sorted(meters), (), resolution, part) for part in ((), drums))
    without, bars = score_to_bars(plain), score_to_bars(mixed)
    assert bars.words.tolist() == without.words.tolist()
    assert bars.start_tick.tolist() == without.start_tick.tolist() and bars.end_tick == without.end_tick
    assert bars.n_notes.tolist() == without.n_notes.tolist() and not without.n_drum_notes.any()
    struck = np.array([time for time, _, _ in drums])
    assert bars.n_drum_notes.sum() == ((struck >= bars.start_tick[0]) & (struck < bars.end_tick)).sum()
    assert bars.left_out["drums"] == len(drums)
    assert bars.n_instruments == without.n_instruments + 1 == 2


def test_a_song_with_drums_has_them_beside_its_notes():
    bars = score_to_bars(score_of([(0, 480, 60), (1920, 480, 62)], drums=beat(2)))
    assert (bars.n_notes.tolist(), bars.n_drum_notes.tolist()) == ([1, 1], [4, 4])


def played_by(*programs, silent=(), drums=False):
    """A score with a note for each program, tracks of the `silent` programs without a note, and perhaps drums."""
    score = Score(480)
    for program in (*programs, *silent):
        score.tracks.append(Track("", program, False))
    for track in list(score.tracks)[: len(programs)]:
        track.notes.append(Note(0, 480, 60, 80))
    score.tracks.append(Track("", 0, True))
    if drums:
        score.tracks[-1].notes.append(Note(0, 60, KICK, 80))
    return score


@pytest.mark.parametrize(
    ("score", "n"),
    [
        (played_by(0), 1),
        (played_by(0, 0, 0), 1),  # a piano's two hands and a second piano
        (played_by(0, 33, 48), 3),
        (played_by(0, 33, silent=(48, 49)), 2),
        (played_by(0, 33, drums=True), 3),
        (played_by(0, drums=True), 2),
        (played_by(drums=True), 1),
    ],
)
def test_instruments_are_programs_that_play_and_one_for_the_drums(score, n):
    assert score_to_bars(score).n_instruments == n


def test_drums_alone_are_held_to_the_limits():
    for limit, reached in (("notes", 16), ("ticks", 15 * 480 + 120), ("bars", 4)):
        assert len(score_to_bars(score_of([], drums=beat(4)), limits=Limits(**{limit: reached}))) == 4
        with pytest.raises(UnusableScore, match=f"too_many_{limit}"):
            score_to_bars(score_of([], drums=beat(4)), limits=Limits(**{limit: reached - 1}))
    with pytest.raises(UnusableScore, match="no_time"):
        score_to_bars(score_of([], drums=[(-1, 120, KICK)]))


def test_notes_that_cannot_be_converted_beside_drums_leave_drums_alone():
    bars = score_to_bars(score_of([(0, 480, 20), (0, 0, 60), (9600, 480, 120)], drums=beat(2)))
    assert bars.n_drum_notes.tolist() == [4, 4] and bars.n_instruments == 1
    assert bars.left_out == {"drums": 8, "zero_length": 1, "out_of_range": 2, "merged": 0, "thinned": 0, "endless": 0}
