"""Training of a listener: each expert on its own rated set, the gate on both, and the size of its errors.

The linear models are ridge regressions on VGMIDI's ratings and logistic regressions on the signs of EMOPIA's quadrants;
the networks use the corresponding losses, squared error and log loss. Every piece has the same weight, however long. A
quadrant gives only two signs, so the outputs of EMOPIA's expert are scaled to the spread of VGMIDI's ratings from piece
to piece.

The size of the errors is measured on games and songs left out of training. For VGMIDI's expert, models trained without
some games predict these games, and the standard deviation is that of the normal distribution whose intervals of 50 %
and 90 % cover these shares of the bars. EMOPIA's quadrants give no size of an error, so the standard deviation of its
expert is the one under which the signs of left-out songs are likeliest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression, Ridge
from torch import Tensor, nn
from tqdm import tqdm

from pipeline.settings import UserError

from .listener_model import Linear, ListenerConfig, ListenerModel, Networks, Scale, Views
from .pretrain_settings import ListenerSettings
from .rated_pieces import GROUP, RatedPiece

SPREAD = (0.23, 0.25)  # valence and arousal of VGMIDI from piece to piece; used when trained without VGMIDI
_ALWAYS = 20.0  # bias of a gate with only one expert: sigmoid(20) is 1 in single precision
FOLDS = 5
_COVERED = torch.tensor([0.5, 0.9], dtype=torch.float64)
_DEVIATIONS = torch.special.ndtri((1 + _COVERED) / 2)  # half widths of these intervals: 0.67 and 1.64


@dataclass(frozen=True)
class SeenPiece:
    """A rated piece as input for training: views of the m rated bars and of the whole piece.

    group: its game or song. targets: float32 (m, 2), ratings in [−1, 1], or signs as 0 or 1, equal for all bars.
    """

    group: str
    views: Views
    targets: Tensor

    @classmethod
    def of(cls, piece: RatedPiece, settings: ListenerSettings) -> SeenPiece:
        """The views and targets of a rated piece; of EMOPIA's points only the signs are used."""
        views = Views.of([piece.input.views(settings.reads == "performance_and_latents")])
        rated = torch.from_numpy(piece.rated)
        targets = piece.targets if piece.dataset == "vgmidi" else (piece.targets >= 0).astype(np.float32)
        return cls(
            piece.group,
            Views(views.heard[rated], views.motion[rated], views.whole, views.piece[rated]),
            torch.from_numpy(targets),
        )


def fit_listener(
    rated: Sequence[SeenPiece],
    clips: Sequence[SeenPiece],
    config: ListenerConfig,
    settings: ListenerSettings,
    seed: int,
) -> ListenerModel:
    """Fit a listener on pieces of VGMIDI, clips of EMOPIA or both; one set may be empty.

    The size of its errors is not set here: `train_listener` measures it.
    """
    draw = torch.Generator().manual_seed(seed)
    spread = torch.tensor(SPREAD)
    with torch.random.fork_rng(devices=[]):  # keeps the caller's random state
        torch.manual_seed(seed)
        model = ListenerModel(config)
        if rated:
            if len(rated) > 1:
                spread = torch.stack([piece.targets.mean(dim=0) for piece in rated]).std(dim=0)
            _fit_ridge(model.vgmidi.linear, _rows(rated, model.linear_view), settings.penalty_level)
            _fit_networks(model.vgmidi.networks, rated, _squared_error, settings, draw)
            if model.motion is not None:
                _fit_ridge(model.motion, _rows(rated, _motion, centred=True), settings.penalty_motion)
        if clips:
            _fit_logistic(model.emopia.linear, _rows(clips, model.linear_view), settings.penalty_sign)
            _fit_networks(model.emopia.networks, clips, F.binary_cross_entropy_with_logits, settings, draw)
            _give_spread(model, clips, spread)
        _fit_gate(model, rated, clips, settings.penalty_sign)
    return model.eval().requires_grad_(False)


class _Rows(NamedTuple):
    """Rows of a view (n, …), their targets (n, 2), and weights (n,) that sum to 1 for each piece."""

    rows: Tensor
    targets: Tensor
    weights: Tensor


def _motion(views: Views) -> Tensor:
    return views.motion


def _rows(pieces: Sequence[SeenPiece], view: Callable[[Views], Tensor], centred: bool = False) -> _Rows:
    """A view of all pieces with targets; if it has one row per piece, the target is the mean over the piece.

    centred: subtract from the targets their mean over the piece.
    """
    views, targets, weights = [], [], []
    for piece in pieces:
        rows, mean = view(piece.views), piece.targets.mean(dim=0, keepdim=True)
        one_row = len(rows) == 1 < len(piece.targets)
        views.append(rows)
        targets.append(mean if one_row else piece.targets - mean if centred else piece.targets)
        weights.append(torch.full((len(rows),), 1 / len(rows)))
    return _Rows(torch.cat(views), torch.cat(targets), torch.cat(weights))


