"""Songs of a dataset, row by row in numbered parts: from the Hub, a local copy, or MIDI files."""
