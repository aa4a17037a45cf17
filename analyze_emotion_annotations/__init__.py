"""Annotations -> statistics by style, plots and a report. Uses no model, only the files of annotations."""
