"""What a band adds: nothing for a piano, drums counted by their role a second, instruments by their share of the time.

And what a listener makes of it: drums are arousing, and drums alone say nothing of valence.
"""

from __future__ import annotations

import numpy as np
import pytest
from made_music import (
    CRASH,
    HIHAT,
    KICK,
    SNARE,
    Hit,
    arpeggios,
    chorale,
    drums_alone,
    empty_score,
    rated,
    rock,
    views_of,
    with_drums,
)
from symusic import Note, Score, Track

from musetok_bridge import score_to_bars
from musetok_bridge.scores import read_score
from pipeline.settings import PROJECT_ROOT
from pretrain_model.band import BAND, CHARACTERS, ROLES, band_share, from_usual
from pretrain_model.features import FEATURES, UNHEARD, BarFeatures, bar_features
from pretrain_model.head import Head, load_head
from pretrain_model.listener import Listener

SAMPLES = sorted((PROJECT_ROOT / "samples").glob("*.abc"))
SHARES = slice(BAND.index("mallets"), BAND.index("effects") + 1)


@pytest.fixture(scope="module", params=["bundled", "bundled_heard"])
def head(request: pytest.FixtureRequest) -> Head:
    return load_head(request.param)


def features_of(score: Score) -> BarFeatures:
    return bar_features(score, score_to_bars(score))


def band_of(score: Score) -> dict[str, np.ndarray]:
    return dict(zip(BAND, features_of(score).band.T, strict=True))


def heard(score: Score) -> dict[str, np.ndarray]:
    return dict(zip(FEATURES, features_of(score).values.T, strict=True))


def played_by(programs: list[int], n_bars: int = 4) -> Score:
    """The same quarters on each instrument, 7 semitones apart."""
    score = empty_score()
    for k, program in enumerate(programs):
        track = Track(str(k), program, False)
        track.notes.extend([Note(480 * i, 480, 40 + 7 * k, 80) for i in range(4 * n_bars)])
        score.tracks.append(track)
    return score


# the features


@pytest.mark.parametrize("program", range(8))
def test_a_piano_has_no_band(program: int) -> None:
    score = chorale()
    score.tracks[0].program = program
    assert not features_of(score).band.any()
    assert (band_share(features_of(score).band) == 0).all()


def test_a_kick_on_each_beat_at_120_is_two_a_second() -> None:
    band = band_of(drums_alone([(beat, KICK, 90) for beat in range(4)]))
    for name in ("kick_per_second", "drums_per_second"):
        np.testing.assert_allclose(band[name], np.log1p(2), rtol=1e-6)
    assert not any(band[f"{role}_per_second"].any() for role in ROLES if role != "kick")
    np.testing.assert_allclose(band["drums_velocity"], 90 / 127, rtol=1e-6)


@pytest.mark.parametrize(("role", "pitch"), [(role, pitch) for role, pitches in ROLES.items() for pitch in pitches])
def test_each_drum_is_counted_in_its_own_role(role: str, pitch: int) -> None:
    band = band_of(drums_alone([(beat, pitch, 80) for beat in (0, 2)], qpm=60))
    np.testing.assert_allclose(band[f"{role}_per_second"], np.log1p(0.5), rtol=1e-6)
    assert sum(band[f"{other}_per_second"].any() for other in ROLES) == 1


def test_no_drum_has_two_roles() -> None:
    pitches = [pitch for role in ROLES.values() for pitch in role]
    assert len(pitches) == len(set(pitches))
    programs = [program for character in CHARACTERS.values() for program in character]
    assert len(programs) == len(set(programs))
    assert not set(programs) & set(range(8))


def test_drums_struck_together_are_one_onset_and_two_hits() -> None:
    band = band_of(drums_alone([(beat, drum, 90) for beat in range(4) for drum in (KICK, CRASH)]))
    np.testing.assert_allclose(band["drums_per_second"], np.log1p(2), rtol=1e-6)
    np.testing.assert_allclose(band["crash_per_second"], np.log1p(2), rtol=1e-6)


