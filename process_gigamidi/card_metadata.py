"""The YAML at the head of a data card, which tells the Hub and `datasets` of files, columns, sizes and licence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from publish_annotations.export_settings import CardSettings
from publish_annotations.published_columns import BARS, schema_of, songs_columns

from .published_split import PublishedSplit

_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
TAGS = ("music", "midi", "symbolic-music", "emotion", "music-emotion-recognition", "valence", "arousal")


def card_metadata(settings: CardSettings, splits: Sequence[PublishedSplit]) -> str:
    """The card's YAML, without the lines of --- around it."""
    data = DatasetCardData(
        license=settings.license,
        pretty_name=settings.title,
        annotations_creators=["machine-generated"],
        tags=list(TAGS),
        size_categories=[_size(sum(split.statistics.bars for split in splits))],
    )
    columns = {"bars": BARS, "songs": songs_columns(splits[0].split.described)}
    infos: dict[str, DatasetInfo] = {}
    configs: dict[str, dict[str, Any]] = {}
    for kind in columns:
        infos[kind] = DatasetInfo(
            config_name=kind,
            features=Features.from_arrow_schema(schema_of(columns[kind])),
            splits=SplitDict({split.split.name: _split_info(split, kind) for split in splits}),
            download_size=sum(path.stat().st_size for split in splits for path in split.written[kind].files),
            dataset_size=sum(split.written[kind].bytes_in_memory for split in splits),
        )
        names = [split.split.name for split in splits]
        configs[kind] = {"data_files": [{"split": name, "path": f"{kind}/{name}-*.parquet"} for name in names]}
    configs["songs"]["default"] = True
    DatasetInfosDict(infos).to_dataset_card_data(data)
    MetadataConfigs(configs).to_dataset_card_data(data)
    return data.to_yaml()


def _split_info(split: PublishedSplit, kind: str) -> SplitInfo:
    written = split.written[kind]
    return SplitInfo(split.split.name, num_bytes=written.bytes_in_memory, num_examples=written.rows)


def _size(n: int) -> str:
    return _SIZES[min(max(len(str(n)) - 3, 0), len(_SIZES) - 1)]
