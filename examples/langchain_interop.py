"""LangChain, both ways: the pipeline as a runnable and a retriever, LangChain's objects as stages.

pip install "ragloom[langchain]"
python examples/langchain_interop.py

The models here are stand-ins that need no network; put your own `Embeddings` and chat model in their place.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from rag import Answer, Components, Pipeline
from rag.embed.base import Embedder
from rag.integrations.langchain import (
    as_retriever,
    as_runnable,
    fill_vectorstore,
    from_chat_model,
    from_embeddings,
    from_vectorstore,
)

HANDBOOK = Path(__file__).parent / "handbook"
QUESTION = "How many days of annual leave are there?"


class MiniLM(Embeddings):
    """The pipeline's own model, seen through LangChain's interface."""

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(x) for x in vector] for vector in self.embedder.embed_documents(texts)]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def shout(answer: Answer) -> str:
    return answer.text.upper()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        load = f"ingest.load=[{{use: files, root: '{HANDBOOK}'}}]"
        here = [load, f"ingest.index.path='{folder}/index'"]
        with Pipeline.from_yaml("hybrid", overrides=here) as pipeline:
            pipeline.ingest()

            # Ours to theirs: a runnable in a chain, a retriever.
            chain = as_runnable(pipeline) | RunnableLambda(shout)
            print(chain.invoke(QUESTION))
            for document in as_retriever(pipeline, k=2).invoke("hardware key"):
                print(document.metadata["document_id"], document.metadata["start"], document.metadata["end"])

            # Theirs to ours: their vector store retrieves, their chat model writes.
            store = InMemoryVectorStore(MiniLM(pipeline.embedder))
            print(fill_vectorstore(store, pipeline.index), "chunks in the vector store")
            components = Components(
                retrievers=[from_vectorstore(store, pipeline.index, k=20)],
                generator=from_chat_model(FakeListChatModel(responses=["You have 27 days of annual leave. [1]"])),
            )
            # RRF, because a foreign store has no statistics of all its scores by which to standardise them.
            with Pipeline.from_yaml("hybrid", overrides=[*here, "ask.fuse={use: rrf}"], components=components) as mixed:
                answer = mixed.ask(QUESTION)
                print(f"{answer.mode}: {answer.text}", answer.evidence[0].span.document_id)

            # Their embeddings, in an index of their own: it remembers the model's name and refuses another's vectors.
            components = Components(embedder=from_embeddings(MiniLM(pipeline.embedder), name="minilm-by-langchain"))
            other = [load, f"ingest.index.path='{folder}/other'"]
            with Pipeline.from_yaml("hybrid", overrides=other, components=components) as theirs:
                print(theirs.ingest().embedded, "chunks embedded by LangChain")


if __name__ == "__main__":
    main()
