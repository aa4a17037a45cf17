"""What is known of each kind of rated set, by its adapter: how it is rated, what groups it, its licence and citation.

Ratings are of four kinds. A curve: valence and arousal over time. A point: one pair a piece. A sign: a quadrant or a
category, of which only the sides of zero are sure. A rank: only the order of pieces is sure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["curve", "point", "sign", "rank"]
KINDS: tuple[Kind, ...] = get_args(Kind)  # the order of sets in training and in tables
Adapter: TypeAlias = Literal["emopia", "vgmidi", "deam", "memo2496", "merp", "pmemo", "xmidi", "table"]

LONGEST_TERMS = 300  # characters of a licence or citation, which cards show on one line
RESEARCH = "for research; cite the authors"
UNKNOWN = "not stated"


@dataclass(frozen=True)
class KnownSet:
    """Facts of a set.

    kinds: those in which its files can be read; the first is the default. group: what keeps pieces together, in one
    word. has_split: whether the set comes with train, val and test.
    """

    kinds: tuple[Kind, ...]
    group: str
    licence: str
    citation: str
    has_split: bool = False


KNOWN_SETS: dict[Adapter, KnownSet] = {
    "emopia": KnownSet(
        ("sign", "point", "rank"),
        "song",
        "CC BY-NC-SA 4.0",
        "Hung et al., EMOPIA: A multi-modal pop piano dataset for emotion recognition and emotion-based music "
        "generation, ISMIR 2021",
        has_split=True,
    ),
    "vgmidi": KnownSet(
        ("curve", "point", "sign", "rank"),
        "game",
        RESEARCH,
        "Ferreira and Whitehead, Learning to generate music with sentiment, ISMIR 2019",
    ),
    "deam": KnownSet(
        ("curve", "point", "sign", "rank"),
        "song",
        RESEARCH,
        "Aljanaki, Yang and Soleymani, Developing a benchmark for emotional analysis of music, PLoS ONE 12(3), 2017",
    ),
    "memo2496": KnownSet(("curve", "point", "sign", "rank"), "song", RESEARCH, "Memo2496, by its authors"),
    "merp": KnownSet(
        ("curve", "point", "sign", "rank"),
        "song",
        RESEARCH,
        "Koh, Cheuk, Heung, Agres and Herremans, MERP: A music dataset with emotion ratings and raters' profile "
        "information, Sensors 23(1), 2023",
    ),
    "pmemo": KnownSet(
        ("curve", "point", "sign", "rank"),
        "song",
        RESEARCH,
        "Zhang, Zhang, Yang, Li and Sun, The PMEmo dataset for music emotion recognition, ICMR 2018",
    ),
    "xmidi": KnownSet(
        ("sign",),
        "song",
        RESEARCH,
        "Tian et al., XMusic: Towards a generalized and controllable symbolic music generation framework, IEEE "
        "Transactions on Multimedia, 2025",
    ),
    "table": KnownSet(("point", "curve", "sign", "rank"), "song", UNKNOWN, UNKNOWN),
}
