"""Statistics of valence and arousal by style, and by tempo, note density, tracks, performance and instruments.

Reads the annotations that process_gigamidi/01_annotate.py wrote, for any number of bars. Writes tables
(statistics_by_style.csv and statistics_by_feature.csv: number of songs and bars, mean, spread, quartiles, share of each
quadrant and change from bar to bar, with 95 % intervals over songs; comparisons.csv: effect sizes; trajectories.csv;
songs_to_look_at.csv) and plots (styles, planes, ridgelines, quadrants and trajectories, as PNG and SVG).
"""

from __future__ import annotations

from analyze_emotion_annotations.analysis import analyse, provenance_of, summary_text, write_results
from analyze_emotion_annotations.analysis_settings import INPUT_FOLDER, SETTINGS_FILE, AnalysisSettings
from analyze_emotion_annotations.plot_canvas import FORMATS, save_plot
from analyze_emotion_annotations.plots import NAMES, plots_of
from pipeline.annotations import RUN_RECORD, begun_parts
from pipeline.files import write_json
from pipeline.progress import progress_bar
from pipeline.records import STATISTICS, writer_in
from pipeline.settings import UserError, counted, run_script, with_same_arguments


def main(settings: AnalysisSettings) -> None:
    """Analyse the annotations, write tables and plots, and print where they are."""
    output = settings.folder
    if begun_parts(output):
        raise UserError(f"output.dir: {output} holds annotations, whose run.json would be lost; choose another folder")
    writer = writer_in(output)
    if writer not in (None, STATISTICS):
        raise UserError(f"output.dir: {output} holds the results of {writer}, to be kept; choose another folder")
    if writer is None and (output / RUN_RECORD).exists():
        raise UserError(f"output.dir: {output / RUN_RECORD} is of something else or damaged; choose another folder")
    analysis = analyse(settings)
    tables = write_results(analysis, output)
    plots = [
        path
        for plot in progress_bar(plots_of(analysis, settings.plot.dpi), "drawing", "plots", len(NAMES))
        for path in save_plot(plot.figure, output, plot.name, settings.plot.formats)
    ]
    if writer == STATISTICS:  # an earlier run, which had other songs or settings
        for stale in {output / f"{name}.{form}" for name in NAMES for form in FORMATS}.difference(plots):
            stale.unlink(missing_ok=True)
    write_json(output / "run.json", provenance_of(settings, analysis))
    print(summary_text(analysis.table))
    print("In brackets: 95 % intervals over songs.")
    if analysis.unfinished_parts:
        where = settings.input.dir
        print(f"\n{counted(analysis.unfinished_parts, 'unfinished part')} of {where} left out: its run is not complete")
    print("\ntables:  ", "\n          ".join(map(str, tables)))
    print("plots:   ", "\n          ".join(map(str, plots)))
    print(f"next: {with_same_arguments('analyze_emotion_annotations/02_plot_song_curves.py')}")


if __name__ == "__main__":
    run_script(AnalysisSettings, SETTINGS_FILE, __doc__, main, INPUT_FOLDER)
