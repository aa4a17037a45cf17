from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_dataset import mixed_songs, read, rows_of, settings_for, song, tables, write_parquet

from musetok_bridge import score_to_bars
from pipeline.settings import UserError
from process_gigamidi import prediction
from process_gigamidi.annotation import annotate


@pytest.mark.usefixtures("models")
def test_every_row_is_in_exactly_one_of_songs_and_failures(hub_copy: Path, tmp_path: Path) -> None:
    totals = annotate(settings_for(hub_copy, tmp_path / "out"))
    songs, failures = read(tmp_path / "out", "songs"), read(tmp_path / "out", "failures")
    given = Counter(row["md5"] for row in rows_of(mixed_songs()))
    assert Counter(songs["md5"]) + Counter(failures["md5"]) == given
    assert not set(songs["md5"]) & set(failures["md5"])
    assert (totals.songs, totals.failures) == (len(songs), len(failures)) == (18, 5)
    assert failures["stage"].tolist() == ["parse", "read", "read", "convert", "parse"]
    assert failures["reason"].str.split(":").str[0].tolist()[3] == "no_pitch"  # the plain head reads latents


def test_songs_and_bars_are_in_the_order_of_the_dataset(finished: Path) -> None:
    songs, bars = read(finished, "songs"), read(finished, "bars")
    failed = set(read(finished, "failures")["md5"])
    expected = [row["md5"] for row in rows_of(mixed_songs()) if row["md5"] not in failed]
    assert songs["md5"].tolist() == expected
    assert bars["md5"].tolist() == np.repeat(songs["md5"], songs["n_bars"]).tolist()
    starts_song = bars["bar_number"] == 0
    assert (bars["bar_number"].diff()[~starts_song] == 1).all()
    assert starts_song.sum() == len(songs)


@pytest.mark.usefixtures("models")
def test_a_bar_of_three_quarters_at_90_a_minute_lasts_two_seconds(tmp_path: Path) -> None:
    folder = tmp_path / "midi"
    folder.mkdir()
    (folder / "waltz.mid").write_bytes(song(5))
    annotate(settings_for(folder, tmp_path / "out"))
    bars, songs = read(tmp_path / "out", "bars"), read(tmp_path / "out", "songs")
    assert bars["start_seconds"].tolist() == [0, 2, 4, 6, 8]
    assert bars["start_tick"].tolist() == [0, 1440, 2880, 4320, 5760]
    assert bars["meter"].tolist() == ["3/4"] * 5
    assert songs.loc[0, ["n_bars", "n_notes", "duration_seconds"]].tolist() == [5, 15, 10]


def test_a_bar_gets_the_prediction_of_its_own_words(hub_copy: Path, tmp_path: Path, models: SimpleNamespace) -> None:
    annotate(settings_for(hub_copy, tmp_path / "out", "compute.bars_per_batch=10"))
    bars, songs = read(tmp_path / "out", "bars"), read(tmp_path / "out", "songs")
    by_md5 = {row["md5"]: row["music"] for row in rows_of(mixed_songs())}
    at = 0
    for row in songs.itertuples():
        (_, latents), *_ = models.encoder.encode([score_to_bars(by_md5[row.md5])])
        expected = np.tanh(latents - 0.5).astype(np.float64)
        written = bars.loc[at : at + row.n_bars - 1, ["valence", "arousal"]].to_numpy()
        np.testing.assert_allclose(written, expected, atol=5.1e-5)
        summary = [row.valence_mean, row.valence_sd, row.arousal_mean, row.arousal_sd]
        np.testing.assert_allclose(summary, np.stack([expected.mean(0), expected.std(0)]).T.ravel(), atol=5.1e-5)
        at += row.n_bars
    assert at == len(bars)


@pytest.mark.usefixtures("models")
def test_one_worker_two_workers_or_none_write_the_same_bytes(hub_copy: Path, tmp_path: Path) -> None:
    written = []
    for workers in (0, 1, 2):
        output = tmp_path / f"workers{workers}"
        annotate(settings_for(hub_copy, output, f"compute.workers={workers}"))
        written.append(tables(output))
    assert written[0] == written[1] == written[2]
    assert len(written[0]) == 4 * 3  # row groups of 4, 4, 2, 4, 4, 4 and 1 rows, two a part


