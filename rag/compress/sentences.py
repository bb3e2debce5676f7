"""Keep the sentences nearest to the question."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rag.compress.evidence import evidence
from rag.text.sentences import sentences
from rag.types import Chunk, Evidence, Query, Ranking, Span

if TYPE_CHECKING:
    from rag.embed.base import Vectors
    from rag.index.reader import Reader
    from rag.resources import Resources

logger = logging.getLogger(__name__)


class SentenceCompressor:
    """Scores sentences by ``cos(question, sentence) + document_weight * cos(question, chunk)`` and keeps the best.

    Kept greedily by score while they fit into `tokens` of the embedder, leaving out what is nearer than
    `duplicate_cosine` to a kept one; then each gets the sentence before and after it, as far as the budget goes. A best
    sentence longer than the budget is kept alone and whole, with a warning in the log. Sentences that touch become one
    piece. Pieces come document by document, best document first, and within a document in its order.
    """

    def __init__(
        self,
        resources: Resources,
        *,
        keep: int = 20,
        tokens: int = 1200,
        document_weight: float = 0.3,
        duplicate_cosine: float = 0.9,
    ) -> None:
        self.resources = resources
        self.keep = keep
        self.tokens = tokens
        self.document_weight = document_weight
        self.duplicate_cosine = duplicate_cosine

    def compress(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[tuple[Evidence, ...]]:
        if not any(rankings):
            return [() for _ in rankings]
        reader = self.resources.index.reader()
        questions = self.resources.embedder.embed_queries([query.text for query in queries])
        return [
            self._compress(question, ranking, reader) for question, ranking in zip(questions, rankings, strict=True)
        ]

    def _compress(self, question: NDArray[np.float32], ranking: Ranking, reader: Reader) -> tuple[Evidence, ...]:
        chunks = [hit.chunk for hit in ranking.hits[: self.keep]]
        found = _sentences(chunks)
        if not found:
            return ()
        texts = [sentence.text for sentence in found]
        vectors = self.resources.embedder.embed_documents(texts)
        chunk_cosines = self._chunk_vectors(chunks, reader) @ question
        of_chunk = np.array([sentence.chunk for sentence in found])
        scores = vectors @ question + self.document_weight * chunk_cosines[of_chunk]
        kept = self._keep(scores, vectors, costs=self.resources.embedder.tokenizer.count(texts), chunks=of_chunk)
        chosen = [replace(found[at], score=float(scores[at])) for at in kept]
        return tuple(_pieces(chosen, chunks, reader))

    def _chunk_vectors(self, chunks: Sequence[Chunk], reader: Reader) -> Vectors:
        if reader.dense is None:
            return self.resources.embedder.embed_documents([chunk.indexed_text for chunk in chunks])
        return reader.vectors(reader.rows_of(chunks))

    def _keep(
        self, scores: NDArray[np.float32], vectors: Vectors, *, costs: Sequence[int], chunks: NDArray[np.int64]
    ) -> set[int]:
        """Positions of the sentences to keep; they stand in the order of their chunks, neighbours side by side."""
        order = sorted(range(len(scores)), key=lambda at: (-scores[at], at))
        best, left = order[0], self.tokens - costs[order[0]]
        if left < 0:
            logger.warning("the best sentence has %d tokens, the budget is %d: kept alone", costs[best], self.tokens)
            return {best}
        picked = [best]
        for at in order[1:]:
            if costs[at] <= left and float((vectors[picked] @ vectors[at]).max()) <= self.duplicate_cosine:
                picked.append(at)
                left -= costs[at]
        kept = set(picked)
        for at in picked:
            for beside in (at - 1, at + 1):
                inside = 0 <= beside < len(chunks) and chunks[beside] == chunks[at]
                if inside and beside not in kept and costs[beside] <= left:
                    kept.add(beside)
                    left -= costs[beside]
        return kept


@dataclass(frozen=True, slots=True)
class _Sentence:
    """A sentence of the chunk at position `chunk` of a ranking."""

    span: Span
    text: str
    chunk: int
    score: float = 0.0


def _sentences(chunks: Sequence[Chunk]) -> list[_Sentence]:
    """The sentences of all chunks, chunk by chunk; one that lies in two overlapping chunks only once."""
    seen: dict[Span, _Sentence] = {}
    for at, chunk in enumerate(chunks):
        for start, end in sentences(chunk.text):
            span = Span(chunk.document_id, chunk.span.start + start, chunk.span.start + end)
            seen.setdefault(span, _Sentence(span, chunk.text[start:end], at))
    return list(seen.values())


def _pieces(chosen: Sequence[_Sentence], chunks: Sequence[Chunk], reader: Reader) -> Iterable[Evidence]:
    """Sentences as evidence, document by document, those with nothing but space between them as one piece."""
    rank = {chunk.document_id: at for at, chunk in reversed(list(enumerate(chunks)))}
    ordered = sorted(chosen, key=lambda sentence: (rank[sentence.span.document_id], sentence.span))
    runs: list[list[_Sentence]] = []
    for sentence in ordered:
        last = runs[-1][-1].span if runs else None
        if last is not None and last.document_id == sentence.span.document_id:
            between = reader.document(last.document_id).text[last.end : sentence.span.start]
            if not between.strip():
                runs[-1].append(sentence)
                continue
        runs.append([sentence])
    for run in runs:
        best = max(run, key=lambda sentence: sentence.score)
        span = Span(best.span.document_id, run[0].span.start, max(sentence.span.end for sentence in run))
        yield evidence(reader, chunks[best.chunk], span, score=best.score)
