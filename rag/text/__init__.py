"""Sentences and terms with offsets, shared by the stages."""
