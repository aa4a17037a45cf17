"""Sets of any kind, each on its scale: a known truth is found back, and noise has no weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from made_ratings import CURVE, POINT, RANK, REFERENCE, SIGN, made_piece, made_set, noise_set, noisy

from pipeline.settings import UserError, load_settings
from pretrain_model.listener_training import TrainedListener, train_with_scales
from pretrain_model.pretrain_settings import SETTINGS_FILE, ListenerSettings, PretrainSettings
from pretrain_model.rated_pieces import RatedPiece
from pretrain_model.set_scales import LARGEST_WEIGHT, SetScale, at_most

FEW, OTHERS, TEST = range(15), range(100, 220), range(1000, 1080)


@pytest.fixture(scope="module")
def settings() -> ListenerSettings:
    listener = load_settings(PretrainSettings, SETTINGS_FILE).listener
    return replace(listener, penalty_level=3, penalty_motion=1, sign_weight=0.2)


@pytest.fixture(scope="module")
def reference() -> list[RatedPiece]:
    return made_set(REFERENCE, FEW, sd=0.2)


def error(trained: TrainedListener, within: bool = False) -> float:
    """Root mean squared error of the means of pieces never learned from, or of bars about them."""
    errors = []
    for number in TEST:
        piece = made_piece(REFERENCE, number)
        rated = trained.listener.predict(piece.input.views())[:, :2]
        means = rated.mean(axis=0), piece.targets.mean(axis=0)
        errors.append((rated - means[0]) - (piece.targets - means[1]) if within else means[0] - means[1])
    return float(np.sqrt(np.square(np.array(errors)).mean()))


def learned(pieces: Sequence[RatedPiece], settings: ListenerSettings) -> TrainedListener:
    return train_with_scales(pieces, settings)


@pytest.mark.parametrize("of", [CURVE, POINT, SIGN, RANK], ids=lambda of: of.name)
def test_a_set_of_any_kind_brings_predictions_nearer_to_the_truth(of, settings, reference) -> None:
    alone = error(learned(reference, settings))
    both = error(learned([*reference, *made_set(of, OTHERS)], settings))
    assert both < 0.9 * alone


@pytest.mark.parametrize(("of", "slope", "offset"), [(CURVE, 0.5, 0.2), (POINT, 4.0, 5.0)], ids=["curve", "point"])
def test_the_scale_of_ratings_is_found(of, slope, offset, settings) -> None:
    pieces = [*made_set(REFERENCE, range(60)), *made_set(of, OTHERS)]
    scale = learned(pieces, settings).scales[of.name]
    np.testing.assert_allclose(scale.slope, slope, rtol=0.15)
    np.testing.assert_allclose(scale.offset, offset, atol=0.1 * slope)
    assert (scale.trust > 0.9).all()
    values = np.array([[slope * 0.3 + offset] * 2])
    np.testing.assert_allclose(scale.in_common_unit(values), 0.3, atol=0.1)


def test_the_zero_of_signs_is_found(settings) -> None:
    scale = learned([*made_set(REFERENCE, range(60)), *made_set(SIGN, OTHERS)], settings).scales["sign"]
    np.testing.assert_allclose(scale.offset, 0.1, atol=0.05)


def test_curves_teach_the_motion_in_the_unit_of_the_reference(settings) -> None:
    points = [replace(p, of=replace(REFERENCE, kind="point")) for p in made_set(REFERENCE, FEW)]
    without = learned(points, settings)
    trained = learned([*points, *made_set(CURVE, OTHERS)], settings)
    assert error(trained, within=True) < 0.6 * error(without, within=True)


@pytest.mark.parametrize("of", [POINT, SIGN, RANK], ids=lambda of: of.name)
def test_noise_has_no_weight_and_changes_nothing(of, settings, reference) -> None:
    pieces = [*reference, *made_set(CURVE, range(100, 140))]
    before = learned(pieces, settings)
    after = learned([*pieces, *noise_set(range(300, 420), of)], settings)
    assert abs(error(after) - error(before)) < 0.01
    views = [made_piece(REFERENCE, number).input.views() for number in TEST]
    ratings = [np.stack([t.listener.predict(v)[:, :2].mean(axis=0) for v in views]) for t in (before, after)]
    for k in range(2):
        assert np.corrcoef(ratings[0][:, k], ratings[1][:, k])[0, 1] > 0.99


def test_a_set_that_runs_against_the_others_is_not_learned_from(settings, reference) -> None:
    mirrored = [replace(p, targets=10 - p.targets) for p in made_set(POINT, OTHERS)]
    trained = learned([*reference, *mirrored], settings)
    assert (trained.scales["point"].trust == 0).all()
    assert error(trained) == pytest.approx(error(learned(reference, settings)), abs=1e-9)


def other_feature(number: int) -> np.ndarray:
    """Something else of a piece's music, (2,), as far from piece to piece as the truth."""
    lasting = np.random.default_rng(50_000 + number).uniform(-0.5, 0.5)
    return np.full(2, lasting)


