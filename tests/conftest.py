"""Fixtures that all tests share: paths of test files and real music, a small data set, and untrained models."""

import os

# The tests' models are small, and threads that spin while they wait slow down everything else on the machine.
# Libraries read these when they are loaded, so they are set first.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from script_runs import run_script
from small_dataset import README, mixed_songs, plain_models, rows_of, settings_for, song, write_parquet

from pipeline.settings import PROJECT_ROOT
from process_gigamidi.annotation import annotate

FIXTURES = Path(__file__).parent / "fixtures"
SHARED = PROJECT_ROOT.parent / "shared"


@pytest.fixture
def synthetic() -> Path:
    """Folder of small MIDI files, each named after the rule it exercises, and `words.json`."""
    return FIXTURES / "synthetic"


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of real music and expected results beside the project; the test skips without it."""
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


@pytest.fixture(scope="session")
def unchanged_hub_copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original of hub_copy; for tests and fixtures that only read it."""
    folder = tmp_path_factory.mktemp("hub") / "copy"
    rows = rows_of(mixed_songs())
    write_parquet(folder / "v2.0.0" / "train" / "train-00000.parquet", rows[:10])
    write_parquet(folder / "v2.0.0" / "train" / "train-00001.parquet", rows[10:])
    write_parquet(folder / "v1.0.0" / "train.parquet", rows_of([song(1, 30)]))
    (folder / "README.md").write_text(README, encoding="utf-8")
    return folder


@pytest.fixture
def hub_copy(unchanged_hub_copy: Path, tmp_path: Path) -> Path:
    """A local copy of a dataset with an old release as the default and v2.0.0 in two files."""
    return Path(shutil.copytree(unchanged_hub_copy, tmp_path / "copy"))


@pytest.fixture
def models() -> Iterator[SimpleNamespace]:
    """Plain models replace the trained ones."""
    with plain_models() as plain:
        yield plain


@pytest.fixture(scope="session")
def finished(unchanged_hub_copy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The annotations of hub_copy by the plain models and default settings; for tests that only read them."""
    folder = tmp_path_factory.mktemp("finished") / "out"
    with plain_models():
        annotate(settings_for(unchanged_hub_copy, folder))
    return folder
