"""Connectors, one small file each; imported as rag.connectors."""
