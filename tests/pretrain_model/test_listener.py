"""The listener learns known ratings, keeps music with and without a beat grid apart, and knows the size of its errors.

Most pieces here are made of numbers: a bar's first two features give its valence and arousal, and the others stand
where the listener looks for the onsets a second and for the beat grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_music import arpeggios, chorale, rock, views_of, with_drums
from safetensors import safe_open
from scipy.optimize import minimize

from musetok_bridge import score_to_bars
from pipeline.files import write_tensors
from pipeline.settings import UserError, load_settings
from pretrain_model import head as head_module
from pretrain_model.band import BAND
from pretrain_model.bar_context import BarViews
from pretrain_model.custom_mlp import CustomMLP, MLPConfig
from pretrain_model.extraction import PieceLatents
from pretrain_model.features import FEATURES, VERSION, BarFeatures, bar_features
from pretrain_model.folds import folds_by_group
from pretrain_model.head import BUNDLED_FILES, Head, HeadInput, Model, load_head, save_head
from pretrain_model.latent_projection import fit_projection
from pretrain_model.listener import FREE, Listener, ListenerConfig, free_of_grid, views_read, weight_shapes
from pretrain_model.listener_level import Signs, minimise, no_signs
from pretrain_model.listener_training import LEAST_SHARE, train_listener, train_with_scales
from pretrain_model.pretrain_settings import SETTINGS_FILE, ListenerSettings, PretrainSettings, SetSettings
from pretrain_model.rated_pieces import RatedPiece
from pretrain_model.scale_estimates import SIGN_SLOPE

N_FEATURES, N_BARS = 6, 24  # features up to off_grid
ONSETS, OFF_GRID = FEATURES.index("onsets_per_second"), FEATURES.index("off_grid")
DRUMS, STRINGS, ORGAN = (BAND.index(name) for name in ("drums_per_second", "strings", "organ"))
SETS = ("vgmidi", "emopia", "tagged")
BLOCKS = {
    "vgmidi": SetSettings("vgmidi", "vgmidi", scale="common"),
    "emopia": SetSettings("emopia", "emopia", scale="common"),
    "tagged": SetSettings("tagged", "table"),
}


def piece(dataset: str, k: int, noise: float = 0.1, n: int = N_BARS) -> RatedPiece:
    """Valence is the first feature, arousal the second, both of the whole piece and of the last bars.

    EMOPIA's pieces have no beat grid, and their valence is of the opposite sign, as if their music differed. Tagged
    songs are for strings, an organ and drums; drums add arousal and strings lessen it. Tags have a scale of their own.
    """
    draw = np.random.default_rng(1000 * k + SETS.index(dataset))
    level, emopia = draw.uniform(-0.5, 0.5, 2), dataset == "emopia"
    features = draw.normal(scale=0.2, size=(n, N_FEATURES))
    features[:, :2] = level + 0.3 * np.sin(np.arange(n) / 8 + draw.uniform(0, 6, 2)[:, None]).T
    features[:, ONSETS] = np.log1p(draw.uniform(1, 5, n))
    features[:, OFF_GRID] = 0.95 if emopia else 0.1
    band = np.zeros((n, len(BAND)))
    targets = np.clip(0.8 * features[:, :2] + draw.normal(scale=noise, size=(1, 2)), -1, 1)
    if emopia:
        targets = np.repeat(np.sign(features[:, :2].mean(axis=0) * [-1, 1])[None] * 0.6, n, axis=0)
    if dataset == "tagged":
        band[:, DRUMS], band[:, STRINGS] = draw.uniform(0, 1, 2)
        band[:, ORGAN] = 1 - band[:, STRINGS]
        tags = targets.mean(axis=0) + [0, 0.5 * band[0, DRUMS] - 0.3 * band[0, STRINGS]]
        targets = np.repeat(20 + 7 * tags[None], n, axis=0)
    made = PieceLatents(
        latents=draw.normal(size=(n, 3)).astype(np.float32),
        codes=np.zeros((n, 2), np.int16),
        bar_number=np.arange(n, dtype=np.int32),
        n_notes=np.ones(n, np.int32),
        features=features.astype(np.float32),
        band=band.astype(np.float32),
        edges=2.0 * np.arange(n + 1),
    )
    return RatedPiece(
        BLOCKS[dataset], f"p{k}", f"group {k // 3}", "train", made, np.arange(n), targets.astype(np.float32)
    )


def pieces_of(*datasets: str, numbers: Sequence[int] = range(60)) -> list[RatedPiece]:
    return [piece(dataset, k) for dataset in datasets for k in numbers]


def views_with(given: RatedPiece, **columns: float) -> BarViews:
    """The views of a piece after some features have been set to a value in all its bars."""
    features = given.made.features.copy()
    for name, value in columns.items():
        features[:, FEATURES.index(name)] = value
    return HeadInput(BarFeatures(given.made.edges, features, given.made.band)).views()


@pytest.fixture(scope="module")
def settings() -> ListenerSettings:
    listener = load_settings(PretrainSettings, SETTINGS_FILE).listener
    return replace(listener, penalty_level=1, penalty_motion=1, penalty_band=1, sign_weight=1)


@pytest.fixture(scope="module")
def heard_listener(settings: ListenerSettings) -> Listener:
    return train_listener(pieces_of(*SETS), replace(settings, context="heard"))


@pytest.fixture(scope="module")
def whole_listener(settings: ListenerSettings) -> Listener:
    return train_listener(pieces_of(*SETS), replace(settings, context="whole"))


@pytest.fixture(params=["whole", "heard"])
def listener(request: pytest.FixtureRequest) -> Listener:
    trained = request.getfixturevalue(f"{request.param}_listener")
    assert isinstance(trained, Listener)
    return trained


def saved(model: Model, tmp_path: Path, encoder_digest: str = "") -> Head:
    save_head(tmp_path / "head.safetensors", model, encoder_digest, {"splits": "train"})
    return load_head(str(tmp_path / "head.safetensors"))


# what it learns


def test_it_predicts_ratings_and_quadrants_of_pieces_it_never_saw(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    rated, clips = (pieces_of(dataset, numbers=range(200, 240)) for dataset in ("vgmidi", "emopia"))
    predicted = np.concatenate([p[:, :2] for p in head.predict([p.input for p in rated])])
    targets = np.concatenate([p.targets for p in rated])
    for k in (0, 1):
        assert np.corrcoef(predicted[:, k], targets[:, k])[0, 1] > 0.8
    signs = [p[:, :2].mean(axis=0) >= 0 for p in head.predict([p.input for p in clips])]
    assert np.mean([np.all(s == (p.targets[0] >= 0)) for s, p in zip(signs, clips, strict=True)]) > 0.7


def test_its_weights_have_the_signs_of_what_the_ratings_were_made_of(listener) -> None:
    weights = listener.weights
    for view in views_read(listener.config.context):
        kept = [0, 2, 3] if view == "whole" else [0, 1, 2]  # all but the spread
        for own in (0, 1):
            averages = weights[f"{view}.weight"][own, : 4 * N_FEATURES].reshape(4, N_FEATURES)
            assert averages[kept, own].sum() > 3 * np.abs(averages[kept, 1 - own].sum())
    assert weights["band.weight"][1, DRUMS] > 0 > weights["band.weight"][1, STRINGS]
    assert weights["band.weight"][0, DRUMS] > 0  # groove, though these tags don't tell it
    if listener.config.context == "whole":
        assert weights["motion.weight"][0, 0] > 0
        assert weights["motion.weight"][1, 1] > 0


def test_drums_add_what_the_tags_say_and_nothing_on_average_over_bands(listener) -> None:
    songs = pieces_of("tagged")
    added = np.stack([listener.band(song.input.views())[-1] for song in songs])
    bands = np.stack([song.made.band[-1] for song in songs])
    assert np.corrcoef(added[:, 1], 0.5 * bands[:, DRUMS] - 0.3 * bands[:, STRINGS])[0, 1] > 0.9
    np.testing.assert_allclose(added.mean(axis=0), 0, atol=1e-5)
    for dataset in ("vgmidi", "emopia"):
        assert (listener.band(piece(dataset, 3).input.views()) == 0).all()


def test_without_songs_for_bands_a_band_adds_nothing(settings, whole_listener) -> None:
    alone = train_listener(pieces_of("vgmidi", "emopia"), settings)
    views = piece("tagged", 3).input.views()
    assert (alone.band(views) == 0).all()
    assert (whole_listener.band(views) != 0).any()


def test_files_of_one_song_count_once(settings) -> None:
    songs, rest = pieces_of("tagged"), pieces_of("vgmidi")
    once, often = (
        train_listener(
            [*rest, *songs[1:], *(replace(songs[0], name=f"copy {k}", group="alone", weight=1 / n) for k in range(n))],
            settings,
        ).weights
        for n in (1, 20)
    )
    for name in ("band.mean", "band.std", "band.weight", "whole.weight"):
        # not exactly: which songs are left out together when errors are measured depends on the number of files
        np.testing.assert_allclose(often[name], once[name], atol=0.05 * np.abs(once[name]).max())


def test_music_without_a_beat_grid_is_free_of_it_and_other_music_is_not() -> None:
    rows = np.zeros((3, 4 * N_FEATURES))
    rows[:, OFF_GRID] = FREE[0] - 0.1, np.mean(FREE), FREE[1] + 0.1
    np.testing.assert_allclose(free_of_grid(rows, "whole", N_FEATURES), [0, 0.5, 1])


# Newton's method


def objective(w: np.ndarray, gram: np.ndarray, moment: np.ndarray, given: Signs, penalty: float) -> float:
    """What `minimise` minimises, up to a constant."""
    penalties = np.append(np.full(len(w) - 1, penalty), 1e-6)
    logits = given.signs * given.slopes * (given.rows @ w - given.offsets)
    log_loss = given.weights @ np.logaddexp(0, -logits)
    return float(w @ gram @ w / 2 - moment @ w + penalties @ w**2 / 2 + log_loss)


def problem(seed: int, rated: int, clips: int, sign_weight: float) -> tuple[np.ndarray, np.ndarray, Signs]:
    """Ratings and signs of made rows; each sign has a slope, a zero and a weight of its own."""
    draw, width = np.random.default_rng(seed), 5
    truth = draw.normal(scale=0.3, size=width)
    x, signed = (np.append(draw.normal(size=(n, width - 1)), np.ones((n, 1)), axis=1) for n in (rated, clips))
    y = x @ truth + draw.normal(scale=0.1, size=rated)
    signs = np.sign(signed @ truth + draw.normal(scale=0.1, size=clips))
    scale = draw.uniform(0.1, 1, clips), draw.normal(scale=0.2, size=clips), draw.uniform(0.5, 1.5, clips)
    return x.T @ x, x.T @ y, Signs(signed, signs, SIGN_SLOPE * scale[0], scale[1], sign_weight / 2 * scale[2])


@given(st.integers(0, 10**6), st.sampled_from([(30, 0), (30, 40), (0, 40)]), st.sampled_from([0.01, 1, 200]),
       st.sampled_from([0.02, 1, 50]))  # fmt: skip
def test_the_minimum_is_flat_and_lower_than_all_around_it(seed, sizes, penalty, sign_weight) -> None:
    given_by = (*problem(seed, *sizes, sign_weight), penalty)
    found = minimise(*given_by)
    lowest, step = objective(found, *given_by), 1e-4
    away = np.eye(len(found)) * step
    slopes = [(objective(found + a, *given_by) - objective(found - a, *given_by)) / (2 * step) for a in away]
    np.testing.assert_allclose(slopes, 0, atol=1e-4 * (1 + sign_weight))
    draw = np.random.default_rng(seed)
    for _ in range(5):
        assert objective(found + draw.normal(scale=0.3, size=len(found)), *given_by) >= lowest


@pytest.mark.parametrize("seed", range(5))
def test_newton_finds_what_scipy_finds(seed: int) -> None:
    given_by = (*problem(seed, 30, 40, 0.5), 1.0)
    expected = minimize(objective, np.zeros(5), args=given_by, tol=1e-10).x
    np.testing.assert_allclose(minimise(*given_by), expected, atol=1e-4)


def test_without_signs_it_is_a_ridge_regression() -> None:
    gram, moment, _ = problem(0, 30, 0, 1.0)
    ridge = np.linalg.solve(gram + np.diag([3, 3, 3, 3, 1e-6]), moment)
    np.testing.assert_allclose(minimise(gram, moment, no_signs(5), 3.0), ridge, rtol=1e-9)


# time and motion


def test_with_context_heard_later_music_changes_nothing(heard_listener, tmp_path) -> None:
    head = saved(heard_listener, tmp_path)
    for dataset in SETS:
        whole = piece(dataset, 500).input
        assert isinstance(whole.performance, BarFeatures)
        given = whole.performance
        first = HeadInput(BarFeatures(given.edges[:11], given.values[:10], given.band[:10]))
        np.testing.assert_allclose(head.predict([whole])[0][:10], head.predict([first])[0], atol=1e-5)


def test_the_bundled_heard_head_does_not_know_how_a_song_goes_on() -> None:
    """Bars 0 to 3 of songs that are the same up to bar 4; of bar 4 the last note's time to the next one differs."""
    head = load_head("bundled_heard")
    for score in (chorale(), arpeggios(), with_drums(arpeggios(1), rock())):
        cut = score.copy()
        for track in cut.tracks:
            track.notes = type(track.notes)([note for note in track.notes if note.time < 5 * 4 * score.tpq])
        whole, first = (head.predict([HeadInput(bar_features(s, score_to_bars(s)))])[0] for s in (score, cut))
        assert (len(whole), len(first)) == (8, 5)
        np.testing.assert_allclose(first[:4], whole[:4], atol=1e-5)


