import pickle

import numpy as np
import pytest
from score_from_notes import score_of
from symusic import Score

from musetok_bridge import Limits, UnusableScore, score_to_bars
from musetok_bridge.tokenizer_corpus import bar_notes
from musetok_bridge.vocabulary import WORDS


def spell(words):
    return [WORDS[w] for w in words]


def test_a_bar_is_written_from_low_to_high_position_and_from_high_to_low_pitch():
    bars = score_to_bars(score_of([(480, 480, 60), (0, 480, 60), (480, 240, 67)]))
    assert spell(bars[0]) == (
        ["Bar_None"]
        + ["Beat_0", "Note_Pitch_60", "Note_Duration_480"]
        + ["Beat_12", "Note_Pitch_67", "Note_Duration_240", "Beat_12", "Note_Pitch_60", "Note_Duration_480"]
        + ["Time_Signature_4/4", "EOS_None"]
    )


def test_bars_are_numbered_from_tick_zero_and_leading_empty_ones_get_no_words():
    bars = score_to_bars(score_of([(2 * 1920, 480, 60), (4 * 1920, 480, 60)]))
    assert bars.bar_number.tolist() == [2, 3, 4]
    assert bars.start_tick.tolist() == [3840, 5760, 7680]
    assert bars.n_notes.tolist() == [1, 0, 1]
    assert spell(bars[1]) == ["Bar_None", "Time_Signature_4/4"]


def test_each_stretch_of_a_meter_has_its_own_bars():
    notes = [(0, 480, 60), (1920, 480, 62), (1920 + 1440, 480, 64)]
    bars = score_to_bars(score_of(notes, [(0, 4, 4), (1920, 3, 4)]))
    assert bars.meter == ["4/4", "3/4", "3/4"]
    assert bars.start_tick.tolist() == [0, 1920, 3360]
    assert bars.n_notes.tolist() == [1, 1, 1]
    assert [spell(bars[i])[-1] for i in range(2)] == ["Time_Signature_4/4", "Time_Signature_3/4"]


def test_a_change_in_mid_bar_starts_a_bar_at_its_tick():
    bars = score_to_bars(score_of([(0, 240, 60), (720, 240, 62)], [(0, 4, 4), (720, 3, 4)]))
    assert bars.start_tick.tolist() == [0, 720]
    assert spell(bars[1])[1] == "Beat_0"


def test_a_bar_of_five_four_keeps_its_2400_ticks():
    bars = score_to_bars(score_of([(0, 240, 60), (2400, 240, 62), (4800, 240, 62)], [(0, 5, 4)]))
    assert bars.start_tick.tolist() == [0, 2400, 4800]
    assert bars.meter == ["5/4"] * 3
    assert spell(bars[0])[-1] == "Time_Signature_6/4"


def test_one_four_is_barred_anew_as_four_four():
    bars = score_to_bars(score_of([(0, 240, 60), (1920, 240, 62)], [(0, 1, 4)]))
    assert bars.start_tick.tolist() == [0, 1920]
    assert bars.meter == ["1/4", "1/4"]


def test_an_onset_that_rounds_up_to_a_change_opens_the_next_stretch():
    bars = score_to_bars(score_of([(0, 240, 60), (1910, 240, 62)], [(0, 4, 4), (1920, 3, 4)]))
    assert bars.n_notes.tolist() == [1, 1]
    assert spell(bars[1])[1:3] == ["Beat_0", "Note_Pitch_62"]


def test_a_note_is_written_no_longer_than_its_bar():
    bars = score_to_bars(score_of([(0, 1920, 60), (0, 120, 64)], [(0, 2, 4)]))
    assert "Note_Duration_960" in spell(bars[0]) and "Note_Duration_1920" not in spell(bars[0])


def test_notes_left_out_are_counted():
    bars = score_to_bars(score_of([(0, 480, 60), (0, 480, 20), (0, 480, 109), (0, 0, 60)], drums=[(0, 120, 36)]))
    assert bars.left_out == {"drums": 1, "zero_length": 1, "out_of_range": 2, "merged": 0, "thinned": 0, "endless": 0}
    assert bars.n_notes.sum() == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "unreadable"),
        (b"MThd but not really a MIDI file", "unreadable"),
        ("no/such/file.mid", "unreadable"),
        (score_of([]), "no_notes"),
        (score_of([(0, 480, 20), (0, 0, 60)]), "no_notes"),
        (score_of([(0, 1, 60), (10**9 - 1, 1, 60)], [(0, 2, 4)], ticks_per_quarter=1), "too_many_bars"),
        (score_of([(10**9 - 1, 1, 60)]), "too_many_bars"),
        (score_of([(2**31 - 10, 1, 60)]), "too_many_ticks"),
        (score_of([(2**31 - 10, 100, 60)]), "too_many_ticks"),
        (score_of([(0, 480, 60)], [(i, 3 + i % 2, 4) for i in range(20_001)]), "too_many_bars"),
        (score_of([(-480, 480, 60)]), "no_time"),
        (score_of([(0, 480, 60)], ticks_per_quarter=0), "no_time"),
    ],
)
def test_an_unusable_score_is_refused_with_its_reason(source, reason):
    with pytest.raises(UnusableScore) as caught:
        score_to_bars(source)
    assert caught.value.reason == reason
    assert pickle.loads(pickle.dumps(caught.value)).reason == reason  # as when it is sent back by a worker process


