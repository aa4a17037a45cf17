"""Annotate every bar of GigaMIDI, or of your own MIDI files, with valence and arousal.

Writes bars/*.csv, songs/*.csv, failures/*.csv and run.json. Started again after a stop, it goes on where it was.
"""

from musetok_bridge.settings import run_script
from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings


def main(settings: AnnotationSettings) -> None:
    """Annotate, and say where the tables are."""
    # Imported here: the conversion workers start by importing this file, and must not wait for torch.
    from process_gigamidi.annotation import annotate

    totals = annotate(settings)
    print(f"{totals.songs:,} songs annotated, {totals.bars:,} bars; {totals.failures:,} songs failed")
    print(f"bars, songs, failures and run.json are in {settings.folder}")
    if totals.failures:
        print(f"why songs failed: {settings.folder / 'failures'}/*.csv")


if __name__ == "__main__":
    run_script(AnnotationSettings, SETTINGS_FILE, __doc__, main)
