"""MIDI files of one's own -> a table on the screen, curves, CSV."""
