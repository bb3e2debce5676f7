from __future__ import annotations

from rag import library
from rag.compress import trained as compress
from rag.embed.onnx import OnnxEmbedder
from rag.models.linear_head import LinearHead
from rag.rerank.signs import OF_TOKENS, SIGNS
from rag.rerank.trained import KIND


def test_the_reranking_head_that_ships_is_for_the_default_embedder_and_encodes_no_candidate() -> None:
    path = library.find("models", "minilm-reranker")
    head = LinearHead.load(path, kind=KIND, identity=OnnxEmbedder("minilm").identity, known=SIGNS)
    assert set(head.signs) == set(SIGNS) - set(OF_TOKENS)
    assert all(0 < weight < 1 for weight in head.weights.values())


def test_the_reranking_head_for_stored_token_vectors_weighs_every_sign() -> None:
    path = library.find("models", "minilm-token-reranker")
    head = LinearHead.load(path, kind=KIND, identity=OnnxEmbedder("minilm").identity, known=SIGNS)
    assert set(head.signs) == set(SIGNS)
    assert all(0 < weight < 1 for weight in head.weights.values())


def test_the_compression_head_that_ships_is_for_the_default_embedder() -> None:
    path = library.find("models", "minilm-compressor")
    head = LinearHead.load(path, kind=compress.KIND, identity=OnnxEmbedder("minilm").identity, known=compress.SIGNS)
    assert set(head.signs) == set(compress.SIGNS)


def test_every_model_that_ships_is_small_and_has_a_card() -> None:
    names = library.names("models", local=False)
    assert names
    for name in names:
        path = library.find("models", name)
        assert path.stat().st_size < 5_000_000
        assert path.with_suffix(".md").read_text(encoding="utf-8").startswith(f"# {name}\n")
