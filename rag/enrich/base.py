"""The enrich stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from rag.enrich.tally import Cost, EnrichmentTally
from rag.types import Chunk, Document


class Enricher(Protocol):
    """Adds `context` and `meta` to chunks; never changes their spans or texts. Same length and order as given."""

    def enrich(self, chunks: Sequence[Chunk], document: Document) -> Sequence[Chunk]: ...


@dataclass(frozen=True, slots=True)
class Cut:
    """A document and the chunks it was cut into."""

    document: Document
    chunks: Sequence[Chunk]


@runtime_checkable
class BatchEnricher(Protocol):
    """An enricher that takes many documents at a time: to ask about several chunks at once, or to count over them all.

    `identity` is what its work depends on beside its options and the chunks: the text of a prompt, the name of a model.
    Documents are indexed again when it changes.
    """

    @property
    def identity(self) -> str: ...

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        """The enriched chunks of each document, in the order of the batch.

        A chunk that cannot be enriched as asked is counted in `tally` and does not stop the others.

        Raises:
            BackendError: the model server fails again and again.
        """
        ...


@runtime_checkable
class PricedEnricher(BatchEnricher, Protocol):
    """A batch enricher that asks a language model, and can say beforehand how much."""

    def cost(self, batch: Sequence[Cut]) -> Cost:
        """What `enrich_batch` would ask; no model is asked for it."""
        ...


class Batched:
    """Makes a batch enricher an `Enricher` of one document, for use on its own."""

    def enrich_batch(self, batch: Sequence[Cut], tally: EnrichmentTally) -> list[Sequence[Chunk]]:
        raise NotImplementedError(f"{type(self).__name__} does not say how it enriches")

    def enrich(self, chunks: Sequence[Chunk], document: Document) -> Sequence[Chunk]:
        return self.enrich_batch([Cut(document, chunks)], EnrichmentTally())[0]
