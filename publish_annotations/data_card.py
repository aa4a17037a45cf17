"""The data card, which is README.md of an export: the template data_card.md.jinja filled in.

The card begins with YAML that tells the Hub and `datasets` the files, columns, sizes and licence. Text by others
(styles, names) is escaped to plain words in one line of Markdown, and is never put into the YAML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCardData
from jinja2 import Environment
from markupsafe import Markup

from pipeline.annotations import CURATED_STYLES, DIMENSIONS, PUBLISHED_BARS, QUADRANTS, published_songs
from pipeline.cells import LONGEST_TEXT
from pipeline.columns_document import columns_in_markdown
from pipeline.records import Totals
from pipeline.settings import one_line
from pipeline.templates import template_environment
from pretrain_model.bundled_heads import BundledHead, agreement_of, bundled_head
from pretrain_model.known_sets import LONGEST_TERMS
from process_gigamidi.trained_on import RatedSetFacts
from song_sources.dataset_settings import DatasetSettings

from .annotated_splits import MAY_DIFFER, AnnotatedSplit
from .bar_statistics import Statistics
from .export_settings import CardSettings, ExportSettings
from .parquet_files import PublishedSplit, schema_of

TEMPLATE = "data_card.md.jinja"
GIGAMIDI = "Metacreation/GigaMIDI"
PLACEHOLDER = "NAME/valence-arousal"  # if the data set isn't pushed; readers put in its name
MOST_STYLES = 30  # most styles that are named; the others are only counted
LONGEST = 60  # most characters of someone else's text
TAGS = ("music", "midi", "symbolic-music", "emotion", "music-emotion-recognition", "valence", "arousal")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_MEANT = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$:@=])")  # characters that have a meaning in Markdown or on the Hub

_DIGEST = re.compile("[0-9a-f]{40,64}")
_NAME = re.compile(r"[\w.]+(?:[ /-][\w.]+)*")  # may stand between backticks


@dataclass(frozen=True)
class Origin:
    """Where the songs and values of a data set come from.

    The songs are from GigaMIDI (the Hub or a local copy), another dataset, or a folder of MIDI files. The values are
    from a head bundled with the project, whose agreement with ratings is known, or from another head.
    """

    splits: tuple[AnnotatedSplit, ...]

    @property
    def first(self) -> AnnotatedSplit:
        """The first split, for properties that all splits share."""
        return self.splits[0]

    @property
    def dataset(self) -> DatasetSettings:
        """The dataset of the songs, as the settings name it."""
        return self.first.settings.dataset

    @property
    def revision(self) -> str | None:
        """The dataset's commit on the Hub; None if it wasn't read from the Hub."""
        revision = self.first.decides.get("dataset.revision")
        return None if revision is None else str(revision)

    @property
    def head(self) -> BundledHead | None:
        """The bundled head that predicted the values; None if another head did."""
        return bundled_head(str(self.first.decides.get("model.head")))

    @property
    def trained_on(self) -> tuple[RatedSetFacts, ...]:
        """The rated sets that the head learned from; empty if that is not known. All splits have the same head."""
        return next((split.trained_on for split in self.splits if split.trained_on), ())

    @property
    def is_midi_folder(self) -> bool:
        """Whether the songs were MIDI files in a folder, not a dataset."""
        return "dataset.split" not in self.first.decides

    @property
    def is_gigamidi(self) -> bool:
        """Whether the songs are GigaMIDI's."""
        return not self.is_midi_folder and self.dataset.name == GIGAMIDI

    @property
    def name(self) -> str:
        """The dataset's name in a sentence."""
        return "GigaMIDI" if self.is_gigamidi else self.dataset.name

    @property
    def title(self) -> str:
        """The heading of the card, unless the settings give one."""
        return "Valence and arousal of every bar" + ("" if self.is_midi_folder else f" of {self.name}")

    @property
    def source(self) -> Markup:
        """The songs' source, as the end of "songs of"."""
        if self.is_midi_folder:
            return Markup("a folder of MIDI files")
        page = f"https://huggingface.co/datasets/{self.dataset.name}"
        return Markup("[{}]({}) {}").format(plain(self.dataset.name), page, plain(self.dataset.config))

    def decides(self) -> Iterator[tuple[Markup, Markup]]:
        """Everything that the values depend on, as rows of a table: digests of weights, settings, each split's data."""
        for key, value in self.first.decides.items():
            if key not in MAY_DIFFER:
                yield code(key), _cell(value)
        for split in self.splits:
            for key in MAY_DIFFER:
                if key in split.decides and key != "dataset.split":
                    yield Markup("{} of {}").format(code(key), plain(split.name)), _cell(split.decides[key])

    def versions(self) -> Markup:
        """The versions of the software that made the values; where splits differ, all of them."""
        pairs = dict.fromkeys(pair for split in self.splits for pair in split.versions.items())
        return Markup(", ").join(Markup("{} {}").format(plain(name), plain(version)) for name, version in pairs)


