"""LangChain's interfaces around a pipeline, and LangChain's objects as stages of one.

Ours to theirs: `as_retriever`, `as_runnable`. Theirs to ours, as fields of `rag.Components`: `from_embeddings`,
`from_chat_model`, and a vector store as a retriever with `fill_vectorstore` and `from_vectorstore`. A loader is a
connector: `rag.connectors.langchain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ConfigDict

from rag.embed.base import EmbedderIdentity, Tokenizer, Vectors
from rag.embed.pieces import PieceTokenizer
from rag.errors import ConfigError, MissingExtraError
from rag.generate.llm import LanguageModelGenerator
from rag.generate.prompt import FIELDS
from rag.library import read
from rag.models.llm import AS_SET, Completion, Message, Sampling
from rag.models.template import Template
from rag.pipeline.pipeline import Pipeline
from rag.types import Answer, Chunk, Query, Ranking, ScoredChunk, Span, Token, Usage

try:
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document as LangChainDocument
    from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable, RunnableLambda
except ModuleNotFoundError as error:
    raise MissingExtraError("langchain_core", extra="langchain", needed_for=__name__) from error

if TYPE_CHECKING:
    from langchain_core.embeddings import Embeddings
    from langchain_core.language_models import BaseChatModel
    from langchain_core.vectorstores import VectorStore

    from rag.index.directory import IndexDirectory

ORIGIN = "langchain"


# ---- ours to theirs


class PipelineRetriever(BaseRetriever):
    """A pipeline's search as a LangChain retriever: metadata has `document_id`, `start`, `end`, `score`, `source`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    pipeline: Pipeline
    k: int = 10

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangChainDocument]:
        reader = self.pipeline.index.reader()
        found = []
        for hit in self.pipeline.search(query).ranking.hits[: self.k]:
            document = reader.document(hit.chunk.document_id)
            metadata = {**document.meta, **hit.chunk.meta, **_address(hit.chunk)}
            metadata |= {"score": hit.score, "source": document.source}
            found.append(LangChainDocument(page_content=hit.chunk.text, id=hit.chunk.id, metadata=metadata))
        return found


def as_retriever(pipeline: Pipeline, *, k: int = 10) -> PipelineRetriever:
    """The pipeline's `search` as a LangChain retriever of the best `k` chunks."""
    return PipelineRetriever(pipeline=pipeline, k=k)


def as_runnable(pipeline: Pipeline) -> Runnable[str, Answer]:
    """The pipeline's `ask` as a LangChain runnable: question in, `Answer` out; `invoke`, `ainvoke`, `batch`, ``|``."""

    async def ask(question: str) -> Answer:
        return await pipeline.aio.ask(question)

    return RunnableLambda(pipeline.ask, ask, name="ragloom")


# ---- theirs to ours


class LangChainEmbedder:
    """LangChain `Embeddings` as an embedder. Vectors are brought to unit length."""

    def __init__(self, embeddings: Embeddings, *, name: str, tokenizer: Tokenizer, revision: str = "") -> None:
        self.embeddings = embeddings
        self.name = name
        self.revision = revision
        self._tokenizer = tokenizer
        self._dimension: int | None = None

    @property
    def identity(self) -> EmbedderIdentity:
        """Asks the model once for its dimension."""
        if self._dimension is None:
            self._dimension = len(self.embeddings.embed_query("dimension"))
        return EmbedderIdentity(
            model=self.name, revision=self.revision, dimension=self._dimension, pooling="unknown", precision="unknown"
        )

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return _unit(self.embeddings.embed_documents(list(texts)))

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return _unit([self.embeddings.embed_query(text) for text in texts])

    def close(self) -> None:
        """Nothing to close: the object is the caller's."""


def from_embeddings(
    embeddings: Embeddings, *, name: str, tokenizer: Tokenizer | None = None, max_tokens: int = 512
) -> LangChainEmbedder:
    """LangChain `Embeddings` as ``Components(embedder=...)``.

    Args:
        name: recorded in the index and enforced, since LangChain has no name for a model that all classes share.
        tokenizer: the model's own; without it, lengths are counted in pieces of words, at most four letters each,
            which is more than a subword tokenizer makes of almost any text.
        max_tokens: the model's window in those tokens.
    """
    return LangChainEmbedder(embeddings, name=name, tokenizer=tokenizer or PieceTokenizer(max_tokens))


