"""A reader that crashes, hangs, or fills the memory on chosen files, as native code may do."""

from __future__ import annotations

import ctypes
import hashlib
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from musetok_bridge import conversion
from musetok_bridge.conversion import Converted, Failure
from musetok_bridge.scores import ReadScore, read_midi
from process_gigamidi import prediction
from process_gigamidi.annotation_settings import AnnotationSettings
from process_gigamidi.annotator import Annotator


def convert_with_crashing_reader(fates: Mapping[str, str], music: bytes | None, **how: Any) -> Converted | Failure:
    """As convert_song, but files whose md5 is in `fates` meet theirs when they are read.

    For worker processes only: it takes the place of the reader in the process that it runs in.
    """

    def read(data: bytes, limits: Any) -> ReadScore:
        fate = fates.get(hashlib.md5(data).hexdigest())
        if fate == "crashed":
            ctypes.string_at(0)  # a null pointer: the process dies of SIGSEGV as it would of a fault in native code
        if fate == "timeout":
            time.sleep(3600)
        if fate == "too_large":
            eaten = [bytearray(10_000_000) for _ in range(1000)]
            raise AssertionError(f"ate {len(eaten)} times 10 MB and nothing happened")
        return read_midi(data, limits)

    conversion.read_midi = read
    return conversion.convert_song(music, **how)


def annotator_with_crashing_reader(fates: Mapping[str, str], settings: AnnotationSettings) -> Annotator:
    """An Annotator whose files meet their fates, in this process and in those that it starts."""
    prediction.convert_song = partial(convert_with_crashing_reader, fates)  # type: ignore[assignment]
    return Annotator(settings)
