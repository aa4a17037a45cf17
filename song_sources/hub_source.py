"""Songs of a dataset on the Hugging Face Hub, streamed."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.dataset
from huggingface_hub import HfApi

from .dataset_settings import DatasetSettings
from .parquet_rows import ROWS_PER_READ, ParquetSource, check_music
from .source_faults import tried, tried_items

# source_faults.py tries again and says so; the library's own retries would come on top, in silence.
datasets.config.STREAMING_READ_MAX_RETRIES = datasets.config.STREAMING_OPEN_MAX_RETRIES = 1
datasets.config.STREAMING_READ_RETRY_INTERVAL = datasets.config.STREAMING_OPEN_RETRY_INTERVAL = 0
datasets.config.STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL = 0
datasets.config.STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL = 0


def newest_commit(settings: DatasetSettings) -> str | None:
    """The commit that the revision of the settings names on the Hub now. Raises UserError if the Hub doesn't answer."""

    def commit() -> str | None:
        return HfApi(endpoint=datasets.config.HF_ENDPOINT).dataset_info(settings.name, revision=settings.revision).sha

    return tried(commit, replace(settings, retry_seconds=0))


class HubSource(ParquetSource):
    """Rows of a dataset on the Hugging Face Hub, streamed."""

    def __init__(self, settings: DatasetSettings, groups_per_part: int, max_bytes: int | None, reopened: bool):
        """The arguments are those of `open_source`."""
        self._of_columns: dict[tuple[str, ...], datasets.IterableDataset] = {}
        self._settings = settings
        opening = settings if reopened else replace(settings, retry_seconds=0)
        schema = tried(lambda: self._load().features, opening).arrow_schema
        check_music(schema, settings.name)
        self._in_dataset = set(schema.names)
        opened = tried(lambda: self._by_group(["music"]), opening)
        splits = opened.info.splits or {}
        n_rows = splits[settings.split].num_examples if settings.split in splits else None
        identity = {
            "dataset.name": settings.name,
            "dataset.revision": settings.revision,
            "dataset.config": settings.config,
            "dataset.split": settings.split,
        }
        super().__init__(
            settings, groups_per_part, max_bytes, identity, schema.names, n_rows or None, opened.num_shards
        )

    def tables(self, group: int, columns: Sequence[str]) -> Generator[pa.Table, None, None]:
        """The rows of a row group, as for ParquetSource."""
        there = [column for column in columns if column in self._in_dataset]

        def begin() -> Iterator[pa.Table]:
            groups = self._by_group(there)
            shard = groups.shard(num_shards=groups.num_shards, index=group, contiguous=True)
            return iter(shard.with_format("arrow").iter(batch_size=ROWS_PER_READ))

        return tried_items(begin, self._settings, lambda: f", row group {group}")

    def _by_group(self, columns: Sequence[str]) -> datasets.IterableDataset:
        """The dataset with these columns only and a shard for each row group."""
        key = tuple(columns)
        if key not in self._of_columns:
            self._of_columns[key] = self._load(columns=list(columns), batch_size=ROWS_PER_READ).reshard()
        return self._of_columns[key]

    def _load(self, **options: Any) -> datasets.IterableDataset:
        # Without pre_buffer: pyarrow's threads that fetch columns ahead go on after a fault, and one that still runs
        # when the program ends aborts it.
        one_by_one = pyarrow.dataset.ParquetFragmentScanOptions(pre_buffer=False)
        dataset = self._settings
        return datasets.load_dataset(
            dataset.name,
            dataset.config,
            split=dataset.split,
            revision=dataset.revision,
            streaming=True,
            fragment_scan_options=one_by_one,
            **options,
        )
