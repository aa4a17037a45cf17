import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from symusic import Note, Score, TimeSignature, Track

from musetok_bridge import score_to_bars
from musetok_bridge.bars import MAX_BAR_NOTES, MAX_LAST_BAR_NOTES
from musetok_bridge.tokenizer_corpus import bar_notes
from musetok_bridge.vocabulary import MAX_BAR_WORDS, WORDS


def score_of(*tracks, signatures=()):
    """A score of 480 ticks per quarter with tracks of (start, length, pitch) notes."""
    score = Score(480)
    for signature in signatures:
        score.time_signatures.append(TimeSignature(*signature))
    for notes in tracks:
        track = Track()
        for start, length, pitch in notes:
            track.notes.append(Note(start, length, pitch, 80))
        score.tracks.append(track)
    return score


def spell(bar):
    """The (position, pitch, duration) triples of a bar's words."""
    values = [int(WORDS[w].rsplit("_", 1)[1]) for w in bar.tolist() if WORDS[w].startswith(("Beat", "Note"))]
    return list(zip(values[::3], values[1::3], values[2::3], strict=True))


def test_a_melody_doubled_by_a_second_track_is_written_once():
    melody = [(480 * i, 480, 60 + i) for i in range(4)]
    doubled = [(480 * i + 5, 440, 60 + i) for i in range(4)]  # played a little late and detached
    plain = score_to_bars(score_of(melody))
    both = score_to_bars(score_of(melody, doubled), merge_doubled=True)
    assert both.words.tolist() == plain.words.tolist()
    assert (both.left_out["merged"], plain.left_out["merged"]) == (4, 0)
    assert score_to_bars(score_of(melody, doubled)).n_notes.tolist() == [8]


def test_of_doubled_notes_the_longest_is_kept_whichever_track_has_it():
    short, long = [(0, 240, 60)], [(0, 960, 60)]
    for tracks in ([short, long], [long, short]):
        assert spell(score_to_bars(score_of(*tracks), merge_doubled=True)[0]) == [(0, 60, 960)]


def test_octaves_and_later_notes_of_the_same_pitch_are_not_doubled():
    notes = [(0, 480, 60), (0, 480, 72), (480, 480, 60)]
    bars = score_to_bars(score_of(notes), merge_doubled=True)
    assert bars.n_notes.tolist() == [3] and bars.left_out["merged"] == 0


def chords(n_chords, pitches, length=lambda pitch: 120):
    return [(120 * i, length(pitch), pitch) for i in range(n_chords) for pitch in pitches]


def test_a_full_bar_is_left_as_it_is():
    notes = chords(14, (48, 60, 72))  # 42 notes
    assert len(notes) == MAX_BAR_NOTES
    bars = score_to_bars(score_of([*notes, (1920, 480, 60)]), thin_long_bars=True)
    assert bars.n_notes.tolist() == [42, 1] and bars.left_out["thinned"] == 0


def test_the_last_bar_has_room_for_one_note_less_because_of_its_closing_word():
    bars = score_to_bars(score_of(chords(14, (48, 60, 72))), thin_long_bars=True)
    assert bars.n_notes.tolist() == [MAX_LAST_BAR_NOTES] == [41]
    assert bars.left_out["thinned"] == 1
    assert len(bars[0]) <= MAX_BAR_WORDS


def test_inner_notes_are_removed_and_outer_voices_kept():
    bars = score_to_bars(score_of(chords(16, (48, 55, 60, 64, 72))), thin_long_bars=True)
    notes = spell(bars[0])
    assert len(notes) == 41 and bars.left_out["thinned"] == 80 - 41
    for position in range(0, 48, 3):
        pitches = [pitch for at, pitch, _ in notes if at == position]
        assert max(pitches) == 72 and min(pitches) == 48


def test_the_shortest_inner_notes_are_removed_first():
    lengths = {48: 120, 55: 120, 60: 240, 64: 240, 72: 120}
    bars = score_to_bars(score_of(chords(11, lengths, lengths.get)), thin_long_bars=True)
    inner = [(pitch, duration) for _, pitch, duration in spell(bars[0]) if pitch not in (48, 72)]
    assert len(inner) == 41 - 22
    assert {pitch for pitch, _ in inner} == {60, 64}  # all of 55, the shortest, are removed, and three more


def test_of_equally_short_notes_those_of_the_thickest_chords_are_removed():
    thick, thin = [(0, 120, pitch) for pitch in range(40, 60)], chords(9, (48, 60, 72))
    later = [(start + 480, length, pitch) for start, length, pitch in thin]
    bars = score_to_bars(score_of([*thick, *later]), thin_long_bars=True)
    per_position = np.unique([at for at, _, _ in spell(bars[0])], return_counts=True)[1]
    assert per_position.tolist() == [14] + [3] * 9


def test_a_bar_with_too_many_outer_notes_keeps_its_melody():
    notes = [(onset, 120, pitch) for onset in range(0, 4 * 960, 120) for pitch in (48, 72)]  # 4/2: 32 onsets, 64 notes
    bars = score_to_bars(score_of(notes, signatures=[(0, 4, 2)]), thin_long_bars=True)
    pitches = [pitch for _, pitch, _ in spell(bars[0])]
    assert len(pitches) == 41
    assert pitches.count(72) == 32


ANY_TRACKS = st.lists(
    st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 2000), st.integers(30, 60)), max_size=120),
    min_size=1,
    max_size=4,
).filter(any)


@settings(max_examples=100, deadline=None)
@given(ANY_TRACKS)
@example([[(1021, 900, 30), (1021, 1, 30)]])  # the longer of the two last notes is kept, and ends a bar later
def test_merging_and_thinning_only_remove_notes_and_no_more_than_needed(tracks):
    plain = score_to_bars(score_of(*tracks))
    merged = score_to_bars(score_of(*tracks), merge_doubled=True)
    thin = score_to_bars(score_of(*tracks), merge_doubled=True, thin_long_bars=True)
    for bars in (plain, merged, thin):
        assert bars.n_notes.sum() + sum(bars.left_out.values()) == sum(map(len, tracks))
    assert (np.diff(thin.offsets) <= MAX_BAR_WORDS).all()
    assert thin.start_tick.tolist() == merged.start_tick.tolist()
    for i in range(len(merged)):
        assert bar_notes(thin[i]) <= bar_notes(merged[i])
        if i < len(plain):
            assert bar_notes(merged[i]) <= bar_notes(plain[i])
        if len(merged[i]) <= MAX_BAR_WORDS:
            assert thin[i].tolist() == merged[i].tolist()
        else:
            assert len(thin[i]) > MAX_BAR_WORDS - 3  # no more is left out than necessary


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 2000), st.integers(30, 60)), min_size=1, max_size=60))
def test_merging_a_track_with_its_copy_gives_the_merged_track(notes):
    once = score_to_bars(score_of(notes), merge_doubled=True)
    twice = score_to_bars(score_of(notes, notes), merge_doubled=True)
    assert once.words.tolist() == twice.words.tolist()
    assert twice.left_out["merged"] == 2 * once.left_out["merged"] + once.n_notes.sum()


@pytest.mark.parametrize("option", ["merge_doubled", "thin_long_bars"])
def test_one_voice_is_not_changed(synthetic, option):
    path = synthetic / "sixteenths.mid"
    assert score_to_bars(path, **{option: True}).words.tolist() == score_to_bars(path).words.tolist()
