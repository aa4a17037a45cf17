"""The listener learns known ratings, keeps both rated sets apart, and estimates the size of its errors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pipeline.files import write_tensors
from pipeline.settings import UserError, load_settings
from pretrain_model import head as head_module
from pretrain_model.custom_mlp import CustomMLP, MLPConfig
from pretrain_model.extraction import PieceLatents
from pretrain_model.features import VERSION, BarFeatures
from pretrain_model.head import BUNDLED_FILES, HeadInput, load_head, save_head
from pretrain_model.listener_model import Views
from pretrain_model.listener_training import folds_by_group, train_listener
from pretrain_model.pretrain_settings import SETTINGS_FILE, ListenerSettings, PretrainSettings
from pretrain_model.rated_pieces import GROUP, RatedPiece

N_FEATURES, N_BARS = 6, 24


def piece(dataset: str, k: int, noise: float = 0.1, n: int = N_BARS) -> RatedPiece:
    """Valence is the first feature, arousal the second, both of the whole piece and of the last bars.

    The third feature distinguishes the sets; the sign of valence is reversed for EMOPIA, as if its music
    differed.
    """
    draw = np.random.default_rng(1000 * k + (dataset == "emopia"))
    level, emopia = draw.uniform(-0.5, 0.5, 2), dataset == "emopia"
    features = draw.normal(scale=0.2, size=(n, N_FEATURES))
    features[:, :2] = level + 0.3 * np.sin(np.arange(n) / 8 + draw.uniform(0, 6, 2)[:, None]).T
    features[:, 2] += 3 if emopia else -3
    targets = np.clip(0.8 * features[:, :2] + draw.normal(scale=noise, size=(1, 2)), -1, 1)
    if emopia:
        targets = np.repeat(np.sign(features[:, :2].mean(axis=0) * [-1, 1])[None] * 0.6, n, axis=0)
    edges = 2.0 * np.arange(n + 1)
    made = PieceLatents(
        latents=draw.normal(size=(n, 3)).astype(np.float32),
        codes=np.zeros((n, 2), np.int16),
        bar_number=np.arange(n, dtype=np.int32),
        n_notes=np.ones(n, np.int32),
        features=features.astype(np.float32),
        edges=edges,
    )
    return RatedPiece(dataset, f"p{k}", f"group {k // 3}", "train", made, np.arange(n), targets.astype(np.float32))


@pytest.fixture(scope="module")
def settings() -> ListenerSettings:
    listener = load_settings(PretrainSettings, SETTINGS_FILE).listener
    return replace(listener, networks=2, hidden=16, steps=150, penalty_level=1, penalty_motion=1, penalty_sign=1)


@pytest.fixture(scope="module")
def pieces() -> list[RatedPiece]:
    return [piece(dataset, k) for dataset in ("vgmidi", "emopia") for k in range(60)]


@pytest.fixture(scope="module")
def heard_listener(pieces, settings):
    return train_listener(pieces, replace(settings, context="heard"), seed=0)


@pytest.fixture(scope="module")
def whole_listener(pieces, settings):
    return train_listener(pieces, replace(settings, context="whole"), seed=0)


@pytest.fixture(params=["whole", "heard"])
def listener(request):
    return request.getfixturevalue(f"{request.param}_listener")


def saved(model, tmp_path: Path, encoder_digest: str = ""):
    save_head(tmp_path / "head.safetensors", model, encoder_digest, {"splits": "train"})
    return load_head(str(tmp_path / "head.safetensors"))


def test_it_predicts_ratings_and_quadrants_of_pieces_it_never_saw(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    rated, clips = ([piece(dataset, k) for k in range(200, 240)] for dataset in ("vgmidi", "emopia"))
    predicted = np.concatenate([p[:, :2] for p in head.predict([p.input for p in rated])])
    targets = np.concatenate([p.targets for p in rated])
    for k in (0, 1):
        assert np.corrcoef(predicted[:, k], targets[:, k])[0, 1] > 0.8
    signs = [p[:, :2].mean(axis=0) >= 0 for p in head.predict([p.input for p in clips])]
    assert np.mean([np.all(s == (p.targets[0] >= 0)) for s, p in zip(signs, clips, strict=True)]) > 0.8


def test_its_intervals_cover_their_share_of_the_bars(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    rated = [piece("vgmidi", k) for k in range(300, 400)]
    predicted = np.concatenate(head.predict([p.input for p in rated]))
    deviations = np.abs(predicted[:, :2] - np.concatenate([p.targets for p in rated])) / predicted[:, 2:]
    assert np.mean(deviations < 0.6745) == pytest.approx(0.5, abs=0.12)
    assert np.mean(deviations < 1.6449) == pytest.approx(0.9, abs=0.08)


def test_with_context_heard_later_music_changes_nothing(heard_listener, tmp_path) -> None:
    head = saved(heard_listener, tmp_path)
    whole = piece("vgmidi", 500).input
    assert isinstance(whole.performance, BarFeatures)
    first = HeadInput(BarFeatures(whole.performance.edges[:11], whole.performance.values[:10]))
    np.testing.assert_allclose(head.predict([whole])[0][:10], head.predict([first])[0], atol=1e-5)


def test_predictions_stay_in_range_for_extreme_features(listener, tmp_path) -> None:
    head = saved(listener, tmp_path)
    for scale in (0.0, 1e6, -1e6):
        features = BarFeatures(np.zeros(6), np.full((5, N_FEATURES), scale, np.float32))
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


def test_it_predicts_the_same_without_torch(listener) -> None:
    views = [piece(dataset, k, n=3 + k).input.views(with_latents=False) for dataset in GROUP for k in range(5)]
    trained = torch.cat(listener(Views.of(views)), dim=1).numpy()
    in_numpy = np.concatenate([listener.without_torch().predict(piece_views) for piece_views in views])
    assert in_numpy.dtype == np.float32
    np.testing.assert_allclose(in_numpy, trained, atol=2e-6)


@pytest.mark.parametrize(
    ("tensor", "value", "fact", "told"),
    [
        ("gate.layer.weight", None, {}, "gate.layer.weight"),
        ("vgmidi.networks.members.0.1.weight", np.zeros((16, 2), np.float32), {}, ""),
        ("motion.scale.mean", np.zeros(5, np.float32), {}, ""),
        ("emopia.sd", None, {"context": "sideways"}, "its context is 'sideways'"),
        ("emopia.sd", np.ones(2, np.float32), {"kind": "oracle"}, "no kind of head"),
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
def test_one_set_is_enough(dataset, pieces, settings, tmp_path) -> None:
    head = saved(train_listener([p for p in pieces if p.dataset == dataset], settings, seed=0), tmp_path)
    test = [piece(dataset, k) for k in range(200, 230)]
    means = np.array([p[:, :2].mean(axis=0) for p in head.predict([p.input for p in test])])
    rated = np.array([p.targets.mean(axis=0) for p in test])
    assert ((means >= 0) == (rated >= 0)).mean() > 0.75


def test_a_listener_learns_from_no_other_set(pieces, settings) -> None:
    with pytest.raises(UserError, match=r"data.train_on: .*vgmidi and emopia only"):
        train_listener([replace(p, dataset="mine") for p in pieces], settings, seed=0)


def test_a_listener_trained_on_latents_requires_them(pieces, settings, tmp_path) -> None:
    both = replace(settings, reads="performance_and_latents", steps=20)
    head = saved(train_listener(pieces[:9], both, seed=0), tmp_path, encoder_digest="a" * 64)
    given = piece("vgmidi", 1).input
    assert head.reads_latents
    assert head.predict([given])[0].shape == (N_BARS, 4)
    with pytest.raises(ValueError, match="latents"):
        head.predict([replace(given, latents=None)])


def test_training_keeps_the_callers_random_state(pieces, settings) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_listener(pieces[:9], replace(settings, steps=5), seed=0)
    assert torch.equal(torch.rand(3), expected)


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
