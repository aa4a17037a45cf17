"""A report on a folder of annotations: a single HTML file that works without a network.

Its sections: overview, styles, features, differences between groups, songs to look at (choosing a row draws the song's
curve and plays it), quality of the data, and how the annotations were made. Reads what
process_gigamidi/01_annotate.py wrote, and the music that it read.
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis import analyse, provenance_of
from analyze_emotion_annotations.analysis_settings import INPUT_FOLDER, SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.report_content import report_of
from analyze_emotion_annotations.report_page import render
from pipeline.files import atomic_write
from pipeline.records import DATASET, writer_in
from pipeline.settings import counted, next_command, run_script


def main(settings: AnalysisSettings) -> None:
    """Analyse the annotations, write the report, and print where it is."""
    analysis = analyse(settings)
    record = provenance_of(settings, analysis, "analyze_emotion_annotations/03_report.py")
    report = report_of(analysis, Path(settings.input.dir), settings.plot.dpi, record, settings.report.notes_mb)
    page = render(report)
    path = settings.folder / "report.html"
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if analysis.unfinished_parts:
        where = settings.input.dir
        print(f"{counted(analysis.unfinished_parts, 'unfinished part')} of {where} left out: its run is not complete")
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser")
    if n_heard := sum(bool(sound.notes) for sound in report.sounds.values()):
        print(f"it holds the notes of {counted(n_heard, 'song')}, to be heard; report.notes_mb=0 leaves them out")
    if not analysis.unfinished_parts and writer_in(Path(settings.input.dir)) == DATASET:  # an export takes no others
        publish = next_command("publish_annotations/01_export.py", {}, settings.input.dir)
        print(f"next, for a data set to publish: {publish}")


if __name__ == "__main__":
    run_script(AnalysisSettings, SETTINGS_FILE, __doc__, main, INPUT_FOLDER)
