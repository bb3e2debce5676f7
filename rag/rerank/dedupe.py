"""Of passages that say nearly the same in nearly the same words, only the best stays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from rag.index.signatures import signatures_of, stored_signatures
from rag.text.minhash import Shingles, Signature, agreement, resemblance, shingles, signature
from rag.types import Chunk, Query, Ranking

if TYPE_CHECKING:
    from rag.index.parts import Kept
    from rag.index.reader import Reader
    from rag.resources import Resources

SLACK = 0.2  # how far under the resemblance an agreement of signatures may lie: more than four deviations at 0.8
REMEMBERED = 4096  # texts, some 25 MB


class Signatures(Protocol):
    """What says which chunks are worth comparing."""

    def of(self, chunks: Sequence[Chunk]) -> NDArray[np.int8]:
        """(chunks, places) the MinHash signature of each chunk's text."""
        ...


class DedupeReranker:
    """Goes down the ranking and hides what resembles a kept chunk; the ranking's notes say how many were ``hidden``.

    Texts are compared when they are candidates, wherever their signatures come from: only a chunk that this question
    may see can hide another, and what is kept is the best for this question. Resemblance is that of `rag.text.minhash`,
    of the text alone, without what enrichment put before it.
    """

    def __init__(self, signatures: Signatures, *, keep: int, least: float) -> None:
        self.signatures = signatures
        self.keep = keep
        self.least = least

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [self._distinct(ranking) for ranking in rankings]

    def _distinct(self, ranking: Ranking) -> Ranking:
        if not ranking:
            return Ranking()
        texts = [hit.chunk.text for hit in ranking]
        near = agreement(self.signatures.of([hit.chunk for hit in ranking])) >= self.least - SLACK
        kept: list[int] = []
        hidden = 0
        for at, text in enumerate(texts):
            if any(near[at, other] and _resemblance(text, texts[other]) >= self.least for other in kept):
                hidden += 1
                continue
            kept.append(at)
            if len(kept) == self.keep:
                break
        return Ranking(tuple(ranking[at] for at in kept), notes={"hidden": hidden})


class ComputedSignatures:
    """Made when a chunk is a candidate: some tenths of a millisecond for one not seen lately."""

    def of(self, chunks: Sequence[Chunk]) -> NDArray[np.int8]:
        return np.stack([_signature(chunk.text) for chunk in chunks])


class StoredSignatures:
    """Read from the index, where an ingest left them; made now for chunks of others.

    Raises (at first use, and where a newer generation is read):
        IndexMismatchError: a chunk of the index has none.
    """

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._lock = Lock()
        self._opened: tuple[Reader, Kept] | None = None

    def of(self, chunks: Sequence[Chunk]) -> NDArray[np.int8]:
        reader = self.resources.index.reader()
        rows = reader.rows_of(chunks)
        made = [_signature(chunk.text) for chunk, row in zip(chunks, rows.tolist(), strict=True) if row < 0]
        stored = signatures_of(self._stored(reader), rows[rows >= 0])
        found = np.empty((len(chunks), stored.shape[1]), np.int8)
        found[rows >= 0] = stored
        if made:
            found[rows < 0] = made
        return found

    def _stored(self, reader: Reader) -> Kept:
        with self._lock:
            if self._opened is None or self._opened[0] is not reader:
                self._opened = reader, stored_signatures(reader)
            return self._opened[1]


def _resemblance(one: str, other: str) -> float:
    return resemblance(_shingles(one), _shingles(other))


@lru_cache(REMEMBERED)
def _shingles(text: str) -> Shingles:
    return shingles(text)


@lru_cache(REMEMBERED)
def _signature(text: str) -> Signature:
    return signature(_shingles(text))
