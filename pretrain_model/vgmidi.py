"""VGMIDI: piano arrangements of game music, rated measure by measure (Ferreira and Whitehead, ISMIR 2019).

`annotations/vgmidi_raw_{1,2}.json` hold `pieces[id]` with `midi`, `measures` and `duration` in seconds, and
`annotations[id_k]` with `valence` and `arousal`, one number in [−1, 1] per measure, from rater k. The ids of the two
files are independent, so a piece is named after its file and its id: `1_piece0`. A MIDI file is named
`Series_Platform_Game_Title.mid`; splits are made by this game.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from musetok_bridge import UnusableScore, score_to_bars
from musetok_bridge.scores import read_score, seconds_at
from pipeline.files import RawData, atomic_write, write_table
from pipeline.settings import UserError, command, first_line

from .pretrain_settings import VgmidiSettings
from .vgmidi_alignment import NotAligned, Playing, align

LABELS_FILE = "vgmidi_labels.csv"
RATINGS_FILE = "vgmidi_ratings.csv"
PREPARE = "pretrain_model/01_prepare_datasets.py"
LEFT_OUT_FILE = "vgmidi_left_out.csv"
_ANNOTATIONS = ("vgmidi_raw_1.json", "vgmidi_raw_2.json")
_DECIMALS = 6  # the raw ratings have two


@dataclass(frozen=True)
class VgmidiPiece:
    """A piece and its valid ratings: raters (L,), ratings (L, measures, 2) with valence and arousal in [−1, 1]."""

    piece: str
    midi: str
    measures: int
    duration: float
    raters: npt.NDArray[np.int64]
    ratings: npt.NDArray[np.float64]

    @property
    def game(self) -> str:
        """The game, from the name of the MIDI file; empty if the name has another form."""
        parts = self.midi.removesuffix(".mid").split("_", 3)
        return parts[2] if len(parts) == 4 else ""

    def check(self, midis: Container[str]) -> None:
        """Raise NotAligned if its MIDI file, game or ratings are missing. midis: names of the available MIDI files."""
        if self.midi not in midis:
            raise NotAligned("no_midi")
        if not self.game:
            raise NotAligned("game_unclear")
        if not len(self.raters):
            raise NotAligned("no_valid_ratings")


def split_of(game: str, seed: int, val_share: float, test_share: float) -> str:
    """The split of a game: train, val or test.

    It depends on the game's name and the seed alone, so no training game of a head trained on part of the data is a
    test game of the whole data.
    """
    fraction = int.from_bytes(hashlib.sha256(f"{seed}:{game}".encode()).digest()[:8], "big") / 2**64
    return "test" if fraction < test_share else "val" if fraction < test_share + val_share else "train"


def prepare_vgmidi(raw: RawData, settings: VgmidiSettings, folder: Path) -> dict[str, int]:
    """Write MIDI files, labels and ratings under `folder`; return counts.

    vgmidi_labels.csv, one row a bar: piece, game, midi (path relative to `folder`), bar_number, valence_mean,
    valence_sd, arousal_mean, arousal_sd (plain mean and population standard deviation over all valid raters),
    n_ratings, split, aligned (number or time). vgmidi_ratings.csv: piece, rater, bar_number, valence, arousal.
    vgmidi_left_out.csv: piece, midi, reason. Raises UserError if the layout isn't VGMIDI's.
    """
    counts: Counter[str] = Counter()
    labels, ratings, left_out = [], [], []
    midis = {PurePosixPath(n).name: n for n in raw.names if PurePosixPath(n).parent.name == "midi"}
    for rated in tqdm(list(_rated_pieces(raw, counts)), desc="VGMIDI", unit="piece"):
        try:
            rated.check(midis)
            content = raw.read(midis[rated.midi])
            playing = _play(content)
            aligned, weights = align(playing, rated.measures, rated.duration, settings.alignment)
        except (NotAligned, UnusableScore) as error:
            reason = f"unusable_midi_{error.reason}" if isinstance(error, UnusableScore) else str(error)
            left_out.append((rated.piece, rated.midi, reason))
            continue
        target = Path("midi") / "vgmidi" / rated.midi
        with atomic_write(folder / target) as temporary:
            temporary.write_bytes(content)
        split = split_of(rated.game, settings.split_seed, settings.val_share, settings.test_share)
        by_bar = np.einsum("bm,lmd->lbd", weights, rated.ratings)  # (raters, bars, 2)
        labels.append(_label_rows(rated, target, playing.bar_number, by_bar).assign(split=split, aligned=aligned))
        ratings.append(_rating_rows(rated, playing.bar_number, by_bar))
    if not labels:
        raise UserError(f"{raw.path}: no rated piece with a MIDI file inside; is this VGMIDI, with labelled/midi?")
    table = pd.concat(labels, ignore_index=True)
    left_out_table = pd.DataFrame(left_out, columns=["piece", "midi", "reason"])
    write_table(folder / LABELS_FILE, table)
    write_table(folder / RATINGS_FILE, pd.concat(ratings, ignore_index=True))
    write_table(folder / LEFT_OUT_FILE, left_out_table)
    return _count(table, left_out_table) | dict(counts)


def read_ratings(folder: Path) -> pd.DataFrame:
    """The single ratings that `prepare_vgmidi` wrote: piece, rater, bar_number, valence, arousal.

    Raises UserError if they are missing or were written by an earlier version.
    """
    path = folder / RATINGS_FILE
    try:
        table = pd.read_csv(path, dtype={"piece": str})
    except (OSError, ValueError) as error:  # pandas' errors are ValueErrors
        raise UserError(f"{path}: can't be read ({first_line(error)}); run {command(PREPARE)}") from None
    if "rater" not in table:
        raise UserError(f"{path}: no column rater, so an earlier version wrote it; run {command(PREPARE)} again")
    return table


def _count(labels: pd.DataFrame, left_out: pd.DataFrame) -> dict[str, int]:
    """The number of pieces, games and bars in total, by alignment and by split, and of pieces left out by reason."""
    counts = {"pieces": labels["piece"].nunique(), "games": labels["game"].nunique(), "bars": len(labels)}
    for aligned, part in labels.groupby("aligned"):
        counts[f"pieces aligned by {aligned}"] = part["piece"].nunique()
    for split, part in labels.groupby("split"):
        counts[f"games in {split}"] = part["game"].nunique()
        counts[f"pieces in {split}"] = part["piece"].nunique()
        counts[f"bars in {split}"] = len(part)
    for why, n in left_out["reason"].value_counts().sort_index().items():
        counts[f"left out, {why}"] = int(n)
    return counts


def _rated_pieces(raw: RawData, counts: Counter[str]) -> Iterator[VgmidiPiece]:
    """The pieces of both files in order, with their valid ratings; valid and invalid ratings are added to `counts`."""
    found = [(file, names[0]) for file in _ANNOTATIONS if (names := raw.find(f"annotations/{file}"))]
    if not found:
        raise UserError(
            f"{raw.path}: no annotations/{_ANNOTATIONS[0]} inside; set vgmidi.path to a zip or folder of VGMIDI"
        )
    for file, name in found:
        number = file.removesuffix(".json").rpartition("_")[2]
        facts, by_piece = _parse(raw, name, counts)
        for piece in sorted(facts):
            midi, measures, duration = facts[piece]
            valid = [
                (k, r) for k, a in sorted(by_piece[piece].items()) if (r := _valid_rating(a, measures)) is not None
            ]
            counts["ratings"] += len(valid)
            counts["ratings left out, wrong length or value"] += len(by_piece[piece]) - len(valid)
            yield VgmidiPiece(
                piece=f"{number}_{piece}",
                midi=midi,
                measures=measures,
                duration=duration,
                raters=np.asarray([k for k, _ in valid], dtype=np.int64),
                ratings=np.asarray([r for _, r in valid]).reshape(len(valid), measures, 2),
            )


def _parse(
    raw: RawData, name: str, counts: Counter[str]
) -> tuple[dict[str, tuple[str, int, float]], dict[str, dict[int, Any]]]:
    """One annotation file: piece -> (midi, measures, duration), and piece -> rater -> annotation, unchecked."""
    try:
        record = json.loads(raw.read(name))
        facts = {k: (str(p["midi"]), int(p["measures"]), float(p["duration"])) for k, p in record["pieces"].items()}
        by_piece: dict[str, dict[int, Any]] = {k: {} for k in facts}
        for key, annotation in record["annotations"].items():
            piece, _, rater = key.rpartition("_")
            if piece in by_piece:
                by_piece[piece][int(rater)] = annotation
            else:
                counts["ratings left out, unlisted piece"] += 1
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{raw.path}: {name} isn't VGMIDI's annotation file ({error!r})") from None
    return facts, by_piece


def _valid_rating(annotation: Any, measures: int) -> npt.NDArray[np.float64] | None:
    """One rater's ratings as (measures, 2), or None if their number is wrong or not all are in [−1, 1]."""
    try:
        values = np.asarray([annotation["valence"], annotation["arousal"]], dtype=np.float64).T
    except (KeyError, TypeError, ValueError):
        return None
    return values if values.shape == (measures, 2) and bool((np.abs(values) <= 1).all()) else None


