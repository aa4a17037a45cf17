from fractions import Fraction

import numpy as np
import pytest

from musetok_bridge.meters import find_stretches, meter_changes, written_meter


@pytest.mark.parametrize(
    ("notated", "written", "length"),
    [
        ((4, 4), (4, 4), Fraction(1)),
        ((12, 8), (12, 8), Fraction(3, 2)),
        ((8, 8), (4, 4), Fraction(1)),  # same length
        ((4, 8), (2, 4), Fraction(1, 2)),
        ((6, 16), (3, 8), Fraction(3, 8)),
        ((12, 16), (6, 8), Fraction(3, 4)),
        ((1, 4), (4, 4), Fraction(1)),  # too short: barred anew
        ((2, 8), (4, 4), Fraction(1)),
        ((5, 16), (4, 4), Fraction(1)),
        ((5, 4), (6, 4), Fraction(5, 4)),  # written as the next longer meter, with its own length
        ((5, 8), (6, 8), Fraction(5, 8)),
        ((7, 8), (4, 4), Fraction(7, 8)),
        ((10, 8), (12, 8), Fraction(5, 4)),
        ((65, 4), (4, 4), Fraction(1)),  # longer than all: barred anew
    ],
)
def test_every_meter_is_written_as_one_of_the_vocabulary(notated, written, length):
    assert written_meter(*notated) == (written, length)


def stretches(*signatures, ticks_per_quarter=480):
    return find_stretches(meter_changes(*np.array(signatures, dtype=np.int64).reshape(-1, 3).T), ticks_per_quarter)


def test_without_a_signature_the_score_is_in_four_four():
    found = stretches()
    assert found.notated == ["4/4"]
    assert found.bar_length.tolist() == [1920]


def test_a_meter_that_is_barred_anew_is_told_from_one_that_keeps_its_length():
    found = stretches((0, 1, 4), (1920, 5, 4), (9600, 8, 8), (19200, 65, 4))
    assert found.notated == ["1/4", "5/4", "8/8", "65/4"]
    assert found.barred_as == ["4/4", "5/4", "8/8", "4/4"]


def test_the_first_signature_covers_the_time_before_it():
    found = stretches((1000, 3, 4))
    assert found.notated == ["3/4"]
    assert found.bar_start_ticks(np.arange(3)).tolist() == [0, 1440, 2880]


def test_of_several_signatures_at_one_tick_the_last_counts():
    assert stretches((0, 3, 4), (0, 2, 4), (0, 6, 8)).notated == ["6/8"]


def test_a_repeated_signature_changes_nothing():
    assert stretches((0, 4, 4), (100, 4, 4), (5000, 4, 4)).notated == ["4/4"]


def test_a_change_cuts_the_current_bar_and_starts_a_new_one():
    found = stretches((0, 4, 4), (2 * 1920 + 500, 3, 4))
    assert found.bar_start_ticks(np.arange(5)).tolist() == [0, 1920, 3840, 4340, 4340 + 1440]
    number, first, end = found.bar_of_ticks(np.array([3840, 4339, 4340]))
    assert number.tolist() == [2, 2, 3]
    assert first.tolist() == [3840, 3840, 4340]
    assert end.tolist() == [4340, 4340, 4340 + 1440]


def test_bar_lines_are_exact_in_any_resolution():
    found = stretches((0, 3, 8), (6 * 330, 7, 8), ticks_per_quarter=220)
    assert found.bar_start_ticks(np.arange(8)).tolist() == [0, 330, 660, 990, 1320, 1650, 1980, 1980 + 770]


def test_a_signature_with_a_zero_is_ignored():
    assert stretches((0, 0, 4), (0, 4, 0), (10, 6, 8)).notated == ["6/8"]


def test_the_rhythm_of_a_stretch_is_counted_from_its_own_start():
    # 25 ticks of 24 a quarter are 500 of MuseTok's; 26 and 27 are one and two steps of 20 into the next stretch
    found = stretches((0, 4, 4), (25, 3, 4), ticks_per_quarter=24)
    assert found.on_time_line(np.array([24, 25, 26, 27])).tolist() == [480, 500, 520, 540]


def test_the_many_changes_of_a_hostile_file_are_reduced_without_a_loop():
    times = np.repeat(np.arange(200_000), 2)
    changes = meter_changes(times, np.tile([3, 4], 200_000), np.full(400_000, 4))
    assert changes.tolist() == [[0, 4, 4]]
