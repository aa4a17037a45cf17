"""Valence and arousal of your own MIDI files: a table on the screen, the curves as plots, CSV on request.

  python annotate_own_music/01_annotate_file.py song.mid
  python annotate_own_music/01_annotate_file.py song.mid more.mid folder --csv output/mine

Takes files (.mid, .midi, .kar) and folders, which are searched with all folders below them. Of one song it prints the
bars, of several a row each. The numbers are those of 01_annotate.py, which is for whole datasets; of the settings it
reads model, bars, limits and compute. Exits with 1 if something could not be annotated; the rest is.
"""

import argparse
import os
import sys
from pathlib import Path

from pipeline.settings import run_command
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings

PLOTS = Path("output/own/curves")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside settings."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a MIDI file, or a folder of them")
    parser.add_argument("--bars", action="store_true", help="print every bar, however many and of however many songs")
    parser.add_argument("--csv", type=Path, metavar="DIR", help="write bars, songs and failures as 01_annotate.py does")
    parser.add_argument(
        "--plots", type=Path, metavar="DIR", default=PLOTS, help=f"folder of the curves (default: {PLOTS})"
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no curves")


def main(settings: AnnotationSettings, arguments: argparse.Namespace) -> None:
    """Annotate; exits with 1 if something could not be annotated."""
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal may lack letters of a name
    try:
        # Imported here: the process that converts starts by importing this file.
        from annotate_own_music.own_music import Wanted, annotate_own_music

        wanted = Wanted(arguments.csv, None if arguments.no_plots else arguments.plots, arguments.bars)
        if not annotate_own_music(arguments.paths, settings, wanted):
            sys.exit(1)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # of a reader that has seen enough, like head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    run_command(AnnotationSettings, SETTINGS_FILE, __doc__ or "", main, add_arguments)
