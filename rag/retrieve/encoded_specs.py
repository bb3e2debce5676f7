"""The options of the retrievers that keep more of every chunk than its vector and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from rag.config.stage import Use
from rag.index.specs import DenseIndexSpec, ExactSpec
from rag.retrieve.retriever_spec import RetrieverSpec

if TYPE_CHECKING:
    from rag.index.multivector import MultiVectorIndex
    from rag.index.muvera import FixedDimensionalEncoding
    from rag.index.reader import Reader
    from rag.models.token_encoder import TokenEncoder
    from rag.resources import Resources
    from rag.retrieve.base import Retriever


class MultiVectorSpec(RetrieverSpec):
    """Each token of the question looks for its best match in every chunk (MaxSim, arXiv 2004.12832).

    MUVERA's encodings (arXiv 2405.19504) find candidates, exact MaxSim ranks them. Without a `model` it takes the token
    states of the pipeline's embedder, which was not trained for it. The token vectors of new chunks are encoded when a
    question first needs them, and kept beside the index.
    """

    use: Literal["multivector"] = "multivector"
    k: int = Field(50, ge=1, le=10_000)
    """How many chunks to retrieve."""
    model: str | None = Field(None, min_length=1)
    """A sentence-transformers `MultiVectorEncoder` (a ColBERT): a folder, or a name on the Hugging Face hub; needs
    the extra `hf`. Empty: the token states of the pipeline's embedder."""
    candidates: int = Field(200, ge=1)
    """How many chunks that the encodings name are scored by MaxSim, at most; up to so many chunks all are."""
    prune: float | None = Field(None, ge=0)
    """Score only candidates with at least ``t - prune * |t|``, t being the encodings' score of the last one kept.
    Empty: all; a larger value prunes less."""
    patience: int | None = Field(None, ge=1)
    """Stop scoring when so many candidates in a row did not get among the best; empty: never."""
    repetitions: int = Field(20, ge=1, le=1000)
    """How often an encoding cuts the space of token vectors into buckets."""
    planes: int = Field(5, ge=0, le=10)
    """Random planes that cut it: 2^planes buckets."""
    inner: int | None = Field(16, ge=1)
    """Numbers that each bucket keeps of a token vector, by a random projection; null: all."""
    dimension: int | None = Field(None, ge=1)
    """Numbers that an encoding is folded to at last; null: not at all."""
    search: Annotated[DenseIndexSpec, Use("dense")] = Field(default_factory=ExactSpec)
    """How the encodings are searched: any dense index."""
    device: str | None = None
    """For `model`: `cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    allow_download: bool = False
    """For `model`: fetch missing weights from the Hugging Face hub."""

    def missing(self) -> str | None:
        from rag.models.weights import missing_package, missing_weights

        if self.model is None:
            return None
        return missing_package("sentence_transformers", extra="hf") or missing_weights(
            self.model, allow_download=self.allow_download
        )

    def encoder(self, resources: Resources) -> TokenEncoder:
        """The encoder, shared with every stage that names it with the same options."""
        from rag.models.token_encoder import EmbedderTokenEncoder, MultiVectorTokenEncoder

        def make() -> TokenEncoder:
            if self.model is None:
                return EmbedderTokenEncoder(resources.embedder)
            return MultiVectorTokenEncoder(self.model, device=self.device, allow_download=self.allow_download)

        return resources.shared(("token-encoder", self.model, self.device, self.allow_download), make)

    def encoding(self, width: int) -> FixedDimensionalEncoding:
        """The encodings of token vectors of that width."""
        from rag.index.muvera import FixedDimensionalEncoding

        return FixedDimensionalEncoding(
            width, repetitions=self.repetitions, planes=self.planes, inner=self.inner, dimension=self.dimension
        )

    def build(self, resources: Resources) -> Retriever:
        from rag.retrieve.multivector import MultiVectorRetriever

        encoder = self.encoder(resources)
        return MultiVectorRetriever(
            resources, encoder, k=self.k, open_index=lambda reader: self.open(reader, resources, encoder)
        )

    def open(self, reader: Reader, resources: Resources, encoder: TokenEncoder) -> MultiVectorIndex:
        """The index over one generation; nothing is read or encoded yet."""
        from rag.index.multivector import MultiVectorIndex, Refinement
        from rag.index.parts import rowed
        from rag.models.weights import fingerprint

        made_by = str(resources.embedder.identity) if self.model is None else fingerprint(self.model)
        return MultiVectorIndex(
            rowed(reader, "multivector", made_by),
            encoder,
            encoding=self.encoding,
            first=self.search.build,
            refinement=Refinement(self.candidates, self.prune, self.patience),
        )


ENCODED: tuple[type[RetrieverSpec], ...] = (MultiVectorSpec,)
