"""Songs that are left out, notes that are left out, and files that end the process that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path

import pytest
from crashing_reader import convert_with_crashing_reader
from small_dataset import assert_only_these_failed, read, rows_of, settings_for, song, write_parquet
from symusic import Note, Score, Track

from musetok_bridge import conversion
from musetok_bridge.scores import WHY_LEFT_OUT, Limits
from pipeline.annotations import LEFT_OUT, SONGS, names
from pipeline.settings import load_settings
from pretrain_model import features, head
from pretrain_model.played_songs import Played
from process_gigamidi import prediction
from process_gigamidi.annotation import annotate
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
from process_gigamidi.annotator import Annotator, annotate_part


def test_every_reason_for_leaving_out_a_note_has_a_column() -> None:
    columns = [name for name in names(SONGS) if name.startswith(LEFT_OUT)]
    assert columns == [f"{LEFT_OUT}{reason}" for reason in WHY_LEFT_OUT]


@pytest.mark.usefixtures("models")
def test_an_unforeseen_fault_in_one_song_costs_that_song(
    hub_copy: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert = conversion.read_bars

    def stumble(score: object, **how: object) -> object:
        song = convert(score, **how)  # type: ignore[arg-type]
        if len(song.bars) == 5:
            raise ZeroDivisionError("no\nsuch thing")
        return song

    monkeypatch.setattr(conversion, "read_bars", stumble)
    totals = annotate(settings_for(hub_copy, tmp_path / "out"))
    songs, failures = read(tmp_path / "out", "songs"), read(tmp_path / "out", "failures")
    internal = failures[failures["reason"] == "internal: ZeroDivisionError: no such thing"]
    before = read(finished, "songs")
    assert Counter(internal["md5"]) == Counter(before[before["n_bars"] == 5]["md5"])
    assert songs["md5"].tolist() == before[before["n_bars"] != 5]["md5"].tolist()
    assert totals.songs + totals.failures == 23


def test_a_fault_in_the_features_of_one_song_costs_that_song_wherever_it_is_predicted(
    hub_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotate(settings_for(hub_copy, tmp_path / "whole", "compute.workers=0"))
    before = read(tmp_path / "whole", "songs")
    compute = features.features_of_songs

    def stumble(songs: Sequence[Played]) -> object:
        if any(len(song.quarters) == 5 for song in songs):
            raise ZeroDivisionError("no such thing")
        return compute(songs)

    monkeypatch.setattr(head, "features_of_songs", stumble)
    with closing(Annotator(settings_for(hub_copy, tmp_path / "limited"))) as annotator:
        for part in range(annotator.source.n_parts):
            annotate_part(annotator, annotator.run, part, guard=conversion.Guard(60, 1000))
    annotate(settings_for(hub_copy, tmp_path / "unlimited"))
    for folder in ("limited", "unlimited"):
        failures = read(tmp_path / folder, "failures")
        internal = failures[failures["reason"] == "internal: ZeroDivisionError: no such thing"]
        assert internal["md5"].tolist() == before[before["n_bars"] == 5]["md5"].tolist()
        assert set(internal["stage"]) == {"convert"}
        assert read(tmp_path / folder, "songs")["md5"].tolist() == before[before["n_bars"] != 5]["md5"].tolist()
    settings = load_settings(AnnotationSettings, SETTINGS_FILE)
    alone = partial(prediction.predict_song, head.load_head(), settings.limits.memory_mb)  # as in converting processes
    failed = conversion.convert_song(song(5), bars=settings.bars, limits=settings.limits, perform=alone)
    assert failed == conversion.Failure("convert", "internal: ZeroDivisionError: no such thing")


def test_a_conversion_that_runs_out_of_memory_leaves_it_to_its_process_to_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_memory(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(conversion, "read_bars", no_memory)
    settings = load_settings(AnnotationSettings, SETTINGS_FILE)
    with pytest.raises(MemoryError):
        conversion.convert_song(song(2), bars=settings.bars, limits=settings.limits, perform=None)


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_files_that_crash_hang_or_bloat_their_process_cost_their_rows_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    files = [song(1 + i % 5, 40 + i) for i in range(40)]  # each a file of its own
    rows = rows_of(files)
    write_parquet(tmp_path / "data" / "train.parquet", rows)
    annotate(settings_for(tmp_path / "data", tmp_path / "whole"))
    fates = {3: "crashed", 21: "crashed", 22: "too_large", 23: "timeout", 39: "crashed"}
    crashing = partial(convert_with_crashing_reader, {rows[i]["md5"]: fate for i, fate in fates.items()})
    monkeypatch.setattr(prediction, "convert_song", crashing)
    limits = ("limits.seconds=2", "limits.memory_mb=100")
    totals = annotate(settings_for(tmp_path / "data", tmp_path / "out", f"compute.workers={workers}", *limits))
    assert (totals.songs, totals.failures) == (35, 5)
    assert_only_these_failed(tmp_path / "out", tmp_path / "whole", {rows[i]["md5"]: fate for i, fate in fates.items()})


@pytest.mark.usefixtures("models")
def test_what_was_left_out_of_a_song_is_counted_in_its_row(tmp_path: Path) -> None:
    score = Score.from_midi(song(2))  # six notes
    score.tracks.append(score.tracks[0].copy())  # doubled
    score.tracks.append(Track(is_drum=True))
    score.tracks[-1].notes.append(Note(0, 100, 36, 80))
    for pitch in (20, 109):
        score.tracks[0].notes.append(Note(0, 480, pitch, 80))
    score.tracks[0].notes.extend([Note(0, 480, pitch, 80) for pitch in range(40, 80) if pitch != 60])
    score.tracks[0].notes.append(Note(960, 0, 50, 80))
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi" / "song.mid").write_bytes(score.dumps_midi())
    annotate(settings_for(tmp_path / "midi", tmp_path / "out"))
    row = read(tmp_path / "out", "songs").iloc[0]
    counts = ["n_notes", *(f"left_out_{why}" for why in ("drums", "zero_length", "out_of_range", "merged"))]
    assert row[counts].tolist() == [45, 1, 1, 2, 6]
    as_it_is = ("bars.merge_doubled=false", "bars.thin_long_bars=false")
    annotate(settings_for(tmp_path / "midi", tmp_path / "plain", *as_it_is))
    assert read(tmp_path / "plain", "songs").loc[0, ["n_notes", "left_out_merged"]].tolist() == [45 + 6, 0]


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(("thin", "in_words"), [("true", 42), ("false", 52)])
def test_thick_bars_are_thinned_if_so_set(tmp_path: Path, thin: str, in_words: int) -> None:
    score = Score.from_midi(song(2))
    score.tracks[0].notes.extend([Note(0, 480, pitch, 80) for pitch in range(40, 90) if pitch != 60])
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi" / "song.mid").write_bytes(score.dumps_midi())
    annotate(settings_for(tmp_path / "midi", tmp_path / "out", f"bars.thin_long_bars={thin}"))
    assert read(tmp_path / "out", "bars")["n_notes"].tolist() == [in_words, 3]
    assert read(tmp_path / "out", "songs")["left_out_thinned"].tolist() == [52 - in_words]


@pytest.mark.usefixtures("models")
def test_a_limit_in_the_settings_is_a_reason_in_failures(hub_copy: Path, tmp_path: Path) -> None:
    annotate(settings_for(hub_copy, tmp_path / "out", "limits.bars=5", "limits.notes=30"))
    songs, failures = read(tmp_path / "out", "songs"), read(tmp_path / "out", "failures")
    reasons = Counter(failures["reason"].str.split(":").str[0])
    assert songs["n_bars"].max() == 5
    assert (reasons["too_many_bars"], reasons["too_many_notes"]) == (5, 2)  # of 6 to 10 bars; 11 and 12, over 30 notes


def test_the_default_limits_are_those_of_the_settings_file() -> None:
    settings = load_settings(AnnotationSettings, SETTINGS_FILE).limits
    assert {field.name: getattr(settings, field.name) for field in fields(Limits)} == asdict(Limits())


@pytest.mark.usefixtures("models")
def test_a_song_lasts_until_its_last_bar_when_a_note_is_rounded_into_it(tmp_path: Path) -> None:
    score = Score.from_midi(song(2))  # four seconds
    score.tracks[0].notes.append(Note(2875, 3, 60, 80))  # just before the third bar, written at its start
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi" / "song.mid").write_bytes(score.dumps_midi())
    annotate(settings_for(tmp_path / "midi", tmp_path / "out"))
    assert read(tmp_path / "out", "bars")["start_seconds"].tolist() == [0, 2, 4]
    assert read(tmp_path / "out", "songs")["duration_seconds"].tolist() == [4]
