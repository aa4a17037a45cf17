"""How much each part of the listener contributes: its level, its motion, groups of features, and more music.

    python benchmarks/listener_parts.py --set output.dir=output/pretrain

Reads the output of pretrain_model/02_extract_latents.py. The protocol is that of pretrain_model/05_cross_validate.py:
VGMIDI in folds by game, EMOPIA by song. The first rows evaluate single parts of one fitted listener with the context
whole and the cautious motion. The next rows leave out groups of features, by giving every bar the same value, and fit
again; the last rows fit on a share of the games and songs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from pipeline.settings import run_script
from pretrain_model.agreement import quadrant_agreement, rating_agreement
from pretrain_model.bar_context import BarViews
from pretrain_model.cross_validation import fold_pieces
from pretrain_model.features import FEATURES
from pretrain_model.listener import Listener, ListenerConfig
from pretrain_model.listener_training import fit_listener
from pretrain_model.pretrain_settings import SETTINGS_FILE, ListenerSettings, PretrainSettings
from pretrain_model.rated_pieces import RatedPiece, load_rated_pieces
from pretrain_model.seen_music import RatedMusic, SeenPiece
from pretrain_model.tonality import TONAL

Part = Callable[[Listener, BarViews], np.ndarray]  # valence and arousal, (1 or n, 2)


def level(listener: Listener, views: BarViews) -> np.ndarray:
    """The level alone, the same for all bars."""
    return listener.level(views)[None]


def moments(listener: Listener, views: BarViews) -> np.ndarray:
    """What the moments suggest, averaged over the piece: both dimensions read from the music heard so far."""
    return listener.read(views, "heard").mean(axis=0, keepdims=True)


def default(listener: Listener, views: BarViews) -> np.ndarray:
    """The prediction with the cautious motion: the size of the full one is not fitted here."""
    return listener.predict(views)[:, :2]


ALL = "all"
PARTS: dict[str, Part] = {
    "level": level,
    "level, both dimensions read from moments": moments,
    ALL: default,
}
GROUPS = {
    "without tempo and density": ("tempo", "notes_per_second", "onsets_per_second", "notes_per_quarter"),
    "without loudness": ("velocity", "velocity_sd", "velocity_max", "loudness"),
    "without register": ("pitch", "highest", "lowest", "melody", "pitch_sd", "melody_leap"),
    "without key and harmony": (*TONAL, "harmonic_change"),
    "without weights for music without a beat grid": ("off_grid",),
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
    listening: ListenerSettings = replace(settings.listener, context="whole", reads="performance")
    config = ListenerConfig(len(FEATURES), "whole")
    pieces = [*vgmidi, *emopia]
    music = RatedMusic.of(pieces, listening)
    seen = [piece for rated in music for piece in rated.pieces]
    predicted: dict[str, dict[int, np.ndarray]] = {name: {} for name in parts}
    draw = np.random.default_rng(settings.train.seed)
    for fold in fold_pieces(pieces, settings.cross_validate.folds):
        out = {id(seen[i]) for i in fold}
        kept = [[i for i, piece in enumerate(rated.pieces) if id(piece) not in out] for rated in music]
        kept = [some_groups(rated.pieces, some, share, draw) for rated, some in zip(music, kept, strict=True)]
        listener = fit_listener(music.select(kept), {}, config, listening)
        for i in fold:
            for name, part in parts.items():
                values = part(listener, seen[i].views)
                whole = np.broadcast_to(values, (len(seen[i].views.heard), 2))
                predicted[name][i] = whole[pieces[i].rated]
    found = {}
    for name in parts:
        compared = [[(predicted[name][i], piece.targets)] for i, piece in enumerate(pieces)]
        rated_figures, accuracy = rating_agreement(compared[: len(vgmidi)]), quadrant_agreement(compared[len(vgmidi) :])
        values = [rated_figures[level, d, "r"] for level in ("bar", "within", "piece") for d in ("valence", "arousal")]
        found[name] = [*values, *(accuracy["piece", d, "accuracy"] for d in ("quadrant", "arousal", "valence"))]
    return found


def some_groups(pieces: Sequence[SeenPiece], kept: Sequence[int], share: float, draw: np.random.Generator) -> list[int]:
    """Of some pieces, by their indices, those of a random share of the games or songs."""
    groups = sorted({pieces[i].group for i in kept})
    chosen = set(draw.permutation(groups)[: math.ceil(share * len(groups))])
    return [i for i in kept if pieces[i].group in chosen]


def main(settings: PretrainSettings) -> None:
    """Print the table."""
    encoder = settings.model.load()
    blocks = {block.name: block for block in settings.sets}
    vgmidi, emopia = (
        load_rated_pieces(settings.folder, blocks[name], ("train", "val", "test"), encoder)
        for name in ("vgmidi", "emopia")
    )
    columns = [f"{d} {level}" for level in ("bar", "within", "piece") for d in ("valence", "arousal")]
    accuracies = ["quadrants", "arousal's sign", "valence's sign"]
    print("| part | " + " | ".join([*columns, *accuracies]) + " |\n|---" + "|---" * 9 + "|")

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
