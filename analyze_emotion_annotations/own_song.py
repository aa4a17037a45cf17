"""One MIDI file of the user's own, annotated to be drawn."""

from __future__ import annotations

from pathlib import Path

from pipeline.settings import UserError, load_settings

from .song_curves import Song


def annotate_own_file(midi: Path, config: str | None) -> Song:
    """Annotate a MIDI file as process_gigamidi does.

    config: a settings file for it; None takes config/gigamidi.yaml as it is. Raises UserError if it can't be annotated.
    """
    # This phase works on tables: the models are loaded only for a file that has none.
    from annotate_own_music.own_music import annotated, as_song
    from process_gigamidi.annotation_settings import SETTINGS_FILE, AnnotationSettings
    from process_gigamidi.conversion import Failure
    from process_gigamidi.midi_files import named_files
    from process_gigamidi.prediction import load_models

    if midi.is_dir():
        raise UserError(f"songs.midi: {midi} is a folder; annotate_own_music/01_annotate_file.py takes folders")
    files, problems = named_files([midi])
    if problems:
        raise UserError(f"songs.midi: {problems[0]}")
    settings = load_settings(AnnotationSettings, SETTINGS_FILE, config)
    (outcome,) = annotated(files, load_models(settings.model), settings)
    if isinstance(outcome.converted, Failure):
        raise UserError(f"songs.midi: {midi} can't be annotated: {outcome.converted.reason}")
    return as_song(outcome)
