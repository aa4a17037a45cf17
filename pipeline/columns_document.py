"""The columns of the contract as Markdown. `python -m pipeline.columns_document` prints docs/columns.md."""

from __future__ import annotations

from collections.abc import Sequence

from .annotations import BARS, DESCRIPTIVE, FAILURES, SONGS, Column, published_songs


def columns_in_markdown(columns: Sequence[Column]) -> str:
    """The given columns as a Markdown table."""
    rows = [f"| `{c.name}` | {c.kind.words} | {c.unit} | {c.meaning} |" for c in columns]
    return "\n".join(["| column | type | unit and range | meaning |", "|---|---|---|---|", *rows])


def document() -> str:
    """The text of docs/columns.md."""
    sections = (
        "# The columns of the annotations",
        "`python -m pipeline.columns_document` prints this page from the definitions in `pipeline/annotations.py`.",
        "`process_gigamidi/01_annotate.py` writes them as CSV, `publish_annotations/01_export.py` as Parquet with the "
        "types below. In CSV valence, arousal and their deviations have four decimals, seconds three; lists are JSON.",
        "## `bars/*.csv`: a row for each bar\n",
        columns_in_markdown(BARS),
        "## `songs/*.csv`: a row for each song\n",
        columns_in_markdown(SONGS),
        "Then come those of the following columns that the data set has, copied unchanged:\n",
        columns_in_markdown(DESCRIPTIVE),
        "## `failures/*.csv`: a row for each song that could not be annotated\n",
        columns_in_markdown(FAILURES),
        "## Published `songs`: the lists over bars\n",
        "The published `songs` have, between the columns of the song and those copied from the data set:\n",
        columns_in_markdown([column for column in published_songs(()) if column.listed_column]),
    )
    return "\n\n".join(section.strip("\n") for section in sections) + "\n"


if __name__ == "__main__":
    print(document(), end="")
