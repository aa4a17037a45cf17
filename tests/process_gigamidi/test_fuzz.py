"""Whatever a file holds, the result is valid bars or a named reason."""

from __future__ import annotations

import hashlib
import multiprocessing
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import symusic
from checked_conversion import REASONS, as_read, by_the_standard, convert_and_weigh, facts
from crashing_reader import convert_with_crashing_reader
from fuzz import outcomes, processes_started, reason_of
from guarded_conversion import in_guarded_processes
from midi_events import END, Event, Note, Reading, Running, Song, parsed, reading_of
from midi_grammar import EDITS, RUNNING
from mutated_midi import MUTATIONS, bundled_files, mutations, worst_files

from musetok_bridge import score_to_bars
from musetok_bridge.conversion import Converted
from pipeline.settings import load_settings
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings

SETTINGS = load_settings(AnnotationSettings, SETTINGS_FILE)
LIMITS = SETTINGS.limits
PEAK_MB = 300


@pytest.mark.parametrize("n", [1_000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_mutations_end_as_bars_or_as_a_named_reason(n: int) -> None:
    files = list(mutations(bundled_files(), n, seed=1))
    found = [outcome for _, outcome in outcomes(files, SETTINGS, workers=2)]
    assert len(found) == n
    reasons = Counter(map(reason_of, found))
    print(dict(reasons))
    unnamed = {o.reason for o in found if not isinstance(o, Converted) and o.reason.split(":")[0] not in REASONS}
    assert not unnamed
    assert reasons["bars"] > n / 4  # if all mutations were unreadable, nothing would be tested
    assert sum(reasons.values()) - reasons["bars"] > n / 4
    assert {"unreadable", "no_notes", "no_time", "too_many_bars"} <= reasons.keys()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_most_files(mutation: object) -> None:
    files = bundled_files()
    mutated = mutations(files, 40 * len(MUTATIONS), seed=2)
    changed = [music not in files for by, music in mutated if by == mutation.__name__]  # type: ignore[attr-defined]
    assert sum(changed) > 0.6 * len(changed) > 20


@pytest.mark.parametrize("running", RUNNING)
def test_events_that_are_written_are_read_again(running: Running) -> None:
    for music in bundled_files():
        song = parsed(music)
        assert song.tracks
        assert parsed(song.file(running)) == song


def test_the_reader_of_the_tests_finds_what_symusic_finds() -> None:
    for music in bundled_files():
        assert reading_of(parsed(music)) == as_read(music)
        assert reading_of(parsed(music)).notes


def test_a_note_ends_the_one_that_has_sounded_longest() -> None:
    begin, end = Event(10, b"\x90", b"\x3c\x50"), Event(10, b"\x80", b"\x3c\x00")
    song = Song(0, 480, [[begin, begin, Event(0, b"\xc0", b"\x07"), end, end, end, begin, Event(0, END)]])
    assert reading_of(song).notes == {Note(10, 20, 60, 80, 0, False): 1, Note(20, 20, 60, 80, 0, False): 1}
    assert reading_of(song) == as_read(song.file("never"))


def test_most_files_of_edited_events_are_valid() -> None:
    edited = [m for m in mutations(bundled_files(), 10 * len(MUTATIONS), seed=3) if m.by in {e.__name__ for e in EDITS}]
    assert sum(isinstance(by_the_standard(music), Reading) for _, music in edited) > len(edited) / 2


def test_a_valid_file_that_is_misread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    song = parsed(bundled_files()[0])
    music = song.file("never")
    fewer = symusic.Score.from_midi(music)
    fewer.tracks[0].notes.pop()  # type: ignore[attr-defined]
    monkeypatch.setattr("checked_conversion.read_score", lambda _: fewer)
    wrong = [name for name, holds in facts(score_to_bars(music), music) if not holds]
    assert "a valid file is read whole" in wrong


def test_processes_that_die_are_counted() -> None:
    good = bundled_files()[0]
    bad = good + b"\0"
    convert = partial(
        convert_with_crashing_reader,
        {hashlib.md5(bad).hexdigest(): "crashed"},
        bars=SETTINGS.bars,
        limits=LIMITS,
        perform=None,
    )
    started = []
    for files in ([good], [good, bad, good]):
        found = in_guarded_processes(files, convert, 1, LIMITS.seconds, LIMITS.memory_mb)
        reasons, numbers = zip(*((reason_of(outcome), processes_started()) for _, outcome in found), strict=True)
        started.append(numbers[-1])
    assert reasons == ("bars", "crashed", "bars")
    assert started[1] - started[0] == 1 + 2  # a song is blamed after it has ended two processes


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