def _fit_scale(scale: Scale, data: _Rows) -> Tensor:
    """Set the scale to the rows' weighted mean and spread; returns the scaled rows."""
    share = (data.weights / data.weights.sum()).double()[:, None]
    mean = (share * data.rows).sum(dim=0)
    scale.set(mean, (share * (data.rows - mean) ** 2).sum(dim=0).sqrt())
    return scale(data.rows)


def _fit_ridge(linear: Linear, data: _Rows, penalty: float) -> None:
    """Fit by least squares: the weighted squared errors plus `penalty` times the squared coefficients."""
    x = _fit_scale(linear.scale, data).double().numpy()
    fitted = Ridge(alpha=penalty).fit(x, data.targets.double().numpy(), sample_weight=data.weights.double().numpy())
    with torch.no_grad():
        linear.layer.weight.copy_(torch.from_numpy(fitted.coef_))
        linear.layer.bias.copy_(torch.from_numpy(fitted.intercept_))


def _fit_logistic(linear: Linear, data: _Rows, penalty: float) -> None:
    """Fit a logistic regression of each sign: weighted log loss plus `penalty` / 2 times the squared coefficients."""
    x = _fit_scale(linear.scale, data).numpy()
    for k, sign in enumerate((data.targets > 0.5).numpy().T):
        if sign.all() or not sign.any():  # only one sign occurs
            coefficients, bias = np.zeros(x.shape[1]), math.copysign(1.0, sign[0] - 0.5)
        else:
            fitted = LogisticRegression(C=1 / penalty, max_iter=2000).fit(x, sign, sample_weight=data.weights.numpy())
            coefficients, bias = fitted.coef_[0], fitted.intercept_[0]
        with torch.no_grad():
            linear.layer.weight[k].copy_(torch.from_numpy(coefficients))
            linear.layer.bias[k] = float(bias)


def _squared_error(predicted: Tensor, targets: Tensor) -> Tensor:
    return ((predicted - targets) ** 2).mean()


