"""An export has every value of the annotations, in the dataset's order, and is written completely or not at all."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import rankdata
from small_dataset import settings_for, song, write_parquet
from small_release import (
    annotate_split,
    content,
    csv_rows,
    described_rows,
    export_settings,
    files_of,
    published,
)

from pipeline.annotations import (
    BARS,
    DESCRIPTIVE,
    DIMENSIONS,
    PUBLISHED_BARS,
    SONGS,
    names,
    published_songs,
    table_path,
)
from pipeline.records import Totals, read_record
from pipeline.settings import UserError
from process_gigamidi.annotation import annotate
from process_gigamidi.part_files import complete_part
from process_gigamidi.run_record import write_totals
from process_gigamidi.verification import verify
from publish_annotations.annotated_splits import annotated_splits
from publish_annotations.bar_statistics import Ranks
from publish_annotations.export import export
from publish_annotations.parquet_files import ranks_over, row_groups

pytestmark = pytest.mark.usefixtures("models")

TEXTS = ("md5", "meter", "barred_as")
FOUR_DECIMALS = {column.name for column in (*BARS, *SONGS) if column.kind.decimals == 4}
LISTS = {"n_notes": "bar_n_notes", "n_drum_notes": "bar_n_drum_notes"}


def as_number(name: str, text: str) -> float | np.float32:
    return np.float32(text) if name in FOUR_DECIMALS else float(text)


def test_every_bar_has_the_values_of_its_row(annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    for folder, split in zip(annotations, ("train", "test"), strict=True):
        rows, table = csv_rows(folder, "bars"), published(tmp_path / "data", "bars", split)
        assert table.num_rows == len(rows) > 30
        for name in names(BARS):
            expected = [row[name] if name in TEXTS else as_number(name, row[name]) for row in rows]
            assert table[name].to_pylist() == expected, name
    kinds = {field.name: str(field.type) for field in table.schema}
    assert (kinds["valence"], kinds["start_tick"], kinds["start_seconds"]) == ("float", "int32", "double")


def test_every_song_has_the_values_of_its_row_and_the_lists_of_its_bars(
    annotations: list[Path], tmp_path: Path
) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    for folder, split in zip(annotations, ("train", "test"), strict=True):
        rows, songs = csv_rows(folder, "songs"), published(tmp_path / "data", "songs", split).to_pylist()
        bars = iter(csv_rows(folder, "bars"))
        assert len(songs) == len(rows) > 5
        for row, found in zip(rows, songs, strict=True):
            own = [next(bars) for _ in range(int(row["n_bars"]))]
            for name in names(BARS)[1:]:
                values = [bar[name] if name in TEXTS else as_number(name, bar[name]) for bar in own]
                assert found[LISTS.get(name, name)] == values, name
            for name in names(SONGS):
                assert found[name] == (row[name] if name == "md5" else as_number(name, row[name])), name
        assert next(bars, None) is None


def test_a_bars_rank_is_the_share_of_lower_bars_of_all_splits_with_half_of_the_equal_ones(
    annotations: list[Path], tmp_path: Path
) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    bars = pa.concat_tables(published(tmp_path / "data", "bars", split) for split in ("train", "test"))
    songs = pa.concat_tables(published(tmp_path / "data", "songs", split) for split in ("train", "test"))
    for dimension in ("valence", "arousal"):
        values, ranks = (bars[name].to_numpy() for name in (dimension, f"{dimension}_rank"))
        expected = (rankdata(values) - 0.5) / len(values)
        np.testing.assert_allclose(ranks, expected, rtol=1e-6)
        assert ranks.min() > 0 and ranks.max() < 1 and len(set(ranks.tolist())) == len(set(values.tolist()))
        assert songs[f"{dimension}_rank"].combine_chunks().flatten().to_pylist() == ranks.tolist()


def test_the_rank_of_the_highest_of_very_many_bars_is_below_1() -> None:
    counts = np.zeros((2, 20_001), np.int64)
    counts[:, [10_000, 20_000]] = 10**9, 1
    bars = pa.table({dimension: pa.array([0.0, 1.0], pa.float32()) for dimension in DIMENSIONS})
    for ranks in Ranks(counts).of(bars):
        assert ranks.tolist() == [0.5, pytest.approx(1)] and int(8 * ranks[1]) == 7


def test_texts_and_lists_are_those_of_the_dataset(release: Path, annotations: list[Path], tmp_path: Path) -> None:
    """An empty text is null; NA, null, quotes, commas and letters of any script are kept."""
    export(export_settings(annotations, tmp_path / "data"))
    rows = {row["md5"]: row for row in pq.read_table(release / "v2.0.0" / "test" / "data.parquet").to_pylist()}
    songs = published(tmp_path / "data", "songs", "test").to_pylist()
    assert len(songs) == len(rows)
    for found in songs:
        row = rows[found["md5"]]
        for name in names(DESCRIPTIVE):
            if name in row:
                expected = row[name].replace("\n", " ") if isinstance(row[name], str) else row[name]
                if isinstance(expected, list) and name != "NOMML":
                    expected = [member.replace("\n", " ") for member in expected if member]
                assert found[name] == (None if expected == "" else expected), name
    titles = [found["title"] for found in songs]
    assert {"NA", "null", "None", 'The "Best", No. 1', "Ärger, 音楽", None} <= set(titles)


def test_songs_are_in_the_order_of_the_dataset_without_those_that_failed(
    release: Path, annotations: list[Path], tmp_path: Path
) -> None:
    export(export_settings(annotations, tmp_path / "data"))
    failed = {row["md5"] for row in csv_rows(annotations[0], "failures")}
    in_dataset = pq.read_table(release / "v2.0.0" / "train" / "data.parquet")["md5"].to_pylist()
    expected = [md5 for md5 in in_dataset if md5 not in failed]
    assert published(tmp_path / "data", "songs", "train")["md5"].to_pylist() == expected
    assert len(failed) == 4 and len(expected) == 18 and len(set(expected)) == 17  # one song is there twice
    bars = published(tmp_path / "data", "bars", "train")["md5"].to_pylist()
    assert list(dict.fromkeys(bars)) == list(dict.fromkeys(expected))


def test_row_groups_hold_whole_songs_and_files_are_bounded(annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data", bars_per_row_group=15, bars_per_file=40))
    export(export_settings(annotations, tmp_path / "whole"))
    bars_files, songs_files = (files_of(tmp_path / "data", kind, "train") for kind in ("bars", "songs"))
    assert [path.name for path in bars_files] == [path.name for path in songs_files]
    assert len(bars_files) >= 3
    assert bars_files[1].name == f"train-00001-of-{len(bars_files):05d}.parquet"
    for bars_path, songs_path in zip(bars_files, songs_files, strict=True):
        bars, songs = pq.ParquetFile(bars_path), pq.ParquetFile(songs_path)
        assert bars.metadata.num_rows <= 40
        assert bars.num_row_groups == songs.num_row_groups
        for group in range(bars.num_row_groups):
            group_songs = songs.read_row_group(group, ["md5", "n_bars"])
            md5s = np.repeat(group_songs["md5"].to_numpy(), group_songs["n_bars"].to_numpy())
            assert bars.read_row_group(group)["md5"].to_pylist() == md5s.tolist()
            assert len(md5s) <= 15 or group_songs.num_rows == 1
            column = bars.metadata.row_group(group).column(0)
            assert column.bloom_filter_length and column.is_stats_set and column.compression == "ZSTD"
    for kind in ("bars", "songs"):
        assert published(tmp_path / "data", kind, "train").equals(published(tmp_path / "whole", kind, "train"))


def test_the_same_annotations_make_the_same_files_however_they_are_divided_into_parts(
    release: Path, annotations: list[Path], tmp_path: Path
) -> None:
    annotate_split(release, tmp_path / "finer", "train", "output.row_groups_per_part=1")
    for name, folder in (("first", annotations[0]), ("second", annotations[0]), ("finer", tmp_path / "finer")):
        export(export_settings([folder], tmp_path / f"data-{name}", bars_per_row_group=20, bars_per_file=50))
    first, second, finer = (content(tmp_path / f"data-{name}") for name in ("first", "second", "finer"))
    assert first == second
    data = {name for name in first if name.endswith(".parquet")}
    assert len(data) >= 4 and {name: first[name] for name in data} == {name: finer[name] for name in data}


@pytest.mark.parametrize("streaming", [True, False])
def test_the_folder_loads_as_a_dataset_of_the_hub(annotations: list[Path], tmp_path: Path, streaming: bool) -> None:
    export(export_settings(annotations, tmp_path / "data", bars_per_row_group=15, bars_per_file=40))
    for kind in ("bars", "songs"):
        for split in ("train", "test"):
            loaded = datasets.load_dataset(
                str(tmp_path / "data"), kind, split=split, streaming=streaming, cache_dir=str(tmp_path / "cache")
            )
            assert list(loaded) == published(tmp_path / "data", kind, split).to_pylist()
    assert datasets.get_dataset_config_names(str(tmp_path / "data")) == ["bars", "songs"]


def test_pandas_reads_all_files_of_a_split_at_once(annotations: list[Path], tmp_path: Path) -> None:
    export(export_settings(annotations, tmp_path / "data", bars_per_row_group=15, bars_per_file=40))
    bars = pd.read_parquet(files_of(tmp_path / "data", "bars", "train"))
    expected = csv_rows(annotations[0], "bars")
    assert bars["valence"].to_numpy().tolist() == [np.float32(row["valence"]) for row in expected]
    md5 = expected[20]["md5"]
    one = pq.read_table(tmp_path / "data" / "bars", filters=[("md5", "==", md5)])
    assert one["bar_number"].to_pylist() == [int(row["bar_number"]) for row in expected if row["md5"] == md5]


def test_every_column_of_the_tables_is_published() -> None:
    columns = published_songs(names(DESCRIPTIVE))
    numbers_of_songs = [column.name for column in columns if column.listed_column is None]
    assert numbers_of_songs == [*names(SONGS), *names(DESCRIPTIVE)]
    assert [column.listed_column for column in columns if column.listed_column] == list(names(PUBLISHED_BARS)[1:])
    assert len({column.name for column in columns}) == len(columns)


def test_a_part_without_songs_is_exported_and_a_split_without_songs_is_refused(tmp_path: Path) -> None:
    songs: list[bytes | None] = [song(2), song(3), None, None, b"", None]
    write_parquet(tmp_path / "some" / "data.parquet", described_rows(songs), row_group_size=3)
    write_parquet(tmp_path / "none" / "data.parquet", described_rows(songs[3:]))
    annotate(settings_for(tmp_path / "some", tmp_path / "out-some", "output.row_groups_per_part=1"))
    with pytest.raises(UserError, match="3 of 3 songs in the first part failed"):
        annotate(settings_for(tmp_path / "none", tmp_path / "out-none"))
    export(export_settings([tmp_path / "out-some"], tmp_path / "data"))
    assert published(tmp_path / "data", "songs", "train")["n_bars"].to_pylist() == [2, 3]
    with pytest.raises(UserError, match=r"no song in .*out-none was annotated"):
        export(export_settings([tmp_path / "out-none"], tmp_path / "nothing"))


def test_memory_holds_some_blocks_rather_than_a_whole_part(tmp_path: Path) -> None:
    """One part of a million bars, 79 MB as Arrow, in groups of 5,000."""
    n_songs, n_bars = 10_000, 100
    settings = settings_for(tmp_path / "copy", tmp_path / "out")
    write_parquet(tmp_path / "copy" / "data.parquet", described_rows([song(1)]))
    annotate(settings)
    for kind, each in (("songs", 1), ("bars", n_bars)):
        path = table_path(settings.folder, kind, 0)
        head, row = path.read_text(encoding="utf-8").splitlines()
        _, number, rest = row.split(",", 2)
        number = str(n_bars) if kind == "songs" else number
        with path.open("w", encoding="utf-8") as file:
            file.write(f"{head}\n")
            file.writelines(f"{i:032x},{number},{rest}\n" * each for i in range(n_songs))
    totals = Totals(songs=n_songs, bars=n_songs * n_bars)
    complete_part(settings.folder, 0, read_record(settings.folder, 0).run, totals)
    write_totals(settings, totals)
    (split,) = annotated_splits([str(settings.folder)])
    in_memory, in_all, before = [], 0, pa.total_allocated_bytes()
    for group in row_groups(split, 5_000, ranks_over([split])):
        in_memory.append(pa.total_allocated_bytes() - before)
        in_all += group.bars.nbytes
    assert len(in_memory) == 200 and in_all > 75e6
    assert max(in_memory[100:]) < 1.2 * max(in_memory[:100]) < 0.8 * in_all


def test_an_export_changes_no_annotations(release: Path, annotations: list[Path], tmp_path: Path) -> None:
    before = content(annotations[0])
    export(export_settings(annotations, tmp_path / "data"))
    assert content(annotations[0]) == before
    assert verify(settings_for(release, annotations[0])).findings == []


def test_real_annotations_are_exported_value_by_value(shared: Path, tmp_path: Path) -> None:
    settings = settings_for(shared / "data" / "gigamidi_sample", tmp_path / "out", "dataset.split=test")
    annotate(settings)
    export(export_settings([settings.folder], tmp_path / "data", bars_per_row_group=1000, bars_per_file=4000))
    rows, bars = csv_rows(settings.folder, "bars"), published(tmp_path / "data", "bars", "test")
    assert bars.num_rows == len(rows) > 5000
    for name in names(BARS):
        expected = [row[name] if name in TEXTS else as_number(name, row[name]) for row in rows]
        assert bars[name].to_pylist() == expected
    songs = published(tmp_path / "data", "songs", "test")
    for name in ("valence", "start_seconds"):
        assert songs[name].combine_chunks().flatten().equals(bars[name].combine_chunks())
