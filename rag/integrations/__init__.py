"""Other frameworks' interfaces around a pipeline."""
