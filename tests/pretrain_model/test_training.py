"""Training: it is repeatable, keeps the best epoch, and gives both datasets the same weight."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.processors import usable_processors
from pipeline.settings import UserError, load_settings
from pretrain_model.agreement import pearson_r
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings, TrainSettings
from pretrain_model.rated_pieces import BarDataset, RatedBars
from pretrain_model.training import MOST_THREADS, bar_loss, few_threads, train_head

NO_SIGNS = torch.zeros(1, dtype=torch.bool)


def rated_bars(n: int, seed: int, noise: float = 0.0, offset: float = 0.0) -> RatedBars:
    """Bars whose valence and arousal are two known directions of an 8-d latent; one dimension never changes."""
    draw = np.random.default_rng(seed)
    latents = draw.normal(3, 2, (n, 8)).astype(np.float32)
    latents[:, 7] = 5
    targets = np.tanh((latents[:, :2] - 3) / 4 + offset + noise * draw.normal(size=(n, 2))).astype(np.float32)
    numbers, piece = np.arange(n, dtype=np.int32), np.zeros(n, dtype=np.int64)
    return RatedBars(latents, targets, numbers, piece, ("piece",), "vgmidi", "curve")


@pytest.fixture
def settings() -> TrainSettings:
    train = load_settings(PretrainSettings, SETTINGS_FILE).train
    return replace(train, size="small", dropout=0.1, max_epochs=12, batch_size=64, learning_rate=3e-3)


def weights_of(trained) -> dict[str, torch.Tensor]:
    return trained.model.state_dict()


def test_the_same_seed_gives_an_identical_head(settings) -> None:
    train, val = [rated_bars(400, 1)], [rated_bars(100, 2)]
    first, second = (train_head(train, val, settings) for _ in range(2))
    assert first.losses.equals(second.losses)
    assert all(torch.equal(weights_of(second)[name], values) for name, values in weights_of(first).items())
    other = train_head(train, val, replace(settings, seed=1))
    assert not other.losses.equals(first.losses)


def test_training_keeps_the_callers_random_state(settings) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_head([rated_bars(100, 1)], [rated_bars(50, 2)], replace(settings, max_epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_training_takes_few_threads_and_gives_them_back(settings, monkeypatch) -> None:
    seen: list[int] = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(16)
        with few_threads():
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())
        monkeypatch.setattr("pretrain_model.training.usable_processors", lambda: 64)
        with few_threads():
            seen.append(torch.get_num_threads())
        torch.set_num_threads(1)
        with few_threads():
            seen.append(torch.get_num_threads())
    finally:
        torch.set_num_threads(before)
    assert seen == [min(MOST_THREADS, usable_processors()), 16, MOST_THREADS, 1]


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
def test_a_head_learns_known_directions_of_the_latents(settings, loss) -> None:
    trained = train_head([rated_bars(2000, 1)], [rated_bars(200, 2)], replace(settings, loss=loss))
    test = rated_bars(300, 3)
    with torch.no_grad():
        predicted = trained.model(torch.from_numpy(test.latents)).numpy()
    for dimension in (0, 1):
        assert pearson_r(predicted[:, dimension], test.targets[:, dimension]) > 0.95
    assert np.abs(predicted).max() <= 1


def test_the_kept_weights_are_those_of_the_lowest_validation_loss(settings) -> None:
    """Few noisy bars and a large step: the head overfits, and the last epoch is not the best."""
    train, val = [rated_bars(60, 1, noise=1.0)], [rated_bars(200, 2, noise=1.0)]
    trained = train_head(train, val, replace(settings, max_epochs=500, patience=8, dropout=0.0, learning_rate=1e-2))
    losses = trained.losses.set_index("epoch")["val_loss"]
    assert trained.best_epoch == losses.idxmin()
    assert len(losses) == trained.best_epoch + 8  # it stopped after `patience` epochs
    with torch.no_grad():
        predicted = trained.model(torch.from_numpy(val[0].latents))
        only_signs = torch.zeros(len(predicted), dtype=torch.bool)
        loss = bar_loss(predicted, torch.from_numpy(val[0].targets), "mse", only_signs).mean().item()
    assert loss == pytest.approx(losses.min(), rel=1e-6)


def test_the_scale_is_that_of_the_training_bars(settings) -> None:
    train = rated_bars(500, 1)
    scale = weights_of(train_head([train], [rated_bars(100, 2)], replace(settings, max_epochs=1)))
    np.testing.assert_allclose(scale["mean"], train.latents.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(scale["std"][:7], train.latents[:, :7].std(axis=0), rtol=1e-5)
    assert scale["std"][7] == 1  # a dimension that never changes is only centred


def test_two_datasets_weigh_the_same_whatever_their_size() -> None:
    small, large = rated_bars(10, 1), rated_bars(990, 2)
    both = BarDataset([small, large])
    assert both.weights[:10].sum() == pytest.approx(both.weights[10:].sum().item(), rel=1e-5)
    assert both.weights.mean() == pytest.approx(1, rel=1e-5)
    assert torch.equal(BarDataset([large]).weights, torch.ones(990))


def test_a_small_dataset_counts_as_much_as_a_large_one(settings) -> None:
    """The datasets have different levels for the same latent: with equal weight the head settles half-way."""
    low, high = rated_bars(980, 1), rated_bars(20, 2)
    for part, level in ((low, -0.5), (high, 0.5)):
        part.latents[:] = 1
        part.targets[:] = level
    trained = train_head([low, high], [low, high], replace(settings, dropout=0.0, batch_size=1000, max_epochs=100))
    with torch.no_grad():
        settled = trained.model(torch.ones(1, 8))
    np.testing.assert_allclose(settled, 0, atol=0.02)  # the bars alone would put it at −0.48


def test_a_batch_is_a_list_of_bars() -> None:
    bars = BarDataset([rated_bars(10, 1)])
    latents, targets, weights, _ = bars[[3, 1]]
    assert torch.equal(latents[1], bars[1][0])
    assert (latents.shape, targets.shape, weights.shape) == ((2, 8), (2, 2), (2,))


def test_smooth_l1_penalises_outliers_less_than_mse() -> None:
    predicted, far, near = torch.tensor([[0.9, 0.9]]), torch.tensor([[-0.9, -0.9]]), torch.tensor([[0.5, 0.5]])
    assert bar_loss(predicted, far, "smooth_l1", NO_SIGNS).item() == pytest.approx(1.8 - 0.5)
    assert bar_loss(predicted, far, "mse", NO_SIGNS).item() == pytest.approx(1.8**2)
    assert bar_loss(predicted, near, "smooth_l1", NO_SIGNS).item() == pytest.approx(0.4**2 / 2)


def test_a_diverging_loss_is_reported_in_one_line(settings) -> None:
    broken = rated_bars(50, 1)
    broken.latents[0, 0] = np.inf
    with pytest.raises(UserError, match=r"train\.learning_rate"):
        train_head([broken], [rated_bars(50, 2)], settings)


def test_where_only_signs_count_the_loss_is_that_of_their_probability() -> None:
    """A prediction of 0.6 gives the positive sign a probability of 0.8: its loss is −log 0.8, the other's −log 0.2."""
    predicted = torch.tensor([[0.6, 0.6], [0.6, 0.6]])
    signs = torch.tensor([[0.8, 0.6], [0.8, -0.6]])
    losses = bar_loss(predicted, signs, "mse", torch.ones(2, dtype=torch.bool))
    assert losses.tolist() == pytest.approx([-np.log(0.8), -(np.log(0.8) + np.log(0.2)) / 2], rel=1e-5)


