"""Songs of a dataset, row by row in numbered parts: from the Hub, a local copy, or MIDI files."""

import os

# A run tells no one of itself, unless the user wants it. Without the first line datasets reports each opening to a
# counter; without the second huggingface_hub names torch's version in its requests (it sends no other telemetry in
# this version). Both libraries read this when they are imported. Ray's own switch is in process_gigamidi/ray_engine.py.
os.environ.setdefault("HF_UPDATE_DOWNLOAD_COUNTS", "0")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
