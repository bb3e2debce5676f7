from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from rag.embed.hash import HashEmbedder
from rag.embed.onnx import OnnxEmbedder
from rag.embed.sentence_transformers import SentenceTransformersEmbedder
from rag.embed.specs import (
    BUILT_IN,
    AsymmetricSpec,
    EmbedderSpec,
    HashSpec,
    LateSpec,
    OnnxSpec,
    RoutedSpec,
    SentenceTransformersSpec,
)
from rag.errors import MissingExtraError, ModelError

from .conftest import Tiny


def test_shared_words_make_near_vectors() -> None:
    dog, dogs, ship = HashEmbedder(dimension=256).embed_documents(["a barking dog", "dog barking A!", "the Vasa sank"])
    assert dog @ dogs == pytest.approx(1)
    assert abs(dog @ ship) < 0.5


def test_every_hashed_vector_has_length_one() -> None:
    vectors = HashEmbedder(dimension=8).embed_documents(["", "?!", "a b c", "x y " * 50])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-6)


def test_hashed_vectors_do_not_depend_on_the_process() -> None:
    # BLAKE2b-64 of b"dog", little-endian, is 0x...: place = (digest >> 1) % 8, sign by the lowest bit
    from hashlib import blake2b

    digest = int.from_bytes(blake2b(b"dog", digest_size=8).digest(), "little")
    expected = np.zeros(8, np.float32)
    expected[(digest >> 1) % 8] = 1 if digest & 1 else -1
    np.testing.assert_array_equal(HashSpec(dimension=8).build().embed_queries(["Dog"])[0], expected)


def test_making_an_embedder_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rag.embed.onnx.locate", lambda *_, **__: pytest.fail("looked for weights"))
    specs: list[EmbedderSpec] = [SentenceTransformersSpec(model="owner/missing"), OnnxSpec(), HashSpec()]
    specs += [LateSpec(base=OnnxSpec()), AsymmetricSpec(query=OnnxSpec(), document=OnnxSpec())]
    specs += [RoutedSpec(base=OnnxSpec(), router="absent.safetensors")]
    assert {type(spec) for spec in specs} == set(BUILT_IN)
    for spec in specs:
        spec.build()


def test_a_missing_extra_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(MissingExtraError) as caught:
        SentenceTransformersEmbedder("owner/missing").embed_queries(["a"])
    assert caught.value.hint == 'pip install "ragloom[hf]"'


@pytest.mark.parametrize("make", [OnnxSpec, SentenceTransformersSpec])
def test_a_model_that_is_not_there_is_said_when_the_pipeline_is_read(
    make: type[OnnxSpec | SentenceTransformersSpec], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("RAGLOOM_CACHE", str(tmp_path))
    assert "no weights of 'owner/missing'" in (make(model="owner/missing").missing() or "")
    assert "there is no folder './missing'" in (make(model="./missing").missing() or "")
    assert make(model="owner/missing", allow_download=True).missing() is None
    assert make(model=str(tmp_path)).missing() is None
    fetched = tmp_path / "hub" / "models--owner--missing" / "snapshots" / "1"
    fetched.mkdir(parents=True)
    (fetched / "config.json").touch()
    assert make(model="owner/missing").missing() is None


def test_a_default_encoder_without_weights_does_not_hinder_the_check_of_a_pipeline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert OnnxSpec().missing() is None


@pytest.mark.slow
def test_sentence_transformers_and_onnx_agree(tiny: Tiny) -> None:
    pytest.importorskip("sentence_transformers", reason="torch is not installed (extra hf)")
    folder = str(tiny(prompts={"query": "query: ", "document": "a "}))
    theirs, ours = SentenceTransformersEmbedder(folder, device="cpu"), OnnxEmbedder(folder)
    texts = ["dogs bark.", "cat b c"]
    np.testing.assert_allclose(theirs.embed_documents(texts), ours.embed_documents(texts), atol=1e-5)
    np.testing.assert_allclose(theirs.embed_queries(texts), ours.embed_queries(texts), atol=1e-5)
    assert theirs.identity.query_prompt == "query: "
    assert theirs.tokenizer.max_tokens == ours.tokenizer.max_tokens
    assert theirs.tokenizer.count(texts) == ours.tokenizer.count(texts)
    assert theirs.tokenizer.offsets(texts[0]) == ours.tokenizer.offsets(texts[0])
    with pytest.raises(ModelError, match="text 0 has 20 tokens"):
        theirs.embed_documents(["a " * 20])
    theirs.close()
