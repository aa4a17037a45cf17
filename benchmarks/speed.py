"""The speed of the annotation, each measurement compared with a reference run in the same process.

    python benchmarks/speed.py --data DIR --split train --limit 400

DIR is a data set in the Hub's layout, a folder of Parquet files or a folder of MIDI files; without --data the bundled
samples are measured. Four tables:

conversion  parsing and conversion as a multiple of symusic's parsing of the same bytes, and the time per note for a
            song repeated 1, 4, 16 … times
encoding    bars a second as a multiple of torch.nn.TransformerEncoder with the same weights, padded to 128 words, one
            song at a time, as in MuseTok's own code; the gain of each step from there to our encoder; and the rate of
            the remaining matrix products alone. Number formats without instructions on this processor are left out
formats     how much other number formats change the predictions of the head `bundled_mlp` (with the bundled encoder)
stages      each stage of an annotation alone, in one process, and its share, for a head with and without an encoder

Seconds depend on the machine, ratios and shares much less; each result is a median over repeats, and the compared
works take turns. `--encoder released` measures an encoder of the released size with seeded weights, since only its
sizes matter.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import symusic
import torch
import torch.nn.functional as F
from measured_music import music_folder
from torch import Tensor, nn

from musetok_bridge import load_encoder, score_to_bars
from musetok_bridge.bar_transformer import BarTransformer
from musetok_bridge.bars import Bars, read_bars
from musetok_bridge.checkpoint import RELEASED
from musetok_bridge.conversion import Converted, convert_song
from musetok_bridge.encoder import (
    DTYPES,
    TOKENS_PER_BATCH,
    BarEncoder,
    bar_encoder,
    batches_by_length,
    fast_dtypes,
    one_thread_per_core,
)
from musetok_bridge.scores import read_score
from musetok_bridge.vocabulary import MAX_BAR_WORDS, PAD
from pipeline.settings import UserError, load_settings
from pretrain_model.bar_context import view_bars
from pretrain_model.features import BarFeatures, features_of_songs
from pretrain_model.head import HeadInput, load_head
from pretrain_model.played_songs import Played
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.part_files import complete_part, part_tables
from song_sources.gigamidi_source import open_source
from song_sources.song_rows import Row

LENGTHS = (1, 4, 16, 64)  # repetitions of a song
LARGE_BATCH = 16_384  # words
ALONE = "only the matrix products of the line below"
PADDED = "torch.nn.TransformerEncoder, padded to 128, a song at a time"


def in_turns(works: Sequence[Callable[[], Any]], repeats: int) -> list[float]:
    """Median seconds of each work. The works take turns; a first round is not counted."""
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, taken in zip(works, seconds, strict=True):
            began = time.perf_counter()
            work()
            if turn:
                taken.append(time.perf_counter() - began)
    return [median(taken) for taken in seconds]


def measure_conversion(rows: Sequence[Row], options: dict[str, bool], repeats: int) -> None:
    """Compare converting all songs with symusic's parsing, and measure the time per note of ever longer songs."""
    music = [row.music for row in rows if row.music]
    parse, convert = in_turns(
        [
            lambda: [symusic.Score.from_midi(song) for song in music],
            lambda: [score_to_bars(song, **options) for song in music],
        ],
        repeats,
    )
    n_notes = sum(int(score_to_bars(song, **options).n_notes.sum()) for song in music)
    print(f"\n{len(music)} songs, {n_notes / len(music):.0f} notes each; one thread\n")
    print("| what | ms a song | times symusic's parsing |\n|---|---|---|")
    print(f"| symusic's parsing | {1000 * parse / len(music):.3f} | 1.0 |")
    print(f"| parsing and conversion | {1000 * convert / len(music):.3f} | {convert / parse:.1f} |")

    scores = [repeated(read_score(music[len(music) // 2]), times) for times in LENGTHS]
    taken = in_turns([partial(score_to_bars, score, **options) for score in scores], repeats)
    print("\n| notes of a song | ms | µs a note |\n|---|---|---|")
    for score, seconds in zip(scores, taken, strict=True):
        notes = sum(len(track.notes) for track in score.tracks)
        print(f"| {notes:,} | {1000 * seconds:.2f} | {1e6 * seconds / notes:.2f} |")


def repeated(score: symusic.core.ScoreTick, times: int) -> symusic.core.ScoreTick:
    """A score repeated a number of times."""
    longer = score.copy()
    for track, once in zip(longer.tracks, score.tracks, strict=True):
        notes = once.notes.numpy()
        columns = {name: np.tile(values, times) for name, values in notes.items()}
        columns["time"] += np.repeat(np.arange(times, dtype=np.int32) * score.end(), len(once.notes))
        track.notes = symusic.Note.from_numpy(**columns)
    return longer


def released_size(dtype: str) -> BarEncoder:
    """An encoder of the released size with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = BarTransformer(RELEASED)
    return bar_encoder("released size", "", network, torch.device("cpu"), dtype)


def torch_transformer(encoder: BarEncoder) -> nn.Module:
    """torch's own transformer with the weights of an encoder."""
    c = encoder.network.config
    layer = nn.TransformerEncoderLayer(c.width, c.heads, c.feed_forward, batch_first=True)
    transformer = nn.TransformerEncoder(layer, c.layers, enable_nested_tensor=False).eval()
    transformer.load_state_dict(encoder.network.encoder["tr_encoder"].state_dict())
    return transformer


def padded(bars: Bars) -> Tensor:
    """All bars of a song, padded to 128 words: (n, 128)."""
    words = torch.full((len(bars), MAX_BAR_WORDS), PAD)
    for i in range(len(bars)):
        own = torch.from_numpy(bars[i][:MAX_BAR_WORDS].astype(np.int64))
        words[i, : len(own)] = own
    return words


def equal_length_batches(bars: Sequence[np.ndarray]) -> list[Tensor]:
    """Bars of words in batches of equal length."""
    lengths = np.array([len(bar) for bar in bars])
    batches = batches_by_length(lengths, LARGE_BATCH, stretch=1.0)
    return [torch.from_numpy(np.stack([bars[i] for i in batch]).astype(np.int64)) for batch in batches]


def products(network: BarTransformer, n_words: int) -> list[Tensor]:
    """Only the multiplications by a layer's matrices that `encode` does for n_words words."""
    layer, config = network.layers[0], network.config
    x = torch.ones(TOKENS_PER_BATCH["cpu"], config.width)
    inner = torch.ones(len(x), config.feed_forward)
    maps = [layer.self_attn.out_proj, layer.linear1, layer.linear2]

    @torch.inference_mode()
    def multiply_batch(_: int) -> Tensor:
        last = x
        for i in range(config.layers - 1):
            if i:
                F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
            last = [product(inner if product is layer.linear2 else x) for product in maps][-1]
        return last

    with one_thread_per_core() as threads:
        return list(threads.map(multiply_batch, range(-(-n_words // len(x)))))


def steps(encoder: BarEncoder, songs: Sequence[Bars]) -> dict[str, Callable[[], list[Tensor]]]:
    """Ways to compute the vectors of all bars before quantization, from torch's padded transformer to nearly ours."""
    network, transformer = encoder.network, torch_transformer(encoder)
    bars = [song[i][:MAX_BAR_WORDS] for song in songs for i in range(len(song))]
    distinct = [np.frombuffer(bar, dtype=np.int16) for bar in {bar.tobytes(): None for bar in bars}]

    def all_words(words: Tensor, mask: Tensor | None) -> Tensor:
        x = network.embed(words)
        for layer in network.layers:
            x = layer(x, mask)
        return x[:, 0]

    def torch_padded(words: Tensor) -> Tensor:
        return transformer(network.embed(words), src_key_padding_mask=words == PAD)[:, 0]

    batches, distinct_batches = equal_length_batches(bars), equal_length_batches(distinct)
    first = network.first_projections()
    return {
        PADDED: lambda: [torch_padded(padded(song)) for song in songs],
        "our layers, padded to 128, a song at a time": lambda: [
            all_words(words, (words != PAD)[:, None, None, :]) for words in map(padded, songs)
        ],
        "… batches of one length, no padding": lambda: [all_words(words, None) for words in batches],
        "… last layer for one word": lambda: [network.hidden(words, padded=False) for words in batches],
        "… equal bars once": lambda: [network.hidden(words, padded=False) for words in distinct_batches],
        "… first layer's projections from tables": lambda: [
            network.hidden(words, padded=False, first=first) for words in distinct_batches
        ],
        ALONE: lambda: products(network, sum(words.numel() for words in distinct_batches)),
    }


@torch.inference_mode()
def measure_encoding(songs: Sequence[Bars], name: str, repeats: int) -> None:
    """Bars per second, step by step from torch's own padded transformer to our encoder."""
    make = released_size if name == "released" else partial(load_encoder, name, "cpu")
    ours = {dtype: make(dtype=dtype) for dtype in fast_dtypes(torch.device("cpu"))}
    works: dict[str, Callable[[], Any]] = dict(steps(ours["float32"], songs))
    works |= {
        f"encode, {dtype}: small batches, for each core its own, and quantization": partial(encoder.encode, songs)
        for dtype, encoder in ours.items()
    }
    n_bars = sum(map(len, songs))
    rates = [n_bars / seconds for seconds in in_turns(list(works.values()), repeats)]
    words = np.concatenate([np.minimum(np.diff(song.offsets), MAX_BAR_WORDS) for song in songs])
    distinct = len({song[i].tobytes() for song in songs for i in range(len(song))})
    threads = torch.get_num_threads()
    print(f"\n{name} encoder, {threads} threads; {len(songs)} songs, {n_bars:,} bars, {distinct:,} distinct,")
    print(f"{words.mean():.1f} words on average: {1 - words.mean() / MAX_BAR_WORDS:.0%} of 128 is padding\n")
    print("| encoding | bars a second | times the padded one |\n|---|---|---|")
    for way, rate in zip(works, rates, strict=True):
        print(f"| {way} | {rate:,.0f} | {rate / rates[0]:.2f} |")


def measure_formats(songs: Sequence[Bars]) -> None:
    """How much other number formats of the encoder change the predictions of a head that reads latents."""
    head = load_head("bundled_mlp")
    predicted, read = {}, {}  # read: bars read by the network; for mixed, by its float32 copy
    for dtype in DTYPES:
        encoder = load_encoder("bundled", dtype=dtype)
        network = encoder.exact or encoder.network
        with mock.patch.object(network, "hidden", wraps=network.hidden) as hidden:
            encoded = encoder.encode(songs)
        read[dtype] = sum(len(call.args[0]) for call in hidden.call_args_list)
        predicted[dtype] = np.concatenate(head.predict([HeadInput(None, latents) for _, latents in encoded]))
    n_bars, distinct = sum(map(len, songs)), read["float32"]
    again = f"{read['mixed'] / distinct:.1%}"
    print(f"\n{len(songs)} songs, {n_bars:,} bars, {distinct:,} distinct; mixed reads {again} again in float32")
    print("\n| format | moves | 95 % | 99 % | largest | below 0.01 |\n|---|---|---|---|---|---|")
    for dtype in DTYPES[1:]:
        moved = np.abs(predicted[dtype] - predicted["float32"])
        for name, values in zip(("valence", "arousal"), moved.T, strict=False):
            figures = [f"{figure:.4f}" for figure in (*np.quantile(values, (0.95, 0.99)), values.max())]
            print(f"| {dtype} | {name} | {' | '.join(figures)} | {(values < 0.01).mean():.1%} |")


def measure_stages(
    rows: Sequence[Row], read: float, columns: Sequence[str], settings: AnnotationSettings, repeats: int
) -> None:
    """Every stage alone, for the default head and for a head that reads latents."""
    options = asdict(settings.bars)
    scores = [read_score(row.music or b"") for row in rows]
    reads = [read_bars(score, **options) for score in scores]
    songs = [read.bars for read in reads]
    default, on_latents = load_head("bundled"), load_head("bundled_mlp")

    def compute() -> list[BarFeatures]:
        return features_of_songs([Played.of(read) for read in reads])

    features = compute()
    views = [HeadInput(view_bars(song.values, song.edges, song.band)) for song in features]
    encoder = load_encoder("bundled")
    latents = [HeadInput(None, encoded) for _, encoded in encoder.encode(songs)]
    predicted = default.predict(views)

    def write() -> None:
        with tempfile.TemporaryDirectory() as folder:
            with part_tables(Path(folder), 0, columns) as tables:
                for row, bars, values in zip(rows, songs, predicted, strict=True):
                    tables.add_song(row.md5, bars, values, row.described)
            complete_part(Path(folder), 0, "", tables.totals)

    works: dict[str, Callable[[], Any]] = {
        "parse": lambda: [read_score(row.music or b"") for row in rows],
        "convert": lambda: [score_to_bars(score, **options) for score in scores],
        "features": compute,
        "views": lambda: [view_bars(song.values, song.edges, song.band) for song in features],
        "encode": lambda: encoder.encode(songs),
        "predict from views": lambda: default.predict(views),
        "predict from latents": lambda: on_latents.predict(latents),
        "write": write,
    }
    seconds = {"read": read} | dict(zip(works, in_turns(list(works.values()), repeats), strict=True))
    only = {"bundled": ("features", "views", "predict from views"), "bundled_mlp": ("encode", "predict from latents")}
    everywhere = ("read", "parse", "convert", "write")
    totals = {head: sum(seconds[stage] for stage in (*everywhere, *own)) for head, own in only.items()}
    n_bars, threads = sum(map(len, songs)), torch.get_num_threads()
    print(f"\n{len(songs)} songs, {n_bars:,} bars; encoder bundled, float32, {threads} threads\n")
    print(f"| stage | ms a song | {' | '.join(f'share with {head}' for head in only)} |\n|---|---|---|---|")
    for stage, taken in seconds.items():
        shares = [f"{taken / totals[head]:.1%}" if stage in (*everywhere, *own) else "" for head, own in only.items()]
        print(f"| {stage} | {1000 * taken / len(songs):.2f} | {' | '.join(shares)} |")


def measure(arguments: argparse.Namespace, data: str) -> None:
    """Read the music and print the chosen tables."""
    where = [f"dataset.path={data}", f"dataset.split={arguments.split}"]
    settings = load_settings(AnnotationSettings, "gigamidi.yaml", overrides=where)
    source = open_source(settings.dataset)
    began = time.perf_counter()
    rows = list(islice(source.all_rows(), arguments.limit))
    read = time.perf_counter() - began
    usable = partial(convert_song, bars=settings.bars, limits=settings.limits, perform=None)
    outcomes = [usable(row.music) for row in rows]
    rows = [row for row, outcome in zip(rows, outcomes, strict=True) if isinstance(outcome, Converted)]
    songs = [outcome.bars for outcome in outcomes if isinstance(outcome, Converted)]
    if "conversion" in arguments.what:
        measure_conversion(rows, asdict(settings.bars), arguments.repeats)
    if "encoding" in arguments.what:
        few = songs[:: max(1, len(songs) // arguments.encoded_songs)][: arguments.encoded_songs]
        measure_encoding(few, arguments.encoder, min(arguments.repeats, 3))
    if "formats" in arguments.what:
        measure_formats(songs)
    if "stages" in arguments.what:
        measure_stages(rows, read, source.columns, settings, min(arguments.repeats, 3))


def main() -> None:
    """Read the command line."""
    tables = ["conversion", "encoding", "formats", "stages"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set or folder; default: the bundled samples")
    parser.add_argument("--split", default="train", help="train, validation or test; default train")
    parser.add_argument("--limit", type=int, default=400, help="songs; default 400")
    parser.add_argument("--repeats", type=int, default=7, help="runs of each work, at most 3 of slow ones; default 7")
    parser.add_argument("--what", nargs="+", choices=tables, default=tables, help="which tables; default all")
    parser.add_argument("--encoder", default="bundled", help="for encoding: bundled, official, a path, or released")
    parser.add_argument("--encoded-songs", type=int, default=40, help="songs, of those, to encode; default 40")
    arguments = parser.parse_args()
    try:
        with music_folder(arguments.data) as data:
            measure(arguments, data)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
