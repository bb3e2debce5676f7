"""Writes the answer from the evidence."""
