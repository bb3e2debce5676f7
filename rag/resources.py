"""What a spec may need to build its component; each made at first use, shared by all stages, closed together."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar

from rag.embed.base import Embedder
from rag.index.directory import IndexDirectory
from rag.models.llm import LanguageModel

T = TypeVar("T")


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

    @property
    def llm(self) -> LanguageModel:
        """The pipeline's language model (`llm`).

        Raises:
            ConfigError: the pipeline has none; a spec with ``needs = ("llm",)`` is refused before it comes to that.
        """
        ...

    @property
    def reads_pictures(self) -> bool:
        """Whether files that are pictures are read (``ingest.parse.ocr``), so that connectors list them."""
        ...

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """The object for `key`, made at its first use, the same for every stage; closed last if it has ``close()``."""
        ...

    def prompt(self, name: str) -> str:
        """The text of a prompt template by name, from the working directory's ``prompts/`` or from what ships.

        Raises:
            UnknownNameError: no such prompt; near names are offered.
        """
        ...
