"""How metadata takes part in what a chunk is found by: written before its text, or as a part of its vector.

Conditions of arXiv 2512.05411. The third, content alone, is to do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rag.enrich.base import Cut
from rag.enrich.keywords import TermStatistics
from rag.types import Chunk, Document, Scalar

if TYPE_CHECKING:
    from rag.embed.base import Tokenizer, Vectors
    from rag.enrich.specs import RepresentSpec
    from rag.index.reader import Reader

SHARE = 4  # a prefix may take a quarter of the encoder's window


def prefixed(
    chunks: Sequence[Chunk], document: Document, *, fields: Sequence[str], tokenizer: Tokenizer | None
) -> list[Chunk]:
    """Prefix-fusion: ``field: value | field: value`` before each chunk's context and text.

    Fields are left out from the last on until the prefix takes a quarter of the encoder's window at most.
    """
    made = []
    for chunk in chunks:
        parts = [f"{field}: {value}" for field, value in _values(chunk, document, fields)]
        if tokenizer is not None:
            while parts and tokenizer.count([" | ".join(parts)])[0] > tokenizer.max_tokens // SHARE:
                parts.pop()
        prefix = " | ".join(parts)
        context = f"{prefix}\n{chunk.context}" if chunk.context else prefix
        made.append(replace(chunk, context=context) if prefix else chunk)
    return made


class MetadataTerms:
    """TF-IDF-weighted vectors: the text's, and those of the metadata's terms.

    A chunk's vector is ``norm(a E(text) + (1 - a) sum(w_t E(t)) / sum(w_t))`` with the content weight a, over the
    heaviest terms t of its metadata, w_t their TF-IDF over the metadata of the collection. The published weight of 0.7
    is from memory. Frequencies are those of the index when the run began and of what it added since, so that the first
    documents of a new index are weighed by few: ``rag ingest --force`` weighs all by all.
    """

    def __init__(self, spec: RepresentSpec) -> None:
        self.spec = spec
        self.statistics = TermStatistics()

    def count_indexed(self, reader: Reader) -> None:
        """Take in the metadata of every chunk of an index."""
        for summary in reader.documents():
            document = reader.document(summary.id)
            self.count([Cut(document, reader.chunks_of(summary.id))])

    def count(self, batch: Iterable[Cut]) -> None:
        self.statistics.add([self._text(chunk, cut.document) for cut in batch for chunk in cut.chunks])

    def of(self, chunk: Chunk, document: Document) -> list[tuple[str, float]]:
        """The heaviest terms of a chunk's metadata, with their weights."""
        return self.statistics.weighted(self._text(chunk, document), most=self.spec.terms)

    def blended(
        self,
        vectors: Vectors,
        weighted: Sequence[Sequence[tuple[str, float]]],
        words: Sequence[str],
        word_vectors: Vectors,
    ) -> Vectors:
        """The vector of each chunk with its terms'; as it is for one without terms.

        Args:
            vectors: (n, d) float32, unit length, of the texts.
            weighted: n lists of terms and weights.
            words: the m terms there are.
            word_vectors: (m, d) float32, theirs.
        """
        import numpy as np

        at = {word: row for row, word in enumerate(words)}
        blended = vectors.copy()
        for row, terms in enumerate(weighted):
            if terms:
                weights = np.array([weight for _, weight in terms], np.float32)
                mean = weights @ word_vectors[[at[word] for word, _ in terms]] / weights.sum()
                blended[row] = self.spec.content_weight * vectors[row] + (1 - self.spec.content_weight) * mean
        lengths = np.linalg.norm(blended, axis=1, keepdims=True)
        return np.where(lengths > 0, blended / np.maximum(lengths, 1e-12), vectors).astype(np.float32)

    def _text(self, chunk: Chunk, document: Document) -> str:
        return "\n".join(str(value) for _, value in _values(chunk, document, self.spec.fields))


def _values(chunk: Chunk, document: Document, fields: Sequence[str]) -> list[tuple[str, Scalar]]:
    found = ((field, chunk.meta.get(field, document.meta.get(field))) for field in fields)
    return [(field, value) for field, value in found if value is not None and value != ""]
