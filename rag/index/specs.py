"""Options of the index: where it lies, how vectors are searched, how terms are weighted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rag.config.spec import Spec
from rag.config.stage import Use

if TYPE_CHECKING:
    from rag.index.base import DenseIndex, SparseIndex
    from rag.index.postings import Postings
    from rag.index.segments import SegmentedVectors
    from rag.text.analyze import Analyzer


class DenseIndexSpec(Spec):
    """How the nearest vectors are found. `build` is abstract."""

    use: str

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        """Open the index over one generation's vectors; files it derives from them lie in `vectors.folder`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to build its index")


class SparseIndexSpec(Spec):
    """How terms are made and weighted. `analyzer` and `build` are abstract."""

    use: str

    def analyzer(self) -> Analyzer:
        """What makes the terms, of chunks when they are written and of queries; its name is kept in the manifest."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to make terms")

    def build(self, postings: Postings) -> SparseIndex:
        """Open the index over one generation's postings."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to build its index")


class ExactSpec(DenseIndexSpec):
    """Compare the query with every vector: exact, nothing to build or to tune; right up to a few 100,000 chunks."""

    use: Literal["exact"] = "exact"

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.exact import ExactIndex

        return ExactIndex(vectors)


class HnswSpec(DenseIndexSpec):
    """A graph of near neighbours (FAISS HNSW), for low latency over many vectors; candidates are scored exactly.

    Used from 20,000 chunks on; below, and under narrow filters, search is exact. Malkov and Yashunin, arXiv 1603.09320.
    """

    use: Literal["hnsw"] = "hnsw"
    m: int = Field(32, ge=4, le=128)
    """Neighbours each vector keeps; more is better recall and more memory."""
    ef_construction: int = Field(200, ge=8, le=4096)
    """Candidates looked at when a vector is put in; more is a better graph and a slower build."""
    ef_search: int = Field(128, ge=1, le=16384)
    """Candidates kept while searching; more is better recall and slower."""

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.ann import HnswIndex

        return HnswIndex(vectors, m=self.m, ef_construction=self.ef_construction, ef_search=self.ef_search)


class IvfPqSpec(DenseIndexSpec):
    """Inverted lists of compressed vectors (FAISS IVF-PQ), for millions of chunks; candidates are scored exactly.

    Used from 20,000 chunks on; below, and under narrow filters, search is exact. Jégou, Douze and Schmid, PAMI 2011.
    """

    use: Literal["ivfpq"] = "ivfpq"
    lists: int | None = Field(None, ge=1)
    """Inverted lists; unset: four times the square root of the number of vectors, as far as training data allows."""
    probes: int | None = Field(None, ge=1)
    """Lists looked into for a query; unset: an eighth of `lists`."""
    subquantizers: int | None = Field(None, ge=1)
    """Bytes a vector is compressed to, a divisor of the dimension; unset: a quarter of the dimension."""
    rescore: int = Field(10, ge=1)
    """Candidates scored exactly, for each one asked for."""

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.ann import IvfPqIndex

        return IvfPqIndex(
            vectors,
            lists=self.lists,
            probes=self.probes,
            subquantizers=self.subquantizers,
            rescore=self.rescore,
        )


class PcaSpec(DenseIndexSpec):
    """Fewer dimensions, along the vectors' principal axes; candidates are scored exactly. arXiv 2504.08386.

    Used from 20,000 chunks on; below, and under narrow filters, search is exact.
    """

    use: Literal["pca"] = "pca"
    dimension: int | None = Field(None, ge=1)
    """Axes to keep; unset: as many as explain `variance`."""
    variance: float = Field(0.8, gt=0, lt=1)
    """The share of the vectors' variance that the axes explain, where `dimension` is unset."""
    rescore: int = Field(4, ge=1, le=1000)
    """Candidates scored exactly, for each one asked for; 1024 at least."""

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.pca import PcaIndex

        return PcaIndex(vectors, dimension=self.dimension, variance=self.variance, oversample=self.rescore)


class MatryoshkaSpec(DenseIndexSpec):
    """The first dimensions alone, for models trained so (others: `pca`); candidates are scored exactly.

    Used from 20,000 chunks on; below, and under narrow filters, search is exact. Kusupati et al., arXiv 2205.13147.
    """

    use: Literal["matryoshka"] = "matryoshka"
    dimension: int = Field(128, ge=1)
    """How many of the first dimensions are compared."""
    rescore: int = Field(4, ge=1, le=1000)
    """Candidates scored exactly, for each one asked for; 1024 at least."""

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.matryoshka import MatryoshkaIndex

        return MatryoshkaIndex(vectors, dimension=self.dimension, oversample=self.rescore)


