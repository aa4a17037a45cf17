"""The words equal those of MuseTok's own conversion: small files that come with the tests, and real songs."""

import hashlib
import json
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest

from musetok_bridge import score_to_bars


def test_every_synthetic_file_has_musetoks_words(synthetic):
    expected = json.loads((synthetic / "words.json").read_text())
    assert len(expected) == 32
    for name, answer in expected.items():
        bars = score_to_bars(synthetic / name)
        assert bars.words.tolist() == answer["words"], name
        assert bars.offsets[:-1].tolist() == answer["bar_starts"], name


@pytest.fixture(scope="module")
def real_songs(shared):
    """name -> MIDI bytes of every song in the lists of expected results."""
    songs = {}
    for kind, archive in (("emopia", "EMOPIA_2.2.zip"), ("vgmidi", "vgmidi.zip")):
        with zipfile.ZipFile(shared / "data" / archive) as zipped:
            for name in zipped.namelist():
                if name.endswith(".mid"):
                    songs[f"{kind}/{name.rsplit('/', 1)[1]}"] = zipped.read(name)
    for split in ("validation", "test"):
        for part in sorted((shared / "data" / "gigamidi_sample" / "v2.0.0" / split).glob("*.parquet")):
            table = pq.read_table(part, columns=["md5", "music"]).to_pydict()
            songs |= {f"songs/{md5}": music for md5, music in zip(table["md5"], table["music"], strict=True)}
    return songs


def find(songs, name):
    return songs[name] if name in songs else songs[f"{name}.mid"]


@pytest.mark.slow
def test_every_real_song_has_musetoks_words(shared, real_songs):
    digests = json.loads((shared / "golden" / "words_sha.json").read_text())
    wrong = []
    for name, (n_bars, n_words, digest) in digests.items():
        bars = score_to_bars(find(real_songs, name))
        stored = bars.words.astype("<i2").tobytes() + bars.offsets[:-1].astype("<i4").tobytes()
        if (len(bars), len(bars.words), hashlib.sha256(stored).hexdigest()[:16]) != (n_bars, n_words, digest):
            wrong.append(name)
    print(f"{len(digests) - len(wrong)} of {len(digests)} songs have MuseTok's words")
    assert len(digests) > 1000
    assert wrong == []


def test_real_songs_have_musetoks_words_one_by_one(shared, real_songs):
    stored = np.load(shared / "golden" / "words_real.npz")
    names = {key.rsplit("|", 1)[0] for key in stored.files}
    assert len(names) > 100
    for name in names:
        bars = score_to_bars(find(real_songs, name))
        assert np.array_equal(bars.words, stored[f"{name}|words"]), name
        assert np.array_equal(bars.offsets[:-1], stored[f"{name}|bar_starts"]), name
