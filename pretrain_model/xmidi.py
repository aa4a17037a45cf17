"""XMIDI: 108,023 pieces for several instruments, each with a word for its emotion and one for its genre (Tian et al.).

A file is `XMIDI_<emotion>_<genre>_<8 letters>.midi`. A word tells the sides of valence and arousal at most: SIDES
places the eleven by Russell's circumplex (1980), and 0 is unsure. Files are neither parsed here nor all held in memory;
one that can't be used is left out when its latents or features are made.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.files import RawData, atomic_write, midi_md5
from pipeline.progress import progress_bar
from pipeline.settings import SettingsError, UserError

from .pretrain_settings import SetSettings
from .rated_files import set_files
from .rated_set import LEFT_OUT, PIECES, RATINGS, RatedSet, keep_midi, split_of
from .rated_songs import count_set

# emotion -> (valence, arousal)
SIDES = {
    "exciting": (1, 1),
    "warm": (1, 0),
    "happy": (1, 1),
    "romantic": (1, 0),
    "funny": (1, 1),
    "sad": (-1, -1),
    "angry": (-1, 1),
    "lazy": (0, -1),
    "quiet": (0, -1),
    "fear": (-1, 1),
    "magnificent": (1, 0),
}
_NAME = re.compile(r"XMIDI_([A-Za-z]+)_([^_]+)_([A-Za-z0-9]{8})\.midi?", re.IGNORECASE)


def prepare_xmidi(block: SetSettings, folder: Path) -> RatedSet:
    """The pieces, each a group of its own, with the sides of its word; `genre` is a column more than PIECES.

    From a folder, MIDI files are linked and not copied where the file system can. Raises UserError if no file has a
    name of XMIDI's.
    """
    if block.grouped_by != "song":
        raise SettingsError(f"'sets.{block.name}.group' is {block.group!r}: xmidi's files know the song only")
    raw = set_files(block, folder)
    pieces, ratings, left_out = [], [], []
    seen: set[str] = set()
    names = [name for name in raw.names if name.lower().endswith((".mid", ".midi"))]
    for name in progress_bar(names, f"preparing {block.name}", "files"):
        file = PurePosixPath(name)
        found = _NAME.fullmatch(file.name)
        sides = SIDES.get(found[1].lower()) if found else None
        if found is None or sides is None or file.stem in seen:
            why = "name_unclear" if found is None else "emotion_unknown" if sides is None else "listed_twice"
            left_out.append((file.stem, why))
            continue
        seen.add(file.stem)
        midi, md5 = link_midi(folder, block.name, raw, name)
        split = split_of(file.stem, block)
        pieces.append((file.stem, midi, md5, file.stem, split, "", "", f"xmidi {found[3]}", 1.0, found[2].lower()))
        ratings.append((file.stem, float(sides[0]), float(sides[1])))
    if not pieces:
        raise UserError(
            f"{raw.path}: no file XMIDI_<emotion>_<genre>_<8 letters>.midi inside; set sets.{block.name}.path"
        )
    rated = RatedSet(
        pd.DataFrame(pieces, columns=[*PIECES, "genre"]),
        pd.DataFrame(ratings, columns=["piece", "valence", "arousal"]).reindex(columns=[*RATINGS]),
        pd.DataFrame(left_out, columns=[*LEFT_OUT]),
    )
    counts = count_set(rated)
    del counts["groups"]  # as many as pieces
    return RatedSet(rated.pieces, rated.ratings, rated.left_out, counts=counts)


def link_midi(folder: Path, name: str, raw: RawData, file: str) -> tuple[str, str]:
    """As `keep_midi`, for one of raw's files; a hard link to it where raw is a folder on the same file system.

    Nothing writes into a kept file, only new ones take its place, so the original never changes.
    """
    content, base = raw.read(file), PurePosixPath(file).name
    target = Path("midi") / name / base
    if raw.path.is_dir():
        try:
            with atomic_write(folder / target) as temporary:
                os.link((raw.path / file).resolve(), temporary)
            return target.as_posix(), midi_md5(content)
        except OSError:  # another file system, or one without links
            pass
    return keep_midi(folder, name, base, content)
