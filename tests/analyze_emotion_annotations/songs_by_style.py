"""Analyses of invented songs, a few of each style, for tests of the plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from analyse_folder import analysis_of

from analyze_emotion_annotations.analysis import Analysis

COLUMN = "music_style_scraped"
NAMES = ("$\\frac{", "a $ and b $", "_hidden", "x" * 500, "月\n\x1b[31m\u202e", "{}%s", "שירים", 'it\'s "so"')
Made = Callable[..., Path]


def collection(
    annotations: Made, songs_of_style: Mapping[str, int], *overrides: str, column: str = COLUMN, n_bars: int = 12
) -> Analysis:
    """The analysis of invented songs; each style has its own mean. songs_of_style: number by style, '' for no style."""
    random = np.random.default_rng(5)
    songs = []
    for style, n_songs in songs_of_style.items():
        middle = random.uniform(-0.3, 0.4, 2)
        for i in range(n_songs):
            ratings = np.clip(random.normal(middle, 0.15, (n_bars, 2)), -1, 1).round(4)
            songs.append(({"name": f"{style} {i}", column: style}, ratings))
    return analysis_of(annotations(songs), *overrides)
