"""Plots of the curves of annotated songs. It imports matplotlib, so it is imported only if something is drawn."""

from __future__ import annotations

from itertools import chain, count
from pathlib import Path

from analyze_emotion_annotations.analysis_settings import SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.plot_canvas import save_plot
from analyze_emotion_annotations.song_curves import Song, plot_song
from pipeline.settings import load_settings
from process_gigamidi.prediction import Annotated

_KEPT = "-_.,()[]+&' "  # characters that a plot's name may have besides letters and digits
_LONGEST_NAME = 120  # bytes; file systems allow 255, and a suffix and more are added


def as_song(song: Annotated) -> Song:
    """An annotated song in the form in which it is drawn."""
    bars = song.bars
    valence, arousal, valence_error_sd, arousal_error_sd = song.predicted.T
    return Song(
        md5=song.row.md5,
        title=song.row.name,
        artist="",
        duration_seconds=song.bars.duration_seconds,
        bar_number=bars.bar_number,
        start_seconds=bars.start_seconds,
        valence=valence,
        arousal=arousal,
        valence_error_sd=valence_error_sd,
        arousal_error_sd=arousal_error_sd,
        n_notes=bars.n_notes,
    )


class CurvePlots:
    """Writes plots to one folder, each named after its song, with the plot settings of config/analysis.yaml."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._plot = load_settings(AnalysisSettings, SETTINGS_FILE).plot
        self._taken: set[str] = set()

    def draw(self, song: Annotated) -> list[Path]:
        """Draw a song and return the paths of its plots. Raises OSError if they can't be written."""
        name = plot_name(song.row.name)
        longer = f"{name}-{song.row.md5[:8]}"
        candidates = chain([name, longer], (f"{longer}-{n}" for n in count(2)))
        name = next(candidate for candidate in candidates if candidate.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return save_plot(plot_song(as_song(song), self._plot.dpi), self._folder, name, self._plot.formats)


def plot_name(name: str) -> str:
    """The file name of a song's plot, without suffix: the song's name, made valid on any file system."""
    stem = name.removesuffix(Path(name).suffix)
    name = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in stem)
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore").strip("._ ") or "song"
