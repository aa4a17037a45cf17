"""What MODEL_CARD.md says of the weights that come with the project, for the card of data that they made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.settings import PROJECT_ROOT


class Head(NamedTuple):
    """A bundled head. name: its setting; predictor: its row in MODEL_CARD.md; reads: what it predicts from."""

    name: str
    predictor: str
    reads: str


_FEATURES = (
    "59 features of the performance of each bar (tempo, density, loudness, register, articulation, rhythm, mode, "
    "harmony)"
)
HEADS = {  # by the first digits of their digests
    "424a328089313612": Head("bundled", "listener_whole", f"{_FEATURES} in the light of the whole piece"),
    "b3046171cc3b6284": Head("bundled_heard", "listener_heard", f"{_FEATURES} and of what was heard before it"),
    "06ad281f213bbfcc": Head("bundled_mlp", "custom_mlp", "the latent that the bundled encoder gives for a single bar"),
}
_UNITS = {"per bar": "per bar", "per within": "within a piece", "per piece": "per piece"}
_BESIDE = ("one_rater", "half_of_raters")


def head_of(digest: str) -> Head | None:
    """The bundled head with this digest; None if it is none of them."""
    return HEADS.get(digest[:16])


def quality_of(head: Head) -> str:
    """How far a bundled head agrees with listeners, as Markdown: two tables of figures from MODEL_CARD.md."""
    figures = {tuple(cells[:4]): cells[4:] for cells in _rows()}
    ratings = [
        f"| {dimension}, {words} | "
        + " | ".join(figures["vgmidi", unit, predictor, dimension][0] for predictor in (head.predictor, *_BESIDE))
        + " |"
        for unit, words in _UNITS.items()
        for dimension in ("valence", "arousal")
    ]
    signs = [
        f"| {what} | {figures['emopia_by_song', 'per piece', head.predictor, dimension][0]} |"
        for dimension, what in (
            ("valence", "sign of valence"),
            ("arousal", "sign of arousal"),
            ("quadrant", "quadrant"),
        )
    ]
    return "\n".join(
        [
            "Correlation (Pearson's r) with the mean of some 30 listeners, on 157 pieces of VGMIDI by games that the "
            "model had not learned from, with 95 % intervals; *within a piece* is a bar's difference from the piece's "
            "mean:",
            "",
            "| | this model | one listener | half of the listeners, against the other half |",
            "|---|---|---|---|",
            *ratings,
            "",
            "Share of 965 clips of EMOPIA, by songs that the model had not learned from, that it puts where the people "
            "who sorted them did:",
            "",
            "| | this model |",
            "|---|---|",
            *signs,
        ]
    )


def absolute_error(head: Head) -> str:
    """The mean absolute errors of a bundled head per bar, valence and arousal, in words."""
    figures = {tuple(cells[:4]): cells[6] for cells in _rows() if cells[0] == "vgmidi"}
    of = [figures["vgmidi", "per bar", head.predictor, dimension].split()[0] for dimension in ("valence", "arousal")]
    return f"{of[0]} for valence and {of[1]} for arousal"


def _rows() -> Iterator[list[str]]:
    """The rows of the tables of figures: the table's name, per what, predictor, dimension, figures."""
    table = ""
    for line in (PROJECT_ROOT / "MODEL_CARD.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[1:3] == ["predictor", "dimension"]:
            table = cells[0]
        elif line.startswith("| per "):
            yield [table, *cells]
