"""The music that is measured: a data set that the command line names, or the bundled samples."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from musetok_bridge.settings import PROJECT_ROOT


@contextmanager
def music_folder(data: str | None) -> Iterator[str]:
    """`data` itself, or a folder with the bundled samples as a data set, which is there while the context lasts."""
    if data:
        yield data
        return
    with tempfile.TemporaryDirectory() as folder:
        script = PROJECT_ROOT / "samples" / "make_dataset.py"
        subprocess.run([sys.executable, str(script), "--out", folder], check=True, stdout=subprocess.DEVNULL)
        yield folder
