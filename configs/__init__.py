"""Presets that ship, found by name."""
