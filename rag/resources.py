"""What a spec may need to build its component; each made at first use, shared by all stages, closed together."""

from __future__ import annotations

from typing import Protocol

from rag.embed.base import Embedder
from rag.index.directory import IndexDirectory


class Resources(Protocol):
    """Handed to every ``build``. A stage takes what it needs and keeps the handle, never a name."""

    @property
    def embedder(self) -> Embedder:
        """The pipeline's embedder (``ingest.embed``)."""
        ...

    @property
    def index(self) -> IndexDirectory:
        """The pipeline's index directory (``ingest.index``); components ask it for a reader at each call."""
        ...

    def prompt(self, name: str) -> str:
        """The text of a prompt template by name, from the working directory's ``prompts/`` or from what ships.

        Raises:
            UnknownNameError: no such prompt; near names are offered.
        """
        ...
