"""The pipeline: its spec, how it is built, how it ingests and asks."""
