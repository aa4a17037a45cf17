"""The adapters: each turns a set's own files into the one form of rated_set.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .deam import prepare_deam
from .emopia import prepare_emopia
from .known_sets import Adapter
from .memo2496 import prepare_memo2496
from .merp import prepare_merp
from .pmemo import prepare_pmemo
from .pretrain_settings import SetSettings
from .rated_set import RatedSet
from .rating_table import prepare_table
from .vgmidi import prepare_vgmidi
from .xmidi import prepare_xmidi

# a set's block, and the folder for its MIDI files -> its pieces and ratings. Raises UserError if the files are others
Prepare = Callable[[SetSettings, Path], RatedSet]
ADAPTERS: dict[Adapter, Prepare] = {
    "emopia": prepare_emopia,
    "vgmidi": prepare_vgmidi,
    "deam": prepare_deam,
    "memo2496": prepare_memo2496,
    "merp": prepare_merp,
    "pmemo": prepare_pmemo,
    "xmidi": prepare_xmidi,
    "table": prepare_table,
}
