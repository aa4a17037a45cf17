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

from pipeline.annotations import DIMENSIONS
from pipeline.files import RawData
from pipeline.progress import progress_bar
from pipeline.settings import UserError

from .pretrain_settings import SPLITS, QuadrantPoints, SetSettings
from .rated_files import set_files
from .rated_set import LEFT_OUT, PIECES, RATINGS, RatedSet, keep_midi, outside_main_split

_CLIP_NAME = re.compile(r"Q([1-4])_([\w-]+)_(\d+)\.mid")


def prepare_emopia(block: SetSettings, folder: Path) -> RatedSet:
    """The clips, each rated with the point of its quadrant. Raises UserError if the layout isn't EMOPIA's."""
    raw = set_files(block, folder)
    listed = _read_splits(raw)
    midis = {
        PurePosixPath(n).name: n for n in raw.names if n.endswith(".mid") and PurePosixPath(n).parent.name == "midis"
    }
    parsed = listed["clip_name"].str.extract(f"^{_CLIP_NAME.pattern}$")
    listed["song"] = parsed[1]
    reason = pd.Series("", index=listed.index)
    reason[outside_main_split(listed["song"], listed["split"])] = "song_in_two_splits"
    reason[listed["clip_name"].duplicated()] = "listed_twice"
    reason[parsed[0].astype(float) != listed["4Q"]] = "quadrant_unclear"
    reason[~listed["clip_name"].isin(midis)] = "no_midi"
    reason[parsed[0].isna()] = "name_unclear"

    clips = listed[reason == ""]
    if clips.empty:
        raise UserError(f"{raw.path}: none of the clips in split/ has a MIDI file in midis/; is this EMOPIA?")
    unlisted = sorted(set(midis) - set(listed["clip_name"]))
    left_out = pd.concat(
        [
            pd.DataFrame({"piece": listed["clip_name"], "reason": reason})[reason != ""],
            pd.DataFrame({"piece": unlisted, "reason": "in_no_split"}),
        ]
    )[[*LEFT_OUT]]
    quadrants = clips["clip_name"].str[1].astype(int)
    counts = {"clips": len(clips), "songs": clips["song"].nunique()}
    counts |= {f"clips in {split}": int((clips["split"] == split).sum()) for split in SPLITS}
    counts |= {f"clips in Q{q}": int((quadrants == q).sum()) for q in (1, 2, 3, 4)}
    counts |= {f"left out, {why}": int(n) for why, n in left_out["reason"].value_counts().sort_index().items()}
    return RatedSet(_pieces(raw, clips, midis, block, folder), _ratings(clips, block.points), left_out, counts=counts)


def _pieces(raw: RawData, clips: pd.DataFrame, midis: dict[str, str], block: SetSettings, folder: Path) -> pd.DataFrame:
    """Keeps the clips' MIDI files; returns PIECES. midis: file name -> name inside `raw`."""
    rows = []
    for clip in progress_bar(list(clips.itertuples()), f"preparing {block.name}", "clips"):
        name = str(clip.clip_name)
        midi, md5 = keep_midi(folder, block.name, name, raw.read(midis[name]))
        recording = f"youtube {clip.song}"
        rows.append((name[:-4], midi, md5, clip.song, clip.split, "", "", recording, 1.0))
    return pd.DataFrame(rows, columns=[*PIECES])


def _ratings(clips: pd.DataFrame, points: QuadrantPoints) -> pd.DataFrame:
    """RATINGS: the point of each clip's quadrant."""
    rated = [getattr(points, name[:2]) for name in clips["clip_name"]]
    table = pd.DataFrame({"piece": clips["clip_name"].str[:-4]})
    table[[*DIMENSIONS]] = rated
    return table.reindex(columns=[*RATINGS])


def _read_splits(raw: RawData) -> pd.DataFrame:
    """One row for each listed clip: clip_name, 4Q, split."""
    tables = []
    for split in SPLITS:
        found = raw.find(f"split/{split}_clip.csv")
        if not found:
            raise UserError(
                f"{raw.path}: no split/{split}_clip.csv inside; set its path to an EMOPIA 2.x zip or folder"
            )
        try:
            table = pd.read_csv(io.BytesIO(raw.read(found[0])))[["clip_name", "4Q"]]
        except (KeyError, ValueError):  # pandas' own errors are ValueErrors
            raise UserError(f"{raw.path}: {found[0]} has no columns clip_name and 4Q; is this EMOPIA?") from None
        tables.append(table.astype({"clip_name": str}).assign(split=split))
    return pd.concat(tables, ignore_index=True)
