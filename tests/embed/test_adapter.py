from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rag.config.problems import InvalidConfigError
from rag.embed.adapter import AdaptedEmbedder, Adapter
from rag.embed.around import query_side
from rag.embed.asymmetric import AsymmetricEmbedder
from rag.embed.base import EmbedderIdentity
from rag.embed.hash import HashEmbedder
from rag.embed.late import LateEmbedder
from rag.embed.specs import OnnxSpec
from rag.embed.truncated import TruncatedEmbedder
from rag.errors import ConfigError, ModelError, ModelNotFoundError
from rag.pipeline.spec import PipelineSpec

IDENTITY = HashEmbedder(dimension=16).identity
TEXTS = ["a dog barks", "a cat sleeps"]


def drawn(dimension: int = 16, rank: int = 2) -> Adapter:
    u, v = np.random.default_rng(0).standard_normal((2, dimension, rank)).astype(np.float32)
    return Adapter(u, v)


def test_the_change_is_u_times_v_transposed_and_the_length_stays() -> None:
    # V' e = 1, U 1 = [1, 0], e' = [0, 1] + [1, 0] = [1, 1], of length 1 again [0.7071, 0.7071].
    adapter = Adapter(np.array([[1], [0]], np.float32), np.array([[0], [1]], np.float32))
    assert adapter.apply(np.array([[0, 1], [0, 2]], np.float32)) == pytest.approx(
        np.array([[0.7071068, 0.7071068], [2 * 0.7071068, 2 * 0.7071068]])
    )


def test_an_untrained_adapter_changes_no_bit() -> None:
    vectors = HashEmbedder(dimension=48).embed_queries([f"word{n} and word{n * 7}" for n in range(200)])
    untrained = Adapter(np.zeros((48, 4), np.float32), drawn(48, 4).v)
    assert untrained.apply(vectors).tolist() == vectors.tolist()


def test_a_vector_that_is_changed_to_nothing_stays_finite() -> None:
    gone = Adapter(np.array([[-1], [0]], np.float32), np.array([[1], [0]], np.float32))
    assert gone.apply(np.array([[1, 0]], np.float32)).tolist() == [[0, 0]]


def test_queries_are_changed_and_documents_are_not(tmp_path: Path) -> None:
    plain, adapter = HashEmbedder(dimension=16), drawn()
    adapter.save(tmp_path / "a.safetensors", identity=IDENTITY, about={"dataset": "made up"})
    embedder = AdaptedEmbedder(plain, tmp_path / "a.safetensors")
    assert embedder.identity == plain.identity
    assert embedder.embed_documents(TEXTS).tolist() == plain.embed_documents(TEXTS).tolist()
    assert embedder.embed_queries(TEXTS).tolist() == adapter.apply(plain.embed_queries(TEXTS)).tolist()
    assert embedder.embed_queries(TEXTS).tolist() != plain.embed_queries(TEXTS).tolist()
    assert embedder.token_states(TEXTS)[0].tolist() == plain.token_states(TEXTS)[0].tolist()


def test_an_adapter_of_another_model_is_refused_before_anything_is_embedded(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for other in [replace(IDENTITY, model="other"), replace(IDENTITY, revision="2"), replace(IDENTITY, dimension=8)]:
        drawn(other.dimension).save(path, identity=other, about={})
        with pytest.raises(ModelError, match="was trained for"):
            AdaptedEmbedder(HashEmbedder(dimension=16), path).identity  # noqa: B018
        path.unlink()


def test_a_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="exists and is not overwritten"):
        drawn().save(path, identity=IDENTITY, about={})
    assert path.read_text() == "mine"


@pytest.mark.parametrize("damage", ["cut", "text", "shape", "nan", "absent"])
def test_what_is_no_adapter_is_an_error_that_names_the_file(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    adapter = drawn()
    if damage == "shape":
        adapter = Adapter(adapter.u[:8], adapter.v[:8])
    elif damage == "nan":
        adapter.u[0, 0] = np.nan
    adapter.save(path, identity=IDENTITY, about={})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-5])
    elif damage == "text":
        path.write_text("not tensors, but long enough to have a header")
    elif damage == "absent":
        path.unlink()
    expected = ModelNotFoundError if damage == "absent" else ModelError
    with pytest.raises(expected, match=r"a\.safetensors"):
        Adapter.load(path, identity=IDENTITY)


def test_a_pipeline_whose_adapter_is_not_there_is_not_valid(own_directory: Path) -> None:
    text = "ingest: {embed: {use: onnx, adapter: a.safetensors}}"
    with pytest.raises(InvalidConfigError, match=r"a\.safetensors is not there; `rag train` makes it"):
        PipelineSpec.from_yaml(text)
    Path("a.safetensors").touch()
    assert PipelineSpec.from_yaml(text).ingest.embed == OnnxSpec(adapter="a.safetensors")


def test_an_adapter_belongs_to_what_embeds_queries_whatever_embeds_documents(tmp_path: Path) -> None:
    class Small(HashEmbedder):
        @property
        def identity(self) -> EmbedderIdentity:
            return replace(super().identity, model="small")

    pair = AsymmetricEmbedder(query=Small(dimension=16), document=HashEmbedder(dimension=16), least_alignment=0.7)
    assert query_side(pair).identity.model == "small"
    assert query_side(LateEmbedder(pair)).identity.model == "small"
    shorter = TruncatedEmbedder(pair, dimension=8)
    assert query_side(shorter).identity.dimension == 8
    drawn().save(tmp_path / "a.safetensors", identity=Small(dimension=16).identity, about={})
    adapted = AdaptedEmbedder(LateEmbedder(pair), tmp_path / "a.safetensors")
    assert adapted.embed_queries(TEXTS).shape == (2, 16)
    with pytest.raises(ModelError, match="was trained for 'small'"):
        AdaptedEmbedder(HashEmbedder(dimension=16), tmp_path / "a.safetensors").embed_queries(TEXTS)
