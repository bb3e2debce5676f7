"""Where heads lie that `rag train` made: in a file of one's own, or among what ships."""

from __future__ import annotations

from pathlib import Path

from rag import library
from rag.errors import UnknownNameError


def head_file(head: str) -> Path:
    """The file of a head, by its path (ends in ``.safetensors``) or its name, ``models/<name>.safetensors``.

    Raises:
        UnknownNameError: no head has that name; near names are offered.
    """
    return Path(head) if head.endswith(library.SUFFIX["models"]) else library.find("models", head)


def missing_head(head: str, *, made_by: str) -> str | None:
    """A sentence on a head that is not there; ``None`` if it is."""
    try:
        if head_file(head).is_file():
            return None
    except UnknownNameError as error:
        return error.message
    return f"there is no file {head!r}: `{made_by}` makes one"
