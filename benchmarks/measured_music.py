"""The music for the benchmarks: a data set given on the command line, or the bundled samples; and ratings of a song."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import symusic.core

from musetok_bridge import score_to_bars
from pipeline.files import midi_md5
from pipeline.settings import PROJECT_ROOT, load_settings
from pretrain_model.bar_context import BarViews, view_song
from pretrain_model.head import Head, HeadInput
from process_gigamidi.annotation_settings import AnnotationSettings
from song_sources.gigamidi_source import open_source

ROW_GROUP = 500  # songs


@contextmanager
def music_folder(data: str | None) -> Iterator[str]:
    """`data` itself; if it is None, a temporary folder with the bundled samples as a data set."""
    if data:
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        script = PROJECT_ROOT / "samples" / "make_dataset.py"
        subprocess.run([sys.executable, str(script), "--out", folder], check=True, stdout=subprocess.DEVNULL)
        yield folder


def views_of(score: symusic.core.ScoreTick) -> BarViews:
    """What a listener reads of a score, with the settings of config/gigamidi.yaml."""
    return view_song(score, score_to_bars(score, merge_doubled=True))


def mean_rating(head: Head, score: symusic.core.ScoreTick) -> np.ndarray:
    """Mean valence and arousal of a song by a head that reads no latents, (2,)."""
    return head.predict([HeadInput(views_of(score))])[0][:, :2].mean(axis=0)


def repeat_music(data: str, split: str, n_songs: int, folder: Path) -> None:
    """Write n_songs songs as Parquet to a folder: the songs of the data set repeated, each time under another md5."""
    where = [f"dataset.path={data}", f"dataset.split={split}"]
    source = open_source(load_settings(AnnotationSettings, "gigamidi.yaml", overrides=where).dataset)
    songs = [
        {"md5": row.md5, "music": row.music, **{column: row.described.get(column) for column in source.columns}}
        for row in source.all_rows()
    ]
    schema = pa.Table.from_pylist(songs).schema
    with pq.ParquetWriter(folder / "train.parquet", schema) as writer:
        numbered = enumerate(islice(cycle(songs), n_songs))
        while group := list(islice(numbered, ROW_GROUP)):
            renamed = [song | {"md5": midi_md5(f"{number} {song['md5']}".encode())} for number, song in group]
            writer.write_table(pa.Table.from_pylist(renamed, schema))
