"""Curves of valence and arousal over the bars and over the seconds of songs.

Takes the songs named by the setting songs.md5 from the annotations that process_gigamidi/01_annotate.py wrote, and
writes one plot for each, curves/MD5.png and curves/MD5.svg. For MIDI files of your own use
annotate_own_music/01_annotate_file.py.
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis_settings import INPUT_FOLDER, SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.annotation_tables import find_songs, parts_of
from analyze_emotion_annotations.plot_canvas import save_plot
from analyze_emotion_annotations.song_curves import plot_song
from pipeline.progress import progress_bar
from pipeline.settings import run_script, same_command


def main(settings: AnalysisSettings) -> None:
    """Draw every song asked for and print where the plots are."""
    parts, _ = parts_of(Path(settings.input.dir))
    paths: list[Path] = []
    for song in progress_bar(find_songs(parts, settings.songs.md5, settings.songs.first), "drawing", "songs"):
        figure = plot_song(song, settings.plot.dpi)
        paths += save_plot(figure, settings.folder / "curves", song.plot_name, settings.plot.formats)
    print(*paths, sep="\n")
    if not settings.songs.md5:
        print(f"these are the first songs, at most {settings.songs.first}: songs.first draws more, songs.md5 chooses")
    print(f"next: {same_command('analyze_emotion_annotations/03_report.py')}")


if __name__ == "__main__":
    run_script(AnalysisSettings, SETTINGS_FILE, __doc__, main, INPUT_FOLDER)