def data_card(settings: ExportSettings, published: Sequence[PublishedSplit]) -> str:
    """The whole card, YAML and Markdown."""
    total, totals = Statistics(), Totals()
    for split in published:
        total.update(split.statistics)
        totals.add(split.split.totals)
    origin = Origin(tuple(split.split for split in published))
    described = origin.first.described
    columns = {"bars": columns_in_markdown(PUBLISHED_BARS), "songs": columns_in_markdown(published_songs(described))}
    megabytes = {
        table: f"{sum(path.stat().st_size for split in published for path in split.written[table].files) / 1e6:,.1f}"
        for table in columns
    }
    body = (
        _environment()
        .get_template(TEMPLATE)
        .render(
            settings=settings,
            published=published,
            origin=origin,
            total=total,
            totals=totals,
            megabytes=megabytes,
            columns={table: Markup(text) for table, text in columns.items()},
            repo=settings.export.repo or PLACEHOLDER,
        )
    )
    return f"---\n{card_metadata(settings.card, origin, published)}\n---\n\n{body.strip()}\n"


def plain(text: str, longest: int = LONGEST) -> Markup:
    """Someone else's text, escaped so that Markdown shows it literally: one line of at most `longest` characters."""
    return Markup(_MEANT.sub(r"\\\1", one_line(text, longest)))


def code(text: str) -> Markup:
    """A name by others as code, if Markdown would show it unchanged there, else as plain text."""
    return Markup("`{}`").format(text) if _NAME.fullmatch(text) else plain(text)


def card_metadata(settings: CardSettings, origin: Origin, splits: Sequence[PublishedSplit]) -> str:
    """The card's YAML, without the lines --- around it."""
    data = DatasetCardData(
        license=settings.license,
        pretty_name=settings.title or origin.title,
        annotations_creators=["machine-generated"],
        tags=list(TAGS),
        size_categories=[_size(sum(split.statistics.bars for split in splits))],
    )
    columns = {"bars": PUBLISHED_BARS, "songs": published_songs(splits[0].split.described)}
    infos: dict[str, DatasetInfo] = {}
    configs: dict[str, dict[str, Any]] = {}
    for table in columns:
        infos[table] = DatasetInfo(
            config_name=table,
            features=Features.from_arrow_schema(schema_of(columns[table])),
            splits=SplitDict({split.split.name: _split_info(split, table) for split in splits}),
            download_size=sum(path.stat().st_size for split in splits for path in split.written[table].files),
            dataset_size=sum(split.written[table].bytes_in_memory for split in splits),
        )
        names = [split.split.name for split in splits]
        configs[table] = {"data_files": [{"split": name, "path": f"{table}/{name}-*.parquet"} for name in names]}
    configs["songs"]["default"] = True
    DatasetInfosDict(infos).to_dataset_card_data(data)
    MetadataConfigs(configs).to_dataset_card_data(data)
    return data.to_yaml()


def _environment() -> Environment:
    environment = template_environment(Path(__file__).parent)
    environment.filters |= {"plain": plain, "code": code, "thousands": "{:,}".format}
    environment.globals |= {
        "agreement_of": agreement_of,
        "curated_styles": CURATED_STYLES,
        "dimensions": DIMENSIONS,
        "longest_citation": LONGEST_TERMS,
        "longest_text": LONGEST_TEXT,
        "most_styles": MOST_STYLES,
        "quadrants": QUADRANTS,
    }
    return environment


def _cell(value: Any) -> Markup:
    if value is None:
        return Markup("none")
    return Markup("`{}`").format(value) if _DIGEST.fullmatch(str(value)) else plain(str(value))


def _split_info(split: PublishedSplit, table: str) -> SplitInfo:
    written = split.written[table]
    return SplitInfo(split.split.name, num_bytes=written.bytes_in_memory, num_examples=written.rows)


def _size(n: int) -> str:
    return _SIZES[min(max(len(str(n)) - 3, 0), len(_SIZES) - 1)]
