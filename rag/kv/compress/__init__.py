"""Smaller caches to write from: which keys and values of a prompt that was read stay, one file a method. All are lossy.

The prompt is read whole and its own next token is exact; what is written after it sees the entries that stay, each at
the position it had.
"""