def with_other_feature(piece: RatedPiece, number: int) -> RatedPiece:
    """A piece whose fifth feature is `other_feature`."""
    features = piece.made.features.copy()
    features[:, 4] = other_feature(number)[0]
    return replace(piece, made=replace(piece.made, features=features))


@pytest.mark.parametrize("share", [0.4, 0.7])
def test_a_set_that_rates_something_else_in_part_does_not_take_over(share, settings) -> None:
    """However many pieces it has: what else it rates does not average out."""
    many = range(3000, 3600)
    reference = [with_other_feature(p, n) for n, p in zip(range(60), made_set(REFERENCE, range(60)), strict=True)]
    partly = []
    for number in many:
        rated = share * noisy(number, 0.02).mean(axis=0) + np.sqrt(1 - share**2) * other_feature(number)
        partly.append(with_other_feature(made_piece(POINT, number, rated), number))
    test = [with_other_feature(made_piece(REFERENCE, number), number) for number in TEST]

    def agreement(trained: TrainedListener) -> float:
        means = [[trained.listener.predict(p.input.views())[:, :2].mean(axis=0) for p in test]]
        means.append([p.targets.mean(axis=0) for p in test])
        return min(np.corrcoef(np.array(means[0])[:, k], np.array(means[1])[:, k])[0, 1] for k in range(2))

    alone, both = agreement(learned(reference, settings)), agreement(learned([*reference, *partly], settings))
    assert both > alone - 0.03


def test_one_dimension_may_be_missing(settings, reference) -> None:
    half = [replace(p, targets=p.targets * np.array([1, np.nan], np.float32)) for p in made_set(POINT, OTHERS)]
    scale = learned([*reference, *half], settings).scales["point"]
    assert scale.trust[0] > 0.9
    assert scale.trust[1] == 0


def test_pieces_on_which_raters_agree_weigh_more(settings) -> None:
    draw = np.random.default_rng(3)
    pieces = made_set(REFERENCE, range(60))
    for number in OTHERS:
        n_raters = 1 if number % 2 else 50
        rated = 5 + 4 * (noisy(number, 0.0).mean(axis=0) + draw.normal(scale=1 / np.sqrt(n_raters), size=2))
        pieces.append(made_piece(POINT, number, rated, n_raters))
    scale = learned(pieces, settings).scales["point"]
    many, one = scale.weights(np.array([[1 / np.sqrt(50)] * 2, [1.0] * 2]))
    assert (many > 5 * one).all()


def test_the_weight_of_a_block_counts_and_no_set_is_larger_than_the_largest() -> None:
    np.testing.assert_allclose(at_most(np.full((10, 2), 3.0)), 3.0)
    assert at_most(np.full((10_000, 2), 3.0)).sum(axis=0) == pytest.approx([LARGEST_WEIGHT] * 2)


def test_a_rating_on_a_scale_that_is_not_known_has_no_place_on_the_common_one() -> None:
    none = SetScale(*(np.zeros(2) for _ in range(9)))
    assert np.isnan(none.in_common_unit(np.ones((3, 2)))).all()


def test_with_more_pieces_than_the_largest_set_a_part_is_learned_from(settings, reference) -> None:
    few = replace(settings, largest_set=20)
    drawn = learned(made_set(REFERENCE, OTHERS), few)
    again = learned(made_set(REFERENCE, OTHERS), few)
    every = learned(made_set(REFERENCE, OTHERS), settings)
    np.testing.assert_array_equal(drawn.listener.weights["whole.weight"], again.listener.weights["whole.weight"])
    assert error(every) < error(drawn)


def test_a_dimension_that_no_set_rates_is_refused(settings) -> None:
    half = [replace(p, targets=p.targets * np.array([1, np.nan], np.float32)) for p in made_set(POINT, OTHERS)]
    with pytest.raises(UserError, match="no set rates arousal"):
        learned(half, settings)


def test_sets_that_teach_the_band_alone_teach_no_level(settings) -> None:
    pieces = [replace(p, of=replace(p.of, teaches="band")) for p in made_set(POINT, OTHERS)]
    with pytest.raises(UserError, match="teaches: band"):
        learned(pieces, settings)
    reference = made_set(REFERENCE, range(60))
    np.testing.assert_array_equal(
        learned([*reference, *pieces], settings).listener.weights["whole.weight"],
        learned(reference, settings).listener.weights["whole.weight"],
    )
