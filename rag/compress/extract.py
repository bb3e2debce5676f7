"""What every compressor does that keeps whole sentences: cut, have them selected, put together what touches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from rag.compress.base import Compression
from rag.compress.budget import Selection
from rag.compress.evidence import evidence
from rag.compress.passages import Sentence, sentences_of
from rag.types import Chunk, Dropped, Evidence, Query, Ranking, Span

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.resources import Resources


class SentenceSelector(Protocol):
    """Says which sentences answer a question."""

    def select(self, query: Query, sentences: Sequence[Sentence], chunks: Sequence[Chunk], reader: Reader) -> Selection:
        """Select among `sentences`, at least one, those of `chunks`, chunk by chunk, the best chunk first."""
        ...


class ExtractiveCompressor:
    """The sentences that `selector` keeps of the best `keep` chunks, as evidence.

    Kept sentences with nothing but space between them become one piece. Pieces come document by document, best
    document first, and within a document in its order. A piece has the score of its best sentence.
    """

    def __init__(self, resources: Resources, selector: SentenceSelector, *, keep: int = 20) -> None:
        self.resources = resources
        self.selector = selector
        self.keep = keep

    def compress(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Compression]:
        if not any(rankings):
            return [Compression() for _ in rankings]
        reader = self.resources.index.reader()
        return [self._compress(query, ranking, reader) for query, ranking in zip(queries, rankings, strict=True)]

    def _compress(self, query: Query, ranking: Ranking, reader: Reader) -> Compression:
        chunks = [hit.chunk for hit in ranking.hits[: self.keep]]
        sentences = sentences_of(chunks, reader)
        if not sentences:
            return Compression()
        selection = self.selector.select(query, sentences, chunks, reader)
        scored = list(zip(sentences, selection.scores.tolist(), strict=True))
        kept = [scored[at] for at in sorted(selection.kept)]
        left_out = [each for at, each in enumerate(scored) if at not in selection.kept]
        return Compression(
            evidence=tuple(_pieces(kept, chunks, reader)),
            dropped=tuple(Dropped(sentence.span, score) for sentence, score in left_out),
            notes={"sentences_in": len(sentences), "sentences_out": len(kept), **selection.notes},
        )


def _pieces(kept: Sequence[tuple[Sentence, float]], chunks: Sequence[Chunk], reader: Reader) -> Iterable[Evidence]:
    """Sentences as evidence, document by document, those with nothing but space between them as one piece."""
    rank = {chunk.document_id: at for at, chunk in reversed(list(enumerate(chunks)))}
    ordered = sorted(kept, key=lambda each: (rank[each[0].span.document_id], each[0].span))
    runs: list[list[tuple[Sentence, float]]] = []
    for sentence, score in ordered:
        last = runs[-1][-1][0].span if runs else None
        if last is not None and last.document_id == sentence.span.document_id:
            between = reader.document(last.document_id).text[last.end : sentence.span.start]
            if not between.strip():
                runs[-1].append((sentence, score))
                continue
        runs.append([(sentence, score)])
    for run in runs:
        best, score = max(run, key=lambda each: each[1])
        end = max(sentence.span.end for sentence, _ in run)
        span = Span(best.span.document_id, run[0][0].span.start, end)
        yield evidence(reader, chunks[best.chunk], span, score=score)
