"""Facts that hold for any meters, tempos and notes: where bars begin, which notes they hold, what splitting changes."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from midi_bytes import read_tempos, seconds_by_the_file
from score_from_notes import score_of
from symusic import Score

from musetok_bridge import score_to_bars
from musetok_bridge.meters import written_meter
from musetok_bridge.vocabulary import BAR, EOS, WORDS

ANY_NOTES = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(1, 4000), st.integers(21, 108)), min_size=1, max_size=60
)
ANY_METERS = st.lists(st.tuples(st.integers(0, 40_000), st.integers(1, 17), st.sampled_from([2, 4, 8, 16])), max_size=6)
ANY_TEMPOS = st.lists(st.tuples(st.integers(0, 40_000), st.floats(20, 300)), max_size=6)
CROWDED_TEMPOS = st.lists(st.tuples(st.sampled_from([0, 960, 5000]), st.floats(20, 300)), min_size=25, max_size=60)
ANY_RESOLUTION = st.sampled_from([24, 96, 220, 384, 480, 486, 489, 1024])
FAST = settings(max_examples=150, deadline=None)


def midi(notes, meters=(), tempos=(), resolution=480):
    """The bytes of a MIDI file; its times are sorted and rounded as in any file."""
    return score_of(notes, sorted(meters), sorted(tempos), resolution).dumps_midi()


def drawn_bar_lines(score, until):
    """(tick, meter) of every bar line as a notation program draws it: bar after bar, from change to change."""
    meters = {s.time: (s.numerator, s.denominator) for s in score.time_signatures}  # the last of a tick
    changes = sorted(meters.items()) or [(0, (4, 4))]
    changes = [(0, changes[0][1]), *changes[1:]]
    changes = [c for i, c in enumerate(changes) if i == 0 or c[1] != changes[i - 1][1]]
    lines = []
    for (start, meter), end in zip(changes, [*(time for time, _ in changes[1:]), until], strict=True):
        line = Fraction(start)
        while line < min(end, until):
            lines.append((int(line + Fraction(1, 2)), f"{meter[0]}/{meter[1]}"))
            line += 4 * score.tpq * written_meter(*meter)[1]
    return lines


@FAST
@given(ANY_NOTES, ANY_METERS, ANY_RESOLUTION)
def test_bars_are_where_a_notation_program_draws_them(notes, meters, resolution):
    data = midi(notes, meters, (), resolution)
    bars = score_to_bars(data)
    lines = drawn_bar_lines(Score.from_midi(data), until=int(bars.start_tick[-1]) + 1)
    assert bars.bar_number.tolist() == list(range(bars.bar_number[0], len(lines)))
    assert list(zip(bars.start_tick.tolist(), bars.meter, strict=True)) == lines[bars.bar_number[0] :]


@FAST
@given(ANY_NOTES, ANY_METERS)
def test_every_bar_has_all_its_words(notes, meters):
    bars = score_to_bars(midi(notes, meters))
    assert (np.diff(bars.offsets) == 2 + 3 * bars.n_notes + (np.arange(len(bars)) == len(bars) - 1)).all()
    assert (bars.words[bars.offsets[:-1]] == BAR).all() and bars.words[-1] == EOS
    for i, meter in enumerate(bars.meter):
        n, d = written_meter(*map(int, meter.split("/")))[0]
        assert WORDS[bars[i][1 + 3 * bars.n_notes[i]]] == f"Time_Signature_{n}/{d}"


@FAST
@given(ANY_NOTES, ANY_METERS, st.one_of(ANY_TEMPOS, CROWDED_TEMPOS), ANY_RESOLUTION)
def test_bars_start_when_the_tempos_of_the_file_say(notes, meters, tempos, resolution):
    """Read by midi_bytes.py, as symusic sorts tempos of one tick anew."""
    data = midi(notes, meters, tempos, resolution)
    bars = score_to_bars(data)
    tempos_read = read_tempos(data)[0]
    assert len(tempos_read) == len(tempos)
    some = np.unique(np.linspace(0, len(bars) - 1, 10).astype(int))
    seconds = [float(seconds_by_the_file(data, tick)) for tick in bars.start_tick[some].tolist()]
    assert np.abs(seconds - bars.start_seconds[some]).max() < 1e-3


def test_a_bar_lasts_as_long_as_its_tempos_say():
    notes = [(480 * i, 480, 60) for i in range(16)]
    bars = score_to_bars(score_of(notes, (), [(0, 60), (1920 + 960, 240), (5760, 120)]))
    assert bars.start_seconds.tolist() == [0, 4, 4 + 2 + 0.5, 4 + 2 + 0.5 + 1]


@FAST
@given(ANY_NOTES, ANY_METERS, ANY_RESOLUTION)
def test_every_note_lies_in_its_bar_within_the_grid(notes, meters, resolution):
    data = midi(notes, meters, (), resolution)
    bars = score_to_bars(data)
    read = Score.from_midi(data).tracks[0].notes.numpy()
    assert bars.n_notes.sum() == len(read["time"])
    slack = resolution / 8 + 1  # an onset may move to the next bar line by half a sixteenth, and rounding adds a tick
    edges = np.append(bars.start_tick, np.inf)
    for k in range(len(bars)):
        surely = ((read["time"] >= edges[k]) & (read["time"] < edges[k + 1] - slack)).sum()
        perhaps = ((read["time"] >= edges[k] - slack) & (read["time"] < edges[k + 1])).sum()
        assert surely <= bars.n_notes[k] <= perhaps


def content(bars, first_bar=0, first_tick=0, words=lambda bar: bar):
    """Position, meter, number of notes and words of each bar with notes, by its number; without the closing EOS."""
    return {
        int(bars.bar_number[i]) + first_bar: (
            int(bars.start_tick[i]) + first_tick,
            bars.meter[i],
            int(bars.n_notes[i]),
            words([w for w in bars[i].tolist() if w != EOS]),
        )
        for i in range(len(bars))
        if bars.n_notes[i]
    }


def seconds_of(bars, after=0.0):
    return dict(zip(bars.bar_number.tolist(), (bars.start_seconds + after).tolist(), strict=True))


def split(notes, meters, tempos, at):
    """Cut a file in two at a tick; the second part begins with the meter and tempo in force there."""

    def events_after(events, before_the_first):
        running = [event for event in sorted(events) if event[0] <= at][-1:] or [(0, *before_the_first)]
        return [(0, *running[0][1:])] + [(time - at, *values) for time, *values in events if time > at]

    def events_before(events):
        return [event for event in events if event[0] < at]

    first_meter = min(meters)[1:]
    first = (events_before(notes), [(0, *first_meter), *events_before(meters)], events_before(tempos))
    later_notes = [(time - at, *values) for time, *values in notes if time >= at]
    return first, (later_notes, events_after(meters, first_meter), events_after(tempos, (120,)))


@FAST
@given(ANY_NOTES, ANY_METERS, ANY_RESOLUTION, st.integers(2000, 30_000))
def test_a_file_split_at_a_meter_change_gives_the_same_bars(notes, meters, resolution, at):
    meters = [(0, 4, 4), *{time: (time, n, d) for time, n, d in meters if time not in (0, at)}.values()]
    running = max(m for m in meters if m[0] < at)[1:]
    meters.append((at, *((7, 8) if running != (7, 8) else (3, 4))))
    notes = [n for n in notes if not at - resolution / 8 - 2 <= n[0] < at]  # these round up to the change itself
    notes += [(0, 480, 60), (at, 480, 62)]
    whole, first, second = (
        score_to_bars(score_of(*music, resolution)) for music in ((notes, meters, ()), *split(notes, meters, (), at))
    )
    bars_before = int(whole.bar_number[np.searchsorted(whole.start_tick, at)])
    assert content(first) | content(second, bars_before, at) == content(whole)


@FAST
@given(ANY_NOTES, st.sampled_from([(4, 4), (3, 4), (6, 8), (5, 4), (7, 8)]), ANY_TEMPOS, st.integers(1, 12))
def test_a_file_split_at_a_bar_line_gives_the_same_bars(notes, meter, tempos, n_bars):
    at = n_bars * 1920 * meter[0] // meter[1]
    notes = [n for n in notes if not at - 60 <= n[0] < at]  # these round up to the bar line itself
    notes += [(0, 480, 60), (at, 480, 62)]
    tempos = list({time: (time, bpm) for time, bpm in tempos}.values())
    whole = score_to_bars(score_of(notes, [(0, *meter)], tempos))
    first, second = (score_to_bars(score_of(*half)) for half in split(notes, [(0, *meter)], tempos, at))

    def without_durations(words):  # a note may be cut by a note after the split
        return [w for w in words if not WORDS[w].startswith("Note_Duration")]

    halves = content(first, words=without_durations) | content(second, n_bars, at, without_durations)
    assert halves == content(whole, words=without_durations)
    begins = seconds_of(whole)[n_bars]
    for number, seconds in seconds_of(second, begins).items():
        if number + n_bars in seconds_of(whole):
            assert abs(seconds - seconds_of(whole)[number + n_bars]) < 1e-3


@FAST
@given(ANY_NOTES, st.integers(-12, 12))
def test_transposing_moves_pitches_and_nothing_else(notes, semitones):
    notes = [n for n in notes if 33 <= n[2] <= 96] or [(0, 480, 60)]
    plain = score_to_bars(score_of(notes))
    moved = score_to_bars(score_of([(t, d, p + semitones) for t, d, p in notes]))
    expected = [
        f"Note_Pitch_{int(w.rsplit('_', 1)[1]) + semitones}" if w.startswith("Note_Pitch") else w
        for w in [WORDS[w] for w in plain.words]
    ]
    assert [WORDS[w] for w in moved.words] == expected
