"""How far timing that nobody hears moves a song's mean valence and arousal.

    python benchmarks/steadiness.py FOLDER [--every N] [--head NAME]

FOLDER holds MIDI files; --every 10 measures every tenth. Two changes of a file, both below what an ear tells apart:
each note of a quantized song (95 % of its notes on twelfths of a quarter) moved by a random amount of up to 1 % of a
quarter; and notes that begin within 10 ms of each other begun together. Prints for each the mean and the largest
absolute change of valence and arousal, and how many songs change their quadrant.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import symusic
import symusic.core
from measured_music import mean_rating

from musetok_bridge import UnusableScore
from musetok_bridge.scores import read_score, seconds_at
from pipeline.annotations import MIDI_SUFFIXES
from pretrain_model.head import load_head

RESOLUTION = 1000  # ticks a quarter, at least
MOVED_BY = 0.01  # of a quarter
TOGETHER_SECONDS = 0.010
GRID = 12  # parts of a quarter
QUANTIZED = 0.95  # share of the notes on the grid


def with_starts(score: symusic.core.ScoreTick, starts: np.ndarray, finer: int = 1) -> symusic.core.ScoreTick:
    """The score with `finer` times its resolution and other starts, (notes), in the new ticks, in the tracks' order."""
    changed = symusic.core.ScoreTick(score.tpq * finer)
    for tempo in score.tempos:
        changed.tempos.append(symusic.Tempo(tempo.time * finer, mspq=tempo.mspq))
    for meter in score.time_signatures:
        changed.time_signatures.append(symusic.TimeSignature(meter.time * finer, meter.numerator, meter.denominator))
    for track in (track for track in score.tracks if len(track.notes)):
        notes, (own, starts) = track.notes.numpy(), np.split(starts, [len(track.notes)])
        part = symusic.Track(track.name, track.program, track.is_drum)
        part.notes = symusic.Note.from_numpy(
            own.astype(np.int32), notes["duration"] * finer, notes["pitch"], notes["velocity"]
        )
        changed.tracks.append(part)
    return changed


def starts_of(score: symusic.core.ScoreTick) -> np.ndarray:
    """The starts of all notes in file ticks, track by track."""
    return np.concatenate([track.notes.numpy()["time"] for track in score.tracks if len(track.notes)]).astype(np.int64)


def moved(score: symusic.core.ScoreTick, draw: np.random.Generator) -> symusic.core.ScoreTick:
    """The score with each note moved by up to MOVED_BY of a quarter."""
    finer = -(-RESOLUTION // score.tpq)
    most = int(MOVED_BY * score.tpq * finer)
    starts = starts_of(score) * finer
    return with_starts(score, np.maximum(starts + draw.integers(-most, most + 1, len(starts)), 0), finer)


def begun_together(score: symusic.core.ScoreTick) -> symusic.core.ScoreTick:
    """The score with notes that begin within TOGETHER_SECONDS after another one begun with it."""
    starts, index = np.unique(starts_of(score), return_inverse=True)
    seconds, first = seconds_at(score, starts), 0
    together = starts.copy()
    for k in range(1, len(starts)):
        if seconds[k] - seconds[first] <= TOGETHER_SECONDS:
            together[k] = starts[first]
        else:
            first = k
    return with_starts(score, together[index])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--head", default="bundled")
    arguments = parser.parse_args()
    head, draw = load_head(arguments.head), np.random.default_rng(0)
    changes: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"each note moved by up to 1 % of a quarter": []}
    changes["notes within 10 ms begun together"] = []
    files = sorted(path for path in arguments.folder.rglob("*") if path.suffix.lower() in MIDI_SUFFIXES)
    for file in files[:: arguments.every]:
        try:
            score = read_score(file)
            before = mean_rating(head, score)
            on_grid = starts_of(score) * GRID % score.tpq == 0
            pairs = [moved(score, draw) if on_grid.mean() >= QUANTIZED else None, begun_together(score)]
            for found, changed in zip(changes.values(), pairs, strict=True):
                if changed is not None:
                    found.append((before, mean_rating(head, changed)))
        except UnusableScore as error:
            print(f"left out: {file}: {error}")
    print("| change that nobody hears | songs | valence | arousal | largest valence | largest arousal | quadrants |")
    print("|---" * 7 + "|")
    for name, both in changes.items():
        before, after = (np.array(values).reshape(-1, 2) for values in (zip(*both, strict=True) if both else ((), ())))
        apart = np.abs(after - before)
        mean, most = (apart.mean(axis=0), apart.max(axis=0)) if both else (np.zeros(2), np.zeros(2))
        n_other = int(((before >= 0) != (after >= 0)).any(axis=1).sum())
        cells = [f"{value:.4f}" for value in (*mean, *most)]
        print(f"| {name} | {len(both)} | {' | '.join(cells)} | {n_other} |")


if __name__ == "__main__":
    main()