@pytest.mark.parametrize("stop_at", [1, 2, 3, 4])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    hub_copy: Path,
    finished: Path,
    tmp_path: Path,
    models: SimpleNamespace,
    monkeypatch: pytest.MonkeyPatch,
    stop_at: int,
) -> None:
    batches = 0

    def stop() -> None:
        nonlocal batches
        batches += 1
        if batches == stop_at:
            raise KeyboardInterrupt

    settings = settings_for(hub_copy, tmp_path / "stopped")
    models.head.on_batch = stop  # a batch here is a part
    with pytest.raises(KeyboardInterrupt):
        annotate(settings)
    assert len(tables(tmp_path / "stopped")) == 3 * (stop_at - 1)
    models.head.on_batch = lambda: None
    converted: list[bytes | None] = []
    convert = prediction.convert_song
    monkeypatch.setattr(
        prediction, "convert_song", lambda music, **how: converted.append(music) or convert(music, **how)
    )
    totals = annotate(settings)
    assert tables(tmp_path / "stopped") == tables(finished)
    assert converted == mixed_songs()[[0, 8, 14, 22][stop_at - 1] :]
    assert (totals.songs, totals.failures) == (18, 5)


@pytest.mark.usefixtures("models")
def test_a_part_without_its_record_is_made_again_and_one_with_it_is_not_touched(hub_copy: Path, tmp_path: Path) -> None:
    settings = settings_for(hub_copy, tmp_path / "out")
    annotate(settings)
    before, when = tables(tmp_path / "out"), times(tmp_path / "out")
    (tmp_path / "out" / "parts" / "part-00001.json").unlink()
    (tmp_path / "out" / "bars" / "part-00001.csv").unlink()
    annotate(settings)
    assert tables(tmp_path / "out") == before
    after = times(tmp_path / "out")
    assert {path for path in when if after[path] != when[path]} == {
        f"{kind}/part-00001.csv" for kind in ("bars", "songs", "failures")
    }


def times(output: Path) -> dict[str, int]:
    """When each table was last written."""
    return {path: (output / path).stat().st_mtime_ns for path in tables(output)}


@pytest.mark.usefixtures("models")
def test_a_part_that_cannot_be_moved_in_place_leaves_no_half_part(
    hub_copy: Path, finished: Path, tmp_path: Path
) -> None:
    settings = settings_for(hub_copy, tmp_path / "out")
    in_the_way = tmp_path / "out" / "songs" / "part-00001.csv" / "x"
    in_the_way.mkdir(parents=True)
    with pytest.raises(UserError, match=r"can't be written to"):
        annotate(settings)
    assert not list((tmp_path / "out").rglob("*.partial"))
    in_the_way.rmdir()
    in_the_way.parent.rmdir()
    annotate(settings)
    assert tables(tmp_path / "out") == tables(finished)


@pytest.mark.usefixtures("models")
def test_a_finished_folder_is_not_read_again(hub_copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_for(hub_copy, tmp_path / "out")
    first = annotate(settings)
    monkeypatch.setattr(prediction, "convert_song", lambda music, **_: pytest.fail("converted again"))
    assert annotate(settings) == first


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("output.row_groups_per_part=3", "row_groups_per_part"),
        ("dataset.limit=9", "limit"),
        ("model.dtype=bfloat16", "dtype"),
        ("model.motion=cautious", "motion"),
    ],
)
@pytest.mark.usefixtures("models")
def test_other_settings_are_refused_in_the_same_folder(
    hub_copy: Path, finished: Path, tmp_path: Path, override: str, named: str
) -> None:
    shutil.copytree(finished, tmp_path / "out")
    before = tables(tmp_path / "out")
    with pytest.raises(UserError, match=f"begun with .*{named}"):
        annotate(settings_for(hub_copy, tmp_path / "out", override))
    assert tables(tmp_path / "out") == before


