"""Two encoders in one space: a large one for the documents, a small one for the queries. LEAF, arXiv 2509.12539."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

import numpy as np

from rag.embed.around import EmbedderAround, query_side
from rag.embed.base import PROBED, Embedder, EmbedderIdentity, Vectors
from rag.errors import ModelError


class AsymmetricEmbedder(EmbedderAround):
    """Documents by one encoder, queries by another that was distilled from it.

    Its identity is the document encoder's: the index depends on nothing else, so it can be made with that encoder
    alone, and the query encoder exchanged, without embedding anything again. What guards that instead is the probe:
    texts of the index, encoded by the query encoder, must lie near the vectors they have there. A pipeline makes it
    when an index is opened; `embed_documents` makes it with its first texts, before time is spent on the rest.

    Raises (at first use):
        ModelError: the encoders' vectors have different lengths, or their spaces do not align; gives the figure.
    """

    def __init__(self, *, query: Embedder, document: Embedder, least_alignment: float) -> None:
        super().__init__(document)
        self.query = query
        self.least_alignment = least_alignment
        self._lock = Lock()
        self._aligned = False

    @property
    def identity(self) -> EmbedderIdentity:
        document, query = self.embedder.identity, self.query.identity
        if document.dimension != query.dimension:
            raise ModelError(
                f"{query.model} has vectors of {query.dimension} dimensions, {document.model} of {document.dimension}",
                hint="ingest.embed.query has to be a model that was distilled from that of ingest.embed.document",
            )
        return document

    @property
    def query_side(self) -> Embedder:
        return query_side(self.query)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = self.embedder.embed_documents(texts)
        self.require_alignment(texts[:PROBED], vectors[:PROBED])
        return vectors

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.query.embed_queries(texts)

    def require_alignment(self, texts: Sequence[str], vectors: Vectors) -> None:
        """Encode texts with the query encoder and hold them against their document vectors; once, then it is known.

        Texts longer than the query encoder's window are left out.

        Raises:
            ModelError: the mean cosine is under `least_alignment`.
        """
        with self._lock:
            if self._aligned or not len(texts):
                return
            counts = self.query.tokenizer.count(texts)
            fitting = [at for at, count in enumerate(counts) if count <= self.query.tokenizer.max_tokens]
            if not fitting:
                raise ModelError(
                    f"none of {len(texts)} texts fits the window of {self.query.identity.model}, "
                    f"{self.query.tokenizer.max_tokens} tokens, so it cannot be told whether it fits the documents'",
                    hint="choose smaller chunks: ingest.chunk",
                )
            figure = alignment(self.query.embed_documents([texts[at] for at in fitting]), vectors[fitting])
            if figure < self.least_alignment:
                raise ModelError(
                    f"the vectors of {self.query.identity.model} and {self.identity.model} do not lie in one space: "
                    f"the mean cosine of {len(fitting)} texts is {figure:.3f}, expected at least "
                    f"{self.least_alignment:g}",
                    hint="ingest.embed.query has to be a model that was distilled from that of ingest.embed.document",
                )
            self._aligned = True

    def close(self) -> None:
        self.query.close()
        super().close()


def alignment(some: Vectors, others: Vectors) -> float:
    """The mean cosine of unit vectors, row by row.

    >>> alignment(np.array([[1, 0], [0, 1]], np.float32), np.array([[0.6, 0.8], [0, 1]], np.float32))
    0.8
    """
    return round(float(np.vecdot(some, others).mean(dtype=np.float64)), 6)
