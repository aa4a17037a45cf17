"""Turn the sample pieces into a small data set in the layout of the GigaMIDI repository on the Hub.

    python samples/make_dataset.py --out DIR

DIR then holds the files that `datasets.load_dataset(DIR, "v2.0.0", split="train", streaming=True)` reads: `README.md`
with the configurations, `v2.0.0/{train,validation,test}/*.parquet` with every column of that release, and
`v1.0.0/*.parquet`. As on the Hub, the old release v1.0.0 is loaded if no name is given. Titles and composers are those
in the ABC files; split and style come from `styles.csv`. The same pieces give identical files under the same versions
of symusic and pyarrow.

Source of the columns: the data set card of Metacreation/GigaMIDI.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import symusic

from pipeline.files import atomic_write, midi_md5
from pipeline.settings import UserError

SAMPLES = Path(__file__).resolve().parent
SPLITS = ("validation", "test", "train")
# Small enough that the train split has several files of several row groups, as on the Hub.
ROWS_PER_FILE = 8
ROWS_PER_GROUP = 3

_LISTS_OF = {"int": pa.list_(pa.int64()), "float": pa.list_(pa.float64()), "text": pa.list_(pa.string())}
COLUMNS_V2 = pa.schema(
    [
        ("md5", pa.string()),
        ("music", pa.binary()),
        ("NOMML", _LISTS_OF["int"]),
        ("num_tracks", pa.int64()),
        ("TPQN", pa.int64()),
        ("total_notes", pa.int64()),
        ("avg_note_duration", pa.float64()),
        ("avg_velocity", pa.float64()),
        ("min_velocity", pa.int64()),
        ("max_velocity", pa.int64()),
        ("tempo", pa.string()),
        ("loop_track_idx", _LISTS_OF["int"]),
        ("loop_instrument_type", _LISTS_OF["text"]),
        ("loop_start", _LISTS_OF["int"]),
        ("loop_end", _LISTS_OF["int"]),
        ("loop_duration_beats", _LISTS_OF["float"]),
        ("loop_note_density", _LISTS_OF["float"]),
        ("Type", pa.string()),
        ("instrument_category__drums-only__0__all-instruments-with-drums__1_no-drums__2", pa.int64()),
        ("music_styles_curated", _LISTS_OF["text"]),
        ("music_style_scraped", pa.string()),
        ("music_style_audio_text_Discogs", _LISTS_OF["text"]),
        ("music_style_audio_text_Lastfm", _LISTS_OF["text"]),
        ("music_style_audio_text_Tagtraum", _LISTS_OF["text"]),
        ("title", pa.string()),
        ("artist", pa.string()),
        ("audio_text_matches_score", pa.float64()),
        ("audio_text_matches_sid", _LISTS_OF["text"]),
        ("audio_text_matches_mbid", _LISTS_OF["text"]),
        ("MIDI_program_number__expressive_", _LISTS_OF["int"]),
        ("instrument_group__expressive_", _LISTS_OF["text"]),
        ("start_tick__expressive_", _LISTS_OF["int"]),
        ("end_tick__expressive_", _LISTS_OF["int"]),
        ("duration_beats__expressive_", _LISTS_OF["float"]),
        ("note_density__expressive_", _LISTS_OF["float"]),
        ("loopability__expressive_", _LISTS_OF["float"]),
    ]
)
COLUMNS_V1 = pa.schema([("md5", pa.string()), ("music", pa.binary())])
# The samples have no annotations of loops or expressive playing; these columns are empty lists, not null.
SEARCHED_FOR = tuple(
    n for n in COLUMNS_V2.names if n == "NOMML" or n.startswith("loop_") or n.endswith("__expressive_")
)

CARD = """---
configs:
- config_name: v1.0.0
  default: true
  data_files:
{old}
- config_name: v2.0.0
  data_files:
{new}
---

