"""Your own MIDI files -> a table on the screen, plots of curves, CSV."""
