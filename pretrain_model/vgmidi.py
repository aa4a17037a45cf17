"""VGMIDI: piano arrangements of game music, rated measure by measure (Ferreira and Whitehead, ISMIR 2019).

`annotations/vgmidi_raw_{1,2}.json` hold `pieces[id]` with `midi`, `measures` and `duration` in seconds, and
`annotations[id_k]` with `valence` and `arousal`, one number in [−1, 1] per measure, from rater k. The ids of the two
files are independent, so a piece is named after its file and its id: `1_piece0`. A MIDI file is named
`Series_Platform_Game_Title.mid`; splits are made by this game.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from musetok_bridge import UnusableScore, score_to_bars
from musetok_bridge.scores import read_score, seconds_at
from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.progress import progress_bar
from pipeline.settings import UserError

from .pretrain_settings import SetSettings
from .rated_files import set_files
from .rated_set import LEFT_OUT, PIECES, RATINGS, RatedSet, keep_midi, split_of
from .vgmidi_alignment import NotAligned, Playing, align

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
        return self._parts[2]

    @property
    def artist(self) -> str:
        """What stands for the artist in the piece's identity: the game."""
        return self.game

    @property
    def title(self) -> str:
        """The title, from the name of the MIDI file; empty if the name has another form."""
        return self._parts[3]

    @property
    def _parts(self) -> list[str]:
        parts = self.midi.removesuffix(".mid").split("_", 3)
        return parts if len(parts) == 4 else [""] * 4

    def check(self, midis: Container[str]) -> None:
        """Raise NotAligned if its MIDI file, game or ratings are missing. midis: names of the available MIDI files."""
        if self.midi not in midis:
            raise NotAligned("no_midi")
        if not self.game:
            raise NotAligned("game_unclear")
        if not len(self.raters):
            raise NotAligned("no_valid_ratings")


def prepare_vgmidi(block: SetSettings, folder: Path) -> RatedSet:
    """The pieces, rated bar by bar with the plain mean and population standard deviation over all valid raters.

    Raises UserError if the layout isn't VGMIDI's.
    """
    raw = set_files(block, folder)
    counts: Counter[str] = Counter()
    pieces, ratings, raters, left_out = [], [], [], []
    midis = {PurePosixPath(n).name: n for n in raw.names if PurePosixPath(n).parent.name == "midi"}
    for rated in progress_bar(list(_rated_pieces(raw, counts)), f"preparing {block.name}", "pieces"):
        try:
            rated.check(midis)
            content = raw.read(midis[rated.midi])
            playing = _play(content)
            aligned, weights = align(playing, rated.measures, rated.duration, block.alignment)
        except (NotAligned, UnusableScore) as error:
            reason = f"unusable_midi_{error.reason}" if isinstance(error, UnusableScore) else str(error)
            left_out.append((rated.piece, reason))
            continue
        midi, md5 = keep_midi(folder, block.name, rated.midi, content)
        split = split_of(rated.game, block)
        pieces.append((rated.piece, midi, md5, rated.game, split, rated.artist, rated.title, "", 1.0, aligned))
        by_bar = np.einsum("bm,lmd->lbd", weights, rated.ratings)  # (raters, bars, 2)
        ratings.append(_rating_rows(rated, playing.bar_number, by_bar))
        raters.append(_rater_rows(rated, playing.bar_number, by_bar))
    if not pieces:
        raise UserError(f"{raw.path}: no rated piece with a MIDI file inside; is this VGMIDI, with labelled/midi?")
    found = RatedSet(
        pd.DataFrame(pieces, columns=[*PIECES, "aligned"]),
        pd.concat(ratings, ignore_index=True),
        pd.DataFrame(left_out, columns=[*LEFT_OUT]),
        pd.concat(raters, ignore_index=True),
    )
    return replace(found, counts=_count(found) | dict(counts))


def _count(found: RatedSet) -> dict[str, int]:
    """The number of pieces, games and bars in total, by alignment and by split, and of pieces left out by reason."""
    pieces, bars = found.pieces, found.ratings.groupby("piece").size()
    counts = {"pieces": len(pieces), "games": pieces["group"].nunique(), "bars": len(found.ratings)}
    for aligned, part in pieces.groupby("aligned"):
        counts[f"pieces aligned by {aligned}"] = len(part)
    for split, part in pieces.groupby("split"):
        counts[f"games in {split}"] = part["group"].nunique()
        counts[f"pieces in {split}"] = len(part)
        counts[f"bars in {split}"] = int(bars[part["piece"]].sum())
    for why, n in found.left_out["reason"].value_counts().sort_index().items():
        counts[f"left out, {why}"] = int(n)
    return counts


def _rated_pieces(raw: RawData, counts: Counter[str]) -> Iterator[VgmidiPiece]:
    """The pieces of both files in order, with their valid ratings; valid and invalid ratings are added to `counts`."""
    found = [(file, names[0]) for file in _ANNOTATIONS if (names := raw.find(f"annotations/{file}"))]
    if not found:
        raise UserError(
            f"{raw.path}: no annotations/{_ANNOTATIONS[0]} inside; set its path to a zip or folder of VGMIDI"
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


def _rating_rows(
    rated: VgmidiPiece, bar_number: npt.NDArray[np.integer], by_bar: npt.NDArray[np.float64]
) -> pd.DataFrame:
    mean, spread = by_bar.mean(axis=0), by_bar.std(axis=0)  # (bars, 2)
    table = pd.DataFrame({"piece": rated.piece, "bar_number": bar_number})
    for column, dimension in enumerate(DIMENSIONS):
        table[dimension] = mean[:, column].round(_DECIMALS)
        table[f"{dimension}_sd"] = spread[:, column].round(_DECIMALS)
    return table.assign(n_raters=len(rated.raters))[[*RATINGS]]


def _rater_rows(
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
