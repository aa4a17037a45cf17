"""Rated music -> latents on disk -> a trained valence/arousal head, and how good it is."""