@pytest.mark.parametrize(("beats", "share"), [((1, 3), 1), ((0, 2), 0), ((0, 1, 2, 3), 0.5), ((1.5, 3.5), 0), ((), 0)])
def test_the_backbeat_is_the_snare_on_two_and_four(beats: tuple[float, ...], share: float) -> None:
    band = band_of(drums_alone([(0, KICK, 90), *((beat, SNARE, 90) for beat in beats)]))
    np.testing.assert_allclose(band["backbeat"], share, atol=1e-6)


@pytest.mark.parametrize(
    ("programs", "shares"),
    [
        ([48], {"strings": 1.0}),
        ([0, 48], {"strings": 0.5}),
        ([0, 33, 30, 30], {"bass": 0.25, "distorted_guitar": 0.5}),
        ([127, 75, 110], {"effects": 1 / 3, "pipes": 1 / 3, "ethnic": 1 / 3}),
    ],
)
def test_instruments_have_their_share_of_the_sound(programs: list[int], shares: dict[str, float]) -> None:
    band = band_of(played_by(programs))
    for name in CHARACTERS:
        np.testing.assert_allclose(band[name], shares.get(name, 0), rtol=1e-6, err_msg=name)
    np.testing.assert_allclose(band["instruments"], np.log(len(set(programs))), atol=1e-6)
    np.testing.assert_allclose(band["bass_per_second"], np.log1p(2 * (33 in programs)), rtol=1e-6)


def test_shares_sum_to_one_at_most() -> None:
    draw = np.random.default_rng(0)
    for _ in range(20):
        score = with_drums(played_by(draw.integers(0, 128, 6).tolist()), rock(), 4)
        band = features_of(score).band
        assert (band[:, SHARES] >= 0).all()
        assert band[:, SHARES].sum(axis=1).max() <= 1 + 1e-6
        assert ((band_share(band) > 0) & (band_share(band) <= 1)).all()


