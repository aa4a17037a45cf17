"""The parts of a data card that say where the songs and the numbers come from, and what follows from that.

Songs come from GigaMIDI (the Hub or a local copy), from another dataset, or from a folder of MIDI files; numbers from a
head that is bundled with the project, whose figures are known, or from another one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .annotated_splits import MAY_DIFFER, AnnotatedSplit
from .export_settings import ExportSettings
from .model_figures import Head, absolute_error, head_of

GIGAMIDI = "Metacreation/GigaMIDI"
PLACEHOLDER = "NAME/gigamidi-valence-arousal"  # where the data set isn't pushed; a reader puts in what it is called

WITH_DATASET = '''\
from datasets import load_dataset

how = {{"split": "{split}", "streaming": True}}
songs = iter(load_dataset("{repo}", "songs", **how))
song = next(songs)
for row in load_dataset({dataset}, columns=["md5", "music"], **how):
    if song and row["md5"] == song["md5"]:  # else the row could not be annotated
        print(song["md5"], len(row["music"]), *zip(song["start_tick"], song["valence"], song["arousal"]))
        song = next(songs, None)
assert song is None, "not the revision that was annotated"'''
WITH_FILES = """\
from hashlib import md5
from pathlib import Path

from datasets import load_dataset

files = {{md5(path.read_bytes()).hexdigest(): path for path in Path("MIDI_FILES").rglob("*") if path.is_file()}}
for song in load_dataset("{repo}", "songs", split="{split}", streaming=True):
    bars = zip(song["start_tick"], song["valence"], song["arousal"])
    print(files[song["md5"]], *bars)"""
LONGEST = 60  # characters of somebody else's text
_MEANT = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:@=])")  # what Markdown or the Hub could take for more than a letter


@dataclass(frozen=True)
class Origin:
    """Where a data set's songs and numbers come from."""

    splits: tuple[AnnotatedSplit, ...]
    settings: ExportSettings

    @property
    def first(self) -> AnnotatedSplit:
        """The split that stands for all in what they have in common."""
        return self.splits[0]

    @property
    def head(self) -> Head | None:
        """The bundled head that made the numbers; None if it is another."""
        return head_of(str(self.first.decides["model.head"]))

    @property
    def is_midi_folder(self) -> bool:
        """Whether the songs were MIDI files in a folder, not a dataset."""
        return "dataset.split" not in self.first.decides

    @property
    def is_gigamidi(self) -> bool:
        """Whether the songs are GigaMIDI's."""
        return not self.is_midi_folder and self.first.settings.dataset.name == GIGAMIDI

    @property
    def source(self) -> str:
        """The songs' source, as the end of 'songs of'."""
        if self.is_midi_folder:
            return "a folder of MIDI files"
        dataset = self.first.settings.dataset
        page = f"https://huggingface.co/datasets/{dataset.name}"
        return f"[{plain(dataset.name)}]({page}) {plain(dataset.config)}"

    def joined(self) -> dict[str, str]:
        """How to have the music beside its annotations: join_heading, join and example."""
        repo = self.settings.export.repo or PLACEHOLDER
        if self.is_midi_folder:
            return {
                "join_heading": "Together with the MIDI files",
                "join": "A song's `md5` is that of its file's bytes.",
                "example": WITH_FILES.format(repo=repo, split=self.first.name),
            }
        dataset = self.first.settings.dataset
        revision = self.first.decides.get("dataset.revision")
        where = f"{json.dumps(dataset.name)}, {json.dumps(dataset.config)}"  # JSON's texts are Python's as well
        where += f', revision="{revision}"' if revision else ""
        name = "GigaMIDI" if self.is_gigamidi else plain(dataset.name)
        return {
            "join_heading": f"Together with {name}",
            "join": f"A song's `md5` is that of {name}. Both stand in the same order, so the two can be streamed side "
            "by side in little memory, with nothing kept on disk; songs that could not be annotated are passed over"
            + (", and the revision is the one that was annotated:" if revision else ":"),
            "example": WITH_DATASET.format(dataset=where, repo=repo, split=self.first.name),
        }

    def made(self) -> str:
        """How the numbers came about."""
        code = self.settings.card.code
        version = self.first.versions.get("valence-arousal", "")
        pipeline = f"[valence-arousal]({code})" if code else "valence-arousal"
        revision = self.first.decides.get("dataset.revision")
        at = f" at revision `{revision}`" if revision else "" if self.is_midi_folder else " (a local copy)"
        head = (
            f"The head `{self.head.name}`, which comes with the pipeline, predicts valence and arousal from "
            f"{self.head.reads}."
            if self.head
            else "A head that doesn't come with the pipeline predicts valence and arousal; its digest is below."
        )
        return (
            f"By `process_gigamidi/01_annotate.py` of the pipeline {pipeline} {version}, from {self.source}{at}. "
            "A file is cut into bars by its time signatures, and its pitched tracks are read together as one piano. "
            f"{head} The predictions are written with four decimals, the times with three."
        )

    def decides(self) -> str:
        """What the numbers follow from, as rows of a table: digests of weights, settings, and each split's data."""
        common = [(f"`{key}`", _value(value)) for key, value in self.first.decides.items() if key not in MAY_DIFFER]
        of_splits = [
            (f"`{key}` of {plain(split.name)}", _value(split.decides[key]))
            for split in self.splits
            for key in MAY_DIFFER
            if key in split.decides and key != "dataset.split"
        ]
        return table_rows([*common, *of_splits])

    def versions(self) -> str:
        """The versions of what made the numbers; of all splits, where they differ."""
        pairs = dict.fromkeys(pair for split in self.splits for pair in split.versions.items())
        return ", ".join(f"{plain(name)} {plain(version)}" for name, version in pairs)

    def licence_facts(self) -> str:
        """What the licence has to meet."""
        facts = []
        if self.is_gigamidi:
            facts.append(
                "GigaMIDI is under CC BY-NC 4.0, and access to it is granted on request. No music is in this data set; "
                "style tags, titles and artists are copied from GigaMIDI, and the numbers are derived from its files."
            )
        else:
            facts.append("No music is in this data set; of what is copied from the source, its own licence holds.")
        if self.head:
            facts.append(
                "The weights were trained on EMOPIA, which is under CC BY-NC-SA 4.0, and on VGMIDI, which is for "
                "research with citation; the weights are for non-commercial research."
            )
        if self.is_gigamidi and self.head and self.settings.card.license == "cc-by-nc-sa-4.0":
            facts.append(
                "CC BY-NC-SA 4.0 meets all three: not for commercial use, with the authors named, and shared alike."
            )
        return "\n".join(f"- {fact}" for fact in facts)

    def failings(self) -> str:
        """What is known to be wrong with the numbers, as a list."""
        facts = []
        if self.head:
            facts += [
                "**Whose ears?** The scale is that of some thirty listeners of piano arrangements of game music, and "
                "of the people who sorted clips of pop piano into quadrants. Other music is outside of what the model "
                "has heard; the standard deviations don't know that.",
                "**The course within a piece is the weakest part**, above all of valence (figures below). Half of what "
                "ratings move within a piece is the listeners' noise.",
                "**Four decimals are not accuracy.** They are kept so that the numbers are the same for everybody; per "
                f"bar the mean absolute error against the mean of the listeners is {absolute_error(self.head)}.",
            ]
        facts += [
            "**Predictions are drawn to the middle**, as of any regression: extremes are rarer than in ratings.",
            "**Instruments and drums are not heard.** A distorted guitar is as loud as its velocities.",
            "**Velocities and tempo are the file's.** Of files written without dynamics, loudness says nothing.",
            "**Performances without a beat grid** have bars that are windows of time, not the music's own.",
            "**A bar without notes** (`n_notes` 0) is predicted from the bars around it.",
            "Broken files, files without pitched notes and files beyond the `limits` above have no rows. A file that "
            "is in the source twice is here twice. Titles, artists and styles are the source's, errors included.",
        ]
        if self.head and self.head.name == "bundled_mlp":
            facts.append(
                "**Neither tempo nor loudness nor key is heard** by this head, which reads single bars: a loud, fast "
                "bar and a soft, slow one with the same notes get the same numbers."
            )
        return "\n".join(f"- {fact}" for fact in facts)


def _value(value: Any) -> str:
    return "none" if value is None else plain(str(value)) if len(str(value)) < 64 else f"`{value}`"


def plain(text: str) -> str:
    """Somebody else's text so that Markdown shows it as it is: one printable line of at most LONGEST characters."""
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    text = text if len(text) <= LONGEST else text[: LONGEST - 1].rstrip() + "…"
    return _MEANT.sub(r"\\\1", text)


def table_rows(rows: Iterable[Iterable[object]]) -> str:
    """Rows of a table; the cells are Markdown, whole numbers get thousands' commas."""
    written = ([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in written)
