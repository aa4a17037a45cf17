"""Small data sets of made-up music in the Hub's layout, and models that predict from a bar's words only."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from symusic import Note, Score, Tempo, TimeSignature, Track

from pipeline.settings import load_settings
from pretrain_model.head import HeadInput
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings

README = """---
configs:
- config_name: v1.0.0
  default: true
  data_files:
  - split: train
    path: v1.0.0/train.parquet
- config_name: v2.0.0
  data_files:
  - split: train
    path: v2.0.0/train/*.parquet
---
"""


def song(n_bars: int, pitch: int = 60, drums: bool = False) -> bytes:
    """A MIDI file in 3/4 at 90 quarters a minute: n_bars bars of three quarter notes, two seconds each."""
    score = Score(480)
    score.time_signatures.append(TimeSignature(0, 3, 4))
    score.tempos.append(Tempo(0, 90.0))
    track = Track(program=0, is_drum=drums)
    for beat in range(3 * n_bars):
        track.notes.append(Note(beat * 480, 480, pitch + beat % 12, 80))
    score.tracks.append(track)
    return score.dumps_midi()


def rows_of(songs: list[bytes | None]) -> list[dict[str, Any]]:
    """A row for each file: its true md5, and style tags of every kind that a release may hold."""
    return [
        {
            "md5": hashlib.md5(music or b"").hexdigest(),
            "music": music,
            "music_styles_curated": [["folk", "pop"], [], None][i % 3],
            "music_style_scraped": ["rock", "", None][i % 3],
            "title": f"Song, no. {i}",
            "loop_start": [i],
        }
        for i, music in enumerate(songs)
    ]


def mixed_songs() -> list[bytes | None]:
    """Twenty-three rows: songs of 1 to 12 bars, one twice, four that can't be annotated, and drums alone."""
    songs: list[bytes | None] = [song(1 + i % 12, 48 + i) for i in range(18)]
    songs[3:3] = [b"MThd and then nothing", None, b""]
    songs[11:11] = [song(2, drums=True), song(4)[:40]]
    songs[-1] = songs[0]
    return songs


def write_parquet(path: Path, rows: list[dict[str, Any]], row_group_size: int = 4) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)


def settings_for(path: Path, output: Path, *overrides: str) -> AnnotationSettings:
    """The default settings but for the paths; two row groups a part, and conversion in the test's own process."""
    own = (f"dataset.path={path}", f"output.dir={output}", "output.row_groups_per_part=2", "compute.workers=0")
    return load_settings(AnnotationSettings, SETTINGS_FILE, None, [*own, *overrides])


class PlainEncoder:
    """Latent of a bar: its number of words and their mean id, both scaled to about 1."""

    width, levels, all_levels, digest = 2, 1, 1, "e" * 64

    def encode(self, bars: list[Any], seen: object = None) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            (
                np.zeros((len(b), 1), np.int16),
                np.array([[len(b[i]) / 128, b[i].mean() / 167] for i in range(len(b))], np.float32).reshape(-1, 2),
            )
            for b in bars
        ]


class PlainHead:
    """Valence and arousal are tanh of the latent; the error of both is the latent's first number."""

    digest = "f" * 64
    reads_latents = True
    levels = None
    reads_performance = False

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.on_batch: Callable[[], None] = lambda: None
        self.rate: Callable[[np.ndarray], np.ndarray] = lambda latents: np.tanh(latents - 0.5)

    def predict(self, pieces: list[HeadInput]) -> list[np.ndarray]:
        self.on_batch()
        return [np.concatenate([self.rate(p.latents), p.latents[:, :1], p.latents[:, :1]], axis=1) for p in pieces]

    def check_digest(self, encoder: object) -> None:
        pass

    def check_encoder(self, encoder: PlainEncoder) -> None:
        pass

    def check_width(self, latent: int) -> None:
        pass


@contextmanager
def plain_models() -> Iterator[SimpleNamespace]:
    """Replaces the trained models by plain ones while the context lasts."""
    plain = SimpleNamespace(encoder=PlainEncoder(), head=PlainHead())
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("musetok_bridge.load_encoder", lambda *_: plain.encoder)
        patched.setattr("process_gigamidi.prediction.load_head", lambda *_: plain.head)
        yield plain


def assert_only_these_failed(output: Path, whole: Path, failed: Mapping[str, str]) -> None:
    """failed: the word of the reason by md5. The other songs have the rows that they have in `whole`."""
    failures = read(output, "failures")
    assert dict(zip(failures["md5"], failures["reason"].str.split(":").str[0], strict=True)) == failed
    for kind in ("songs", "bars"):
        table = read(whole, kind)
        others = table[~table["md5"].isin(failures["md5"])].reset_index(drop=True)
        pd.testing.assert_frame_equal(read(output, kind), others)


def tables(output: Path) -> dict[str, bytes]:
    """Every table of an output folder by its path in it."""
    return {path.relative_to(output).as_posix(): path.read_bytes() for path in sorted(output.rglob("*.csv"))}


def read(output: Path, kind: str) -> pd.DataFrame:
    """One kind of table of an output folder, all parts together; empty cells are empty strings."""
    files = sorted((output / kind).glob("part-*.csv"))
    return pd.concat([pd.read_csv(f, dtype={"md5": str}, keep_default_na=False) for f in files], ignore_index=True)
