"""Finds the pipelines, prompts and configs that ship, and those in the working directory."""
