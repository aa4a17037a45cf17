"""A listener with the sizes of its errors, measured on games and songs that were left out of training.

VGMIDI's expert: models trained without some of the games rate these games, and the standard deviation is the one of the
normal distribution whose intervals of 50 % and 90 % cover as many of the bars. EMOPIA's quadrants give no sizes: its
standard deviation is the one with which the signs of left-out songs are as likely as possible.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from tqdm import tqdm

from .folds import folds_by_group
from .listener_model import ListenerConfig, ListenerModel, Views
from .listener_training import SeenPiece, fit_listener
from .pretrain_settings import ListenerSettings
from .rated_pieces import GROUP, RatedPiece

FOLDS = 5
_COVERED = torch.tensor([0.5, 0.9], dtype=torch.float64)
_DEVIATIONS = torch.special.ndtri((1 + _COVERED) / 2)  # half widths of these intervals: 0.67 and 1.64


def train_listener(pieces: Sequence[RatedPiece], settings: ListenerSettings, seed: int) -> ListenerModel:
    """Train a listener on pieces of VGMIDI, of EMOPIA or of both, and size its errors."""
    seen = {dataset: [SeenPiece.of(p, settings) for p in pieces if p.dataset == dataset] for dataset in GROUP}
    rated, clips = seen["vgmidi"], seen["emopia"]
    config = ListenerConfig(
        width=pieces[0].input.values(settings.reads == "performance_and_latents").shape[1],
        context=settings.context,
        networks=settings.networks,
        hidden=settings.hidden,
        dropout_in=settings.dropout_in,
        dropout=settings.dropout,
    )
    errors, scores, signs = [], [], []
    of_rated, of_clips = (_folds(pieces) for pieces in (rated, clips))
    for k in tqdm(range(FOLDS), desc="sizing the errors", unit="fold", leave=False):
        kept = [_without(pieces, folds[k]) for pieces, folds in ((rated, of_rated), (clips, of_clips))]
        if bool(kept[0]) < bool(rated) or bool(kept[1]) < bool(clips):
            continue  # a set of one game or song leaves nothing to learn from
        model = fit_listener(kept[0], kept[1], config, settings, seed)
        errors += [_rate_bars(model, rated[i].views) - rated[i].targets for i in of_rated[k]]
        scores += [model.rate(model.emopia, clips[i].views).mean(dim=0) for i in of_clips[k]]
        signs += [clips[i].targets[0] for i in of_clips[k]]
    model = fit_listener(rated, clips, config, settings, seed)
    if errors:
        model.vgmidi.sd.copy_(_sd_of_errors(torch.cat(errors)))
    if scores:
        model.emopia.sd.copy_(_sd_of_signs(torch.stack(scores), torch.stack(signs)))
    return model


def _folds(pieces: Sequence[SeenPiece]) -> list[list[int]]:
    return folds_by_group([piece.group for piece in pieces], [len(piece.targets) for piece in pieces], FOLDS)


def _without(pieces: Sequence[SeenPiece], left_out: list[int]) -> list[SeenPiece]:
    return [piece for i, piece in enumerate(pieces) if i not in set(left_out)]


def _rate_bars(model: ListenerModel, views: Views) -> Tensor:
    """The rating of every bar by VGMIDI's expert, with the motion where there is one: (n, 2)."""
    return model.rate(model.vgmidi, views) + model.moving(views)


def _sd_of_errors(errors: Tensor) -> Tensor:
    """errors: (bars, 2) -> (2,), the mean over both intervals of the standard deviation that fits it."""
    sizes = torch.quantile(errors.double().abs(), _COVERED, dim=0)  # (intervals, 2)
    return (sizes / _DEVIATIONS[:, None]).mean(dim=0)


def _sd_of_signs(scores: Tensor, signs: Tensor) -> Tensor:
    """The standard deviation with which Φ(score / sd) makes the signs the likeliest; each (clips, 2) -> (2,)."""
    candidates = torch.logspace(-2, 1, 301)
    right = (2 * signs - 1) * scores  # (clips, 2)
    likelihood = torch.special.log_ndtr(right[None] / candidates[:, None, None]).sum(dim=1)  # (candidates, 2)
    return candidates[likelihood.argmax(dim=0)]
