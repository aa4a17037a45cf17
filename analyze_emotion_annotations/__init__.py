"""Annotations -> statistics by style and plots. Reads files only."""
