"""Plots of the curves of annotated songs. It imports matplotlib, so it is imported only if something is drawn."""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis_settings import SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.plot_canvas import save_plot
from analyze_emotion_annotations.song_curves import PlotNames, Song, plot_song
from pipeline.settings import load_settings
from process_gigamidi.prediction import Annotated


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
        self._names = PlotNames()

    def draw(self, song: Annotated) -> list[Path]:
        """Draw a song and return the paths of its plots. Raises OSError if they can't be written."""
        drawn = as_song(song)
        figure = plot_song(drawn, self._plot.dpi)
        return save_plot(figure, self._folder, self._names.name_of(drawn), self._plot.formats)
