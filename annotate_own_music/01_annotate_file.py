"""Valence and arousal of your own MIDI files: a table on the screen, plots of the curves, CSV, JSON, MIDI on request.

  python annotate_own_music/01_annotate_file.py song.mid
  python annotate_own_music/01_annotate_file.py song.mid more.mid folder --csv output/mine
  python annotate_own_music/01_annotate_file.py song.mid --midi output/own/midi    with lanes and markers for a DAW
  python annotate_own_music/01_annotate_file.py folder --json > songs.jsonl        for programs
  python -m annotate_own_music song.mid                 where the package is installed

Takes files (.mid, .midi, .kar, .rmi) and folders, which are searched with all folders below them. For one song it
prints a table of its bars, for several songs one row each. The values are those of 01_annotate.py, which is for whole
data sets; only the settings model, bars, limits and compute have an effect. If a file can't be annotated, the others
still are, and the exit code is 1.
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.settings import command_line, path_argument, run_command, with_same_arguments
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings

PLOTS = Path("output/own/curves")
CSV = "output/own/tables"  # of the command that is suggested


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command other than the settings."""
    parser.add_argument("paths", nargs="+", type=path_argument, metavar="PATH", help="a MIDI file, or a folder of them")
    parser.add_argument("--bars", action="store_true", help="print every bar of every song")
    parser.add_argument(
        "--csv",
        type=path_argument,
        metavar="DIR",
        help="write bars, songs and failures to DIR as 01_annotate.py does; replaces those of an earlier command",
    )
    parser.add_argument(
        "--midi",
        type=path_argument,
        metavar="DIR",
        help="write each song to DIR with valence and arousal as controllers 102 and 103, and markers of changes",
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each song, with all bars")
    parser.add_argument(
        "--plots",
        type=path_argument,
        metavar="DIR",
        help=f"folder for the plots (default: {PLOTS}; none with --json)",
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no plots")


def main(settings: AnnotationSettings, arguments: argparse.Namespace) -> None:
    """Annotate the files; exit with code 1 if one of them could not be annotated."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may not have every letter of a name
    try:
        # Imported here, since a worker process imports this file when it starts and doesn't need it.
        from annotate_own_music.own_music import Wanted, annotate_own_music

        by_default = None if arguments.json else PLOTS
        plots = None if arguments.no_plots else arguments.plots or by_default
        following = next_line(arguments.csv)
        wanted = Wanted(arguments.csv, plots, arguments.bars, arguments.midi, arguments.json, following)
        if not annotate_own_music(arguments.paths, settings, wanted):
            sys.exit(1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader of the output, such as head, has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def next_line(tables: Path | None) -> str:
    """What to type next: how to get the tables, or what to do with them."""
    if tables is None:
        again = with_same_arguments("annotate_own_music/01_annotate_file.py", "--csv", CSV)
        return f"next, for tables of every bar: {again}"
    report = command_line("analyze_emotion_annotations/03_report.py", {}, str(tables))
    return f"next, for a report on these songs: {report}"


if __name__ == "__main__":
    run_command(AnnotationSettings, SETTINGS_FILE, __doc__ or "", main, add_arguments)
