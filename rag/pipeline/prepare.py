"""What stages read beside the index (token vectors, weighted terms), brought up to date with what is committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rag.pipeline.build import Built


def prepare(built: Built) -> None:
    """Let every retriever and reranker of the pipeline make what it reads of every chunk, where it lacks some.

    Objects that were given in the place of what the spec names look after themselves.

    Raises:
        ModelError: an encoder's weights are missing, or it cannot be used as asked.
    """
    built.resources.index.refresh()
    if built.components.retrievers is None:
        for retriever in built.spec.ask.retrieve:
            retriever.prepare(built.resources)
    if built.components.rerankers is None:
        for reranker in built.spec.ask.rerank:
            reranker.prepare(built.resources)
