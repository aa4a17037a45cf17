"""Songs for bands, with valence and arousal made of listeners' tags (Delbouys et al., ISMIR 2018).

A folder or zip with `labels.csv` and the MIDI files that it lists, in any folder; files are told apart by their names,
without folders. Columns: `file`, `song_key` (equal for files of one song), `deezer_valence` and `deezer_arousal`, in
any unit, empty where unknown. Further columns are not read. The level of a scale of tags is not that of raters, so only
differences between songs are learned from.
"""

from __future__ import annotations

import io
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from musetok_bridge.midi_file import MIDI_SUFFIXES
from pipeline.files import RawData, atomic_write, write_table
from pipeline.settings import UserError

LABELS_FILE = "tagged_labels.csv"
_TAGS = {"deezer_valence": "valence", "deezer_arousal": "arousal"}
_COLUMNS = ("file", "song_key", *_TAGS)


def prepare_tagged(raw: RawData, folder: Path) -> dict[str, int]:
    """Write the MIDI files of songs with both numbers, and tagged_labels.csv; return counts of files and songs.

    Columns: piece (the file's name), midi (path relative to `folder`), song_key, valence and
    arousal as tagged, split, always train. Raises UserError if the layout is another one or no song has numbers.
    """
    tables = raw.find("labels.csv")
    if not tables:
        raise UserError(f"{raw.path}: no labels.csv inside; set tagged.path to a folder or zip of tagged songs")
    try:
        listed = pd.read_csv(io.BytesIO(raw.read(tables[0])), dtype={"file": str, "song_key": str})[[*_COLUMNS]]
        listed = listed.astype(dict.fromkeys(_TAGS, float)).replace([np.inf, -np.inf], np.nan).rename(columns=_TAGS)
    except (KeyError, ValueError):  # pandas' own errors are ValueErrors
        wanted = ", ".join(_COLUMNS)
        raise UserError(f"{raw.path}: {tables[0]} has no columns {wanted}, or no numbers in them") from None
    midis = [name for name in raw.names if PurePosixPath(name).suffix.lower() in MIDI_SUFFIXES]
    names = {PurePosixPath(name).name: name for name in midis}
    if len(names) < len(midis):
        raise UserError(
            f"{raw.path}: two MIDI files inside have one name; rename one, since folders don't tell them apart"
        )
    listed["file"] = listed["file"].map(lambda file: PurePosixPath(str(file)).name)
    known = listed.dropna().drop_duplicates("file")
    listed = listed.drop_duplicates("file")
    found = known[known["file"].isin(names)]
    if found.empty:
        raise UserError(f"{raw.path}: no file listed in {tables[0]} has both tags and its MIDI file inside")
    rows = []
    for song in found.itertuples():
        target = Path("midi") / "tagged" / str(song.file)
        with atomic_write(folder / target) as temporary:
            temporary.write_bytes(raw.read(names[str(song.file)]))
        rows.append((target.name, target.as_posix(), song.song_key, song.valence, song.arousal, "train"))
    columns = ["piece", "midi", "song_key", "valence", "arousal", "split"]
    write_table(folder / LABELS_FILE, pd.DataFrame(rows, columns=columns))
    return {
        "files": len(found),
        "songs": found["song_key"].nunique(),
        "left out, without tags or song_key": len(listed) - len(known),
        "left out, without a file": len(known) - len(found),
    }
