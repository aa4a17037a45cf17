"""What real files contain, and how it is converted: meters, doubled notes, full bars, notes left out, failures.

    python benchmarks/real_files.py --data DIR --split train

DIR is a data set in the Hub's layout, a folder of Parquet files or a folder of MIDI files. Without --data the bundled
samples are counted. Each song is converted with the options of config/gigamidi.yaml for several tracks and again
without them, which shows their effect. Everything runs in this process, without the limits of time and memory of
01_annotate.py: a file that crashes symusic ends the count.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import islice

import numpy as np
from measured_music import music_folder
from tqdm import tqdm

from musetok_bridge.bars import Bars
from musetok_bridge.bridge_settings import BarSettings
from musetok_bridge.conversion import Failure, convert_song
from musetok_bridge.meters import written_meter
from musetok_bridge.scores import WHY_LEFT_OUT
from musetok_bridge.vocabulary import MAX_BAR_WORDS, METERS
from pipeline.settings import UserError, load_settings
from process_gigamidi.annotation_settings import AnnotationSettings
from song_sources.gigamidi_source import open_source

FEWEST_BARS = 10  # for a meter to get a row of its own
STEPS = {
    "as it is": BarSettings(merge_doubled=False, thin_long_bars=False),
    "merged": BarSettings(merge_doubled=True, thin_long_bars=False),
    "thinned": BarSettings(merge_doubled=True, thin_long_bars=True),
}


class Census:
    """Counts over songs: `files`, `bars` and `notes` by property, such as a meter, and `failures` by reason."""

    def __init__(self) -> None:
        self.files: Counter[str] = Counter()
        self.bars: Counter[str] = Counter()
        self.notes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def count(self, music: bytes | None, settings: AnnotationSettings) -> None:
        """Convert a song with each of STEPS and add it to the counts."""
        self.files["all"] += 1
        for step, options in STEPS.items():
            outcome = convert_song(music, options, settings.limits, perform=None)
            if isinstance(outcome, Failure):
                self.failures[outcome.reason.split(":")[0]] += 1
                return
            crowded = int((np.diff(outcome.bars.offsets) > MAX_BAR_WORDS).sum())
            self._add(f"over {step}", bars=crowded)
        self._count_converted(outcome.bars)

    def _count_converted(self, bars: Bars) -> None:
        self._add("converted", bars=len(bars), notes=int(bars.n_notes.sum()))
        for why, n_notes in bars.left_out.items():
            self._add(why, notes=n_notes)
        self._add("change", bars=sum(a != b for a, b in zip(bars.meter, bars.meter[1:], strict=False)))
        meters = Counter(bars.meter)
        for meter, n_bars in meters.items():
            self._add(f"meter {meter}", bars=n_bars)
        self._add("outside", bars=sum(n for meter, n in meters.items() if fate_of(meter) != "itself"))

    def _add(self, key: str, bars: int = 0, notes: int = 0) -> None:
        self.files[key] += bool(bars or notes)
        self.bars[key] += bars
        self.notes[key] += notes

    def report(self) -> None:
        """Print the tables."""
        print("| what files hold | files | bars | notes | what became of it |\n|---|---|---|---|---|")
        print(self._row("all", "", "") + "\n" + self._row("converted", "", "annotated"))
        print(self._row("change", "a meter change", "the change opens a bar"))
        print(self._row("outside", "a meter outside the vocabulary", "see below"))
        print(self._row("over as it is", f"a bar over {MAX_BAR_WORDS} words", "merged, then thinned"))
        print(self._row("over merged", "… when doubled notes are merged", "thinned"))
        print(self._row("over thinned", "… when thinned", ""))
        for why, fate in zip(WHY_LEFT_OUT, ["left out"] * 3 + ["the longest stays", "left out"], strict=True):
            print(self._row(why, f"notes: {why.replace('_', ' ')}", fate))
        print("\n| meter outside the vocabulary | files | bars | written as |\n|---|---|---|---|")
        meters = [key.split()[1] for key, _ in self.bars.most_common() if key.startswith("meter ")]
        fates = {meter: fate_of(meter) for meter in meters}
        for meter in meters:
            if fates[meter] != "itself" and self.bars[f"meter {meter}"] >= FEWEST_BARS:
                counts = f"{self.files[f'meter {meter}']:,} | {self.bars[f'meter {meter}']:,}"
                print(f"| {meter} | {counts} | {fates[meter]} |")
        for barred_anew, fate in ((True, "barred anew as 4/4"), (False, "another meter's word, its own length")):
            rare = [meter for meter in meters if self.bars[f"meter {meter}"] < FEWEST_BARS and fates[meter] != "itself"]
            rare = [f"meter {meter}" for meter in rare if fates[meter].startswith("barred anew") == barred_anew]
            files, bars = (sum(count[key] for key in rare) for count in (self.files, self.bars))
            if rare:
                print(f"| {len(rare)} more | {files:,} | {bars:,} | {fate} |")
        print(f"\nfailures: {', '.join(f'{why} {n:,}' for why, n in self.failures.most_common()) or 'none'}")

    def _row(self, key: str, name: str, fate: str) -> str:
        share = 100 * self.files[key] / max(1, self.files["all"])
        counts = " | ".join(f"{n:,}" if n else "" for n in (self.bars[key], self.notes[key]))
        return f"| {name or key} | {self.files[key]:,} ({share:.1f} %) | {counts} | {fate} |"


def fate_of(meter: str) -> str:
    """How a notated meter is written: as itself, as another with its own bar length, or in bars of 4/4."""
    numerator, denominator = map(int, meter.split("/"))
    if (numerator, denominator) in METERS:
        return "itself"
    (n, d), length = written_meter(numerator, denominator)
    return f"{n}/{d}, its own length" if length * denominator == numerator else f"barred anew as {n}/{d}"


def main() -> None:
    """Read the command line, convert, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="a data set or folder; default: the bundled samples")
    parser.add_argument("--split", default="train", help="train, validation or test; default train")
    parser.add_argument("--limit", type=int, help="songs; default all")
    arguments = parser.parse_args()
    census = Census()
    try:
        with music_folder(arguments.data) as data:
            where = [f"dataset.path={data}", f"dataset.split={arguments.split}"]
            settings = load_settings(AnnotationSettings, "gigamidi.yaml", overrides=where)
            source = open_source(settings.dataset, max_bytes=settings.limits.file_bytes)
            rows = islice(source.all_rows(), arguments.limit)
            for row in tqdm(rows, total=source.n_rows, unit=" songs", leave=False):
                census.count(row.music, settings)
    except UserError as error:
        sys.exit(f"error: {error}")
    census.report()


if __name__ == "__main__":
    main()
