"""01_annotate.py with the pauses between two attempts shortened, its own and the Hub client's, so that tests of faults
take seconds; what is tried again, and for how long in all, is unchanged."""

from __future__ import annotations

import runpy

from huggingface_hub.utils import http_backoff

from pipeline.settings import PROJECT_ROOT
from song_sources import source_faults

if __name__ == "__main__":
    http_backoff.__kwdefaults__.update(max_retries=1, base_wait_time=0)
    source_faults.FIRST_PAUSE, source_faults.LONGEST_PAUSE = 0.1, 1.0
    runpy.run_path(str(PROJECT_ROOT / "process_gigamidi" / "01_annotate.py"), run_name="__main__")
