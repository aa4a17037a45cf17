"""Annotations of one MIDI file of the user's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from musetok_bridge.provenance import midi_md5
from musetok_bridge.scores import MIDI_SUFFIXES
from musetok_bridge.settings import UserError, load_settings


def annotate_own_file(midi: Path, output_dir: Path, config: str | None) -> tuple[Path, str]:
    """Annotate a MIDI file with process_gigamidi, anew each time: the weights may have changed.

    config: a settings file for it; None takes config/gigamidi.yaml as it is.
    Returns the folder of its annotations, below `output_dir` and named for the file's md5, and that md5.
    """
    if midi.suffix.lower() not in MIDI_SUFFIXES:
        raise UserError(
            f"songs.midi: {midi} is not a MIDI file by its name; it should end in {' or '.join(MIDI_SUFFIXES)}"
        )
    try:
        md5 = midi_md5(midi.read_bytes())
    except OSError as error:
        raise UserError(f"songs.midi: {midi} can't be read: {error.strerror}") from None
    # This phase works on tables: the models, and torch with them, are loaded only for a file that has none.
    from process_gigamidi.annotation import annotate
    from process_gigamidi.annotation_settings import AnnotationSettings

    folder = output_dir / "annotations-of-own" / md5
    # as JSON strings, so that YAML takes a path with ": " or "#" in it as it is
    overrides = [f"dataset.path={json.dumps(str(midi))}", f"output.dir={json.dumps(str(folder))}", "compute.workers=1"]
    shutil.rmtree(folder, ignore_errors=True)
    annotate(load_settings(AnnotationSettings, "gigamidi.yaml", config, overrides))
    return folder, md5