def test_points_of_quadrants_set_the_level_and_signs_only_the_side(settings) -> None:
    clips = replace(rated_bars(2000, 1), dataset="emopia", kind="sign")
    clips.targets[:] = np.sign(clips.targets) * 0.2
    test = rated_bars(300, 3)
    spread = {}
    for quadrants in ("points", "signs"):
        trained = train_head([clips], [clips], replace(settings, quadrants=quadrants))
        with torch.no_grad():
            predicted = trained.model(torch.from_numpy(test.latents)).numpy()
        assert ((predicted >= 0) == (test.targets >= 0)).mean() > 0.9
        spread[quadrants] = np.abs(predicted).mean()
    assert spread["points"] < 0.25 < spread["signs"]


@pytest.mark.parametrize("loss", ["mse", "smooth_l1"])
@pytest.mark.parametrize("only_signs", [False, True])
def test_a_target_that_is_not_known_has_no_loss_and_no_gradient(loss: str, only_signs: bool) -> None:
    predicted = torch.tensor([[0.5, 0.5]], requires_grad=True)
    signs = torch.tensor([only_signs])
    half = bar_loss(predicted, torch.tensor([[0.1, torch.nan]]), loss, signs)
    whole = bar_loss(predicted, torch.tensor([[0.1, 0.1]]), loss, signs)
    assert half.item() == pytest.approx(whole.item() / 2)
    half.sum().backward()
    assert predicted.grad is not None
    assert predicted.grad[0, 0] != 0 and predicted.grad[0, 1] == 0


def test_a_head_learns_valence_where_only_valence_is_rated(settings) -> None:
    train, val, test = rated_bars(2000, 1), rated_bars(200, 2), rated_bars(300, 3)
    train.targets[:1000, 1] = np.nan
    val.targets[:100, 0] = np.nan
    trained = train_head([train], [val], settings)
    with torch.no_grad():
        predicted = trained.model(torch.from_numpy(test.latents)).numpy()
    for dimension in (0, 1):
        assert pearson_r(predicted[:, dimension], test.targets[:, dimension]) > 0.9
    assert (trained.model.sd > 0).all() and (trained.model.sd < 0.5).all()
    val.targets[:, 1] = np.nan
    assert train_head([train], [val], settings).model.sd[1] == 1  # what is never rated is not known
