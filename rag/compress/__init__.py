"""Keeps what an answer needs of the ranked chunks."""
