"""A stream of GigaMIDI -> valence and arousal of every bar, as CSV."""
