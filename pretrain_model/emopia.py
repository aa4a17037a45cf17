"""EMOPIA: pop piano clips with one emotion quadrant each (Hung et al., ISMIR 2021).

The four quadrants are those of Russell's circumplex: Q1 valence+ arousal+, Q2 valence− arousal+, Q3 valence−
arousal−, Q4 valence+ arousal−. A clip's file is `midis/Q3_YOUTUBEID_2.mid`: quadrant, song, number of the clip.
`split/{train,val,test}_clip.csv` list the clips (an index, `clip_name`, `4Q`); a song lies in one split only.
"""

from __future__ import annotations

import io
import re
from pathlib import Path, PurePosixPath

import pandas as pd

from pipeline.files import RawData, atomic_write, write_table
from pipeline.settings import UserError

from .pretrain_settings import QuadrantPoints

LABELS_FILE = "emopia_labels.csv"
LEFT_OUT_FILE = "emopia_left_out.csv"
COLUMNS = ["clip", "midi", "quadrant", "valence", "arousal", "song", "split"]
SPLITS = ("train", "val", "test")

_CLIP_NAME = re.compile(r"Q([1-4])_([\w-]+)_(\d+)\.mid")


def prepare_emopia(raw: RawData, points: QuadrantPoints, folder: Path) -> dict[str, int]:
    """Write the clips' MIDI files and labels under `folder`; return counts of clips and songs.

    emopia_labels.csv: clip, midi (path relative to `folder`), quadrant (1 to 4), valence and arousal in [−1, 1], song,
    split. emopia_left_out.csv: clip, reason. Raises UserError if the layout isn't EMOPIA's.
    """
    listed = _read_splits(raw)
    midis = {
        PurePosixPath(n).name: n for n in raw.names if n.endswith(".mid") and PurePosixPath(n).parent.name == "midis"
    }
    parsed = listed["clip_name"].str.extract(f"^{_CLIP_NAME.pattern}$")
    listed["song"] = parsed[1]
    reason = pd.Series("", index=listed.index)
    reason[_outside_main_split(listed)] = "song_in_two_splits"
    reason[listed["clip_name"].duplicated()] = "listed_twice"
    reason[parsed[0].astype(float) != listed["4Q"]] = "quadrant_unclear"
    reason[~listed["clip_name"].isin(midis)] = "no_midi"
    reason[parsed[0].isna()] = "name_unclear"

    labels = _write_clips(raw, listed[reason == ""], midis, points, folder)
    if labels.empty:
        raise UserError(f"{raw.path}: none of the clips in split/ has a MIDI file in midis/; is this EMOPIA?")

    unlisted = sorted(set(midis) - set(listed["clip_name"]))
    left_out = pd.concat(
        [
            pd.DataFrame({"clip": listed["clip_name"], "reason": reason})[reason != ""],
            pd.DataFrame({"clip": unlisted, "reason": "in_no_split"}),
        ]
    )
    for file, table in ((LABELS_FILE, labels), (LEFT_OUT_FILE, left_out)):
        write_table(folder / file, table)
    counts = {"clips": len(labels), "songs": labels["song"].nunique()}
    counts |= {f"clips in {split}": int((labels["split"] == split).sum()) for split in SPLITS}
    counts |= {f"clips in Q{q}": int((labels["quadrant"] == q).sum()) for q in (1, 2, 3, 4)}
    return counts | {f"left out, {why}": int(n) for why, n in left_out["reason"].value_counts().sort_index().items()}


def _write_clips(
    raw: RawData, clips: pd.DataFrame, midis: dict[str, str], points: QuadrantPoints, folder: Path
) -> pd.DataFrame:
    """Write the clips' MIDI files under `folder`; return their labels. midis: file name -> name inside `raw`."""
    rows = []
    for clip in clips.itertuples():
        name = str(clip.clip_name)
        target = Path("midi") / "emopia" / name
        with atomic_write(folder / target) as temporary:
            temporary.write_bytes(raw.read(midis[name]))
        quadrant = int(name[1])
        rows.append((name[:-4], target.as_posix(), quadrant, *getattr(points, f"Q{quadrant}"), clip.song, clip.split))
    return pd.DataFrame(rows, columns=COLUMNS)


def _read_splits(raw: RawData) -> pd.DataFrame:
    """One row for each listed clip: clip_name, 4Q, split."""
    tables = []
    for split in SPLITS:
        found = raw.find(f"split/{split}_clip.csv")
        if not found:
            raise UserError(
                f"{raw.path}: no split/{split}_clip.csv inside; set emopia.path to an EMOPIA 2.x zip or folder"
            )
        try:
            table = pd.read_csv(io.BytesIO(raw.read(found[0])))[["clip_name", "4Q"]]
        except (KeyError, ValueError):  # pandas' own errors are ValueErrors
            raise UserError(f"{raw.path}: {found[0]} has no columns clip_name and 4Q; is this EMOPIA?") from None
        tables.append(table.astype({"clip_name": str}).assign(split=split))
    return pd.concat(tables, ignore_index=True)


def _outside_main_split(listed: pd.DataFrame) -> pd.Series:
    """Which clips are outside the split with most clips of their song; they would leak between splits."""
    counts = listed.groupby(["song", "split"], as_index=False).size()
    home = counts.sort_values("size", kind="stable").drop_duplicates("song", keep="last").set_index("song")["split"]
    return listed["song"].notna() & (listed["song"].map(home) != listed["split"])
