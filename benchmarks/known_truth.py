"""Whether the listener finds a known truth in sets of every kind, with raters' noise, lag and scales of their own.

    python benchmarks/known_truth.py FOLDER [--songs N] [--seed N]

FOLDER holds MIDI files. The truth is a function of a song's notes: at every moment valence rises with the mean pitch of
the notes of the last seconds, and arousal with the logarithm of their number. Songs are dealt to six sets: a reference
on the scale of the truth, rated as curves; one set of each kind on scales of their own (curves that are late, points
from 1 to 9, sides of a zero of their own, an order); and one whose ratings are noise. The rest of the songs is never
learned from: there the predictions are compared with the truth. The ceiling is a listener trained on the reference's
truth without noise and on the truth of all sets.

Prints the agreement (Pearson's r of piece means, and of bars about them) after training on the reference, with each set
in addition, with all, and on each set alone; and the scale that is found for each set beside the one that was made.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from musetok_bridge import UnusableScore, score_to_bars
from musetok_bridge.scores import all_notes, read_score, seconds_at
from pipeline.files import files_below
from pipeline.settings import load_settings
from pretrain_model.agreement import pearson_r
from pretrain_model.extraction import PieceLatents
from pretrain_model.features import bar_features
from pretrain_model.listener_training import TrainedListener, train_with_scales
from pretrain_model.pretrain_settings import SETTINGS_FILE, ListenerSettings, PretrainSettings, SetSettings
from pretrain_model.rated_pieces import RatedPiece
from pretrain_model.rating_curves import bar_edges, best_lag, rate_bars
from pretrain_model.scale_estimates import SIGN_SLOPE
from pretrain_model.set_scales import SetScale

WINDOW = 4.0  # seconds of notes that make a moment's truth
STEP = 0.5  # seconds from one sample of a curve to the next
SPREAD = np.array([0.23, 0.25])  # of the truth from song to song, as in VGMIDI
RATERS, RATER_NOISE = 10, 0.4  # standard deviation of one rater, so that a mean of ten has 0.13
LAG = 2.0  # seconds by which the late curves are late


@dataclass(frozen=True)
class Song:
    """A song with the truth over time. made: its features. edges: (bars + 1). seconds: (t). truth: (t, 2)."""

    name: str
    made: PieceLatents
    edges: np.ndarray
    seconds: np.ndarray
    truth: np.ndarray

    def bars(self, curve: np.ndarray, lag: float = 0.0) -> pd.DataFrame:
        """The ratings of bars that a curve makes. curve: (t, 2)."""
        table = pd.DataFrame({"seconds": self.seconds, "valence": curve[:, 0], "arousal": curve[:, 1]})
        return rate_bars(table, self.made.bar_number, self.edges, lag)

    @property
    def mean(self) -> np.ndarray:
        """The mean of the truth, (2,)."""
        return self.truth.mean(axis=0)


def read_song(path: Path) -> Song:
    """A song, with a truth that is not yet scaled. Raises UnusableScore."""
    score = read_score(path)
    bars = score_to_bars(score)
    features, notes = bar_features(score, bars), all_notes(score)
    edges = bar_edges(score, bars)
    pitched = ~notes.is_drum
    onset, pitch = seconds_at(score, notes.start[pitched].astype(np.int64)), notes.pitch[pitched]
    order = np.argsort(onset, kind="stable")
    onset, pitch = onset[order], np.append(0.0, np.cumsum(pitch[order], dtype=float))
    seconds = np.arange(edges[0], edges[-1] + STEP, STEP)
    first, last = np.searchsorted(onset, seconds - WINDOW), np.searchsorted(onset, seconds, "right")
    count = last - first
    register = np.where(count > 0, (pitch[last] - pitch[first]) / np.maximum(count, 1), np.nan)
    register = pd.Series(register).ffill().bfill().to_numpy()
    n = len(bars)
    made = PieceLatents(
        latents=np.zeros((n, 1), np.float32),
        codes=np.zeros((n, 1), np.int16),
        bar_number=bars.bar_number,
        n_notes=bars.n_notes,
        features=features.values,
        band=features.band,
        edges=features.edges,
    )
    return Song(path.stem, made, edges, seconds, np.stack([register, np.log1p(count / WINDOW)], axis=1))


def read_songs(folder: Path, most: int, seed: int) -> list[Song]:
    """Songs drawn by chance from a folder, their truth on the scale of SPREAD."""
    files = files_below(folder, (".mid",))
    songs: list[Song] = []
    order = np.random.default_rng(seed).permutation(len(files))
    for i in tqdm(order, desc="reading", unit="song"):
        try:
            song = read_song(files[i])
        except UnusableScore:
            continue
        if np.isfinite(song.truth).all() and len(song.made.bar_number) > 7:
            songs.append(song)
        if len(songs) == most:
            break
    means = np.array([song.mean for song in songs])
    mean, unit = means.mean(axis=0), means.std(axis=0) / SPREAD
    return [replace(song, truth=((song.truth - mean) / unit).clip(-1, 1)) for song in songs]


def noisy(song: Song, draw: np.random.Generator) -> np.ndarray:
    """The mean of raters' curves, (t, 2): the truth, with errors that last for the song and others that pass."""
    lasting = draw.normal(scale=RATER_NOISE / np.sqrt(RATERS), size=2)
    passing = draw.normal(scale=RATER_NOISE / np.sqrt(RATERS), size=song.truth.shape)
    passing = pd.DataFrame(passing).ewm(span=8).mean().to_numpy()
    return np.asarray(song.truth + lasting + passing)


