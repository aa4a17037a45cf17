"""Which stage of the annotation takes the time: read, parse, convert, encode, predict, write.

    python benchmarks/stages.py --data DIR --split train --limit 400

DIR is a data set in the Hub's layout, a folder of Parquet files or a folder of MIDI files. Without --data the bundled
samples are measured. Every stage runs alone over all songs, in one process, on one core but for the models, which use
torch's threads, and is repeated; the table gives medians, each stage's share, and conversion as a multiple of symusic's
parsing of the same bytes. Seconds depend on the machine; the shares and the multiple say what a faster one keeps.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import torch
from measured_music import music_folder

from musetok_bridge import load_encoder, score_to_bars
from musetok_bridge.scores import read_score
from musetok_bridge.settings import UserError, load_settings
from pretrain_model.head import HeadInput, load_head
from pretrain_model.performance_features import bar_features
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.conversion import Converted, convert_song
from process_gigamidi.gigamidi_source import open_source
from process_gigamidi.part_files import PartTables


def timed(work: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Median seconds of some runs after one that does not count, and the last result."""
    seconds = []
    result = work()
    for _ in range(repeats):
        began = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - began)
    return median(seconds), result


def measure(arguments: argparse.Namespace, data: str) -> None:
    """Run every stage and print the table."""
    where = [f"dataset.path={data}", f"dataset.split={arguments.split}", f"model.encoder={arguments.encoder}"]
    settings = load_settings(AnnotationSettings, "gigamidi.yaml", overrides=where)
    source = open_source(settings.dataset)
    seconds: dict[str, float] = {}

    seconds["read"], rows = timed(lambda: list(islice(source.rows(0), arguments.limit)), 1)
    usable = partial(convert_song, bars=settings.bars, limits=settings.limits, with_features=False)
    rows = [row for row in rows if isinstance(usable(row.music), Converted)]
    seconds["parse"], scores = timed(lambda: [read_score(row.music) for row in rows], arguments.repeats)
    options = asdict(settings.bars)
    seconds["convert"], songs = timed(lambda: [score_to_bars(score, **options) for score in scores], arguments.repeats)
    encoder = load_encoder(arguments.encoder, dtype=arguments.dtype)
    seconds["encode"], encoded = timed(lambda: encoder.encode(songs), 1 if arguments.encoder != "bundled" else 3)
    seconds["features"], features = timed(
        lambda: [bar_features(score, bars) for score, bars in zip(scores, songs, strict=True)], arguments.repeats
    )
    inputs = [HeadInput(of_song, pair[1]) for of_song, pair in zip(features, encoded, strict=True)]
    head = load_head()
    seconds["predict"], predicted = timed(lambda: head.predict(inputs), arguments.repeats)

    def write() -> None:
        tables = PartTables(source.columns)
        for row, bars, values in zip(rows, songs, predicted, strict=True):
            tables.add_song(row.md5, bars, 0.0, values, row.described)
        with tempfile.TemporaryDirectory() as folder:
            tables.write(Path(folder), 0)

    seconds["write"], _ = timed(write, arguments.repeats)

    n_bars, total = sum(map(len, songs)), sum(seconds.values())
    distinct = len({song[i].tobytes() for song in songs for i in range(len(song))})
    print(f"{len(songs)} songs, {n_bars} bars, {distinct} distinct; encoder {arguments.encoder}, {arguments.dtype}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    print("\n| stage | ms a song | share |\n|---|---|---|")
    for stage, taken in seconds.items():
        print(f"| {stage} | {1000 * taken / len(songs):.2f} | {100 * taken / total:.1f} % |")
    print(f"\nconversion takes {seconds['convert'] / seconds['parse']:.1f} times as long as symusic's parsing")
    print(f"encoding: {n_bars / seconds['encode']:.0f} bars a second")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set or folder; default: the bundled samples")
    parser.add_argument("--split", default="train", help="train, validation or test; default train")
    parser.add_argument("--limit", type=int, default=400, help="songs; default 400")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each stage; default 5")
    parser.add_argument("--encoder", default="bundled", help="bundled, official or the path of a checkpoint")
    parser.add_argument("--dtype", default="float32", help="float32 or bfloat16")
    arguments = parser.parse_args()
    try:
        with music_folder(arguments.data) as data:
            measure(arguments, data)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
