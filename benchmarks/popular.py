"""How well the means of popular songs agree with what is known of them, and what each step of the default head adds.

    python benchmarks/popular.py FOLDER LABELS [--head NAME …] [--annotations DIR …]

FOLDER holds MIDI files. LABELS is a CSV file with the columns file, song_key (equal for files of one song), strict (1
if the song is known beyond doubt), spotify_energy, spotify_valence, deezer_arousal and deezer_valence, empty where
unknown. Every figure is Spearman's rank correlation over songs, the mean of a song's files; the number of songs stands
in brackets. Spotify's numbers only measure here: nothing is trained on them. The songs with tags are those that the
bundled heads' drums and instruments were learned from, so the last two columns are of the other songs.

--head: further heads to measure. --annotations: folders that 01_annotate.py wrote for FOLDER, with this or another
version.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import pandas as pd
import symusic.core
from measured_music import mean_rating, views_of
from scipy.stats import spearmanr

from musetok_bridge import score_to_bars
from musetok_bridge.scores import all_notes, read_score
from pipeline.files import midi_md5
from pretrain_model.head import load_head
from pretrain_model.listener import Listener

Rate = Callable[[symusic.core.ScoreTick], np.ndarray]  # mean valence and arousal of a song, (2,)
KNOWN = {
    "energy": ("arousal", "spotify_energy"),
    "valence": ("valence", "spotify_valence"),
    "arousal (tags)": ("arousal", "deezer_arousal"),
    "valence (tags)": ("valence", "deezer_valence"),
}


class Step(NamedTuple):
    """A line of the table. name: its first cell. rate: how a song is rated."""

    name: str
    rate: Rate


def by_rate(is_counted: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Rate:
    """Rates songs by the number of certain notes a second, for both dimensions."""

    def rate(score: symusic.core.ScoreTick) -> np.ndarray:
        notes = all_notes(score)
        seconds = score_to_bars(score).duration_seconds
        return np.repeat(is_counted(notes.is_drum, notes.pitch).sum() / max(seconds, 1.0), 2)

    return rate


def by_head(name: str) -> Rate:
    """Rates songs by the mean of a head's predictions."""
    head = load_head(name)
    if head.reads_latents:
        raise SystemExit(f"error: --head {name}: reads latents; annotate the folder with it and give --annotations")

    return partial(mean_rating, head)


@cache
def default_listener() -> Listener:
    """The model of the default head."""
    return cast("Listener", load_head().model)


def level_alone(score: symusic.core.ScoreTick) -> np.ndarray:
    """The default head without what it adds for drums and instruments."""
    return default_listener().level(views_of(score))


def without_drums(score: symusic.core.ScoreTick) -> np.ndarray:
    """As `level_alone`, with the drums left out of the file."""
    pitched = score.copy()
    for k in reversed([k for k, track in enumerate(score.tracks) if track.is_drum]):
        del pitched.tracks[k]
    return level_alone(pitched)


STEPS = (
    Step("notes a second alone", by_rate(lambda is_drum, pitch: ~is_drum)),
    Step("kick drums a second alone", by_rate(lambda is_drum, pitch: is_drum & np.isin(pitch, (35, 36)))),
    Step("the piano's level, drums left out", without_drums),
    Step("… drums in what is dense and loud", level_alone),
    Step("… drums and instruments: the default", by_head("bundled")),
)


def rated(step: Step, folder: Path, labels: pd.DataFrame) -> pd.DataFrame:
    """The labels with the columns valence and arousal of a step; a file that can't be rated has none."""
    values = np.full((len(labels), 2), np.nan)
    for row, file in enumerate(labels["file"]):
        try:
            values[row] = step.rate(read_score(folder / file))
        except Exception as error:  # one bad file costs its row only
            print(f"left out by {step.name!r}: {file}: {error}")
    return labels.assign(valence=values[:, 0], arousal=values[:, 1])


def annotated(annotations: Path, folder: Path, labels: pd.DataFrame) -> pd.DataFrame:
    """The labels with the means of a folder of annotations, found by the files' md5."""
    songs = pd.concat([pd.read_csv(path) for path in sorted((annotations / "songs").glob("*.csv"))]).set_index("md5")
    found = songs.reindex([midi_md5((folder / file).read_bytes()) for file in labels["file"]])
    return labels.assign(valence=found["valence_mean"].to_numpy(), arousal=found["arousal_mean"].to_numpy())


def line(name: str, table: pd.DataFrame) -> str:
    """A line of the table, in Markdown."""
    strict = table[table["strict"] == 1]
    known = {column for _, column in KNOWN.values()}
    songs = strict.groupby("song_key")[["valence", "arousal", *known]].mean()
    without_tags = songs[songs["deezer_valence"].isna()]
    cells = [_cell(songs, *pair) for pair in KNOWN.values()]
    cells += [_cell(without_tags, *KNOWN[name]) for name in ("energy", "valence")]
    return f"| {name} | {' | '.join(cells)} |"


def _cell(songs: pd.DataFrame, predicted: str, known: str) -> str:
    both = songs[[predicted, known]].dropna()
    return f"{spearmanr(both[predicted], both[known]).statistic:.3f} ({len(both)})" if len(both) > 2 else ""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--head", nargs="*", default=[])
    parser.add_argument("--annotations", nargs="*", type=Path, default=[])
    arguments = parser.parse_args()
    labels = pd.read_csv(arguments.labels)
    print(
        "| strict songs | " + " | ".join([*KNOWN, "energy, songs without tags", "valence, songs without tags"]) + " |"
    )
    print("|---" * 7 + "|")
    for folder in arguments.annotations:
        print(line(f"annotations in {folder}", annotated(folder, arguments.folder, labels)), flush=True)
    for step in (*STEPS, *(Step(name, by_head(name)) for name in arguments.head)):
        print(line(step.name, rated(step, arguments.folder, labels)), flush=True)


if __name__ == "__main__":
    main()
