"""Curves of valence and arousal over the bars and over the seconds of songs.

Takes the songs named by the setting songs.md5 from the annotations that process_gigamidi/01_annotate.py wrote, and
writes one plot for each, as PNG and SVG, into the folder curves: named by the song's md5, or in annotations of a folder
of MIDI files by the file. annotate_own_music/01_annotate_file.py draws MIDI files without annotating a folder first.
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis_settings import INPUT_FOLDER, SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.annotation_tables import find_songs, parts_of
from analyze_emotion_annotations.plot_canvas import save_plot
from analyze_emotion_annotations.song_curves import plot_song
from pipeline.file_names import FileNames
from pipeline.progress import progress_bar
from pipeline.settings import counted, run_script, with_same_arguments


def main(settings: AnalysisSettings) -> None:
    """Draw every song asked for and print where the plots are."""
    parts, _ = parts_of(Path(settings.input.dir))
    songs, names = find_songs(parts, settings.songs.md5, settings.songs.first), FileNames()
    paths: list[Path] = []
    for song in progress_bar(songs, "drawing", "songs"):
        figure, name = plot_song(song, settings.plot.dpi), names.of(song.title, song.md5)
        paths += save_plot(figure, settings.folder / "curves", name, settings.plot.formats)
    print(*paths, sep="\n")
    n_songs = sum(part.n_songs for part in parts)
    if len(songs) < n_songs and not settings.songs.md5:
        print(f"{len(songs):,} of {counted(n_songs, 'song')} drawn: songs.first draws more, songs.md5 chooses")
    print(f"next: {with_same_arguments('analyze_emotion_annotations/03_report.py')}")


if __name__ == "__main__":
    run_script(AnalysisSettings, SETTINGS_FILE, __doc__, main, INPUT_FOLDER)
