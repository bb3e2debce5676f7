"""Options of the embed stage."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from rag.config.spec import Spec
from rag.config.stage import Use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rag.config.problems import Path as ValuePath
    from rag.config.view import Conflict, View
    from rag.embed.base import Embedder


class EmbedderSpec(Spec):
    """The base of every embedder's options.

    An embedder is itself a resource and sits below the others, so `build` takes nothing. It only makes the object;
    weights are read at the first call that needs them.
    """

    use: str

    def build(self) -> Embedder:
        """Make the embedder. Every subclass overrides this."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it is built")

    def window(self) -> int | None:
        """How many tokens of text the encoder reads, where that is known without its files; `validate` asks."""
        return None

    def has_token_states(self) -> bool:
        """Whether the embedder is a `rag.embed.base.TokenStates` too; `validate` asks."""
        return False


class OnnxSpec(EmbedderSpec):
    """A BERT-type sentence encoder run by onnxruntime on the CPU, without torch."""

    use: Literal["onnx"] = "onnx"
    model: str = "minilm"
    """`minilm`, a folder in the sentence-transformers layout, or a name on the Hugging Face hub."""
    precision: Literal["fp32", "int8"] = "fp32"
    """`int8` is faster and a quarter of the size; its vectors differ slightly, so it makes another index."""
    threads: int | None = Field(None, ge=1)
    """Threads for one batch; empty for one a physical core."""
    batch_tokens: int = Field(2048, ge=512)
    """Tokens in one batch, padding included: bounds the memory, whatever the lengths."""
    query_prompt: str | None = None
    """Text put before every query; empty for what the model's own configuration says."""
    document_prompt: str | None = None
    """Text put before every document; empty for what the model's own configuration says."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub, once."""
    dimension: int | None = Field(None, ge=1)
    """Keep the first dimensions alone, for models trained so (Matryoshka); empty for all. It makes another index."""
    adapter: str | None = None
    """A file that `rag train adapter` made for this model: it changes the vectors of queries, so the index stays."""

    def window(self) -> int | None:
        return 254 if self.model == "minilm" and not self.document_prompt else None

    def has_token_states(self) -> bool:
        return self.dimension is None

    def missing(self) -> str | None:
        from rag.config.weights import missing_weights
        from rag.embed.hub import downloaded

        # The default's own weights are looked for where they are used, so that a pipeline can be checked without them.
        if self.model in ("minilm", "sentence-transformers/all-MiniLM-L6-v2") or downloaded(self.model).is_dir():
            return _missing_file(self.adapter)
        return missing_weights(self.model, allow_download=self.allow_download) or _missing_file(self.adapter)

    def build(self) -> Embedder:
        from rag.embed.onnx import OnnxEmbedder

        embedder = OnnxEmbedder(
            self.model,
            precision=self.precision,
            threads=self.threads,
            batch_tokens=self.batch_tokens,
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            allow_download=self.allow_download,
        )
        return _finished(embedder, dimension=self.dimension, adapter=self.adapter)


class SentenceTransformersSpec(EmbedderSpec):
    """Any sentence-transformers model, run by torch; needs the extra `hf`."""

    use: Literal["sentence-transformers"] = "sentence-transformers"
    model: str
    """A name on the Hugging Face hub, or a folder."""
    revision: str | None = None
    """A commit or tag of the hub's repository; empty for its newest."""
    device: str | None = None
    """`cpu`, `cuda`, `cuda:1`, `mps`; empty for the best there is."""
    batch_size: int = Field(32, ge=1)
    """Texts in one batch."""
    query_prompt: str | None = None
    """Text put before every query; empty for what the model's own configuration says."""
    document_prompt: str | None = None
    """Text put before every document; empty for what the model's own configuration says."""
    allow_download: bool = False
    """Fetch missing weights from the Hugging Face hub."""
    dimension: int | None = Field(None, ge=1)
    """Keep the first dimensions alone, for models trained so (Matryoshka); empty for all. It makes another index."""
    adapter: str | None = None
    """A file that `rag train adapter` made for this model: it changes the vectors of queries, so the index stays."""

    def has_token_states(self) -> bool:
        return self.dimension is None

    def missing(self) -> str | None:
        from rag.config.weights import missing_package, missing_weights

        return (
            missing_package("sentence_transformers", extra="hf")
            or missing_weights(self.model, allow_download=self.allow_download)
            or _missing_file(self.adapter)
        )

    def build(self) -> Embedder:
        from rag.embed.sentence_transformers import SentenceTransformersEmbedder

        embedder = SentenceTransformersEmbedder(
            self.model,
            revision=self.revision,
            device=self.device,
            batch_size=self.batch_size,
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            allow_download=self.allow_download,
        )
        return _finished(embedder, dimension=self.dimension, adapter=self.adapter)