SONG = [(480 * i, 480, 60) for i in range(16)]  # four bars, 7,680 ticks


@pytest.mark.parametrize(("limit", "reached"), [("notes", 16), ("ticks", 7680), ("bars", 4)])
def test_a_score_is_converted_up_to_a_limit_and_refused_beyond(limit, reached):
    assert len(score_to_bars(score_of(SONG), limits=Limits(**{limit: reached}))) == 4
    with pytest.raises(UnusableScore, match=f"too_many_{limit}: {reached:,} {limit}, the limit is {reached - 1:,}"):
        score_to_bars(score_of(SONG), limits=Limits(**{limit: reached - 1}))


def test_a_file_is_read_up_to_a_size_and_refused_beyond(tmp_path):
    music = score_of(SONG).dumps_midi()
    path = tmp_path / "song.mid"
    path.write_bytes(music)
    for source in (music, path):
        assert len(score_to_bars(source, limits=Limits(file_bytes=len(music)))) == 4
        with pytest.raises(UnusableScore, match="too_large: more than"):
            score_to_bars(source, limits=Limits(file_bytes=len(music) - 1))


def test_notes_in_drum_tracks_count_toward_the_limit_of_notes():
    with pytest.raises(UnusableScore, match="too_many_notes: 17"):
        score_to_bars(score_of(SONG, drums=[(0, 120, 36)]), limits=Limits(notes=16))


def test_a_score_without_usable_notes_says_how_many_were_left_out_and_why():
    with pytest.raises(UnusableScore, match=r"no_notes: .*\(1 zero length, 2 out of range\)"):
        score_to_bars(score_of([(0, 480, 20), (0, 480, 109), (480, 0, 60)]))


def test_a_score_in_quarters_is_converted_to_ticks(synthetic):
    score = Score(synthetic / "random_mix.mid")
    assert score_to_bars(score.to("quarter")).words.tolist() == score_to_bars(score).words.tolist()


def test_bytes_path_and_score_give_the_same_bars(synthetic):
    path = synthetic / "random_mix.mid"
    from_score, from_bytes, from_path = (score_to_bars(s) for s in (Score(path), path.read_bytes(), path))
    assert from_score.words.tolist() == from_bytes.words.tolist() == from_path.words.tolist()


def test_the_order_of_tracks_changes_no_note(synthetic):
    score = Score(synthetic / "two_tracks.mid")
    reversed_tracks = score.copy()
    reversed_tracks.tracks = type(score.tracks)(list(score.tracks)[::-1])
    assert len(score.tracks) > 1
    one, other = score_to_bars(score), score_to_bars(reversed_tracks)
    assert one.n_notes.tolist() == other.n_notes.tolist()
    assert [bar_notes(one[i]) for i in range(len(one))] == [bar_notes(other[i]) for i in range(len(other))]


def test_the_order_in_which_meters_and_tempos_were_added_changes_nothing():
    notes, meters, tempos = [(0, 480, 60), (4000, 480, 62)], [(0, 4, 4), (1920, 3, 4)], [(0, 60), (960, 200)]
    one, other = (
        score_to_bars(score_of(notes, meters, tempos)),
        score_to_bars(score_of(notes, meters[::-1], tempos[::-1])),
    )
    assert one.meter == other.meter == ["4/4", "3/4", "3/4"]
    assert one.start_seconds.tolist() == other.start_seconds.tolist()


def test_a_tick_left_over_by_rounding_belongs_to_the_next_stretch():
    bars = score_to_bars(score_of([(0, 486, 60), (8342, 486, 62)], [(0, 4, 4), (3969, 9, 4), (8343, 3, 4)], (), 486))
    assert bars.meter[-1] == "3/4" and bars.n_notes[-1] == 1
    assert spell(bars[len(bars) - 1])[1] == "Beat_0"


def test_a_long_song_is_converted_whole():
    rng = np.random.default_rng(0)
    starts, pitches = rng.integers(0, 2_000_000, 30_000), rng.integers(21, 109, 30_000)
    notes = [(start, 200, pitch) for start, pitch in zip(starts.tolist(), pitches.tolist(), strict=True)]
    bars = score_to_bars(score_of(notes))
    assert bars.n_notes.sum() == 30_000


def test_an_abc_tune_is_read(tmp_path):
    tune = tmp_path / "scale.abc"
    tune.write_text("X:1\nT:scale\nM:3/4\nL:1/4\nQ:1/4=60\nK:C\nCDE|FGA|Bcd|\n", encoding="utf-8")
    bars = score_to_bars(tune)
    assert bars.n_notes.tolist() == [3, 3, 3]
    assert bars.start_seconds.tolist() == [0.0, 3.0, 6.0]
