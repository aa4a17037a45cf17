"""A small recurrent head on latents: a bar's valence and arousal from the latents of all bars of its piece.

CustomMLP reads one bar; this one reads those before and after it too, in both directions (a bidirectional gated
recurrent unit, Cho et al., EMNLP 2014). It is compared in cross-validation, with the settings of CustomMLP
other than train.size and train.batch_size.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from .agreement import Points
from .pretrain_settings import TrainSettings
from .rated_pieces import RatedPiece
from .training import LEAST_SPREAD, bar_loss, few_threads, train_until_best

PIECES_PER_BATCH = 16
HIDDEN = 64  # of each direction


class LatentSequence(nn.Module):
    """latents of a piece's bars -> valence and arousal of each, through tanh. mean, std: of the training bars."""

    mean: Tensor
    std: Tensor

    def __init__(self, width: int, dropout: float):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("std", torch.ones(width))
        self.recurrent = nn.GRU(width, HIDDEN, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * HIDDEN, 2)

    def forward(self, pieces: Sequence[Tensor]) -> Tensor:
        """pieces: latents, (n, width) each -> ratings of all their bars, (sum of n, 2)."""
        lengths = torch.tensor([len(piece) for piece in pieces])
        scaled = pad_sequence([(piece - self.mean) / self.std for piece in pieces], batch_first=True)
        packed = pack_padded_sequence(self.dropout(scaled), lengths, batch_first=True, enforce_sorted=False)
        read, _ = pad_packed_sequence(self.recurrent(packed)[0], batch_first=True)  # (pieces, longest, 2 · HIDDEN)
        there = torch.arange(read.shape[1]) < lengths[:, None]
        return torch.tanh(self.out(self.dropout(read[there])))


class _Pieces:
    """Rated pieces as tensors; each set has the same share of the weight, spread evenly over its bars."""

    def __init__(self, pieces: Sequence[RatedPiece], quadrants: str):
        self.latents = [torch.from_numpy(piece.made.latents) for piece in pieces]
        self.rated = [torch.from_numpy(piece.rated) for piece in pieces]
        self.targets = [torch.from_numpy(piece.targets) for piece in pieces]
        self.only_signs = [piece.kind == "sign" and quadrants == "signs" for piece in pieces]
        bars = {name: sum(len(p.rated) for p in pieces if p.dataset == name) for name in {p.dataset for p in pieces}}
        self.n_bars = n = sum(bars.values())
        self.weights = [n / (len(bars) * bars[piece.dataset]) for piece in pieces]

    def loss(self, model: LatentSequence, chosen: Sequence[int], kind: str) -> tuple[Tensor, int]:
        """The summed weighted loss of the chosen pieces' bars, and the number of bars."""
        predicted = model([self.latents[i] for i in chosen]).split([len(self.latents[i]) for i in chosen])
        total = predicted[0].new_zeros(())
        for i, of_piece in zip(chosen, predicted, strict=True):
            signs = torch.full((len(self.rated[i]),), self.only_signs[i])
            each = bar_loss(of_piece[self.rated[i]], self.targets[i], kind, signs)
            total = total + self.weights[i] * each.sum()
        return total, sum(len(self.rated[i]) for i in chosen)


def train_latent_sequence(
    train: Sequence[RatedPiece], val: Sequence[RatedPiece], settings: TrainSettings
) -> LatentSequence:
    """Train on pieces, until the loss on `val` has not fallen for settings.patience passes; same seed, same model."""
    data, val_data = _Pieces(train, settings.quadrants), _Pieces(val, settings.quadrants)
    with few_threads(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = LatentSequence(data.latents[0].shape[1], settings.dropout)
        spread, mean = torch.std_mean(torch.cat(data.latents).double(), dim=0, correction=0)
        model.mean.copy_(mean)
        model.std.copy_(torch.where(spread >= LEAST_SPREAD, spread, torch.ones_like(spread)))
        optimizer = torch.optim.AdamW(model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        rng = np.random.default_rng(settings.seed)

        def one_epoch() -> float:
            order, total = rng.permutation(len(train)), 0.0
            for chosen in np.split(order, range(PIECES_PER_BATCH, len(order), PIECES_PER_BATCH)):
                summed, n_bars = data.loss(model, chosen.tolist(), settings.loss)
                optimizer.zero_grad()
                (summed / n_bars).backward()
                optimizer.step()
                total += summed.item()
            return total / data.n_bars

        def validate() -> float:
            return val_data.loss(model, range(len(val)), settings.loss)[0].item() / val_data.n_bars

        train_until_best(model, one_epoch, validate, settings)
    return model


@torch.inference_mode()
def predict_sequence(model: LatentSequence, piece: RatedPiece) -> Points:
    """The ratings of a piece's rated bars, (m, 2)."""
    return model([torch.from_numpy(piece.made.latents)]).numpy()[piece.rated]
