"""Control tokens for a music generator: valence and arousal of each bar, in even bins, before the tokens of the bar.

    python examples/control_tokens.py song.mid output/gigamidi-train-export

prints MuseTok's words of a song of the published data set with two control tokens before each bar. Another tokenizer's
tokens work as well, if one of them begins each bar from tick 0 on and its bars are as long, as in MidiTok's REMI for
songs whose bars are as long as notated:

    assert song["meter"] == song["barred_as"]
    tokenizer = miditok.REMI(miditok.TokenizerConfig(use_time_signatures=True, one_token_stream_for_programs=True))
    list(with_controls(tokenizer(symusic.Score("song.mid")).tokens, "Bar_None", 0, controls_of(song)))
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from musetok_bridge import score_to_bars
from musetok_bridge.vocabulary import WORDS
from pipeline.files import midi_md5

BINS = 8


def controls_of(song: Mapping[str, Any]) -> dict[int, list[str]]:
    """The control tokens of each bar by its number. song: a row of the published `songs`, with ranks below 1."""
    rows = zip(song["bar_number"], song["valence_rank"], song["arousal_rank"], strict=True)
    return {bar: [f"Valence_{int(BINS * v)}", f"Arousal_{int(BINS * a)}"] for bar, v, a in rows}


def with_controls(
    tokens: Iterable[str], bar_token: str, first_bar: int, controls: Mapping[int, list[str]]
) -> Iterator[str]:
    """The tokens with each bar's controls before its bar token. first_bar: the number of the first bar that has one."""
    bar = first_bar
    for token in tokens:
        if token == bar_token:
            yield from controls.get(bar, [])
            bar += 1
        yield token


def main() -> None:
    """Print the tokens of a song, a bar a line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("midi", type=Path, metavar="SONG", help="a MIDI file of the data set")
    parser.add_argument("export", type=Path, metavar="FOLDER", help="what publish_annotations/01_export.py wrote")
    arguments = parser.parse_args()
    try:
        music = arguments.midi.read_bytes()
        found = pq.read_table(arguments.export / "songs", filters=[("md5", "==", midi_md5(music))]).to_pylist()
    except (OSError, ValueError) as error:
        sys.exit(f"error: {arguments.midi} or the songs of an export in {arguments.export} can't be read: {error}")
    if not found or "valence_rank" not in found[0]:
        sys.exit(f"error: {arguments.midi} is no song with ranks of {arguments.export}")
    # as 01_annotate.py converts songs by default (its settings `bars`)
    bars = score_to_bars(music, merge_doubled=True, thin_long_bars=True)
    tokens = with_controls((WORDS[i] for i in bars.words), "Bar_None", int(bars.bar_number[0]), controls_of(found[0]))
    print(" ".join(tokens).replace(" Valence", "\nValence"))


if __name__ == "__main__":
    main()
