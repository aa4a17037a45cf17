"""Which settings of a set are without effect, as its adapter does not read them: probably meant for another set."""

from __future__ import annotations

from .known_sets import KNOWN_SETS, Adapter
from .pretrain_settings import QuadrantPoints, SetSettings, TableColumns

_IN_THE_SET: tuple[Adapter, ...] = ("emopia", "vgmidi", "xmidi")  # whose MIDI files come with the ratings
_OWN_GROUP: tuple[Adapter, ...] = ("emopia", "vgmidi")  # grouped by their files alone


def unused_settings(block: SetSettings) -> list[str]:
    """A line for each setting of a set that is not its default and that its adapter does not use; with the reason.

    What depends on a table's columns is noted when the table is read (rating_table.py).
    """
    adapter, kind = block.adapter, block.rated_as
    group = KNOWN_SETS[adapter].group
    unused = {
        "columns": (block.columns != TableColumns() and adapter != "table", "tables alone have columns of any name"),
        "match_by": (bool(block.match_by) and adapter != "table", "songs of tables alone are found by identity"),
        "alignment": (block.alignment != SetSettings.alignment and adapter != "vgmidi", "it is of vgmidi's measures"),
        "points": (block.points != QuadrantPoints() and adapter != "emopia", "they are of emopia's quadrants"),
        "midi": (block.midi is not None and adapter in _IN_THE_SET, f"{adapter} has MIDI files of its own"),
        "group": (adapter in _OWN_GROUP and block.grouped_by != group, f"{adapter}'s pieces are grouped by {group}"),
        "lag": (
            block.lag != 0 and (kind != "curve" or adapter in _IN_THE_SET),
            "it is of curves over seconds, and " + (f"{adapter} has none" if kind == "curve" else f"kind is {kind}"),
        ),
    }
    return [f"sets.{block.name}.{name} is not used: {why}" for name, (is_unused, why) in unused.items() if is_unused]
