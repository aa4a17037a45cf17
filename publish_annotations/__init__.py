"""Finished annotations -> a data set to publish: Parquet files with a data card, pushed on request."""
