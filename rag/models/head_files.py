"""Where heads lie that `rag train` made."""

from __future__ import annotations

from pathlib import Path


def missing_head(head: str, *, made_by: str) -> str | None:
    """A sentence on a file that is not there; ``None`` if it is."""
    if Path(head).is_file():
        return None
    return f"there is no file {head!r}: `{made_by}` makes one"
