"""LangChain, both ways: the pipeline as a runnable and a retriever, LangChain's objects as stages.

pip install "ragloom[langchain]"
python examples/langchain_interop.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from rag import Components, Pipeline
from rag.integrations.langchain import (
    as_retriever,
    as_runnable,
    fill_vectorstore,
    from_chat_model,
    from_embeddings,
    from_vectorstore,
)

HANDBOOK = Path(__file__).parent / "handbook"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        overrides = [f"ingest.load=[{{use: files, root: '{HANDBOOK}'}}]", f"ingest.index.path='{folder}/index'"]
        with Pipeline.from_yaml("hybrid", overrides=overrides) as pipeline:
            pipeline.ingest()

            # Ours to theirs.
            chain = as_runnable(pipeline) | RunnableLambda(lambda answer: answer.text.upper())
            print(chain.invoke("How many days of annual leave are there?"))
            for document in as_retriever(pipeline, k=2).invoke("hardware key"):
                print(document.metadata["document_id"], document.metadata["start"], document.metadata["end"])

            # Theirs to ours: any chat model writes the answer, any vector store retrieves.
            store = InMemoryVectorStore(DeterministicFakeEmbedding(size=64))
            fill_vectorstore(store, pipeline.index)
            components = Components(
                generator=from_chat_model(FakeListChatModel(responses=["Everyone has 27 days of annual leave. [1]"])),
                retrievers=[from_vectorstore(store, pipeline.index, k=20)],
            )
            fused = [
                *overrides,
                "ask.fuse={use: rrf}",
            ]  # a foreign store has no collection statistics to standardise by
            with Pipeline.from_yaml("hybrid", overrides=fused, components=components) as mixed:
                answer = mixed.ask("How many days of annual leave are there?")
                print(answer.mode, answer.text, [evidence.source for evidence in answer.evidence][:1])

        # Any Embeddings embed, here into an index of their own.
        embedder = from_embeddings(DeterministicFakeEmbedding(size=64), name="fake-64")
        own = [*overrides[:1], f"ingest.index.path='{folder}/other'"]
        with Pipeline.from_yaml("hybrid", overrides=own, components=Components(embedder=embedder)) as other:
            print(other.ingest().chunks, "chunks embedded by LangChain")


if __name__ == "__main__":
    main()
