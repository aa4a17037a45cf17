"""Training of CustomMLP: weighted squared (or smooth absolute) error, AdamW, early stopping on the validation loss.

It is trained on the CPU: it is small, and there the same seed gives identical weights. Latents are standardised by the
mean and spread of the training bars, which become part of the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from pipeline.processors import usable_processors
from pipeline.progress import progress_bar
from pipeline.settings import UserError

from .custom_mlp import CustomMLP, MLPConfig
from .pretrain_settings import TrainSettings
from .rated_pieces import BarDataset, RatedBars

MOST_THREADS = 4  # that share a product; more would mostly wait for each other
LEAST_SPREAD = 1e-6  # below it a dimension of the latent counts as constant, so that rounding errors are not amplified


@dataclass(frozen=True)
class TrainedHead:
    """The model of the best epoch. losses: one row per epoch (epoch from 1, train_loss, val_loss)."""

    model: CustomMLP
    losses: pd.DataFrame
    best_epoch: int
    best_loss: float


def train_head(train: Sequence[RatedBars], val: Sequence[RatedBars], settings: TrainSettings) -> TrainedHead:
    """Train a head on the bars of one or more datasets; BarDataset says how they are weighted.

    Raises UserError if the loss diverges.
    """
    train_bars, val_bars = (BarDataset(parts, settings.quadrants) for parts in (train, val))
    with few_threads(), torch.random.fork_rng(devices=[]):  # keeps the caller's random state
        torch.manual_seed(settings.seed)
        model = CustomMLP(MLPConfig(train_bars.latents.shape[1], settings.size, settings.dropout))
        spread, mean = torch.std_mean(train_bars.latents.double(), dim=0, correction=0)  # each (width,)
        model.set_scale(mean.float(), torch.where(spread < LEAST_SPREAD, 0.0, spread).float())
        return _fit(model, train_bars, val_bars, settings)


@contextmanager
def few_threads() -> Iterator[None]:
    """Let torch use MOST_THREADS at most, and no more than there are processors: each product takes milliseconds."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, MOST_THREADS, usable_processors()))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_until_best(
    model: nn.Module, one_epoch: Callable[[], float], validate: Callable[[], float], settings: TrainSettings
) -> list[tuple[int, float, float]]:
    """Train epoch by epoch until the validation loss has not fallen for settings.patience; keeps the best epoch.

    one_epoch: trains on all data once. validate: with the model in evaluation mode. Both return a mean loss. Returns
    epoch, training and validation loss of each epoch; the model is left in evaluation mode. Raises UserError if the
    loss diverges.
    """
    rows: list[tuple[int, float, float]] = []
    best_epoch, best_loss, best_weights = 0, math.inf, deepcopy(model.state_dict())
    progress = progress_bar(range(1, settings.max_epochs + 1), "training", "epochs")
    for epoch in progress:
        model.train()
        train_loss = one_epoch()
        model.eval()
        with torch.no_grad():
            val_loss = validate()
        if not (math.isfinite(train_loss) and math.isfinite(val_loss)):
            raise UserError(f"the loss is {train_loss} after epoch {epoch}: set train.learning_rate lower")
        rows.append((epoch, train_loss, val_loss))
        progress.set_postfix(train=f"{train_loss:.4f}", val=f"{val_loss:.4f}", best=best_epoch)
        if val_loss < best_loss:
            best_epoch, best_loss, best_weights = epoch, val_loss, deepcopy(model.state_dict())
        elif epoch - best_epoch >= settings.patience:
            break
    progress.close()
    model.load_state_dict(best_weights)
    return rows


def _fit(model: CustomMLP, train_bars: BarDataset, val_bars: BarDataset, settings: TrainSettings) -> TrainedHead:
    order = RandomSampler(train_bars, generator=torch.Generator().manual_seed(settings.seed))
    batches = DataLoader(train_bars, sampler=BatchSampler(order, settings.batch_size, drop_last=False), batch_size=None)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    rows = train_until_best(
        model,
        lambda: _one_epoch(model, batches, optimizer, settings.loss) / len(train_bars),
        lambda: _validate(model, val_bars, settings.loss),
        settings,
    )
    _set_sd(model, val_bars)
    best_epoch, _, best_loss = min(rows, key=lambda row: row[2])
    return TrainedHead(model, pd.DataFrame(rows, columns=["epoch", "train_loss", "val_loss"]), best_epoch, best_loss)


@torch.no_grad()
def _set_sd(model: CustomMLP, bars: BarDataset) -> None:
    """Set the model's sd to the root mean squared error; of a dimension that is not rated it stays 1."""
    known = ~bars.targets.isnan()  # (n, 2)
    weights = bars.weights[:, None] * known  # (n, 2)
    errors = torch.where(known, model(bars.latents) - bars.targets, 0.0).square()  # (n, 2)
    mean = (weights * errors).sum(dim=0) / weights.sum(dim=0)  # (2,)
    model.sd.copy_(torch.where(known.any(dim=0), mean.sqrt(), model.sd))


def _one_epoch(
    model: CustomMLP,
    batches: DataLoader[tuple[Tensor, Tensor, Tensor, Tensor]],
    optimizer: torch.optim.Optimizer,
    loss: str,
) -> float:
    """One pass over the training bars; returns the sum of their weighted losses."""
    total = 0.0
    for latents, targets, weights, only_signs in batches:
        summed = (weights * bar_loss(model(latents), targets, loss, only_signs)).sum()
        optimizer.zero_grad()
        (summed / len(weights)).backward()
        optimizer.step()
        total += summed.item()
    return total


def _validate(model: CustomMLP, bars: BarDataset, loss: str) -> float:
    return (bars.weights * bar_loss(model(bars.latents), bars.targets, loss, bars.only_signs)).mean().item()


def bar_loss(predicted: Tensor, targets: Tensor, loss: str, only_signs: Tensor) -> Tensor:
    """The loss of each bar, mean over valence and arousal: (n, 2), (n, 2) -> (n,). loss: mse or smooth_l1.

    A target of NaN has the loss 0. only_signs: (n,), whether only the signs of a bar's targets count. A prediction
    tanh(z) gives the positive sign the probability (1 + tanh(z)) / 2, the logistic function of 2 z; the loss is minus
    the log of the true sign's.
    """
    known = ~targets.isnan()
    targets = torch.where(known, targets, 0.0)  # NaN times 0 would be NaN, also in the gradient
    compare = F.mse_loss if loss == "mse" else F.smooth_l1_loss
    value_loss = compare(predicted, targets, reduction="none")
    probability = (1 + torch.where(targets >= 0, predicted, -predicted)) / 2
    sign_loss = -probability.clamp(min=1e-6).log()
    each = torch.where(only_signs[:, None], sign_loss, value_loss)
    return torch.where(known, each, 0.0).mean(dim=1)
