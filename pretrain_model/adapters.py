"""The adapters: each turns a set's own files into the one form of rated_set.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .emopia import prepare_emopia
from .known_sets import Adapter
from .pretrain_settings import SetSettings
from .rated_set import RatedSet
from .vgmidi import prepare_vgmidi

# a set's block, and the folder for its MIDI files -> its pieces and ratings. Raises UserError if the files are others
Prepare = Callable[[SetSettings, Path], RatedSet]
ADAPTERS: dict[Adapter, Prepare] = {
    "emopia": prepare_emopia,
    "vgmidi": prepare_vgmidi,
}
