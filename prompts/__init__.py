"""Prompts that ship, found by name."""
