"""The curves of one's own songs as pictures. Imports matplotlib: import it where something is drawn."""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis_settings import DEFAULT_FILE, AnalysisSettings
from analyze_emotion_annotations.figures import save_picture
from analyze_emotion_annotations.song_curves import Song, plot_song
from pipeline.settings import load_settings

from .conversion import Converted
from .prediction import Outcome

_KEPT = "-_.,()[]+&' "  # in a picture's name, beside letters and digits
_LONGEST_NAME = 120  # bytes: file systems take 255, and the suffix and more come on top


def as_song(outcome: Outcome) -> Song:
    """What curves are drawn from, of an outcome that is no failure."""
    converted = outcome.converted
    assert isinstance(converted, Converted)
    bars = converted.bars
    valence, arousal, valence_sd, arousal_sd = outcome.predicted.T
    return Song(
        md5=outcome.row.md5,
        title=outcome.row.called,
        artist="",
        duration_seconds=converted.duration_seconds,
        bar_number=bars.bar_number,
        start_seconds=bars.start_seconds,
        valence=valence,
        arousal=arousal,
        valence_sd=valence_sd,
        arousal_sd=arousal_sd,
        n_notes=bars.n_notes,
    )


class CurvePictures:
    """Pictures of songs in one folder, each named after its song, as config/analysis.yaml has pictures."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._picture = load_settings(AnalysisSettings, DEFAULT_FILE).picture
        self._taken: set[str] = set()

    def draw(self, outcome: Outcome) -> list[Path]:
        """Draw a song that could be annotated; returns the paths. Raises OSError if they can't be written."""
        name = picture_name(outcome.row.called)
        if name.casefold() in self._taken:
            name = f"{name}-{outcome.row.md5[:8]}"
        self._taken.add(name.casefold())
        return save_picture(plot_song(as_song(outcome), self._picture.dpi), self._folder, name, self._picture.formats)


def picture_name(called: str) -> str:
    """The name of a song's picture, without suffix: the song's own, fit for any file system."""
    stem = called.removesuffix(Path(called).suffix)
    name = "".join(letter if letter.isalnum() or letter in _KEPT else "_" for letter in stem)
    return name.encode()[:_LONGEST_NAME].decode(errors="ignore").strip("._ ") or "song"