def _fit_networks(
    networks: Networks,
    pieces: Sequence[SeenPiece],
    loss: Callable[[Tensor, Tensor], Tensor],
    settings: ListenerSettings,
    draw: torch.Generator,
) -> None:
    """Fit each network from its own initial weights and on its own bars, by `loss` on targets of mean 0 and spread 1.

    Targets that are signs are not rescaled. Bars are drawn so that all pieces are equally likely.
    """
    data = _rows(pieces, lambda views: views.heard)
    x = _fit_scale(networks.scale, data)
    mean, std = torch.zeros(2), torch.ones(2)
    if loss is _squared_error:
        std, mean = torch.std_mean(data.targets, dim=0, correction=0)
        std = torch.where(std > 0, std, torch.ones(2))
    targets = (data.targets - mean) / std
    networks.train()
    for member in networks.members:
        optimizer = torch.optim.AdamW(
            member.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        for _ in range(settings.steps):
            batch = torch.multinomial(data.weights, settings.batch_size, replacement=True, generator=draw)
            optimizer.zero_grad()
            loss(member(x[batch]), targets[batch]).backward()
            optimizer.step()
        last = cast("nn.Linear", cast("nn.Sequential", member)[-1])
        with torch.no_grad():
            last.weight.mul_(std[:, None])
            last.bias.mul_(std).add_(mean)
    networks.eval()


@torch.no_grad()
def _give_spread(model: ListenerModel, clips: Sequence[SeenPiece], spread: Tensor) -> None:
    """Scale both parts of EMOPIA's expert to vary from clip to clip as VGMIDI's ratings do from piece to piece."""
    linear = torch.stack([model.emopia.linear(model.linear_view(clip.views)).mean(dim=0) for clip in clips])
    networks = torch.stack([model.emopia.networks(clip.views.heard).mean(dim=0) for clip in clips])
    for gain, outputs in ((model.emopia.linear_gain, linear), (model.emopia.networks_gain, networks)):
        gain.copy_(0.5 * spread / outputs.std(dim=0, correction=0).clamp(min=1e-3))


def _fit_gate(model: ListenerModel, rated: Sequence[SeenPiece], clips: Sequence[SeenPiece], penalty: float) -> None:
    """Fit the gate to distinguish EMOPIA's clips from VGMIDI's pieces, with the same weight for both sets."""
    if not rated or not clips:
        with torch.no_grad():
            model.gate.layer.weight.zero_()
            model.gate.layer.bias.fill_(_ALWAYS if clips else -_ALWAYS)
        return
    parts = [_rows(pieces, model.linear_view) for pieces in (rated, clips)]
    rows = torch.cat([part.rows for part in parts])
    is_clip = torch.cat([torch.full((len(part.rows), 1), float(k)) for k, part in enumerate(parts)])
    half = (len(rated) + len(clips)) / 2
    weights = torch.cat([part.weights * half / part.weights.sum() for part in parts])
    _fit_logistic(model.gate, _Rows(rows, is_clip, weights), penalty)


def train_listener(pieces: Sequence[RatedPiece], settings: ListenerSettings, seed: int) -> ListenerModel:
    """Train a listener on pieces of VGMIDI, EMOPIA or both, and measure the size of its errors.

    Raises UserError if no piece is of one of these sets, for which it has experts.
    """
    seen = {dataset: [SeenPiece.of(p, settings) for p in pieces if p.dataset == dataset] for dataset in GROUP}
    rated, clips = seen["vgmidi"], seen["emopia"]
    if not rated and not clips:
        raise UserError("data.train_on: a listener learns from vgmidi and emopia only; set train.head to custom_mlp")
    config = ListenerConfig(
        width=pieces[0].input.values(settings.reads == "performance_and_latents").shape[1],
        context=settings.context,
        networks=settings.networks,
        hidden=settings.hidden,
        dropout_in=settings.dropout_in,
        dropout=settings.dropout,
    )
    errors, outputs, signs = [], [], []
    rated_folds, clip_folds = (_folds(pieces) for pieces in (rated, clips))
    for k in tqdm(range(FOLDS), desc="measuring the errors", unit="fold", leave=False):
        kept = [_without(pieces, folds[k]) for pieces, folds in ((rated, rated_folds), (clips, clip_folds))]
        if bool(kept[0]) < bool(rated) or bool(kept[1]) < bool(clips):
            continue  # a set of one game or song leaves nothing to learn from
        model = fit_listener(kept[0], kept[1], config, settings, seed)
        errors += [_rate_bars(model, rated[i].views) - rated[i].targets for i in rated_folds[k]]
        outputs += [model.rate(model.emopia, clips[i].views).mean(dim=0) for i in clip_folds[k]]
        signs += [clips[i].targets[0] for i in clip_folds[k]]
    model = fit_listener(rated, clips, config, settings, seed)
    if errors:
        model.vgmidi.sd.copy_(_sd_of_errors(torch.cat(errors)))
    if outputs:
        model.emopia.sd.copy_(_sd_of_signs(torch.stack(outputs), torch.stack(signs)))
    return model


def _folds(pieces: Sequence[SeenPiece]) -> list[list[int]]:
    return folds_by_group([piece.group for piece in pieces], [len(piece.targets) for piece in pieces], FOLDS)


def _without(pieces: Sequence[SeenPiece], left_out: list[int]) -> list[SeenPiece]:
    return [piece for i, piece in enumerate(pieces) if i not in set(left_out)]


def _rate_bars(model: ListenerModel, views: Views) -> Tensor:
    """The prediction of VGMIDI's expert for every bar, with the motion if the model has one: (n, 2)."""
    return model.rate(model.vgmidi, views) + model.moving(views)


def _sd_of_errors(errors: Tensor) -> Tensor:
    """errors: (bars, 2) -> (2,), the standard deviation that fits each interval, averaged over both intervals."""
    sizes = torch.quantile(errors.double().abs(), _COVERED, dim=0)  # (intervals, 2)
    return (sizes / _DEVIATIONS[:, None]).mean(dim=0)


def _sd_of_signs(outputs: Tensor, signs: Tensor) -> Tensor:
    """The standard deviation under which Φ(output / sd) makes the signs likeliest; each (clips, 2) -> (2,)."""
    candidates = torch.logspace(-2, 1, 301)
    right = (2 * signs - 1) * outputs  # (clips, 2)
    likelihood = torch.special.log_ndtr(right[None] / candidates[:, None, None]).sum(dim=1)  # (candidates, 2)
    return candidates[likelihood.argmax(dim=0)]


def folds_by_group(groups: Sequence[str], sizes: Sequence[int], n_folds: int) -> list[list[int]]:
    """Divide pieces into folds of about the same size: lists of indices that contain every piece once.

    groups: the group of each piece. sizes: the size of each piece, for example its bars. The largest groups are
    assigned first, each to the fold that is smallest at the time, so the folds depend on the data alone. With fewer
    groups than folds some folds are empty.
    """
    size: dict[str, int] = {}
    for group, n in zip(groups, sizes, strict=True):
        size[group] = size.get(group, 0) + n
    filled = np.zeros(n_folds, dtype=np.int64)
    fold_of: dict[str, int] = {}
    for group in sorted(size, key=lambda g: (-size[g], g)):
        fold_of[group] = int(filled.argmin())
        filled[fold_of[group]] += size[group]
    return [[i for i, group in enumerate(groups) if fold_of[group] == fold] for fold in range(n_folds)]
