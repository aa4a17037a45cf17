"""Small folders of annotations, as process_gigamidi/01_annotate.py writes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

SongRow = Mapping[str, object]


def write_annotations(folder: Path, parts: Sequence[Sequence[tuple[SongRow, np.ndarray]]]) -> Path:
    """Write parts of songs. A song: its row (a name, and more of the songs table), and its bars' (n, 2) affect."""
    for number, songs in enumerate(parts):
        bars, rows = [], []
        for song, affect in songs:
            n = len(affect)
            md5 = hashlib.md5(str(song["name"]).encode()).hexdigest()
            facts = {"n_bars": n, "n_notes": 4 * n, "duration_seconds": 2.0 * n}
            rows.append({"md5": md5, **facts, **{key: value for key, value in song.items() if key != "name"}})
            places = {"start_tick": np.arange(n) * 1920, "start_seconds": np.arange(n) * 2.0, "meter": "4/4"}
            table = {"md5": md5, "bar_number": np.arange(n), "valence": affect[:, 0], "arousal": affect[:, 1]}
            bars.append(pd.DataFrame(table | places | {"n_notes": 4}))
        for kind, frame in (("bars", pd.concat(bars)), ("songs", pd.DataFrame(rows))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            frame.to_csv(folder / kind / f"part-{number:05d}.csv", index=False)
    return folder


@pytest.fixture
def annotations(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the given parts of songs to a folder and returns it; a song's md5 is that of its name."""
    return lambda *parts, folder="annotations": write_annotations(tmp_path / folder, parts)


@pytest.fixture
def library() -> list[tuple[SongRow, np.ndarray]]:
    """Sixty songs of four styles, some of two styles and some of none."""
    random = np.random.default_rng(11)
    styles = ('["folk"]', '["folk", "pop"]', '["jazz"]', "", '["blues", "jazz"]')
    return [
        (
            {"name": f"song {i}", "music_styles_curated": styles[i % 5], "title": f"Tune {i}", "artist": ""},
            np.tanh(random.normal(0.1 * (i % 5), 0.4, (int(random.integers(1, 40)), 2))),
        )
        for i in range(60)
    ]
