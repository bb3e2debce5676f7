from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.config.problems import InvalidConfigError
from rag.embed.adapter import Adapter
from rag.embed.hash import HashEmbedder
from rag.embed.routed import RoutedEmbedder, Router
from rag.errors import ModelError
from rag.pipeline.spec import PipelineSpec

A, B = 1, 2
PILOTS = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8]], np.float32)
DIAGONAL = np.array([[0.70710678, 0.70710678]], np.float32)
IDENTITY = HashEmbedder(dimension=16).identity


def drawn(seed: int, dimension: int = 16) -> Adapter:
    u, v = np.random.default_rng(seed).standard_normal((2, dimension, 2)).astype(np.float32)
    return Adapter(u, v)


def words(*pilots: str) -> np.ndarray:
    return HashEmbedder(dimension=16).embed_queries(pilots)


def test_the_nearest_pilot_decides_and_equals_go_to_the_first() -> None:
    # A: 0.7071 and 0.9899; B: 0.9899. The nearest pilots are level, so A; the means are 0.8485 and 0.9899, so B.
    router = Router(PILOTS, np.array([A, A, B]), ())
    assert router.choose(DIAGONAL, aggregate="max", least_margin=0).tolist() == [A]
    assert router.choose(DIAGONAL, aggregate="mean", least_margin=0).tolist() == [B]


def test_a_narrow_margin_leaves_the_query_to_the_encoder_alone() -> None:
    router = Router(PILOTS, np.array([A, A, B]), ())
    assert router.choose(DIAGONAL, aggregate="max", least_margin=0.02).tolist() == [0]
    assert router.choose(DIAGONAL, aggregate="mean", least_margin=0.14).tolist() == [B]  # 0.1414 ahead
    assert router.choose(DIAGONAL, aggregate="mean", least_margin=0.15).tolist() == [0]


def test_a_single_expert_takes_all() -> None:
    router = Router(PILOTS, np.array([A, A, A]), ())
    assert router.choose(-DIAGONAL, aggregate="max", least_margin=0.02).tolist() == [A]


def test_each_query_is_changed_by_its_expert_alone(tmp_path: Path) -> None:
    plain, experts = HashEmbedder(dimension=16), (drawn(1), drawn(2))
    router = Router(words("dog", "cat", "fish"), np.array([0, 1, 2]), experts)
    router.save(tmp_path / "r.safetensors", identity=IDENTITY, about={})
    embedder = RoutedEmbedder(plain, tmp_path / "r.safetensors", aggregate="max", least_margin=0.02)
    vectors = embedder.embed_queries(["fish", "dog", "cat"])
    fish, dog, cat = plain.embed_queries(["fish", "dog", "cat"])
    assert vectors[0].tolist() == experts[1].apply(fish[np.newaxis])[0].tolist()
    assert vectors[1].tolist() == dog.tolist()
    assert vectors[2].tolist() == experts[0].apply(cat[np.newaxis])[0].tolist()
    assert embedder.embed_documents(["fish"]).tolist() == plain.embed_documents(["fish"]).tolist()
    assert embedder.embed_queries([]).shape == (0, 16)
    assert embedder.identity == plain.identity


def test_a_router_of_another_model_or_with_missing_parts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.safetensors"
    for identity, router, expected in [
        (replace(IDENTITY, model="other"), Router(words("a"), np.array([0]), ()), "was trained for 'other'"),
        (IDENTITY, Router(words("a"), np.array([1]), ()), "do not fit each other"),
        (IDENTITY, Router(words("a", "b"), np.array([0]), ()), "do not fit each other"),
        (IDENTITY, Router(words("a"), np.array([1]), (drawn(1, dimension=8),)), "do not fit each other"),
    ]:
        router.save(path, identity=identity, about={})
        with pytest.raises(ModelError, match=expected):
            Router.load(path, identity=IDENTITY)
        path.unlink()
    drawn(1).save(path, identity=IDENTITY, about={})
    with pytest.raises(ModelError, match="expected a query router, found 'query adapter'"):
        Router.load(path, identity=IDENTITY)


def test_a_pipeline_whose_router_is_not_there_is_not_valid(own_directory: Path) -> None:
    text = "ingest: {embed: {use: routed, base: {use: hash}, router: r.safetensors}}"
    with pytest.raises(InvalidConfigError, match=r"r\.safetensors is not there"):
        PipelineSpec.from_yaml(text)
    Path("r.safetensors").touch()
    assert PipelineSpec.from_yaml(text).ingest.embed.use == "routed"
