"""Curves of valence and arousal over the bars and over the seconds of songs.

Takes songs out of the annotations that process_gigamidi/01_annotate.py wrote (setting songs.md5), or annotates a MIDI
file of your own first (setting songs.midi). Gives one picture a song, curves/MD5.png and MD5.svg.
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis_settings import DEFAULT_FILE, AnalysisSettings, SongSettings
from analyze_emotion_annotations.annotation_tables import find_songs, finished_parts
from analyze_emotion_annotations.figures import save_picture
from analyze_emotion_annotations.own_song import annotate_own_file
from analyze_emotion_annotations.song_curves import Song, plot_song
from pipeline.settings import UserError, run_script


def main(settings: AnalysisSettings) -> None:
    """Draw every song asked for and say where the pictures are."""
    output = Path(settings.output.dir)
    songs = [_own_song(settings.songs)] if settings.songs.midi else _annotated(settings)
    for song in songs:
        figure = plot_song(song, settings.picture.dpi)
        print(*save_picture(figure, output / "curves", song.picture_name, settings.picture.formats), sep="\n")


def _annotated(settings: AnalysisSettings) -> list[Song]:
    parts, _ = finished_parts(Path(settings.input.dir))
    return find_songs(parts, settings.songs.md5, settings.songs.first)


def _own_song(songs: SongSettings) -> Song:
    if songs.md5:
        raise UserError("songs.midi and songs.md5 are both given; give one of them")
    return annotate_own_file(Path(songs.midi or ""), songs.midi_config)


if __name__ == "__main__":
    run_script(AnalysisSettings, DEFAULT_FILE, __doc__, main)
