"""The one form of rated music, whatever its own files look like: pieces and their ratings, as CSV.

01_prepare_datasets.py writes for each set, into the output folder,

    NAME_pieces.csv     a row a piece, PIECES: its MIDI file, what groups it, its split, who it is
    NAME_ratings.csv    a row a rating, RATINGS: of a bar, or of the whole piece where bar_number is empty
    NAME_left_out.csv   what could not be used, and why
    NAME_raters.csv     single raters' ratings, where the set has them: RATERS
    midi/NAME/          the MIDI files

A set that is found by identity (adapter table without MIDI files) has NAME_wanted.csv, WANTED, instead; its pieces and
ratings are written by process_gigamidi/03_match_ratings.py, which finds the songs in a stream of music.

Valence and arousal are in the set's own unit (in [−1, 1] where it has that), NaN where a rating has only the other; of
signs only the side of zero counts, and 0 is unsure. valence_sd and arousal_sd are the raters' standard deviation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from pipeline.files import atomic_write, midi_md5, write_table
from pipeline.settings import UserError, command, counted, first_line, note, one_line

from .folds import root_of
from .pretrain_settings import SetSettings

PREPARE = "pretrain_model/01_prepare_datasets.py"
MATCH = "process_gigamidi/03_match_ratings.py"
# midi: its path in the output folder, empty if the music is not kept. group: pieces of one group are never in both
# training and test data. recording: what other sets may have as well, such as "deam 115". weight: its share of the
# weight, below 1 where several files were found for one rating.
PIECES = ("piece", "midi", "md5", "group", "split", "artist", "title", "recording", "weight")
RATINGS = ("piece", "bar_number", "valence", "arousal", "valence_sd", "arousal_sd", "n_raters")
RATERS = ("piece", "rater", "bar_number", "valence", "arousal")
LEFT_OUT = ("piece", "reason")
# tempo: quarters a minute, to see whether the match is right
WANTED = (
    *("row", "md5", "spotify_id", "musicbrainz_id", "artist", "title", "tempo", "group", "split"),
    *RATINGS[2:],
)
_TEXTS = ("piece", "midi", "md5", "group", "split", "artist", "title", "recording", "spotify_id", "musicbrainz_id")
_NUMBERS = ("row", "tempo", "weight", *RATINGS[1:])  # of which a cell may be empty; a song may be called NA or null


@dataclass(frozen=True)
class RatedSet:
    """A set in the one form. raters, wanted: None if it has none. counts: what to print, by what is counted.

    Pieces whose MIDI files are the same have one group and one split: those of the first, for all of their groups.
    """

    pieces: pd.DataFrame
    ratings: pd.DataFrame
    left_out: pd.DataFrame
    raters: pd.DataFrame | None = None
    wanted: pd.DataFrame | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pieces", same_files_together(self.pieces))

    def write(self, folder: Path, name: str) -> None:
        """Write its tables into a folder, in place of earlier ones of this set.

        What was found of songs by their identity is kept if the same songs are wanted again.
        """
        by_identity = self.wanted is not None
        found = ("pieces", "ratings") if self._is_written_as_wanted(folder, name) else ()
        tables = {
            "pieces": None if by_identity else self.pieces,
            "ratings": None if by_identity else self.ratings,
            "left_out": self.left_out,
            "raters": self.raters,
            "wanted": self.wanted,
        }
        for kind, table in tables.items():
            path = table_path(folder, name, kind)
            if table is not None:
                write_table(path, table)
            elif kind not in found:
                path.unlink(missing_ok=True)

    def _is_written_as_wanted(self, folder: Path, name: str) -> bool:
        """Whether the same songs stand in the folder as wanted, byte for byte."""
        path = table_path(folder, name, "wanted")
        return self.wanted is not None and path.is_file() and path.read_bytes() == table_bytes(self.wanted)


def same_files_together(pieces: pd.DataFrame) -> pd.DataFrame:
    """Pieces in the form of PIECES, those with one md5 in one group and one split, with all of their groups."""
    md5 = pieces["md5"].where(pieces["md5"] != "")
    if not md5.duplicated(keep=False)[md5.notna()].any():
        return pieces
    first = first_of_the_joined([*shared_rows(md5), *shared_rows(pieces["group"])])
    rows = [first.get(row, row) for row in range(len(pieces))]
    joined = pieces.assign(**{column: pieces[column].to_numpy()[rows] for column in ("group", "split")})
    moved = (joined[["group", "split"]] != pieces[["group", "split"]]).any(axis=1)
    if moved.any():
        named = ", ".join(one_line(str(piece), 40) for piece in pieces.loc[moved, "piece"].iloc[:3])
        note(
            f"{counted(int(moved.sum()), 'piece')} have the MIDI file of another, or are in the group of such: "
            f"they are kept in one group and split with it ({named}{', …' if moved.sum() > 3 else ''})"
        )
    return joined


def shared_rows(values: pd.Series) -> list[list[int]]:
    """The places of the rows that have the same value, for each that several have; missing and empty ones are none."""
    places = pd.Series(range(len(values)), index=values.to_numpy())
    places = places[places.index.notna() & (places.index != "")]
    places = places[places.index.duplicated(keep=False)]
    return [rows.tolist() for _, rows in places.groupby(level=0, sort=False)]


def first_of_the_joined(joined: Iterable[Sequence[int]]) -> dict[int, int]:
    """For every number the smallest of those to which it is joined, over any others. joined: numbers in one group."""
    first: dict[int, int] = {}
    for numbers in joined:
        roots = [root_of(first, number) for number in numbers]
        for other in roots:
            first[other] = min(roots)
    return {number: root_of(first, number) for number in list(first)}


def outside_main_split(groups: pd.Series, splits: pd.Series) -> pd.Series:
    """Which pieces are outside the split with most pieces of their group; they would leak between splits."""
    sizes = pd.DataFrame({"group": groups, "split": splits}).groupby(["group", "split"], as_index=False).size()
    main = sizes.sort_values("size", kind="stable").drop_duplicates("group", keep="last").set_index("group")["split"]
    return groups.notna() & (groups.map(main) != splits)


def table_bytes(table: pd.DataFrame) -> bytes:
    """A table's file, as it is written."""
    return table.to_csv(index=False).encode()


