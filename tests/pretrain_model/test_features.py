"""Features agree with a musician: twice as fast is an octave of tempo, and a doubled part counts once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_music import drums_alone, with_drums
from symusic import Note, Score, Tempo, TimeSignature, Track

from musetok_bridge import score_to_bars
from musetok_bridge.bars import read_bars
from musetok_bridge.scores import read_score
from pipeline.settings import PROJECT_ROOT
from pretrain_model.band import BAND
from pretrain_model.features import FEATURES, bar_features, features_of_songs
from pretrain_model.played_songs import Played

SAMPLES = sorted((PROJECT_ROOT / "samples").glob("*.abc"))


def played(notes: list[tuple[int, int, int, int]], qpm: float = 120, meter: tuple[int, int] = (4, 4)) -> Score:
    """Notes as (start, length, pitch, velocity), 480 ticks a quarter."""
    score = Score(480)
    score.tempos.append(Tempo(0, qpm))
    score.time_signatures.append(TimeSignature(0, *meter))
    score.tracks.append(Track())
    score.tracks[0].notes.extend([Note(*note) for note in notes])
    return score


def heard(score: Score) -> dict[str, np.ndarray]:
    features = bar_features(score, score_to_bars(score))
    return dict(zip(FEATURES, features.values.T, strict=True))


def scale(
    quarters: int = 16, velocity: int = 80, length: int = 480, pitch: int = 60
) -> list[tuple[int, int, int, int]]:
    return [(480 * i, length, pitch + i % 12, velocity) for i in range(quarters)]


def test_twice_as_fast_is_an_octave_of_tempo_and_twice_the_notes_a_second() -> None:
    slow, fast = heard(played(scale(), qpm=60)), heard(played(scale(), qpm=120))
    np.testing.assert_allclose(fast["tempo"] - slow["tempo"], 1, atol=1e-5)
    np.testing.assert_allclose(np.expm1(fast["notes_per_second"]) / np.expm1(slow["notes_per_second"]), 2, rtol=1e-5)
    np.testing.assert_allclose(fast["notes_per_quarter"], slow["notes_per_quarter"], rtol=1e-6)
    np.testing.assert_allclose(np.expm1(slow["notes_per_second"]), 1, rtol=1e-5)


def test_velocity_is_loudness_and_changes_nothing_else() -> None:
    soft, loud = heard(played(scale(velocity=40))), heard(played(scale(velocity=120)))
    np.testing.assert_allclose(loud["velocity"], 120 / 127, rtol=1e-6)
    assert (loud["loudness"] > soft["loudness"]).all()
    for name in set(FEATURES) - {"velocity", "velocity_max", "loudness"}:
        np.testing.assert_array_equal(loud[name], soft[name], err_msg=name)


def test_an_octave_higher_is_one_more_in_every_register() -> None:
    low, high = heard(played(scale(pitch=48))), heard(played(scale(pitch=60)))
    for name in ("pitch", "highest", "lowest", "melody"):
        np.testing.assert_allclose(high[name] - low[name], 1, atol=1e-6)
    assert high["melody"][0] == pytest.approx(np.mean([0, 1, 2, 3]) / 12)
    for name in set(FEATURES) - {"pitch", "highest", "lowest", "melody"}:
        np.testing.assert_allclose(high[name], low[name], atol=1e-6, err_msg=name)


def test_staccato_is_short_against_the_beat() -> None:
    short, bound = heard(played(scale(17, length=120))), heard(played(scale(17)))
    assert short["articulation"][:4] == pytest.approx([0.25] * 4)
    assert bound["articulation"][:4] == pytest.approx([1] * 4)
    assert (short["short"][:4].tolist(), bound["short"][:4].tolist()) == ([1] * 4, [0] * 4)


def test_chords_are_counted_by_onset_and_the_melody_is_their_top() -> None:
    chords = [(480 * i, 480, pitch, 80) for i in range(8) for pitch in (60, 64, 67)]
    found = heard(played(chords))
    assert found["chord_size"].tolist() == [3, 3]
    assert found["melody"] == pytest.approx([7 / 12] * 2)
    assert np.expm1(found["onsets_per_second"]) == pytest.approx([2, 2])
    assert np.expm1(found["polyphony"]) == pytest.approx([3, 3])


def test_sixteenths_and_triplets_lie_on_a_grid_and_free_playing_on_none() -> None:
    draw = np.random.default_rng(0)
    free = [(int(t), 100, 60, 80) for t in np.sort(draw.integers(0, 480 * 64, 500))]
    for step in (120, 160, 240, 480):
        assert heard(played([(step * i, 100, 60, 80) for i in range(64)]))["off_grid"].max() < 1e-6
    off_grid = heard(played(free))["off_grid"]
    assert off_grid[-1] > 0.85  # the mean of n unit vectors of any direction is about as long as 1/√n
    assert off_grid[len(off_grid) // 2 :].min() > 0.8


def test_a_grid_that_begins_late_is_a_grid() -> None:
    """Only a constant position counts: 40 ticks after each sixteenth is as good as on it."""
    late = [(120 * i + 40, 60, 60, 80) for i in range(64)]
    assert heard(played(late))["off_grid"].max() < 1e-6


@pytest.mark.parametrize("spread", [0.01, 0.02, 0.04])
def test_the_further_from_the_grid_the_less_consistent(spread: float) -> None:
    """Normal errors of σ quarters shorten the mean vector to exp(−(2π · 4 σ)² / 2) (Mardia and Jupp, 2000)."""
    draw = np.random.default_rng(0)
    score = played([])
    score.tpq = 48_000
    off = draw.normal(scale=spread * score.tpq, size=2000)
    notes = [(max(int(12_000 * i + off[i]), 0), 6000, 60, 80) for i in range(2000)]
    score.tempos[0].qpm = 60  # slow, so that no two sixteenths begin together
    score.tracks[0].notes.extend([Note(*note) for note in notes])
    expected = 1 - np.exp(-((2 * np.pi * 4 * spread) ** 2) / 2)
    assert heard(score)["off_grid"][-1] == pytest.approx(expected, abs=0.03)


def test_both_grids_in_one_piece_are_between_a_grid_and_none() -> None:
    straight = [(120 * i, 100, 60, 80) for i in range(96)] + [(160 * i, 100, 60, 80) for i in range(72, 144)]
    assert 0.1 < heard(played(straight))["off_grid"][-1] < 0.6


def test_off_grid_knows_only_the_bars_so_far() -> None:
    draw = np.random.default_rng(0)
    first = [(120 * i, 100, 60, 80) for i in range(64)]
    free = [(480 * 16 + int(t), 100, 60, 80) for t in np.sort(draw.integers(0, 480 * 32, 200))]
    off_grid = heard(played(first + free))["off_grid"]
    assert off_grid[:4].max() < 1e-6
    assert off_grid[4] < off_grid[-1]
    assert off_grid[-1] > 0.3


def test_an_off_beat_fades_in_between_a_sixteenth_and_an_eighth_of_a_quarter() -> None:
    for late, share in ((0, 0), (30, 0), (45, 0.5), (60, 1), (240, 1)):
        found = heard(played([(480 * i + late, 200, 60, 80) for i in range(16)]))
        np.testing.assert_allclose(found["off_beat"], share, atol=1e-6)


def test_notes_a_few_milliseconds_apart_have_the_features_of_a_chord() -> None:
    """10 ticks at 120 quarters a minute are 10 ms: one onset, whichever of the notes comes first."""
    chord = [(480 * i + 240, 200, pitch, 80) for i in range(16) for pitch in (60, 64, 67)]
    spread = [(start + 5 * ((k + start // 480) % 3), *rest) for k, (start, *rest) in enumerate(chord)]
    together, apart = heard(played(chord)), heard(played(spread))
    for name in FEATURES:
        np.testing.assert_allclose(apart[name], together[name], atol=0.06, err_msg=name)
    np.testing.assert_allclose(apart["chord_size"], 3, rtol=1e-6)


def test_meters_of_three_differ_from_meters_of_two() -> None:
    for meter, triple in (((3, 4), 1), ((6, 8), 1), ((4, 4), 0), ((2, 4), 0)):
        assert set(heard(played(scale(), meter=meter))["triple"]) == {triple}


def test_a_silent_bar_has_no_density_and_sounds_as_the_one_before() -> None:
    found = heard(played([(0, 480, 72, 100), (480 * 12, 480, 60, 50)]))
    assert found["notes_per_second"][1:3].tolist() == [0, 0]
    assert found["pitch"].tolist() == [1, 1, 1, 0]
    assert found["velocity"] == pytest.approx(np.array([100, 100, 100, 50]) / 127)


def test_the_order_of_tracks_and_doubled_tracks_change_nothing() -> None:
    score = played(scale())
    score.tracks.append(played(scale(8, 50, 240, 40)).tracks[0])
    score.tracks.append(played(scale(12, 90, 300, 50)).tracks[0])
    bars = score_to_bars(score)
    expected = bar_features(score, bars).values
    score.tracks = [score.tracks[k] for k in (2, 0, 1)]
    np.testing.assert_array_equal(bar_features(score, bars).values, expected)
    score.tracks.append(score.tracks[0].copy())
    np.testing.assert_array_equal(bar_features(score, bars).values, expected)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_features_of_real_music_are_finite(path: Path) -> None:
    score = read_score(path)
    bars = score_to_bars(score)
    features = bar_features(score, bars)
    assert features.values.shape == (len(bars), len(FEATURES))
    assert np.isfinite(features.values).all()
    assert features.band.shape == (len(bars), len(BAND))
    assert np.isfinite(features.band).all()
    np.testing.assert_array_equal(features.edges[:-1], bars.start_seconds)
    assert features.edges[-1] > bars.start_seconds[-1]


def test_songs_together_have_the_features_that_each_has_alone_to_the_last_bit() -> None:
    arpeggio = played([(10 * i, 480, 40 + i % 40, 80) for i in range(300)])  # one long run of close onsets
    late = played([(480 * 30, 480, 72, 100), (480 * 31, 480, 60, 50)])
    one_note = played([(0, 10, 60, 1)])
    hits = [(0.0, 36, 100), (1.0, 38, 90), (3.97, 42, 50)]  # beat, drum, velocity
    made = [arpeggio, late, one_note, drums_alone(hits), with_drums(played(scale(64)), hits), drums_alone(hits)]
    scores = [*made, *map(read_score, SAMPLES[:6])]
    songs = [Played.of(read_bars(score)) for score in scores]
    alone = [features_of_songs([song])[0] for song in songs]
    mixed = np.random.default_rng(0).permutation(np.tile(np.arange(len(songs)), 3))
    for order in (range(len(songs)), mixed, [3, 5, 2, 2]):
        for k, together in zip(order, features_of_songs([songs[k] for k in order]), strict=True):
            for name in ("edges", "values", "band"):
                np.testing.assert_array_equal(getattr(together, name), getattr(alone[k], name), err_msg=f"{k} {name}")
    assert features_of_songs([]) == []
