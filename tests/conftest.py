"""What all tests share: where the project's fixtures and the data beside it are."""

import os
from pathlib import Path

import pytest

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