Public-domain pieces in the layout of the GigaMIDI repository, made by `samples/make_dataset.py`.
"""


def read_styles(folder: Path) -> list[dict[str, str]]:
    """The rows of `styles.csv` (file, split, style, mood), one for every ABC file of the folder, by file name.

    Raises UserError if the table and the folder disagree.
    """
    with open(folder / "styles.csv", newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    listed, present = [row["file"] for row in rows], sorted(path.name for path in folder.glob("*.abc"))
    if listed != present:
        odd = sorted(set(listed) ^ set(present)) or sorted({name for name in listed if listed.count(name) > 1})
        raise UserError(f"{folder / 'styles.csv'}: give each .abc file of its folder one row; look at {', '.join(odd)}")
    for row in rows:
        if row["split"] not in SPLITS:
            raise UserError(f"{folder / 'styles.csv'}: split of {row['file']} is not one of {', '.join(SPLITS)}")
    return rows


def abc_field(text: str, field: str) -> str | None:
    """The first information field of an ABC tune, e.g. "T" for its title; None if it has none."""
    return next((line[2:].strip() for line in text.splitlines() if line.startswith(f"{field}:")), None)


def make_row(path: Path, styles: list[str]) -> dict[str, Any]:
    """One piece as a row of v2.0.0: its MIDI bytes, counts of their content, title, composer and styles."""
    text = path.read_text(encoding="utf-8")
    written: Any = symusic.Score.from_abc(text)
    music = written.dumps_midi()
    score: Any = symusic.Score.from_midi(music)  # what a reader of the data set gets
    notes = [track.notes.numpy() for track in score.tracks]
    duration = np.concatenate([part["duration"] for part in notes])  # ticks
    velocity = np.concatenate([part["velocity"] for part in notes])
    row: dict[str, Any] = dict.fromkeys(COLUMNS_V2.names)
    row |= {name: [] for name in SEARCHED_FOR}
    row |= {
        "md5": midi_md5(music),
        "music": music,
        "num_tracks": len(score.tracks),
        "TPQN": score.tpq,
        "total_notes": len(duration),
        "avg_note_duration": float(duration.mean()),
        "avg_velocity": float(velocity.mean()),
        "min_velocity": int(velocity.min()),
        "max_velocity": int(velocity.max()),
        # MIDI stores whole microseconds a quarter, so 104 BPM comes back as 104.00001.
        "tempo": str([round(tempo.qpm, 2) for tempo in score.tempos]),
        "Type": "SMF",
        "instrument_category__drums-only__0__all-instruments-with-drums__1_no-drums__2": 2,
        "music_styles_curated": styles,
        "title": abc_field(text, "T"),
        "artist": (abc_field(text, "C") or "").partition(" (")[0] or None,
    }
    return row


def write_dataset(samples: Path, out: Path) -> dict[str, int]:
    """Write the data set; returns the number of pieces of each split."""
    rows: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for piece in read_styles(samples):
        styles = [style.strip() for style in piece["style"].split(";")]
        rows[piece["split"]].append(make_row(samples / piece["file"], styles))
    for split, pieces in rows.items():
        for number, first in enumerate(range(0, len(pieces), ROWS_PER_FILE)):
            part = pieces[first : first + ROWS_PER_FILE]
            _write_parquet(part, COLUMNS_V2, out / "v2.0.0" / split / f"{split}-{number:05d}.parquet")
        _write_parquet(pieces, COLUMNS_V1, out / "v1.0.0" / f"{split}.parquet")
    old = "\n".join(f"  - split: {split}\n    path: v1.0.0/{split}.parquet" for split in SPLITS)
    new = "\n".join(f"  - split: {split}\n    path: v2.0.0/{split}/*.parquet" for split in SPLITS)
    with atomic_write(out / "README.md") as temporary:
        temporary.write_text(CARD.format(old=old, new=new), encoding="utf-8")
    return {split: len(pieces) for split, pieces in rows.items()}


def _write_parquet(rows: list[dict[str, Any]], columns: pa.Schema, path: Path) -> None:
    table = pa.Table.from_pylist([{name: row[name] for name in columns.names} for row in rows], schema=columns)
    with atomic_write(path) as temporary:
        pq.write_table(table, temporary, row_group_size=ROWS_PER_GROUP, compression="zstd")


def main() -> None:
    """Read the command line, write the data set, print its path."""
    parser = argparse.ArgumentParser(description="Make a small data set in the Hub's layout from the sample pieces.")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="folder to write the data set to")
    out = parser.parse_args().out
    try:
        counts = write_dataset(SAMPLES, out)
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {out}: can't be written ({error.strerror or error}); give another folder with --out")
    print(f"{sum(counts.values())} pieces ({', '.join(f'{n} {split}' for split, n in counts.items())}) in {out}")


if __name__ == "__main__":
    main()
