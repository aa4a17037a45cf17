"""Whatever a file holds, the result is valid bars or a named reason."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from pathlib import Path

import pytest
from checked_conversion import REASONS, convert_and_weigh, facts
from fuzz import outcomes
from mutated_midi import MUTATIONS, bundled_files, mutations, worst_files

from musetok_bridge import score_to_bars
from pipeline.settings import load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.conversion import Converted

SETTINGS = load_settings(AnnotationSettings, SETTINGS_FILE)
LIMITS = SETTINGS.limits
PEAK_MB = 300


@pytest.mark.parametrize("n", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutations_end_as_bars_or_as_a_named_reason(n: int) -> None:
    files = list(mutations(bundled_files(), n, seed=1))
    found = [outcome for _, outcome in outcomes(files, SETTINGS, workers=2)]
    assert len(found) == n
    reasons = Counter("bars" if isinstance(o, Converted) else o.reason.split(":")[0] for o in found)
    print(dict(reasons))
    unnamed = {o.reason for o in found if not isinstance(o, Converted) and o.reason.split(":")[0] not in REASONS}
    assert not unnamed
    assert reasons["bars"] > n / 4  # if all mutations were unreadable, nothing would be tested
    assert sum(reasons.values()) - reasons["bars"] > n / 4
    assert {"unreadable", "no_notes", "no_time", "too_many_bars"} <= reasons.keys()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_most_files(mutation: object) -> None:
    only = MUTATIONS.index(mutation)  # type: ignore[arg-type]
    files = bundled_files()
    changed = [
        music not in files for i, music in enumerate(mutations(files, 400, seed=2)) if i % len(MUTATIONS) == only
    ]
    assert sum(changed) > 0.6 * len(changed)


WORST = list(worst_files(LIMITS.file_bytes, LIMITS.notes, LIMITS.bars))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc to see the peak memory")
@pytest.mark.parametrize(("what", "music"), WORST, ids=[what.replace(" ", "-") for what, _ in WORST])
def test_the_worst_files_stay_within_the_memory_that_a_file_may_take(what: str, music: bytes) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    how = {"bars": SETTINGS.bars, "limits": LIMITS}
    process = context.Process(target=convert_and_weigh, args=(music, theirs, how))
    process.start()
    assert ours.poll(120)
    reason, peak, seconds = ours.recv()
    process.join()
    print(f"| {what} | {len(music):,} | {reason.split(':')[0]} | {seconds:.2f} | {peak:.0f} |")
    assert reason.split(":")[0] in REASONS | {"bars"}
    assert peak < PEAK_MB


def test_the_checks_find_wrong_bars(synthetic: Path) -> None:
    music = (synthetic / "two_tracks.mid").read_bytes()
    bars = score_to_bars(music)
    assert all(holds for _, holds in facts(bars, music))
    bars.start_seconds[1] = -1
    bars.n_notes[0] += 1
    assert [name for name, holds in facts(bars, music) if not holds] == [
        "bars hold three words a note",
        "time goes on",
        "every note is counted",
    ]
