"""Annotate every bar of GigaMIDI, or of your own MIDI files, with valence and arousal.

Writes bars/*.csv, songs/*.csv, failures/*.csv and run.json. Started again after a stop, it continues where it was;
started several times at once, on one machine or many, the runs share the work. 02_verify.py checks the result.
"""

from pipeline.settings import run_script
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings


def main(settings: AnnotationSettings) -> None:
    """Annotate; the run prints its progress."""
    # Imported here: the conversion workers start by importing this file, and must not wait for torch.
    from process_gigamidi.annotation import annotate

    annotate(settings)


if __name__ == "__main__":
    run_script(AnnotationSettings, SETTINGS_FILE, __doc__, main)
