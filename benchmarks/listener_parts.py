"""What each part of the listener brings: linear models, networks, the motion within a piece, both rated sets.

    python benchmarks/listener_parts.py --set output.dir=output/pretrain

Reads what pretrain_model/02_extract_latents.py wrote. The protocol is that of pretrain_model/05_cross_validate.py:
VGMIDI in folds by game, EMOPIA's test split by models of the other two and all of VGMIDI. The parts are those of one
fitted model, with the context whole, looked at one by one. The last rows leave groups of features out, by giving every
bar the same value, and fit anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from musetok_bridge import load_encoder
from musetok_bridge.settings import run_script
from pretrain_model.folds import folds_by_group
from pretrain_model.listener_head import ListenerConfig, ListenerModel, Views
from pretrain_model.listener_training import SeenPiece, fit_listener
from pretrain_model.performance_features import FEATURES
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.rated_pieces import RatedPiece, load_rated_pieces
from pretrain_model.scores_with_intervals import score_quadrants, score_ratings
from pretrain_model.tonality import TONAL

Part = Callable[[ListenerModel, Views], Tensor]
PARTS: dict[str, Part] = {
    "VGMIDI: linear, whole piece": lambda m, v: m.vgmidi.linear(v.whole).expand(len(v.heard), 2),
    "VGMIDI: networks, what was heard": lambda m, v: m.vgmidi.networks(v.heard),
    "VGMIDI: mean of both": lambda m, v: m.rate(m.vgmidi, v).expand(len(v.heard), 2),
    "VGMIDI: … and the motion": lambda m, v: m.rate(m.vgmidi, v) + m.moving(v),
    "EMOPIA: mean of both": lambda m, v: m.rate(m.emopia, v).expand(len(v.heard), 2),
    "all, by the gate": lambda m, v: m(v)[0],
}
GROUPS = {
    "without tempo and density": ("tempo", "notes_per_second", "onsets_per_second", "notes_per_quarter"),
    "without loudness": ("velocity", "velocity_sd", "velocity_max", "loudness"),
    "without register": ("pitch", "highest", "lowest", "melody", "pitch_sd", "melody_leap"),
    "without key and harmony": (*TONAL, "harmonic_change"),
}


def without(piece: RatedPiece, names: Sequence[str]) -> RatedPiece:
    """The piece with some features the same for every bar."""
    features = piece.made.features.copy()
    features[:, [FEATURES.index(name) for name in names]] = 0
    return replace(piece, made=replace(piece.made, features=features))


@torch.inference_mode()
def measure(
    vgmidi: Sequence[RatedPiece], emopia: Sequence[RatedPiece], parts: dict[str, Part], settings: PretrainSettings
) -> dict[str, list[float]]:
    """For each part: r of valence and arousal per bar, within pieces and per piece, and EMOPIA's accuracies."""
    listener = replace(settings.listener, context="whole", reads="performance")
    config = ListenerConfig(
        len(FEATURES), "whole", listener.networks, listener.hidden, listener.dropout_in, listener.dropout
    )
    rated = [SeenPiece.of(piece, listener) for piece in vgmidi]
    learned, tested = (
        [SeenPiece.of(p, listener) for p in emopia if (p.split == "test") == is_test] for is_test in (False, True)
    )
    predicted: dict[str, dict[int, np.ndarray]] = {name: {} for name in parts}
    folds = folds_by_group([p.group for p in vgmidi], [len(p.rated) for p in vgmidi], settings.cross_validate.folds)
    for fold in folds:
        kept = [piece for i, piece in enumerate(rated) if i not in set(fold)]
        with torch.inference_mode(mode=False):
            model = fit_listener(kept, learned, config, listener, settings.train.seed)
        for name, part in parts.items():
            predicted[name] |= {i: part(model, rated[i].views).numpy() for i in fold}
    with torch.inference_mode(mode=False):
        model = fit_listener(rated, learned, config, listener, settings.train.seed)
    found = {}
    for name, part in parts.items():
        of_ratings = score_ratings([[(predicted[name][i], piece.targets)] for i, piece in enumerate(vgmidi)])
        clips = [[(part(model, clip.views).numpy(), clip.targets.numpy() - 0.5)] for clip in tested]
        accuracy = score_quadrants(clips)
        values = [of_ratings[level, d, "r"] for level in ("bar", "within", "piece") for d in ("valence", "arousal")]
        found[name] = [*values, *(accuracy["piece", d, "accuracy"] for d in ("quadrant", "arousal", "valence"))]
    return found


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
        show(measure(less[0], less[1], {f"all, {name}": PARTS["all, by the gate"]}, settings))


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__ or "", main)
