"""Encode music: MIDI files, a folder, a copy of GigaMIDI or its stream -> codes and latents of every bar.

Writes a .safetensors file for each song, or with output.files=parquet a file for each part with a row for each bar;
songs/*.csv lists the songs, failures/*.csv those that could not be encoded. Says first what it will take on disk and in
time. Started again after a stop, it continues where it was; several runs in one folder share the work. --verify checks
that every file is unchanged and every song there once, prints what to remove if not, and ends with exit code 1.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from musetok_bridge.encoding_settings import SETTINGS_FILE, EncodingSettings
from pipeline.settings import SettingsError, is_unicode, path_argument, run_command, say, with_same_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments beside the settings."""
    parser.add_argument("music", nargs="?", type=path_argument, help="a MIDI file or a folder: sets dataset.path")
    parser.add_argument("--verify", action="store_true", help="check the results of an earlier run")


def main(settings: EncodingSettings, arguments: argparse.Namespace) -> None:
    """Encode, or verify."""
    # Imported here: the conversion workers start by importing this file, and must not wait for torch.
    from musetok_bridge.encoding import Encoding, counts_line

    if arguments.music is not None:
        if not is_unicode(str(arguments.music)):
            raise SettingsError(f"{str(arguments.music)!r}: its bytes are not UTF-8; rename it")
        settings = replace(settings, dataset=replace(settings.dataset, path=str(arguments.music)))
    if arguments.verify:
        check(settings)
        return
    totals = Encoding(settings).encode()
    say(counts_line(totals))
    if totals.failures:
        say(f"the reason for each failure: {settings.folder / 'failures'}/*.csv")
    say(f"codes and latents: {Path(settings.folder / 'latents').resolve()}; songs/*.csv lists the songs")
    if not totals.songs:
        sys.exit(1)
    say(f"next: {with_same_arguments('musetok_bridge/03_encode.py', '--verify')}")


def check(settings: EncodingSettings) -> None:
    """Verify the folder, and print what was found."""
    from musetok_bridge.encoding import counts_line
    from musetok_bridge.encoding_verification import verify

    problems, totals = verify(settings)
    for problem in problems:
        remove = "".join(f"; remove {path}" for path in problem.remove)
        print(f"{problem.what}{remove}")
    if problems:
        print("then run the command that made the folder again")
        sys.exit(1)
    print(f"all is well in {settings.folder}: {counts_line(totals)}")


if __name__ == "__main__":
    run_command(EncodingSettings, SETTINGS_FILE, __doc__ or "", main, add_arguments)