def test_the_motion_has_mean_0_and_its_size_is_the_gain_of_full_motion(whole_listener, heard_listener) -> None:
    for dataset in SETS:
        views = piece(dataset, 7).input.views()
        cautious = replace(whole_listener, motion_size="cautious").moving(views)
        np.testing.assert_allclose(cautious.mean(axis=0), 0, atol=1e-7)
        assert cautious.std(axis=0).min() > 0.01
        np.testing.assert_array_equal(whole_listener.moving(views), cautious * whole_listener.weights["motion.gain"])
        assert (heard_listener.moving(views) == 0).all()


def test_the_mean_of_a_piece_is_the_same_with_full_and_cautious_motion() -> None:
    full, cautious = (load_head("bundled", motion=size) for size in ("full", "cautious"))
    for score in (chorale(), arpeggios()):
        views = HeadInput(views_of(score))
        large, small = (head.predict([views])[0][:, :2].astype(np.float64) for head in (full, cautious))
        np.testing.assert_allclose(large.mean(axis=0), small.mean(axis=0), atol=1e-5)
        assert (large.std(axis=0) > small.std(axis=0)).all()


def test_the_full_motion_swings_72_percent_as_far_as_ratings_do(whole_listener) -> None:
    """The smallest g whose concordance 2 g / (1 + g²) is 95 % of the best, which equal spreads have."""
    test = pieces_of("vgmidi", numbers=range(200, 260))
    moving = np.concatenate([whole_listener.moving(p.input.views()) for p in test])
    rated = np.concatenate([p.targets - p.targets.mean(axis=0) for p in test])
    size = (1 - np.sqrt(1 - LEAST_SHARE**2)) / LEAST_SHARE
    assert (LEAST_SHARE, size) == (0.95, pytest.approx(0.724, abs=0.001))
    np.testing.assert_allclose(moving.std(axis=0) / rated.std(axis=0), size, atol=0.06)


