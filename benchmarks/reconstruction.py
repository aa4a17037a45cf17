"""How much of held-out bars a tokenizer's decoder gives back from their latents alone.

    python benchmarks/reconstruction.py --set corpus.path=FOLDER_OR_ZIP [--encoder bundled] [--levels 1 4 16]

Splits the music as musetok_bridge/02_train_tokenizer.py does (--config and --set work as there), and prints the figures
that it writes to quality.json for the distinct bars of held-out songs that do not occur in the others: in float32, from
the stored weights. --levels: also from the latents of so many first levels. The file needs a decoder, which the bundled
one has. quality.reconstructed_bars says how many bars are decoded, quality.beams and quality.rounds how carefully.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from musetok_bridge.checkpoint import find_checkpoint
from musetok_bridge.tokenizer_corpus import read_corpus
from musetok_bridge.tokenizer_model import Tokenizer, measure_quality
from musetok_bridge.tokenizer_settings import SETTINGS_FILE, TokenizerSettings
from musetok_bridge.tokenizer_training import held_out
from pipeline.settings import UserError, run_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments beside the settings."""
    parser.add_argument("--encoder", default="bundled", help="bundled, or the path of a tokenizer's file")
    parser.add_argument("--levels", type=int, nargs="*", default=[])


def main(settings: TokenizerSettings, arguments: argparse.Namespace) -> None:
    """Print the table."""
    if settings.corpus.path is None:
        raise UserError("no music to measure on: give --set corpus.path=FOLDER or ZIP of MIDI files")
    model = Tokenizer.load(find_checkpoint(arguments.encoder))
    corpus = read_corpus(Path(settings.corpus.path), settings.corpus.validation_share)
    bars = held_out(corpus, settings.quality.reconstructed_bars, settings.training.seed)
    how = settings.quality
    levels = [*arguments.levels, len(model.bar_transformer.levels)]
    measured = [measure_quality(model, bars, how.beams, how.rounds, k) for k in levels]
    print(f"| {corpus.n_validation_songs} held-out songs | {' | '.join(f'{k} levels' for k in levels)} |")
    print("|---" * (1 + len(levels)) + "|")
    for name in measured[0]:
        print(f"| {name} | {' | '.join(str(quality[name]) for quality in measured)} |")


if __name__ == "__main__":
    run_command(TokenizerSettings, SETTINGS_FILE, __doc__ or "", main, add_arguments)
