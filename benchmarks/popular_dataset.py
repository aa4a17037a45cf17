"""Write MIDI files of known songs as a data set in GigaMIDI's layout, to try out the matching of rated lists.

    python benchmarks/popular_dataset.py FOLDER LABELS OUT

FOLDER holds MIDI files, LABELS is a CSV file with the columns file, artist and title. Writes OUT/train-00000.parquet
with md5, music, title, artist and the columns of identity that GigaMIDI has, empty. Then, with a `table` of LABELS as a
set without MIDI files, `process_gigamidi/03_match_ratings.py --set dataset.path=OUT` finds its songs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.files import midi_md5

ROWS_PER_GROUP = 100
SCHEMA = pa.schema(
    [
        ("md5", pa.string()),
        ("music", pa.binary()),
        ("title", pa.string()),
        ("artist", pa.string()),
        ("audio_text_matches_score", pa.float64()),
        ("audio_text_matches_sid", pa.list_(pa.string())),
        ("audio_text_matches_mbid", pa.list_(pa.string())),
    ]
)


def main() -> None:
    """Write the data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for song in pd.read_csv(arguments.labels, dtype=str).itertuples():
        music = (arguments.folder / str(song.file)).read_bytes()
        rows.append({"md5": midi_md5(music), "music": music, "title": song.title, "artist": song.artist})
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "train-00000.parquet"
    pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, row_group_size=ROWS_PER_GROUP)
    print(f"{len(rows):,} songs: {path}")


if __name__ == "__main__":
    main()
