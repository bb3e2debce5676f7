from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from rag import Pipeline
from rag.embed.asymmetric import AsymmetricEmbedder, alignment
from rag.embed.base import EmbedderIdentity, Vectors
from rag.embed.hash import HashEmbedder
from rag.embed.specs import AsymmetricSpec, HashSpec
from rag.errors import ModelError
from rag.pipeline.build import Components
from rag.pipeline.spec import PipelineSpec

TEXTS = ["the dog barks", "a cat sleeps", "birds sing at dawn", "fish swim in the sea"]


class Turned(HashEmbedder):
    """The hash embedder's vectors, turned: a space of its own where the angle is wide."""

    def __init__(self, *, share: float, dimension: int = 64) -> None:
        super().__init__(dimension=dimension)
        self.share = share

    @property
    def identity(self) -> EmbedderIdentity:
        return EmbedderIdentity(model="turned", revision="1", dimension=self.dimension)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        vectors = super().embed_documents(texts)
        other = np.roll(vectors, 1, axis=1)
        other -= np.vecdot(other, vectors)[:, np.newaxis] * vectors
        other /= np.linalg.norm(other, axis=1, keepdims=True)
        return (self.share * vectors + np.sqrt(1 - self.share**2) * other).astype(np.float32)


def test_alignment_is_the_mean_cosine() -> None:
    # (1 * 0.6 + 0 * 0.8 + 0 * 0 + 1 * 1) / 2
    assert alignment(np.array([[1, 0], [0, 1]], np.float32), np.array([[0.6, 0.8], [0, 1]], np.float32)) == 0.8


def test_documents_and_queries_come_from_their_own_encoders() -> None:
    document, query = HashEmbedder(), Turned(share=0.9)
    pair = AsymmetricEmbedder(query=query, document=document, least_alignment=0.7)
    assert pair.embed_documents(TEXTS).tolist() == document.embed_documents(TEXTS).tolist()
    assert pair.embed_queries(TEXTS).tolist() == query.embed_queries(TEXTS).tolist()
    assert pair.identity == document.identity  # the index does not depend on the query encoder


def test_a_pair_in_two_spaces_is_refused_with_its_figure() -> None:
    pair = AsymmetricEmbedder(query=Turned(share=0.5), document=HashEmbedder(), least_alignment=0.7)
    with pytest.raises(ModelError, match=r"turned and hash do not lie in one space.*4 texts is 0\.500.*at least 0\.7"):
        pair.embed_documents(TEXTS)


def test_vectors_of_two_lengths_are_refused_before_anything_is_embedded() -> None:
    spec = AsymmetricSpec(query=HashSpec(dimension=32), document=HashSpec(dimension=64))
    with pytest.raises(ModelError, match="hash has vectors of 32 dimensions, hash of 64"):
        spec.build().identity  # noqa: B018


def test_an_index_of_the_document_encoder_is_asked_by_a_pair_that_fits_and_refused_to_one_that_does_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "docs").mkdir()
    for at, text in enumerate(TEXTS):
        (tmp_path / "docs" / f"{at}.txt").write_text(text)
    spec = PipelineSpec.model_validate(
        {
            "ingest": {
                "load": [{"use": "files", "root": str(tmp_path / "docs")}],
                "embed": {"use": "hash"},
                "index": {"path": str(tmp_path / "index")},
            },
            "ask": {"retrieve": [{"use": "dense"}], "fuse": {"use": "single"}},
        }
    )
    with Pipeline(spec) as pipeline:
        pipeline.ingest()

    def asked(share: float) -> str:
        pair = AsymmetricEmbedder(query=Turned(share=share), document=HashEmbedder(), least_alignment=0.7)
        with Pipeline(spec, Components(embedder=pair)) as pipeline:
            return pipeline.search("cat sleeps").ranking[0].chunk.text

    assert asked(0.8) == "a cat sleeps"
    with pytest.raises(ModelError, match=r"mean cosine of 4 texts is 0\.300"):
        asked(0.3)
