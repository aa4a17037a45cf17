"""What all tests share: where the fixtures and the real music are, a small data set, and models without training."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from script_runs import run_script
from small_dataset import README, PlainEncoder, PlainHead, mixed_songs, rows_of, song, write_parquet

from musetok_bridge.settings import PROJECT_ROOT

# The tests' models are small, and threads that spin while they wait stall whatever else is at work on the machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

FIXTURES = Path(__file__).parent / "fixtures"
SHARED = PROJECT_ROOT.parent / "shared"


@pytest.fixture
def synthetic() -> Path:
    """Folder of small MIDI files, each named after the rule it exercises, and `words.json`."""
    return FIXTURES / "synthetic"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of the real music and expected results that stand beside the project; the test skips without it."""
    if not (SHARED / "golden").is_dir():
        pytest.skip("needs the real music in ../shared, which is not here")
    return SHARED


@pytest.fixture(scope="session")
def sample_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The samples as a data set; for tests that only read it."""
    out = tmp_path_factory.mktemp("samples") / "set"
    done = run_script("samples/make_dataset.py", "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    return out


@pytest.fixture
def hub_copy(tmp_path: Path) -> Path:
    """A local copy of a dataset with an old release as the default and v2.0.0 in two files."""
    folder = tmp_path / "copy"
    rows = rows_of(mixed_songs())
    write_parquet(folder / "v2.0.0" / "train" / "train-00000.parquet", rows[:10])
    write_parquet(folder / "v2.0.0" / "train" / "train-00001.parquet", rows[10:])
    write_parquet(folder / "v1.0.0" / "train.parquet", rows_of([song(1, 30)]))
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Plain models in the place of the trained ones."""
    plain = SimpleNamespace(encoder=PlainEncoder(), head=PlainHead())
    monkeypatch.setattr("musetok_bridge.load_encoder", lambda *_: plain.encoder)
    monkeypatch.setattr("process_gigamidi.prediction.load_head", lambda *_: plain.head)
    return plain