def late(curve: np.ndarray, lag: float) -> np.ndarray:
    """A curve that comes later by so many seconds."""
    steps = round(lag / STEP)
    return np.concatenate([np.repeat(curve[:1], steps, axis=0), curve])[: len(curve)]


def piece(of: SetSettings, song: Song, table: pd.DataFrame) -> RatedPiece:
    """A rated piece. table: bar_number, valence and arousal, or one row without bar_number."""
    bars = song.made.bar_number
    values = table[["valence", "arousal"]].to_numpy(np.float32)
    rated, targets = np.arange(len(bars)), np.repeat(values[:1], len(bars), axis=0)
    if "bar_number" in table:
        _, rated, rows = np.intersect1d(bars, table["bar_number"].to_numpy(), return_indices=True)
        targets = values[rows]
    return RatedPiece(of, song.name, song.name, "train", song.made, rated, targets)


def whole(of: SetSettings, song: Song, values: np.ndarray) -> RatedPiece:
    """A piece that is rated as a whole."""
    return piece(of, song, pd.DataFrame([values], columns=["valence", "arousal"]))


REFERENCE = SetSettings("reference", "vgmidi", scale="common")
CURVE, POINT = SetSettings("curve", "deam", lag=LAG), SetSettings("point", "table")
SIGN, RANK = SetSettings("sign", "table", kind="sign"), SetSettings("rank", "table", kind="rank")
NOISE = SetSettings("noise", "table")
# logits of a sign or order for a difference of 1, as the raters' noise makes them (a logistic function of 1.702 x is
# nearly a normal distribution's), against SIGN_SLOPE
SIDES = 1.702 / (RATER_NOISE / np.sqrt(RATERS)) / SIGN_SLOPE
# slope and offset as made: of curves, of points (1 to 9), of sides and their zero, of orders
SCALES = {"curve": (0.5, 0.2), "point": (4.0, 5.0), "sign": (SIDES, 0.1), "rank": (SIDES / np.sqrt(2), 0.0)}

Rate = Callable[[Song, np.random.Generator], RatedPiece]
RATE: Mapping[str, Rate] = {
    "reference": lambda song, draw: piece(REFERENCE, song, song.bars(noisy(song, draw))),
    "curve": lambda song, draw: piece(CURVE, song, song.bars(0.2 + 0.5 * late(noisy(song, draw), LAG), LAG)),
    "point": lambda song, draw: whole(POINT, song, 5 + 4 * noisy(song, draw).mean(axis=0)),
    "sign": lambda song, draw: whole(SIGN, song, np.sign(noisy(song, draw).mean(axis=0) - 0.1)),
    "rank": lambda song, draw: whole(RANK, song, np.exp(3 * noisy(song, draw).mean(axis=0))),
    "noise": lambda song, draw: whole(NOISE, song, draw.normal(size=2)),
}


def truth_of(song: Song) -> RatedPiece:
    """A song with the truth as its rating."""
    return piece(REFERENCE, song, song.bars(song.truth))