class Int8Spec(DenseIndexSpec):
    """One byte a dimension, a quarter of the memory (FAISS); candidates are scored exactly.

    Used from 20,000 chunks on; below, and under narrow filters, search is exact.
    """

    use: Literal["int8"] = "int8"
    rescore: int = Field(2, ge=1, le=1000)
    """Candidates scored exactly, for each one asked for."""

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.int8 import Int8Index

        return Int8Index(vectors, oversample=self.rescore)


class BinarySpec(DenseIndexSpec):
    """One bit a dimension, a thirty-second of the memory, all of them compared; candidates are scored exactly.

    Used from 20,000 chunks on; below, and under narrow filters, search is exact.
    """

    use: Literal["binary"] = "binary"
    rescore: int = Field(8, ge=1, le=1000)
    """Candidates scored exactly, for each one asked for; 1024 at least."""

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.binary import BinaryIndex

        return BinaryIndex(vectors, oversample=self.rescore)


class ChromaSpec(DenseIndexSpec):
    """Search in a Chroma collection, beside the index or on a server; the vectors stay in the index as well.

    Needs the extra `chroma`.
    """

    use: Literal["chroma"] = "chroma"
    url: str | None = Field(None, pattern=r"^https?://[^/\s]+/?$")
    """A Chroma server, as ``http://localhost:8000``; unset: a database in the index folder."""
    collection: str = Field("ragloom", pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._-]{1,126}[a-zA-Z0-9]$")
    """The collection's name; on a server, one for each index."""
    ef_construction: int = Field(200, ge=8, le=4096)
    """Candidates looked at when a vector is put in."""
    ef_search: int = Field(128, ge=1, le=16384)
    """Candidates kept while searching."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package

        return missing_package("chromadb", extra="chroma")

    def build(self, vectors: SegmentedVectors) -> DenseIndex:
        from rag.index.chroma import ChromaIndex

        return ChromaIndex(
            vectors,
            url=self.url,
            collection=self.collection,
            ef_construction=self.ef_construction,
            ef_search=self.ef_search,
        )


class Bm25Spec(SparseIndexSpec):
    """BM25 over the whole collection, weighted at query time from exact counts. Robertson and Zaragoza, 2009."""

    use: Literal["bm25"] = "bm25"
    variant: Literal["lucene", "robertson", "atire", "bm25l", "bm25+"] = "lucene"
    """The weighting formula; `lucene` never gives a matching term no weight."""
    k1: float = Field(1.2, ge=0)
    """How slowly repeated terms saturate."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long chunks are discounted; 0 not at all."""
    delta: float = Field(0.5, ge=0)
    """The least weight of a term that occurs, in `bm25l` and `bm25+` only."""
    language: str = "auto"
    """What stems words in Latin script, as ``german``; ``auto`` is English. Other scripts have their own rules."""
    stem: bool = True
    """Whether inflected words share a term."""
    stopwords: bool = True
    """Whether English function words are left out."""
    fields: tuple[str, ...] = ("questions",)
    """Metadata of chunks that is indexed with their text, on this side of retrieval alone; `doc2query` writes it."""

    def analyzer(self) -> Analyzer:
        from rag.text.analyze import Analyzer

        return Analyzer(language=self.language, stem=self.stem, stopwords=self.stopwords, fields=self.fields)

    def build(self, postings: Postings) -> SparseIndex:
        from rag.index.bm25 import Bm25Index

        return Bm25Index(postings, self.analyzer(), variant=self.variant, k1=self.k1, b=self.b, delta=self.delta)


BUILT_IN_DENSE: tuple[type[DenseIndexSpec], ...] = (
    ExactSpec,
    HnswSpec,
    IvfPqSpec,
    PcaSpec,
    MatryoshkaSpec,
    Int8Spec,
    BinarySpec,
    ChromaSpec,
)
BUILT_IN_SPARSE: tuple[type[SparseIndexSpec], ...] = (Bm25Spec,)


class NgramsSpec(Spec):
    """Count phrases in the documents: a suffix array over their words, beside the index; triggers ask it."""

    lowercase: bool = True
    """Whether words are counted without regard to case."""
    most: int = Field(500_000, ge=1)
    """Occurrences of a phrase looked at when pairs are counted; where there are more the count is a lower bound."""


class IndexSpec(Spec):
    """The index directory and what is searched in it."""

    path: str = Field(".ragloom/index", min_length=1)
    """The folder of the index; a relative path counts from the working directory."""
    dense: Annotated[DenseIndexSpec, Use("dense")] | None = Field(default_factory=ExactSpec)
    """How vectors are searched; null: none are kept, and no embedder is loaded."""
    sparse: Annotated[SparseIndexSpec, Use("sparse")] | None = Field(default_factory=Bm25Spec)
    """How terms are searched; null: none are kept."""
    ngrams: NgramsSpec | None = None
    """Whether phrases can be counted (`rag counts`, triggers); null: no. Made from what is stored, also later."""
