"""The data card: README.md of an export, from the template data_card.md and what was counted.

At its head stands YAML, which tells the Hub and `datasets` of files, columns, sizes and licence. What others wrote
(styles, names) comes into the Markdown as plain words in one line, and not at all into the YAML.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData

from pipeline.annotations import BARS, CURATED_STYLES, DIMENSIONS, QUADRANTS, columns_in_markdown, published_songs
from pipeline.records import Totals

from .card_provenance import PLACEHOLDER, Origin, plain, table_rows
from .card_statistics import Statistics
from .export_settings import CardSettings, ExportSettings
from .model_figures import quality_of
from .parquet_files import PublishedSplit, schema_of

MOST_STYLES = 30  # that are named; the rest is counted
CITATIONS = (
    "K. J. M. Lee, J. Ens, S. Adkins, P. Sarmento, M. Barthet, P. Pasquier: The GigaMIDI Dataset with Features for "
    "Expressive Music Performance Detection. Transactions of ISMIR, 2025. https://doi.org/10.5334/tismir.203",
    "H.-T. Hung, J. Ching, S. Doh, N. Kim, J. Nam, Y.-H. Yang: EMOPIA: A Multi-Modal Pop Piano Dataset For Emotion "
    "Recognition and Emotion-based Music Generation. ISMIR, 2021.",
    "L. N. Ferreira, J. Whitehead: Learning to Generate Music With Sentiment. ISMIR, 2019. (VGMIDI)",
    "J. Huang, Z. Novack, P. Long, Y. Hou, K. Chen, T. Berg-Kirkpatrick, J. McAuley: MuseTok: Symbolic Music "
    "Tokenization for Generation and Semantic Understanding. 2025. https://arxiv.org/abs/2510.16273 (how scores become "
    "bars)",
)
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
TAGS = ("music", "midi", "symbolic-music", "emotion", "music-emotion-recognition", "valence", "arousal")


def dataset_card(settings: ExportSettings, published: Sequence[PublishedSplit]) -> str:
    """The whole card, YAML and Markdown."""
    total, totals = Statistics(), Totals()
    for split in published:
        total.update(split.statistics)
        totals.add(split.split.totals)
    origin = Origin(tuple(split.split for split in published), settings)
    megabytes = {
        kind: f"{sum(path.stat().st_size for split in published for path in split.written[kind].files) / 1e6:,.1f}"
        for kind in ("bars", "songs")
    }
    template = Template(Path(__file__).with_name("data_card.md").read_text(encoding="utf-8"))
    body = template.substitute(
        origin.joined(),
        title=plain(settings.card.title),
        source=origin.source,
        n_bars=f"{total.bars:,}",
        n_songs=f"{total.songs:,}",
        bars_mb=megabytes["bars"],
        songs_mb=megabytes["songs"],
        repo=settings.export.repo or PLACEHOLDER,
        split=published[0].split.name,
        bars_columns=columns_in_markdown(BARS),
        songs_columns=columns_in_markdown(published_songs(published[0].split.described)),
        made=origin.made(),
        decides=origin.decides(),
        versions=origin.versions(),
        license=plain(settings.card.license),
        licence_facts=origin.licence_facts(),
        failings=origin.failings(),
        quality=quality_of(origin.head)
        if origin.head
        else "The weights are not the pipeline's own: it isn't known here.",
        splits=_splits(published),
        failures=_failures(totals),
        summaries=_summaries(total),
        quadrants=table_rows(
            (f"{q.name}, {q.words}", f"{n / total.bars:.1%}") for q, n in zip(QUADRANTS, total.quadrants, strict=True)
        ),
        styles=_styles(total) if CURATED_STYLES in published[0].split.described else "",
        cite=_citations(origin),
    )
    return f"---\n{card_metadata(settings.card, published)}\n---\n\n{body.rstrip()}\n"


def _splits(published: Sequence[PublishedSplit]) -> str:
    return table_rows(
        (split.split.name, split.statistics.songs, split.statistics.bars, split.split.totals.failures)
        for split in published
    )


def _failures(totals: Totals) -> str:
    if not totals.failures:
        return "Every song of the source was annotated."
    reasons = sorted(totals.failures_by_reason.items(), key=lambda item: (-item[1], item[0]))
    return "| why songs were not annotated | songs |\n|---|---|\n" + table_rows((f"`{why}`", n) for why, n in reasons)


def _summaries(total: Statistics) -> str:
    summaries = [total.summary(affect) for affect in range(len(DIMENSIONS))]
    return table_rows(
        (name, f"{s.mean:.4f}", f"{s.sd:.4f}", f"{s.q25:.4f}", f"{s.median:.4f}", f"{s.q75:.4f}")
        for name, s in zip(DIMENSIONS, summaries, strict=True)
    )


def _styles(total: Statistics) -> str:
    largest = sorted(total.styles.items(), key=lambda item: (-item[1], item[0]))
    rows: list[tuple[str, int]] = [(plain(style), n) for style, n in largest[:MOST_STYLES]]
    if others := largest[MOST_STYLES:]:
        rows.append((f"*{len(others):,} more*", sum(n for _, n in others)))
    rows.append(("*none*", total.without_style))
    return f"| style (`{CURATED_STYLES}`; a song may have several) | songs |\n|---|---|\n" + table_rows(rows)


def _citations(origin: Origin) -> str:
    gigamidi, emopia, vgmidi, musetok = CITATIONS
    cited = [*([gigamidi] if origin.is_gigamidi else []), *([emopia, vgmidi] if origin.head else []), musetok]
    return "Name this data set by its address and revision, and what it rests on:\n\n" + "\n".join(
        f"- {each}" for each in cited
    )


def card_metadata(settings: CardSettings, splits: Sequence[PublishedSplit]) -> str:
    """The card's YAML, without the lines of --- around it."""
    data = DatasetCardData(
        license=settings.license,
        pretty_name=settings.title,
        annotations_creators=["machine-generated"],
        tags=list(TAGS),
        size_categories=[_size(sum(split.statistics.bars for split in splits))],
    )
    columns = {"bars": BARS, "songs": published_songs(splits[0].split.described)}
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
