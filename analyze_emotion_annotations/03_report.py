"""A report on a folder of annotations: one HTML file that needs nothing else and no network.

Overview, styles, features, how far apart they are, songs to look at (a song's curve is drawn when its row is chosen),
quality of the data, and how it was made. Reads the annotations that process_gigamidi/01_annotate.py wrote.
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis import analyse, provenance_of
from analyze_emotion_annotations.analysis_settings import SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.report_content import report_of
from analyze_emotion_annotations.report_page import render
from pipeline.files import atomic_write
from pipeline.settings import run_script


def main(settings: AnalysisSettings) -> None:
    """Analyse, write the report, say where it is."""
    found = analyse(settings)
    record = provenance_of(settings, found)
    page = render(report_of(found, Path(settings.input.dir), settings.plot.dpi, record))
    path = Path(settings.output.dir) / "report.html"
    with atomic_write(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    if found.unfinished_parts:
        where = settings.input.dir
        print(f"{found.unfinished_parts} unfinished part(s) of {where} left out: that run is not complete")
    print(f"report: {path} ({path.stat().st_size / 1e6:.1f} MB); open it in a browser")


if __name__ == "__main__":
    run_script(AnalysisSettings, SETTINGS_FILE, __doc__, main)
