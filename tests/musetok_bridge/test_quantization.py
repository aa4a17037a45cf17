import numpy as np

from musetok_bridge.meters import find_stretches
from musetok_bridge.quantization import cut_overlaps, find_triplets, quantize_durations, quantize_onsets

FOUR_FOUR = find_stretches(np.array([[0, 4, 4]]), 480)


def onsets(*starts):
    return quantize_onsets(np.array(starts), FOUR_FOUR)[0].tolist()


def test_a_lone_onset_moves_to_the_nearest_sixteenth():
    assert onsets(59) == [0]
    assert onsets(61) == [120]
    assert onsets(170) == [120]


def test_an_onset_at_the_end_of_a_bar_opens_the_next():
    assert onsets(1900) == [1920]


def test_three_even_onsets_in_a_quarter_are_a_triplet():
    onset, is_triplet = quantize_onsets(np.array([3, 158, 322]), FOUR_FOUR)
    assert onset.tolist() == [0, 160, 320]
    assert is_triplet.all()


def test_a_triplet_does_not_cross_the_bar_line():
    start = np.array([1760, 1920, 2080])
    onset, is_triplet = quantize_onsets(start, FOUR_FOUR)
    assert not is_triplet.any()
    assert onset.tolist() == [1800, 1920, 2040]


def test_a_member_of_a_run_opens_no_run_of_its_own():
    # 0..800 fill the run of six; 800, 960 and 1120 would make a triplet if 800 could open one
    run = np.array([0, 160, 320, 480, 640, 800, 960, 1120])
    assert find_triplets(run, FOUR_FOUR)[0].tolist() == [True] * 6 + [False] * 2


def test_the_nearest_duration_is_taken_and_of_two_equally_near_the_first_listed():
    length = np.array([-50, 0, 130, 180, 300, 5000])
    plain = quantize_durations(length, np.zeros(6, dtype=bool))
    triplet = quantize_durations(length, np.ones(6, dtype=bool))
    assert plain.tolist() == [120, 120, 120, 120, 240, 1920]
    assert triplet.tolist() == [80, 80, 120, 160, 320, 1920]


def test_a_note_is_cut_where_a_note_that_outlasts_it_begins():
    cut = cut_overlaps(np.array([0, 240, 480]), np.array([480, 120, 120]), FOUR_FOUR)
    assert cut.tolist() == [480, 120, 120]  # it ends where the last onset begins, and outlasts the second
    cut = cut_overlaps(np.array([0, 240, 480, 960]), np.array([360, 480, 120, 120]), FOUR_FOUR)
    assert cut.tolist() == [240, 480, 120, 120]


def test_the_last_onset_cuts_nothing():
    assert cut_overlaps(np.array([0, 480]), np.array([1920, 1920]), FOUR_FOUR).tolist() == [1920, 1920]
