"""The options of the retrievers that keep more of every chunk than its vector and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rag.config.stage import Use
from rag.index.specs import DenseIndexSpec, ExactSpec
from rag.models.token_specs import TokenEncoderOptions
from rag.retrieve.retriever_spec import RetrieverSpec

if TYPE_CHECKING:
    from rag.index.learned_sparse import LearnedSparseIndex
    from rag.index.multivector import MultiVectorIndex
    from rag.index.muvera import FixedDimensionalEncoding
    from rag.index.reader import Reader
    from rag.models.sparse_encoder import TermEncoder
    from rag.resources import Resources
    from rag.retrieve.base import Retriever


class MultiVectorSpec(TokenEncoderOptions, RetrieverSpec):
    """Each token of the question looks for its best match in every chunk (MaxSim, arXiv 2004.12832).

    MUVERA's encodings (arXiv 2405.19504) find candidates, exact MaxSim ranks them. Without a `model` it takes the token
    states of the pipeline's embedder, which was not trained for it. The token vectors of new chunks are made by `rag
    ingest`, or where another pipeline ingested when a question first needs them, and kept beside the index.
    """

    use: Literal["multivector"] = "multivector"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""
    candidates: int = Field(200, ge=1)
    """How many chunks that the encodings name are scored by MaxSim, at most; up to so many chunks all are."""
    prune: float | None = Field(None, ge=0)
    """Score only candidates with at least ``t - prune * |t|``, t being the encodings' score of the last one kept.
    Empty: all; a larger value prunes less."""
    patience: int | None = Field(None, ge=1)
    """Stop scoring when so many candidates in a row did not get among the best; empty: never."""
    repetitions: int = Field(20, ge=1, le=1000)
    """How often an encoding cuts the space of token vectors into buckets."""
    planes: int | None = Field(None, ge=0, le=10)
    """Random planes that cut it: 2^planes buckets. 0 is the mean of all token vectors, once. Unset: 5 with a `model`, 0
    for the token states of the embedder, whose mean it was trained to make."""
    inner: int | None = Field(16, ge=1)
    """Numbers that each bucket keeps of a token vector, by a random projection; null: all."""
    dimension: int | None = Field(None, ge=1)
    """Numbers that an encoding is folded to at last; null: not at all."""
    search: Annotated[DenseIndexSpec, Use("dense")] = Field(default_factory=ExactSpec)
    """How the encodings are searched: any dense index."""

    def encoding(self, width: int) -> FixedDimensionalEncoding:
        """The encodings of token vectors of that width."""
        from rag.index.muvera import FixedDimensionalEncoding

        planes = self.planes if self.planes is not None else 0 if self.model is None else 5
        if planes == 0:
            return FixedDimensionalEncoding(width, repetitions=1, planes=0, inner=None, dimension=self.dimension)
        return FixedDimensionalEncoding(
            width, repetitions=self.repetitions, planes=planes, inner=self.inner, dimension=self.dimension
        )

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.encoded import EncodedRetriever

        return EncodedRetriever(
            resources, k=self.k, origin="multivector", open_index=lambda reader: self.open(reader, resources)
        )

    def prepare(self, resources: Resources) -> None:
        reader = resources.index.reader()
        if reader.size:
            self.open(reader, resources).prepare()

    def open(self, reader: Reader, resources: Resources) -> MultiVectorIndex:
        """The index over one generation; nothing is read or encoded yet."""
        from rag.index.multivector import MultiVectorIndex, Refinement
        from rag.index.parts import rowed
        from rag.index.token_store import FOLDER

        return MultiVectorIndex(
            rowed(reader, FOLDER, self.made_by(resources)),
            self.token_encoder(resources),
            encoding=self.encoding,
            first=self.search.build,
            refinement=Refinement(self.candidates, self.prune, self.patience),
        )


class LearnedSparseSpec(RetrieverSpec):
    """Chunks by terms that a model weighs, also terms the text does not hold (SPLADE, arXiv 2107.05720).

    The weighted terms of new chunks are made by `rag ingest`, or where another pipeline ingested when a question first
    needs them, and kept beside the index. Needs the extra `hf`, and for `seismic` the extra of that name.
    """

    use: Literal["learned-sparse"] = "learned-sparse"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""
    model: str = Field(min_length=1)
    """A sentence-transformers `SparseEncoder`: a folder, or a name on the Hugging Face hub."""
    queries: Literal["model", "idf"] = "model"
    """What weighs a question's terms: the model (static weights, where it has such for questions), or how few chunks
    have each of the question's own terms, without the model."""
    engine: Literal["exact", "seismic"] = "exact"
    """How chunks are found; `seismic` (arXiv 2404.18812) takes over above 100,000 chunks where nothing is filtered."""
    query_terms: int | None = Field(128, ge=1)
    """Terms of a question that `model` may weigh, the heaviest; null: all."""
    document_terms: int | None = Field(256, ge=1)
    """Terms of a chunk, likewise. It bounds the size of the index."""
    postings: int = Field(3000, ge=1)
    """For `seismic`: chunks kept for each term on average, the heaviest."""
    query_cut: int = Field(10, ge=1)
    """For `seismic`: terms of a question that are looked up, the heaviest."""
    promise: float = Field(0.8, ge=0, le=1)
    """For `seismic`: the share of the last score kept that a block of chunks has to promise; higher skips more."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        return (
            missing_package("sentence_transformers", extra="hf")
            or (missing_package("seismic", extra="seismic") if self.engine == "seismic" else None)
            or missing_weights(self.model, allow_download=self.allow_download)
        )

    def encoder(self, resources: Resources) -> TermEncoder:
        """The encoder, shared with every stage that names it with the same options."""
        from rag.models.sparse_encoder import SpladeEncoder

        names = ("revision", "device", "query_terms", "document_terms", "allow_download")
        options = {name: getattr(self, name) for name in names}
        return resources.shared(
            ("term-encoder", self.model, *options.values()), lambda: SpladeEncoder(self.model, **options)
        )

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.encoded import EncodedRetriever

        encoder = self.encoder(resources)
        return EncodedRetriever(
            resources, k=self.k, origin="learned-sparse", open_index=lambda reader: self.open(reader, encoder)
        )

    def prepare(self, resources: Resources) -> None:
        reader = resources.index.reader()
        if reader.size:
            self.open(reader, self.encoder(resources)).prepare()

    def open(self, reader: Reader, encoder: TermEncoder) -> LearnedSparseIndex:
        """The index over one generation; nothing is read or encoded yet."""
        from rag.config.weights import fingerprint
        from rag.index.learned_sparse import LearnedSparseIndex
        from rag.index.parts import rowed
        from rag.index.seismic import SeismicOptions

        weights = " ".join(filter(None, (fingerprint(self.model), self.revision)))
        made_by = f"{weights} terms={self.document_terms}"
        seismic = SeismicOptions(postings=self.postings, query_terms=self.query_cut, promise=self.promise)
        return LearnedSparseIndex(
            rowed(reader, "learned-sparse", made_by),
            encoder,
            by_idf=self.queries == "idf",
            options=seismic if self.engine == "seismic" else None,
        )


ENCODED: tuple[type[RetrieverSpec], ...] = (MultiVectorSpec, LearnedSparseSpec)
