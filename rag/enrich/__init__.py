"""Adds context and metadata to chunks before they are indexed."""
