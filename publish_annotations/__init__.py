"""Finished annotations -> a data set to publish: Parquet files with a data card, pushed to the Hub on request."""