# the size of its errors


def test_its_intervals_cover_their_share_of_the_bars(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    rated = pieces_of("vgmidi", numbers=range(300, 400))
    predicted = np.concatenate(head.predict([p.input for p in rated]))
    deviations = np.abs(predicted[:, :2] - np.concatenate([p.targets for p in rated])) / predicted[:, 2:]
    assert np.mean(deviations < 0.6745) == pytest.approx(0.5, abs=0.12)
    assert np.mean(deviations < 1.6449) == pytest.approx(0.9, abs=0.08)


@pytest.mark.parametrize("times", [2, 4])
def test_less_exact_ratings_have_larger_errors(times: float, settings) -> None:
    sds = []
    for noise in (0.05, 0.05 * times):
        trained = train_listener([piece("vgmidi", k, noise=noise) for k in range(60)], settings)
        test = [piece("vgmidi", k).input.views() for k in range(200, 220)]
        sds.append(np.concatenate([trained.predict(views) for views in test])[:, 2:].mean(axis=0))
    assert (sds[1] / sds[0] > 0.6 * times).all()


def indifferent_to(listener: Listener, feature: str) -> Listener:
    """The listener with weights of 0 for a feature, so that no prediction depends on it, only the size of the error."""
    weights = dict(listener.weights)
    for name, values in listener.weights.items():
        if name.endswith(".weight") and name.partition(".")[0] not in ("band", "error"):
            weights[name] = values.copy()
            n_averages = 1 if name.startswith("motion") else 4
            for k in range(n_averages):
                weights[name][..., k * N_FEATURES + FEATURES.index(feature)] = 0
    return replace(listener, weights=weights)


def test_an_error_is_larger_with_fewer_notes(listener) -> None:
    alone = indifferent_to(listener, "onsets_per_second")
    few, fewer = (
        alone.predict(views_with(piece("vgmidi", 7), onsets_per_second=np.log1p(x))).mean(axis=0) for x in (0.5, 0.05)
    )
    np.testing.assert_allclose(fewer[:2], few[:2], atol=1e-6)
    assert (fewer[2:] > few[2:]).all()


@pytest.mark.parametrize("feature", ["tempo", "notes_per_quarter"])
def test_an_error_is_larger_for_music_unlike_that_of_the_training(listener, feature: str) -> None:
    alone = indifferent_to(listener, feature)
    usual, strange = (alone.predict(views_with(piece("vgmidi", 7), **{feature: x})).mean(axis=0) for x in (0.0, 2.0))
    np.testing.assert_allclose(strange[:2], usual[:2], atol=1e-6)
    assert (strange[2:] > usual[2:]).all()


def test_music_without_a_beat_grid_is_predicted_with_no_smaller_errors(listener) -> None:
    assert (listener.weights["error.free"] >= 1).all()
    sure = dict(listener.weights) | {"error.bias": listener.weights["error.bias"] - 2}  # far from the largest error
    free = replace(listener, weights=sure | {"error.free": np.array([2.0, 3.0])})
    even = replace(listener, weights=sure | {"error.free": np.ones(2)})
    for dataset, times in (("vgmidi", (1, 1)), ("emopia", (2, 3))):
        views = piece(dataset, 3).input.views()
        ratio = free.predict(views)[:, 2:] / even.predict(views)[:, 2:]
        np.testing.assert_allclose(ratio, np.tile(times, (N_BARS, 1)), rtol=1e-5)


@pytest.mark.parametrize("end", [-1, 1])
def test_how_far_a_prediction_lies_beyond_the_scale_tells_nothing_of_its_error(listener, end: int) -> None:
    """It is clipped to the end of the scale, and has the error of that."""
    views = piece("vgmidi", 7).input.views()
    beyond, further = (
        replace(
            listener,
            weights={
                name: values + (end * x * np.array([[1], [0]]) if name in ("whole.bias", "heard.bias") else 0)
                for name, values in listener.weights.items()
            },
        ).predict(views)
        for x in (3, 30)
    )
    np.testing.assert_array_equal(beyond[:, :2], end)
    np.testing.assert_allclose(further, beyond, rtol=1e-3)


@pytest.mark.parametrize("context", ["whole", "heard"])
def test_a_listener_of_one_game_has_the_spread_of_ratings_as_its_error(context, settings) -> None:
    """No game can be left out, so that nothing measures the error."""
    one = [replace(p, group="game") for p in pieces_of("vgmidi", numbers=range(8))]
    trained = train_listener(one, replace(settings, context=context))
    predicted = np.concatenate([trained.predict(p.input.views()) for p in one])
    assert np.isfinite(predicted).all()
    spread = np.std([p.targets.mean(axis=0) for p in one], axis=0)
    np.testing.assert_allclose(predicted[:, 2:], np.tile(spread, (len(predicted), 1)), rtol=1e-5)


def test_a_single_rated_piece_is_enough_for_a_listener(settings) -> None:
    (one,) = pieces_of("vgmidi", numbers=[4])
    predicted = train_listener([one], settings).predict(one.input.views())
    assert np.isfinite(predicted).all()
    assert (predicted[:, 2:] > 0).all()


def test_a_tagged_song_and_a_clip_of_one_song_are_enough(settings) -> None:
    trained = train_listener([piece("emopia", 0), piece("tagged", 0), *pieces_of("vgmidi")], settings)
    for dataset in SETS:
        predicted = trained.predict(piece(dataset, 300).input.views())
        assert np.isfinite(predicted).all()
        assert (predicted[:, 2:] > 0).all()


def test_pieces_of_the_same_mean_rating_leave_predictions_finite(settings) -> None:
    alike = [replace(p, targets=np.full_like(p.targets, 0.2)) for p in pieces_of("vgmidi", numbers=range(12))]
    predicted = train_listener(alike, settings).predict(piece("vgmidi", 300).input.views())
    assert np.isfinite(predicted).all()
    assert (predicted[:, 2:] > 0).all()


# as a model


def test_predictions_stay_in_range_for_extreme_features(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    for scale in (0.0, 1e6, -1e6):
        band = np.full((5, len(BAND)), min(abs(scale), 10), np.float32)  # a logarithm; exp(10) drums a second are many
        values = np.full((5, N_FEATURES), scale, np.float32)
        values[:, ONSETS] = max(scale, 0)  # no rate is negative
        features = BarFeatures(np.zeros(6), values, band)
        (predicted,) = head.predict([HeadInput(features)])
        assert predicted.shape == (5, 4)
        assert np.isfinite(predicted).all()
        assert np.abs(predicted[:, :2]).max() <= 1
        assert (predicted[:, 2:] > 0).all()


def test_other_music_in_the_same_call_changes_nothing(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    inputs = [piece("vgmidi", k, n=5 + k).input for k in range(4)]
    for one, together in zip(inputs, head.predict(inputs), strict=True):
        np.testing.assert_array_equal(head.predict([one])[0], together)
    assert head.predict([]) == []


def test_the_same_music_makes_the_same_file_in_any_process(settings, tmp_path) -> None:
    files = []
    for k in range(2):
        np.random.seed(k)  # noqa: NPY002
        (tmp_path / str(k)).mkdir()
        saved(train_listener(pieces_of(*SETS, numbers=range(9)), settings), tmp_path / str(k))
        files.append((tmp_path / str(k) / "head.safetensors").read_bytes())
    assert files[0] == files[1]


def test_a_saved_listener_predicts_as_the_trained_one_does(listener, tmp_path) -> None:
    inputs = [piece(dataset, k, n=3 + k).input for dataset in SETS for k in range(5)]
    for one, predicted in zip(inputs, saved(listener, tmp_path).predict(inputs), strict=True):
        np.testing.assert_array_equal(predicted, listener.predict(one.views()))
        assert predicted.dtype == np.float32


def test_a_listener_has_the_weights_that_its_shape_names(listener) -> None:
    config = ListenerConfig(N_FEATURES, listener.config.context)
    for name, shape in weight_shapes(config).items():
        assert listener.weights[name].shape == shape
        assert listener.weights[name].dtype == np.float32


@pytest.mark.parametrize(
    ("tensor", "value", "fact", "told"),
    [
        ("whole.weight", None, {}, "whole.weight"),
        ("heard.free.weight", np.zeros(16, np.float32), {}, "heard.free.weight is not that"),
        ("motion.mean", np.zeros(5, np.float32), {}, "motion.mean"),
        ("band.weight", None, {}, "band.weight"),
        ("error.bias", None, {"context": "sideways"}, "its context is 'sideways'"),
        ("error.bias", np.ones(2, np.float32), {"kind": "oracle"}, "no kind of head"),
    ],
)
def test_a_file_without_a_valid_listener_is_refused(tensor, value, fact, told, tmp_path) -> None:
    with safe_open(BUNDLED_FILES["bundled"], framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = dict(file.metadata()) | fact
    tensors |= {tensor: value}
    path = tmp_path / "head.safetensors"
    write_tensors(path, {name: values for name, values in tensors.items() if values is not None}, facts)
    with pytest.raises(UserError, match=f"not a valence/arousal head.*{told}"):
        load_head(str(path))


@pytest.mark.parametrize("dataset", ["vgmidi", "emopia"])
def test_one_set_is_enough(dataset, settings, tmp_path) -> None:
    head = saved(train_listener(pieces_of(dataset), settings), tmp_path)
    test = pieces_of(dataset, numbers=range(200, 230))
    means = np.array([p[:, :2].mean(axis=0) for p in head.predict([p.input for p in test])])
    rated = np.array([p.targets.mean(axis=0) for p in test])
    assert ((means >= 0) == (rated >= 0)).mean() > 0.75


def test_a_set_in_a_unit_of_its_own_is_enough_and_gives_predictions_on_the_scale(settings) -> None:
    trained, _, anchor = train_with_scales(pieces_of("tagged"), settings)
    assert anchor == "tagged"
    test = pieces_of("tagged", numbers=range(200, 240))
    predicted = np.array([trained.predict(p.input.views())[:, :2].mean(axis=0) for p in test])
    rated = np.array([p.targets.mean(axis=0) for p in test])
    assert np.corrcoef(predicted[:, 0], rated[:, 0])[0, 1] > 0.7
    assert np.abs(predicted).max() < 1


def test_nothing_to_learn_from_is_refused(settings) -> None:
    with pytest.raises(UserError, match=r"data.train_on: there are no rated pieces"):
        train_listener([], settings)


def test_a_listener_trained_on_latents_requires_them(settings, tmp_path) -> None:
    both = replace(settings, reads="performance_and_latents", latent_components=2)
    head = saved(train_listener(pieces_of("vgmidi", numbers=range(9)), both), tmp_path, encoder_digest="a" * 64)
    given = piece("vgmidi", 1).input
    assert head.reads_latents
    assert head.predict([given])[0].shape == (N_BARS, 4)
    with pytest.raises(ValueError, match="latents"):
        head.predict([replace(given, latents=None)])


def test_latents_that_weigh_nothing_change_nothing_and_others_do(settings) -> None:
    pieces, heard = pieces_of("vgmidi", numbers=range(20)), piece("vgmidi", 30).input
    both = replace(settings, reads="performance_and_latents", latent_components=2)
    without = train_listener(pieces, settings).predict(heard.views())
    predicted = []
    for weight in (1e-4, 1.0):
        trained = train_listener(pieces, replace(both, latent_weight=weight))
        assert trained.config.width == N_FEATURES + 2 and trained.config.latent == 3
        predicted.append(trained.predict(heard.views(trained.project)))
    np.testing.assert_allclose(predicted[0][:, :2], without[:, :2], atol=2e-3)
    assert np.abs(predicted[1][:, :2] - without[:, :2]).max() > 0.01


def test_latents_are_projected_to_the_directions_in_which_bars_differ_most() -> None:
    rng = np.random.default_rng(0)
    latents = (rng.normal(size=(400, 3)) * (0.1, 5, 1) + (7, 0, 0)).astype(np.float32)
    projection = fit_projection([latents[:100], latents[100:]], 2)
    np.testing.assert_allclose(np.abs(projection.components), [[0, 1, 0], [0, 0, 1]], atol=0.1)
    np.testing.assert_allclose(projection(latents).mean(axis=0), 0, atol=1e-3)
    with pytest.raises(UserError, match="set it to that at most"):
        fit_projection([latents], 4)


def test_a_custom_mlp_predicts_its_validation_error_for_every_bar(tmp_path) -> None:
    model = CustomMLP(MLPConfig(3, "small", 0.0))
    model.sd.copy_(torch.tensor([0.2, 0.3]))
    head = saved(model, tmp_path, encoder_digest="a" * 64)
    inputs = [HeadInput(None, np.ones((n, 3), np.float32)) for n in (2, 4)]
    predicted = head.predict(inputs)
    assert [p.shape for p in predicted] == [(2, 4), (4, 4)]
    np.testing.assert_allclose(np.concatenate(predicted)[:, 2:], [[0.2, 0.3]] * 6, rtol=1e-6)


def test_features_of_another_version_are_refused(listener, tmp_path, monkeypatch) -> None:
    saved(listener, tmp_path)
    monkeypatch.setattr(head_module, "FEATURES_VERSION", "next")
    with pytest.raises(UserError, match=f"features of version {VERSION}, here they are next"):
        load_head(str(tmp_path / "head.safetensors"))


def test_folds_keep_groups_together_and_have_about_the_same_size() -> None:
    groups = [f"g{k % 7}" for k in range(70)]
    sizes = [1 + k % 5 for k in range(70)]
    folds = folds_by_group(groups, sizes, 3)
    assert sorted(i for fold in folds for i in fold) == list(range(70))
    assert sum(len({groups[i] for i in fold}) for fold in folds) == 7
    totals = [sum(sizes[i] for i in fold) for fold in folds]
    assert max(totals) - min(totals) <= max(
        sum(s for s, g in zip(sizes, groups, strict=True) if g == x) for x in groups
    )
