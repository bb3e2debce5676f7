"""The index directory: the truth in SQLite, vector segments beside it, the rest rebuildable."""
