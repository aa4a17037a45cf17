"""Whether latents beside its features help the listener, for several numbers of components and weights.

    python benchmarks/latents_in_listener.py --set output.dir=output/pretrain

Reads the output of pretrain_model/02_extract_latents.py and compares the listener with latents to the one without, on
the same pieces, each left out of training: by game, by song, and on sets with `use: measure`, which nothing is fitted
to. The settings are those of config/pretrain.yaml (--config and --set work as there). A cell is the change of the
order of pieces (Spearman's rank correlation; for signs Somers' D) with its 95 % interval, by the bootstrap over
pieces or groups; the last column is the mean over all sets and both dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pipeline.annotations import DIMENSIONS
from pipeline.settings import run_script
from pretrain_model.agreement import interval
from pretrain_model.cross_validation import Protocol, sets_to_compare
from pretrain_model.pretrain_settings import SETTINGS_FILE, PretrainSettings
from pretrain_model.set_comparison import change, order_differences

COMPONENTS = (4, 16, 64)
WEIGHTS = (0.1, 0.3, 1.0)
WITHOUT, WITH = "listener_whole", "listener_whole_and_latents"


def changes(with_latents: Protocol, without: Protocol, settings: PretrainSettings) -> Iterator[np.ndarray]:
    """For each measured set the changes of both dimensions, (1 + resamples, 2): of all pieces, then of samples."""
    for name in without.measured:
        after = with_latents.of_set(with_latents.left_out(WITH), name)
        before = without.of_set(without.left_out(WITHOUT), name)
        found = order_differences(without, name, after, before, settings.cross_validate.resamples, settings.train.seed)
        yield found[:, :, 1] - found[:, :, 0]


def cell(sampled: np.ndarray) -> str:
    """A change with its interval."""
    return change(sampled[0], *interval(sampled[1:]))


def main(settings: PretrainSettings) -> None:
    """Print the table."""
    encoder = settings.model.load()
    sets = sets_to_compare(settings, encoder)
    without = Protocol(sets, settings)
    names = [f"{name}, {dimension}" for name in without.measured for dimension in DIMENSIONS]
    print(f"| components | weight | {' | '.join(names)} | all |\n{'|---' * (3 + len(names))}|")
    for components in COMPONENTS:
        for weight in WEIGHTS:
            listener = replace(settings.listener, latent_components=components, latent_weight=weight)
            found = list(changes(Protocol(sets, replace(settings, listener=listener)), without, settings))
            cells = [cell(of_set[:, k]) for of_set in found for k in range(len(DIMENSIONS))]
            mean = np.nanmean(np.stack(found), axis=(0, 2))
            print(f"| {components} | {weight:g} | {' | '.join(cells)} | {cell(mean)} |", flush=True)


if __name__ == "__main__":
    run_script(PretrainSettings, SETTINGS_FILE, __doc__ or "", main)
