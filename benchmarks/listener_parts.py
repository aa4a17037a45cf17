"""How much each part of the listener contributes: linear models, networks, motion within a piece, both rated sets.

    python benchmarks/listener_parts.py --set output.dir=output/pretrain

Reads the output of pretrain_model/02_extract_latents.py. The protocol is that of pretrain_model/05_cross_validate.py:
VGMIDI in folds by game, EMOPIA by song. The first rows evaluate single parts of one fitted model with the context
whole. The next rows leave out groups of features, by giving every bar the same value, and fit again; the last rows fit
on a share of the games and songs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from musetok_bridge import load_encoder
from pipeline.settings import run_script
from pretrain_model.agreement import quadrant_agreement, rating_agreement
from pretrain_model.cross_validation import fold_pieces
from pretrain_model.features import FEATURES
from pretrain_model.listener_model import ListenerConfig, ListenerModel, Views
from pretrain_model.listener_training import SeenPiece, fit_listener
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.rated_pieces import RatedPiece, load_rated_pieces
from pretrain_model.tonality import TONAL

Part = Callable[[ListenerModel, Views], Tensor]
ALL = "all, by the gate"
PARTS: dict[str, Part] = {
    "VGMIDI: linear, whole piece": lambda m, v: m.vgmidi.linear(v.whole).expand(len(v.heard), 2),
    "VGMIDI: networks, what was heard": lambda m, v: m.vgmidi.networks(v.heard),
    "VGMIDI: mean of both": lambda m, v: m.rate(m.vgmidi, v).expand(len(v.heard), 2),
    "VGMIDI: … and the motion": lambda m, v: m.rate(m.vgmidi, v) + m.moving(v),
    "EMOPIA: mean of both": lambda m, v: m.rate(m.emopia, v).expand(len(v.heard), 2),
    ALL: lambda m, v: m(v)[0],
}
GROUPS = {
    "without tempo and density": ("tempo", "notes_per_second", "onsets_per_second", "notes_per_quarter"),
    "without loudness": ("velocity", "velocity_sd", "velocity_max", "loudness"),
    "without register": ("pitch", "highest", "lowest", "melody", "pitch_sd", "melody_leap"),
    "without key and harmony": (*TONAL, "harmonic_change"),
}
SHARES = (0.25, 0.5, 0.75)


def without(piece: RatedPiece, names: Sequence[str]) -> RatedPiece:
    """The piece with the named features set to 0 in every bar."""
    features = piece.made.features.copy()
    features[:, [FEATURES.index(name) for name in names]] = 0
    return replace(piece, made=replace(piece.made, features=features))


def measure(
    vgmidi: Sequence[RatedPiece],
    emopia: Sequence[RatedPiece],
    parts: dict[str, Part],
    settings: PretrainSettings,
    share: float = 1.0,
) -> dict[str, list[float]]:
    """For each part: r of valence and arousal per bar, within pieces and per piece, and EMOPIA's accuracies.

    share: share of the games and songs of the other folds used for training.
    """
    listener = replace(settings.listener, context="whole", reads="performance")
    config = ListenerConfig(
        len(FEATURES), "whole", listener.networks, listener.hidden, listener.dropout_in, listener.dropout
    )
    seen = [SeenPiece.of(piece, listener) for piece in (*vgmidi, *emopia)]
    predicted: dict[str, dict[int, np.ndarray]] = {name: {} for name in parts}
    draw = np.random.default_rng(settings.train.seed)
    for fold in fold_pieces(vgmidi, emopia, settings.cross_validate.folds):
        left_out = set(fold)
        kept = [
            [seen[i] for i in some if i not in left_out] for some in (range(len(vgmidi)), range(len(vgmidi), len(seen)))
        ]
        model = fit_listener(
            *(some_groups(pieces, share, draw) for pieces in kept), config, listener, settings.train.seed
        )
        with torch.inference_mode():
            for name, part in parts.items():
                predicted[name] |= {i: part(model, seen[i].views).numpy() for i in fold}
    found = {}
    for name in parts:
        compared = [[(predicted[name][i], piece.targets)] for i, piece in enumerate((*vgmidi, *emopia))]
        rated, accuracy = rating_agreement(compared[: len(vgmidi)]), quadrant_agreement(compared[len(vgmidi) :])
        values = [rated[level, d, "r"] for level in ("bar", "within", "piece") for d in ("valence", "arousal")]
        found[name] = [*values, *(accuracy["piece", d, "accuracy"] for d in ("quadrant", "arousal", "valence"))]
    return found


def some_groups(pieces: Sequence[SeenPiece], share: float, draw: np.random.Generator) -> list[SeenPiece]:
    """The pieces of a random share of the games or songs."""
    groups = sorted({piece.group for piece in pieces})
    chosen = set(draw.permutation(groups)[: math.ceil(share * len(groups))])
    return [piece for piece in pieces if piece.group in chosen]


def main(settings: PretrainSettings) -> None:
    """Print the table."""
    encoder = load_encoder(settings.model.encoder, settings.model.device, settings.model.dtype)
    vgmidi, emopia = (
        load_rated_pieces(settings.folder, dataset, ("train", "val", "test"), encoder)
        for dataset in ("vgmidi", "emopia")
    )
    columns = [f"{d} {level}" for level in ("bar", "within", "piece") for d in ("valence", "arousal")]
    print(
        "| part | "
        + " | ".join([*columns, "quadrants", "arousal's sign", "valence's sign"])
        + " |\n|---"
        + "|---" * 9
        + "|"
    )

    def show(found: dict[str, list[float]]) -> None:
        for name, values in found.items():
            cells = ["" if np.isnan(value) else f"{value:.3f}" for value in values]
            print(f"| {name} | " + " | ".join(cells) + " |", flush=True)

    show(measure(vgmidi, emopia, PARTS, settings))
    for name, features in GROUPS.items():
        less = [[without(piece, features) for piece in pieces] for pieces in (vgmidi, emopia)]
        show(measure(less[0], less[1], {f"all, {name}": PARTS[ALL]}, settings))
    for share in SHARES:
        show(measure(vgmidi, emopia, {f"all, {share:.0%} of games and songs": PARTS[ALL]}, settings, share))


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__ or "", main)
