"""Pipelines that ship, found by name."""
