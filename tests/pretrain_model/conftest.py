"""Small datasets in the layouts of EMOPIA and VGMIDI, and an encoder that needs no weights."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from symusic import Note, Score, Tempo, TimeSignature, Track

TPQ = 480


def piano_midi(
    quarters: int,
    per_quarter: int = 1,
    meter: tuple[int, int] = (4, 4),
    tempi: tuple[tuple[int, float], ...] = ((0, 120),),
    name: str = "piano",
) -> bytes:
    """A scale of `quarters` quarter notes, each cut into `per_quarter` notes. tempi: (quarter, quarters a minute).

    name: of the track; files with other names have other md5s, so they don't count as the same music.
    """
    score = Score(TPQ)
    score.time_signatures.append(TimeSignature(0, *meter))
    for quarter, qpm in tempi:
        score.tempos.append(Tempo(quarter * TPQ, qpm))
    track = Track(name, 0, False)
    step = TPQ // per_quarter
    for i in range(quarters * per_quarter):
        track.notes.append(Note(i * step, step, 60 + i % 12, 80))
    score.tracks.append(track)
    return score.dumps_midi()


@dataclass
class CountingEncoder:
    """An encoder whose latents are simple statistics of a bar's words; it counts the pieces that it encodes."""

    digest: str = "a" * 64
    name: str = "stand-in"
    width: int = 4
    levels: int = 2
    all_levels: int = 2
    dtype: str = "torch.float32"
    pieces_encoded: int = 0
    batches: list[int] = field(default_factory=list)

    def encode(self, bars: list) -> list[tuple[np.ndarray, np.ndarray]]:  # type: ignore[type-arg]
        self.pieces_encoded += len(bars)
        self.batches.append(len(bars))
        return [self._encode_piece(piece) for piece in bars]

    def _encode_piece(self, piece) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
        words = [np.asarray(piece[i], dtype=np.float32) for i in range(len(piece))]
        latents = np.array([(len(w), w.mean(), w.std(), w.max()) for w in words], dtype=np.float32)
        return np.zeros((len(piece), self.levels), dtype=np.int16), latents


@pytest.fixture
def make_midi() -> Callable[..., bytes]:
    return piano_midi


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture
def make_encoder() -> type[CountingEncoder]:
    return CountingEncoder


@pytest.fixture
def emopia_zip(tmp_path: Path) -> Path:
    """Twelve valid clips of six songs, with more notes a beat if arousal is high, and one clip of each invalid kind."""
    clips = {
        split: [f"Q{q}_{split}song{q % 2}_{k}.mid" for q, k in ((1, 0), (2, 1), (3, 2), (4, 3))]
        for split in ("train", "val", "test")
    }
    midis = {c: piano_midi(8, 4 if c[1] in "12" else 1, name=c) for names in clips.values() for c in names}
    midis["Q1_stray_0.mid"] = piano_midi(8)  # in no split
    clips["val"].append("Q2_gone_0.mid")  # has no MIDI file
    clips["test"].append("Q3_trainsong1_9.mid")  # its song is in train
    midis["Q3_trainsong1_9.mid"] = piano_midi(8)
    path = tmp_path / "EMOPIA_2.2.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in midis.items():
            archive.writestr(f"EMOPIA_2.2/midis/{name}", content)
        archive.writestr("__MACOSX/EMOPIA_2.2/midis/._Q1_stray_0.mid", b"junk")
        for split, names in clips.items():
            rows = "".join(f"{i},{name},{name[1]}\n" for i, name in enumerate(names))
            archive.writestr(f"EMOPIA_2.2/split/{split}_clip.csv", f",clip_name,4Q\n{rows}")
    return path


@pytest.fixture
def vgmidi_folder(tmp_path: Path) -> Path:
    """Eight games with a piece of four measures each, rated by three raters, and some invalid ratings."""
    root = tmp_path / "vgmidi-main" / "labelled"
    (root / "midi").mkdir(parents=True)
    (root / "annotations").mkdir()
    pieces, annotations = {}, {}
    for k in range(8):
        midi = f"Series_NES_Game {k}_A Title_with Underscore.mid"
        (root / "midi" / midi).write_bytes(piano_midi(16, 1 + k % 4, name=f"game {k}"))
        pieces[f"piece{k}"] = {"audio": "a.wav", "duration": 8, "measures": 4, "midi": midi, "name": "A Title"}
        for rater, shift in enumerate((-0.1, 0.0, 0.4), start=1):
            valence = [round(0.05 * k + shift + 0.01 * m, 2) for m in range(4)]
            arousal = [round(0.2 * (k % 4) - 0.3 + shift, 2)] * 4
            annotations[f"piece{k}_{rater}"] = {"valence": valence, "arousal": arousal, "isKnown": 0}
    annotations["piece0_4"] = {"valence": [0.1] * 3, "arousal": [0.1] * 4}  # one measure short
    annotations["piece0_5"] = {"valence": [0.1] * 5, "arousal": [0.1] * 5}  # one measure long
    annotations["piece0_6"] = {"valence": [1.5] * 4, "arousal": [0.1] * 4}  # off the scale
    annotations["piece99_1"] = {"valence": [0.1] * 4, "arousal": [0.1] * 4}  # its piece is not listed
    record = {"pieces": pieces, "annotations": annotations}
    (root / "annotations" / "vgmidi_raw_1.json").write_text(json.dumps(record))
    (root / "annotations" / "vgmidi_raw_2.json").write_text(json.dumps({"pieces": {}, "annotations": {}}))
    return root.parent