def table_path(folder: Path, name: str, kind: str) -> Path:
    """The path of a set's table. kind: pieces, ratings, left_out, raters or wanted."""
    return folder / f"{name}_{kind}.csv"


def read_set_table(folder: Path, name: str, kind: str) -> pd.DataFrame:
    """A table of a set, without missing texts. kind: as for `table_path`, not left_out.

    Raises UserError, with the step to run, if it is missing or another version wrote it.
    """
    path = table_path(folder, name, kind)
    found_by_match = kind in ("pieces", "ratings") and table_path(folder, name, "wanted").exists()
    step = f"run {command(MATCH if found_by_match else PREPARE)}"
    try:
        empty = {column: ["", "nan"] for column in _NUMBERS}
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXTS, str), keep_default_na=False, na_values=empty)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {step} first") from None
    except (OSError, ValueError) as error:  # pandas' errors are ValueErrors
        raise UserError(f"{path}: can't be read ({first_line(error)}); {step}") from None
    wanted = {"pieces": PIECES, "ratings": RATINGS, "raters": RATERS, "wanted": WANTED}[kind]
    if lacking := [column for column in wanted if column not in table]:
        raise UserError(f"{path}: no column {lacking[0]}, so another version wrote it; {step} again")
    texts = [column for column in _TEXTS if column in table]
    return table.fillna(dict.fromkeys(texts, ""))


def is_by_identity(folder: Path, name: str) -> bool:
    """Whether a set's songs are found in a stream of music."""
    return table_path(folder, name, "wanted").exists()


def keep_midi(folder: Path, name: str, file: str, content: bytes) -> tuple[str, str]:
    """Write a piece's MIDI file below `folder`; return its path there and its md5. file: a name without folders."""
    target = Path("midi") / name / file
    with atomic_write(folder / target) as temporary:
        temporary.write_bytes(content)
    return target.as_posix(), midi_md5(content)


def split_of(group: str, block: SetSettings) -> str:
    """The split of a group: train, val or test.

    It depends on the group's name and the seed alone, so no training song of a head that was trained on part of the
    data is a test song of the whole data.
    """
    digest = hashlib.sha256(f"{block.split_seed}:{group}".encode(errors="surrogateescape")).digest()
    fraction = int.from_bytes(digest[:8], "big") / 2**64
    if fraction < block.test_share:
        return "test"
    return "val" if fraction < block.test_share + block.val_share else "train"