def agreement(trained: TrainedListener, test: Sequence[Song]) -> list[float]:
    """Pearson's r with the truth: piece means of valence and of arousal, and bars about them."""
    predicted, true = [], []
    for song in test:
        rated = truth_of(song)
        predicted.append(trained.listener.predict(rated.input.views())[rated.rated, :2])
        true.append(rated.targets)
    means = [np.array([values.mean(axis=0) for values in some]) for some in (predicted, true)]
    away = [np.concatenate([values - values.mean(axis=0) for values in some]) for some in (predicted, true)]
    return [pearson_r(x[:, k], y[:, k]) for x, y in (means, away) for k in range(2)]


def line(name: str, trained: TrainedListener, test: Sequence[Song]) -> str:
    """A line of the table, in Markdown."""
    return f"| {name} | " + " | ".join(f"{r:.3f}" for r in agreement(trained, test)) + " |"


def found_scale(name: str, scale: SetScale) -> str:
    """A set's scale as found beside the one that was made, in Markdown."""
    slope, offset = SCALES.get(name, (0.0, 0.0))
    cells = [f"{scale.slope[k]:.2f}, {scale.offset[k]:+.2f}, {scale.trust[k]:.2f}" for k in range(2)]
    return f"| {name} | {slope:.2f}, {offset:+.2f} | {cells[0]} | {cells[1]} |"


def found_lag(songs: Sequence[Song], draw: np.random.Generator) -> float:
    """The median lag of late curves behind the truth of their bars, in seconds."""
    lags = []
    for song in songs:
        bars = truth_of(song)
        curve = late(noisy(song, draw), LAG)
        lags += [best_lag(song.seconds, curve[:, k], song.edges, _of_bars(song, bars, k))[0] for k in range(2)]
    return float(np.nanmedian(lags))


def _of_bars(song: Song, rated: RatedPiece, k: int) -> np.ndarray:
    values = np.full(len(song.made.bar_number), np.nan)
    values[rated.rated] = rated.targets[:, k]
    return values


def show(songs: Sequence[Song], settings: ListenerSettings, seed: int) -> None:
    """Deal the songs, train, and print the tables."""
    draw = np.random.default_rng(seed)
    share = len(songs) // 8
    dealt = {name: songs[i * share : (i + 1) * share] for i, name in enumerate(RATE)}
    test = songs[len(RATE) * share :]
    sets = {name: [RATE[name](song, draw) for song in some] for name, some in dealt.items()}
    kinds = ("curve", "point", "sign", "rank")
    print(
        f"{share} songs in each set, {len(test)} for the test; late curves are found {found_lag(test, draw):.2f} s late"
    )
    print("\n| learned from | valence, pieces | arousal, pieces | valence, within | arousal, within |")
    print("|---" * 5 + "|")
    every = [truth_of(song) for some in dealt.values() for song in some]
    print(line("the truth of all songs (ceiling)", train_with_scales(every, settings), test), flush=True)
    alone = [truth_of(song) for song in dealt["reference"]]
    print(line("the truth of the reference", train_with_scales(alone, settings), test), flush=True)
    print(line("reference", train_with_scales(sets["reference"], settings), test), flush=True)
    for name in (*kinds, "noise"):
        trained = train_with_scales([*sets["reference"], *sets[name]], settings)
        print(line(f"reference and {name}", trained, test), flush=True)
    both = [*sets["reference"], *(p for name in kinds for p in sets[name])]
    trained = train_with_scales(both, settings)
    print(line("reference and all four kinds", trained, test), flush=True)
    with_noise = train_with_scales([*both, *sets["noise"]], settings)
    print(line("all four kinds and noise", with_noise, test), flush=True)
    for name in (*kinds, "noise"):
        print(line(f"{name} alone", train_with_scales(sets[name], settings), test), flush=True)
    print("\n| set | slope, offset as made | valence: slope, offset, trust | arousal |\n|---|---|---|---|")
    for name, scale in with_noise.scales.items():
        print(found_scale(name, scale))


def main() -> None:
    """Read the songs and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--songs", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    songs = read_songs(arguments.folder, arguments.songs, arguments.seed)
    show(songs, load_settings(PretrainSettings, SETTINGS_FILE).listener, arguments.seed)


if __name__ == "__main__":
    main()