class LangChainModel:
    """A LangChain chat model as a `LanguageModel`. A reply's schema is left to the prompt."""

    def __init__(self, model: BaseChatModel) -> None:
        self.model = model

    def complete(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Completion:
        reply = self.model.invoke(_messages(messages), **_options(sampling))
        return Completion(str(reply.text), _usage(reply))

    def stream(self, messages: Sequence[Message], sampling: Sampling = AS_SET) -> Iterator[Token | Usage]:
        usage = Usage(requests=1)
        for piece in self.model.stream(_messages(messages), **_options(sampling)):
            if text := str(piece.text):
                yield Token(text)
            spent = _usage(piece)
            usage = Usage(
                max(usage.prompt_tokens, spent.prompt_tokens),
                usage.completion_tokens + spent.completion_tokens,
                requests=1,
            )
        yield usage

    def close(self) -> None:
        """Nothing to close: the object is the caller's."""


def _options(sampling: Sampling) -> dict[str, Any]:
    """What LangChain's chat models take by these names at each call; only what is set."""
    options = {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
    }
    return {name: value for name, value in options.items() if value is not None}


def from_chat_model(model: BaseChatModel, *, prompt: str = "answer", max_tokens: int = 512) -> LanguageModelGenerator:
    """A LangChain chat model as ``Components(generator=...)``.

    Args:
        prompt: the template's name, looked up as in YAML.
        max_tokens: how long the answer may get; held back from a window of 8,192 tokens.

    Raises:
        UnknownNameError: there is no such prompt.
        PromptError: the prompt uses a field that an answer does not have.
    """
    template = Template.parse(read("prompts", prompt), name=prompt, fields=FIELDS)
    return LanguageModelGenerator(LangChainModel(model), template, max_tokens=max_tokens)


def fill_vectorstore(store: VectorStore, index: IndexDirectory, *, batch: int = 256) -> int:
    """Add every chunk of an index to a LangChain vector store, under its chunk id; how many there were."""
    reader = index.reader()
    count = 0
    for summary in reader.documents():
        chunks = reader.chunks_of(summary.id)
        for start in range(0, len(chunks), batch):
            part = chunks[start : start + batch]
            store.add_texts(
                [chunk.indexed_text for chunk in part], [_address(chunk) for chunk in part], ids=[c.id for c in part]
            )
        count += len(chunks)
    return count


class VectorStoreRetriever:
    """A LangChain vector store as a first-stage retriever of an index's chunks, filled by `fill_vectorstore`.

    Filters and access lists are not handed to a foreign store: a query with either is refused.
    """

    def __init__(self, store: VectorStore, index: IndexDirectory, *, k: int = 100) -> None:
        self.store = store
        self.index = index
        self.k = k

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        """Best first by the store's score: a similarity, or a distance with its sign changed.

        Raises:
            ConfigError: the query has a filter or principals, or the store holds texts of something else.
        """
        return [self._search(query) for query in queries]

    def _search(self, query: Query) -> Ranking:
        if query.filter is not None or query.principals is not None:
            raise ConfigError(
                "a LangChain vector store cannot hold filters and access lists",
                hint="use ask.retrieve: [{use: dense}], which applies them before it ranks",
            )
        found = self.store.similarity_search_with_score(query.text, k=self.k)
        # LangChain does not say whether a store's scores are similarities or distances; that its results come best
        # first is all they share, so scores that grow along the list are distances.
        sign = -1.0 if found and found[0][1] < found[-1][1] else 1.0
        return Ranking.of(
            [ScoredChunk(self._chunk(document), sign * float(score), ORIGIN) for document, score in found]
        )

    def _chunk(self, document: LangChainDocument) -> Chunk:
        """The chunk of the index that the stored text was made from."""
        address = document.metadata
        try:
            span = Span(str(address["document_id"]), int(address["start"]), int(address["end"]))
        except KeyError as missing:
            raise ConfigError(
                f"the vector store holds a text without {missing} in its metadata", hint="fill it with fill_vectorstore"
            ) from None
        text = self.index.reader().document(span.document_id).text[span.start : span.end]
        return Chunk(span=span, text=text)


def from_vectorstore(store: VectorStore, index: IndexDirectory, *, k: int = 100) -> VectorStoreRetriever:
    """A LangChain vector store as ``Components(retrievers=[...])``."""
    return VectorStoreRetriever(store, index, k=k)


# ---- shared


def _address(chunk: Chunk) -> dict[str, str | int]:
    return {"document_id": chunk.document_id, "start": chunk.span.start, "end": chunk.span.end}


def _unit(vectors: Sequence[Sequence[float]]) -> Vectors:
    array = np.asarray(vectors, np.float32)
    return np.ascontiguousarray(array / np.maximum(np.linalg.norm(array, axis=-1, keepdims=True), 1e-12))


def _messages(messages: Sequence[Message]) -> list[BaseMessage]:
    kinds: dict[str, type[BaseMessage]] = {"system": SystemMessage, "user": HumanMessage, "assistant": AIMessage}
    return [kinds[message.role](content=message.content) for message in messages]


def _usage(reply: BaseMessage) -> Usage:
    spent = getattr(reply, "usage_metadata", None) or {}
    return Usage(int(spent.get("input_tokens", 0)), int(spent.get("output_tokens", 0)), requests=1)
