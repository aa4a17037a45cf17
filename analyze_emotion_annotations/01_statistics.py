"""Statistics of valence and arousal by style.

Reads the annotations that process_gigamidi/01_annotate.py wrote. Gives a table (statistics_by_style.csv: songs, bars,
mean, spread, quartiles, share of each quadrant) and a plot (styles.png).
"""

from __future__ import annotations

from pathlib import Path

from analyze_emotion_annotations.analysis_settings import DEFAULT_FILE, AnalysisSettings
from analyze_emotion_annotations.annotation_tables import finished_parts
from analyze_emotion_annotations.figures import save_picture
from analyze_emotion_annotations.style_plot import choose_column, plot_styles, styles_to_draw
from analyze_emotion_annotations.style_statistics import OVERALL, in_short, statistics_table, tally_styles
from musetok_bridge.provenance import file_digest, provenance, write_json, write_table
from musetok_bridge.settings import run_script


def main(settings: AnalysisSettings) -> None:
    """Count, write the table and the plot, say where they are."""
    annotations, output = Path(settings.input.dir), Path(settings.output.dir)
    parts, unfinished = finished_parts(annotations)
    tallies = tally_styles(parts, progress=True)
    plotted = settings.style_plot
    column = choose_column(tallies, plotted.column)
    table = statistics_table(tallies)
    write_table(output / "statistics_by_style.csv", table, decimals=6)
    drawn = styles_to_draw(tallies, column, plotted.min_songs, plotted.max_styles)
    pictures = save_picture(
        plot_styles(drawn, column, settings.picture.dpi), output, "styles", settings.picture.formats
    )
    run_record = annotations / "run.json"
    record = provenance(
        settings,
        annotations_run_sha256=file_digest(run_record) if run_record.exists() else None,
        parts=len(parts),
        unfinished_parts=unfinished,
        songs=tallies[OVERALL].n_songs,
        bars=tallies[OVERALL].n_bars,
    )
    write_json(output / "run.json", record)
    print(in_short(table))
    if unfinished:
        print(f"\n{unfinished} unfinished part(s) of {annotations} left out: that run is not complete")
    print(f"\ntable: {output / 'statistics_by_style.csv'}\nplot:  {', '.join(map(str, pictures))}")


if __name__ == "__main__":
    run_script(AnalysisSettings, DEFAULT_FILE, __doc__, main)
