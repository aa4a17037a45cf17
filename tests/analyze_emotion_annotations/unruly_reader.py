"""A reader of songs that some files crash or keep busy for ever, as they may do to native code."""

from __future__ import annotations

import os
import time

CRASHING, HANGING = b"crash", b"hang"


def unruly_text(music: bytes) -> str:
    """The file's bytes as text, unless it is one of the two that the reader can't take."""
    if music == CRASHING:
        os._exit(139)
    if music == HANGING:
        time.sleep(3600)
    return music.decode("ascii")
