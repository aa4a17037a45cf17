"""Statistics of valence and arousal by style, and by tempo, note density, tracks, performance and instruments.

Reads the annotations that process_gigamidi/01_annotate.py wrote, any number of bars. Writes tables
(statistics_by_style.csv and statistics_by_feature.csv: songs, bars, mean, spread, quartiles, quadrants, change from bar
to bar, each with its 95 % interval over songs; comparisons.csv: effect sizes; courses.csv; songs_to_look_at.csv) and
pictures (styles, planes, ridgelines, quadrants and courses, as PNG and SVG).
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis import analyse, in_short, provenance_of, write_results
from analyze_emotion_annotations.analysis_settings import DEFAULT_FILE, AnalysisSettings
from analyze_emotion_annotations.figures import save_picture
from analyze_emotion_annotations.pictures import pictures_of
from pipeline.files import write_json
from pipeline.settings import run_script


def main(settings: AnalysisSettings) -> None:
    """Analyse, write tables and pictures, say where they are."""
    found, output = analyse(settings), Path(settings.output.dir)
    tables = write_results(found, output)
    pictures = [
        path
        for picture in pictures_of(found, settings.picture.dpi)
        for path in save_picture(picture.figure, output, picture.name, settings.picture.formats)
    ]
    write_json(output / "run.json", provenance_of(settings, found))
    print(in_short(found.table))
    print("In brackets: 95 % intervals, by songs.")
    if found.unfinished_parts:
        where = settings.input.dir
        print(f"\n{found.unfinished_parts} unfinished part(s) of {where} left out: that run is not complete")
    print("\ntables:  ", "\n          ".join(map(str, tables)))
    print("pictures:", "\n          ".join(map(str, pictures)))


if __name__ == "__main__":
    run_script(AnalysisSettings, DEFAULT_FILE, __doc__, main)