@pytest.mark.parametrize("part", ["encoder", "head"])
def test_other_weights_are_refused_in_the_same_folder(
    hub_copy: Path, finished: Path, tmp_path: Path, models: SimpleNamespace, part: str
) -> None:
    shutil.copytree(finished, tmp_path / "out")
    getattr(models, part).digest = "a" * 64
    with pytest.raises(UserError, match=f"another model.{part} \\(.*…, now aaaaaaaaaaaa…"):
        annotate(settings_for(hub_copy, tmp_path / "out"))


def test_run_json_says_what_made_the_tables(finished: Path) -> None:
    record = json.loads((finished / "run.json").read_text())
    assert record["decides"]["model.encoder"] == "e" * 64
    assert record["decides"]["dataset.config"] == "v2.0.0"
    assert record["totals"]["songs"] == 18
    assert record["totals"]["failures_by_reason"] == {"unreadable": 2, "no_music": 2, "no_pitch": 1}
    assert record["decides"]["model.motion"] == "full"
    assert record["parts"] == 4
    assert record["settings"]["output"]["row_groups_per_part"] == 2
    assert "symusic" in record["versions"]


@pytest.mark.usefixtures("models")
def test_a_limit_takes_the_first_songs(hub_copy: Path, finished: Path, tmp_path: Path) -> None:
    totals = annotate(settings_for(hub_copy, tmp_path / "out", "dataset.limit=9"))
    assert totals.songs + totals.failures == 9
    whole, limited = tables(finished), tables(tmp_path / "out")
    assert limited["bars/part-00000.csv"] == whole["bars/part-00000.csv"]
    assert whole["songs/part-00001.csv"].startswith(limited["songs/part-00001.csv"])


def test_predictions_that_are_no_numbers_are_failures(hub_copy: Path, tmp_path: Path, models: SimpleNamespace) -> None:
    models.head.rate = lambda latents: np.where(latents[:, 1:] > 0.5, np.nan, latents)
    totals = annotate(settings_for(hub_copy, tmp_path / "out"))
    assert b"nan" not in b"".join(tables(tmp_path / "out").values())
    assert totals.songs + totals.failures == 23


@pytest.mark.usefixtures("models")
def test_tags_are_written_as_they_are_lists_as_json(tmp_path: Path) -> None:
    rows = rows_of([song(1), song(2), song(3)])
    rows[0]["title"] = 'a "b",\r\nc\x00d; é'
    write_parquet(tmp_path / "data" / "train.parquet", rows)
    annotate(settings_for(tmp_path / "data", tmp_path / "out"))
    with open(tmp_path / "out" / "songs" / "part-00000.csv", newline="", encoding="utf-8") as file:
        songs = list(csv.DictReader(file))
    assert [row["music_styles_curated"] for row in songs] == ['["folk", "pop"]', "[]", ""]
    assert [row["music_style_scraped"] for row in songs] == ["rock", "", ""]
    assert songs[0]["title"] == 'a "b", c d; é'
    assert list(songs[0])[-3:] == ["music_styles_curated", "music_style_scraped", "title"]


@pytest.mark.usefixtures("models")
def test_real_songs_are_annotated_whole(shared: Path, tmp_path: Path) -> None:
    sample = shared / "data" / "gigamidi_sample"
    annotate(settings_for(sample, tmp_path / "out", "dataset.split=validation"))
    songs, bars = read(tmp_path / "out", "songs"), read(tmp_path / "out", "bars")
    assert len(songs) + len(read(tmp_path / "out", "failures")) == 120
    assert songs["n_bars"].sum() == len(bars)
    assert songs["n_notes"].sum() == bars["n_notes"].sum()
    last_bar = bars.groupby("md5")["start_seconds"].max()
    assert (songs.set_index("md5")["duration_seconds"] >= last_bar.reindex(songs["md5"])).all()
    assert bars[["valence", "arousal"]].abs().max().max() <= 1


@pytest.mark.usefixtures("models")
def test_a_folder_of_files_that_changed_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "midi").mkdir()
    (tmp_path / "midi" / "a.mid").write_bytes(song(2))
    annotate(settings_for(tmp_path / "midi", tmp_path / "out"))
    (tmp_path / "midi" / "b.mid").write_bytes(song(3))
    with pytest.raises(
        UserError, match=r"the files in dataset.path are others than when .*out was begun: take another"
    ):
        annotate(settings_for(tmp_path / "midi", tmp_path / "out"))