def test_the_share_of_a_band_rises_with_the_bars_that_have_drums_and_is_whole_without_a_piano() -> None:
    n_bars = len(features_of(chorale()).band)
    parts = [with_drums(chorale(), [(float(i), HIHAT, 80) for i in range(4)], n) for n in (1, n_bars // 2, n_bars)]
    shares = [band_share(features_of(score).band).mean() for score in (chorale(), *parts)]
    assert shares[0] == 0
    assert (np.diff(shares) > 0).all()
    assert shares[-1] == 1


def test_instruments_that_do_not_play_make_no_difference() -> None:
    """The same notes without drums: pianos have the level alone, and strings hardly less, since no drums are late."""
    head = load_head("bundled")
    assert isinstance(head.model, Listener)
    usual = head.model.weights["band.mean"]
    piano, strings = (features_of(played_by([program])).band[:1].astype(np.float64) for program in (0, 48))
    assert (from_usual(piano, usual) == 0).all()
    drums = slice(0, BAND.index("backbeat") + 1)
    missed = from_usual(strings, usual)[:, drums] / -usual[drums]
    np.testing.assert_allclose(missed[:, usual[drums] > 0], 0.25)
    np.testing.assert_allclose(band_share(features_of(played_by([33, 48, 81])).band), 1, atol=1e-6)


def test_a_drum_counts_half_in_what_is_dense_and_adds_to_loudness() -> None:
    piano = played_by([0])
    both = heard(with_drums(piano, [(beat + 0.5, KICK, 90) for beat in range(4)], 4))
    alone = heard(piano)
    for name in ("notes_per_second", "onsets_per_second"):
        np.testing.assert_allclose((np.expm1(alone[name]), np.expm1(both[name])), [[2] * 4, [3] * 4], rtol=1e-5)
    np.testing.assert_allclose(np.expm1(both["notes_per_quarter"]), 1.5, rtol=1e-5)
    assert (both["loudness"] > alone["loudness"]).all()
    for name in set(FEATURES) - {"notes_per_second", "onsets_per_second", "notes_per_quarter", "loudness"}:
        np.testing.assert_array_equal(both[name], alone[name], err_msg=name)


def test_drums_alone_have_no_pitch_and_a_tempo_a_density_and_a_loudness() -> None:
    values = heard(drums_alone(rock(), qpm=90))
    known = {"tempo", "triple", "notes_per_second", "onsets_per_second", "notes_per_quarter", "loudness"}
    for name in FEATURES:
        assert np.isnan(values[name]).all() == (name not in known), name
        assert np.isfinite(values[name]).all() == (name in known), name
    assert np.isnan(UNHEARD)
    np.testing.assert_allclose(values["tempo"], np.log2(90), rtol=1e-6)


def test_a_single_pitched_note_makes_every_feature_finite() -> None:
    score = drums_alone(rock())
    score.tracks.append(Track())
    score.tracks[-1].notes.append(Note(0, 480, 60, 80))
    assert np.isfinite(features_of(score).values).all()


# what the bundled heads make of it


@pytest.mark.parametrize("score", [chorale(), arpeggios(), *map(read_score, SAMPLES)])
def test_a_band_adds_exactly_nothing_to_a_piano(head, score: Score) -> None:
    piano = score.copy()
    for track in piano.tracks:
        track.program = 0
    assert isinstance(head.model, Listener)
    assert (head.model.band(views_of(piano)) == 0).all()


def piano_pieces() -> list[Score]:
    return [*map(chorale, range(4)), *map(arpeggios, range(4)), *map(read_score, SAMPLES)]


def drummed(score: Score, hits: list[Hit]) -> Score:
    return with_drums(score, hits, len(views_of(score).heard))


def test_drums_make_a_piano_piece_more_arousing(head) -> None:
    rises = [rated(head, drummed(score, rock()))[:, 1].mean() - rated(head, score)[:, 1].mean()
             for score in piano_pieces()]  # fmt: skip
    assert np.min(rises) > 0
    assert np.mean(rises) > 0.05


def test_a_prediction_for_a_band_is_less_certain_than_for_a_piano(head) -> None:
    for score in piano_pieces():
        assert (rated(head, drummed(score, rock()))[:, 2:].mean(axis=0) > rated(head, score)[:, 2:].mean(axis=0)).all()


def test_of_drums_alone_valence_is_the_usual_one_and_uncertain(head) -> None:
    predicted = [rated(head, drums_alone(rock(v, n), qpm)) for v in (40, 100) for n in (1, 4) for qpm in (60, 180)]
    assert np.isfinite(predicted).all()
    assert np.ptp(np.concatenate(predicted)[:, 0]) == 0
    assert np.ptp(np.concatenate(predicted)[:, 2]) == 0
    pianos = [rated(head, score)[:, 2].mean() for score in piano_pieces()]
    assert predicted[0][0, 2] > max(pianos)


@pytest.mark.parametrize("hits", [rock(), [(beat, KICK, 90) for beat in range(4)]], ids=["rock", "kick"])
def test_faster_drums_are_more_arousing(head, hits: list[Hit]) -> None:
    arousal = [rated(head, drums_alone(hits, qpm))[:, 1].mean() for qpm in (50, 80, 120, 180)]
    assert (np.diff(arousal) > 0.01).all()


def test_more_and_louder_drums_are_more_arousing(head) -> None:
    dense = [rated(head, drums_alone(rock(90, n)))[:, 1].mean() for n in (1, 2, 4)]
    loud = [rated(head, drums_alone(rock(v)))[:, 1].mean() for v in (30, 60, 90, 120)]
    assert (np.diff(dense) > 0).all()
    assert (np.diff(loud) > 0).all()