def _play(content: bytes) -> Playing:
    """The file's bars, and the end of its last note in quarter notes and seconds. Raises UnusableScore."""
    score = read_score(content)
    bars = score_to_bars(score)
    notes = [track.notes.numpy() for track in score.tracks]
    end = np.concatenate([n["time"].astype(np.int64) + n["duration"] for n in notes]).max()
    end_seconds = seconds_at(score, np.array([end]))
    return Playing(bars.bar_number, bars.start_seconds, float(end) / score.tpq, float(end_seconds[0]))


def _label_rows(
    rated: VgmidiPiece, midi: Path, bar_number: npt.NDArray[np.integer], by_bar: npt.NDArray[np.float64]
) -> pd.DataFrame:
    mean, spread = by_bar.mean(axis=0), by_bar.std(axis=0)  # (bars, 2)
    table = pd.DataFrame({"piece": rated.piece, "game": rated.game, "midi": midi.as_posix(), "bar_number": bar_number})
    for column, dimension in enumerate(("valence", "arousal")):
        table[f"{dimension}_mean"] = mean[:, column].round(_DECIMALS)
        table[f"{dimension}_sd"] = spread[:, column].round(_DECIMALS)
    return table.assign(n_ratings=len(rated.raters))


def _rating_rows(
    rated: VgmidiPiece, bar_number: npt.NDArray[np.integer], by_bar: npt.NDArray[np.float64]
) -> pd.DataFrame:
    n_raters, n_bars, _ = by_bar.shape
    return pd.DataFrame(
        {
            "piece": rated.piece,
            "rater": np.repeat(rated.raters, n_bars),
            "bar_number": np.tile(bar_number, n_raters),
            "valence": by_bar[:, :, 0].ravel().round(_DECIMALS),
            "arousal": by_bar[:, :, 1].ravel().round(_DECIMALS),
        }
    )
