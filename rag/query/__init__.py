"""Rewrites a question before retrieval."""