def _finished(encoder: Embedder, *, dimension: int | None, adapter: str | None) -> Embedder:
    """The encoder with what its options put around it."""
    if dimension is not None:
        from rag.embed.truncated import TruncatedEmbedder

        encoder = TruncatedEmbedder(encoder, dimension=dimension)
    if adapter is not None:
        from rag.embed.adapter import AdaptedEmbedder

        encoder = AdaptedEmbedder(encoder, Path(adapter))
    return encoder


def _missing_file(path: str | None) -> str | None:
    if path is None or Path(path).is_file():
        return None
    return f"the file {path} is not there; `rag train` makes it"


class HashSpec(EmbedderSpec):
    """Hashed bags of words: shared words make near vectors. For tests and for machines without any weights."""

    use: Literal["hash"] = "hash"
    dimension: int = Field(64, ge=8, le=65536)
    """Length of the vectors."""

    def has_token_states(self) -> bool:
        return True

    def build(self) -> Embedder:
        from rag.embed.hash import HashEmbedder

        return HashEmbedder(dimension=self.dimension)


class AsymmetricSpec(EmbedderSpec):
    """A large encoder for the documents, and a small one distilled from it for the queries. LEAF, arXiv 2509.12539.

    The index is that of the document encoder alone. A pair whose vectors do not lie in one space is refused.
    """

    use: Literal["asymmetric"] = "asymmetric"
    query: Annotated[EmbedderSpec, Use("embed")]
    """The encoder of queries."""
    document: Annotated[EmbedderSpec, Use("embed")]
    """The encoder of documents; it counts the tokens of chunks."""
    least_alignment: float = Field(0.7, ge=-1, le=1)
    """The least mean cosine between both encoders' vectors of the same 32 texts of the index."""

    def window(self) -> int | None:
        return self.document.window()

    def has_token_states(self) -> bool:
        return self.document.has_token_states()

    def build(self) -> Embedder:
        from rag.embed.asymmetric import AsymmetricEmbedder

        return AsymmetricEmbedder(
            query=self.query.build(), document=self.document.build(), least_alignment=self.least_alignment
        )


class RoutedSpec(EmbedderSpec):
    """Another embedder with several query adapters, the fitting one chosen for each query. arXiv 2409.02685."""

    use: Literal["routed"] = "routed"
    base: Annotated[EmbedderSpec, Use("embed")]
    """The encoder; the index is its alone."""
    router: str
    """A file that `rag train router` made for this encoder."""
    aggregate: Literal["max", "mean"] = "max"
    """How similar an expert is: as its nearest pilot, or as the mean of its pilots."""
    least_margin: float = Field(0.0, ge=0)
    """The encoder alone takes queries whose best expert is ahead of the next by less than this, in cosine."""

    def window(self) -> int | None:
        return self.base.window()

    def has_token_states(self) -> bool:
        return self.base.has_token_states()

    def missing(self) -> str | None:
        return _missing_file(self.router)

    def build(self) -> Embedder:
        from rag.embed.routed import RoutedEmbedder

        return RoutedEmbedder(
            self.base.build(), Path(self.router), aggregate=self.aggregate, least_margin=self.least_margin
        )


class LateSpec(EmbedderSpec):
    """Late chunking: documents are encoded whole, and a chunk's vector is the mean of its tokens in it.

    Chunks know what stands around them, as far as the encoder's window reaches; ingest takes about as long. What
    enrichment puts before a chunk is not in its vector. Günther et al., arXiv 2409.04701.
    """

    use: Literal["late"] = "late"
    base: Annotated[EmbedderSpec, Use("embed")] = OnnxSpec()
    """The encoder; it has to pool by the mean, and to give the states of tokens: onnx, sentence-transformers, hash."""
    overlap: int = Field(64, ge=0)
    """Tokens that neighbouring windows share, of a document longer than the encoder's window."""

    @model_validator(mode="after")
    def _has_states_to_pool(self) -> LateSpec:
        if not self.base.has_token_states():
            raise ValueError(f"'late' pools the states of tokens, which {self.base.use!r} as set does not give")
        return self

    def window(self) -> int | None:
        return self.base.window()

    def has_token_states(self) -> bool:
        return True

    def conflicts(self, pipeline: View, path: ValuePath) -> Iterator[Conflict]:
        if pipeline.value("ingest.represent.by") == "prefix":
            message = "'late' embeds documents, without what is put before a chunk: 'prefix' would change no vector"
            yield ("ingest", "represent", "by"), message

    def build(self) -> Embedder:
        from rag.embed.late import LateEmbedder

        return LateEmbedder(self.base.build(), overlap=self.overlap)


BUILT_IN: tuple[type[EmbedderSpec], ...] = (
    OnnxSpec,
    SentenceTransformersSpec,
    HashSpec,
    AsymmetricSpec,
    RoutedSpec,
    LateSpec,
)
