"""The columns of the contract as Markdown, for docs/reference.md and the data card."""

from __future__ import annotations

from collections.abc import Sequence

from .annotations import (
    BARS,
    DESCRIPTIVE,
    FAILURES,
    RANKS,
    SONGS,
    Column,
    published_songs,
)
from .cells import LONGEST_TEXT, MOST_NUMBERS


def columns_in_markdown(columns: Sequence[Column]) -> str:
    """The given columns as a Markdown table."""
    rows = [f"| `{c.name}` | {c.kind.words} | {c.unit_and_range} | {c.meaning} |" for c in columns]
    return "\n".join(["| column | type | unit and range | meaning |", "|---|---|---|---|", *rows])


def columns_chapter() -> str:
    """The chapter of docs/reference.md on the columns."""
    sections = (
        "## Columns of the annotations",
        "`process_gigamidi/01_annotate.py` writes them as CSV, `publish_annotations/01_export.py` as Parquet with the "
        "types below. In CSV valence, arousal and their deviations have four decimals, seconds three; lists are JSON.",
        "A text that begins with =, +, - or @ has an apostrophe before it in CSV, so that no spreadsheet takes it for "
        "a formula; a text in which apostrophes precede these has one more. The published tables have the text itself.",
        "### `bars/*.csv`: a row for each bar\n",
        columns_in_markdown(BARS),
        "### `songs/*.csv`: a row for each song\n",
        columns_in_markdown(SONGS),
        "Then come those of the following columns that the data set has. Their values are the data set's, fitted to "
        f"the column: a text is one line of at most {LONGEST_TEXT:,} characters, with � for what is not UTF-8; of a "
        f"list of texts the first members are kept that have {LONGEST_TEXT:,} characters together. What should be a "
        "whole number of the column's type and is not leaves the cell empty, and so does a list with such a member or "
        f"with over {MOST_NUMBERS:,} of them; the run says how many values of the data set that concerns.\n",
        columns_in_markdown(DESCRIPTIVE),
        "### `failures/*.csv`: a row for each song that could not be annotated\n",
        columns_in_markdown(FAILURES),
        "### Published `bars`: columns of their own\n",
        columns_in_markdown(RANKS),
        "### Published `songs`: the lists over bars\n",
        "The published `songs` have, between the columns of the song and those copied from the data set:\n",
        columns_in_markdown([column for column in published_songs(()) if column.listed_column]),
    )
    return "\n\n".join(section.strip("\n") for section in sections)
