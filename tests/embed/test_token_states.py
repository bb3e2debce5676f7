"""The states of tokens, before they are pooled."""

from __future__ import annotations

import numpy as np
import pytest

from rag.embed.base import TokenStates
from rag.embed.hash import HashEmbedder
from rag.embed.onnx import OnnxEmbedder
from rag.embed.sentence_transformers import SentenceTransformersEmbedder
from rag.errors import ModelError

from .conftest import Tiny

TEXTS = ["dogs bark.", "a", "cat b c dogs ."]


def test_there_is_one_state_for_each_token_whatever_else_is_in_the_batch(tiny: Tiny) -> None:
    embedder = OnnxEmbedder(str(tiny()))
    states = embedder.token_states(TEXTS)
    assert [len(rows) for rows in states] == [len(embedder.tokenizer.offsets(text)) for text in TEXTS]
    for text, rows in zip(TEXTS, states, strict=True):
        np.testing.assert_allclose(embedder.token_states([text])[0], rows, atol=1e-5)
    assert embedder.token_states([]) == []


def test_a_text_longer_than_the_window_is_refused(tiny: Tiny) -> None:
    with pytest.raises(ModelError, match="text 0 has 22 tokens"):
        OnnxEmbedder(str(tiny())).token_states(["a " * 20])


def test_hashed_states_add_up_to_the_hashed_vector() -> None:
    embedder = HashEmbedder(dimension=32)
    [states] = embedder.token_states(["a dog, a cat"])
    [vector] = embedder.embed_documents(["a dog, a cat"])
    total = states.sum(axis=0)
    np.testing.assert_allclose(total / np.linalg.norm(total), vector, rtol=1e-6)
    assert len(states) == len(embedder.tokenizer.offsets("a dog, a cat")) == 4


def test_every_embedder_that_ships_gives_states() -> None:
    for embedder in (OnnxEmbedder(), SentenceTransformersEmbedder("owner/missing"), HashEmbedder()):
        assert "token_states" in dir(embedder)
    assert isinstance(HashEmbedder(), TokenStates)


@pytest.mark.slow
def test_sentence_transformers_and_onnx_give_the_same_states(tiny: Tiny) -> None:
    pytest.importorskip("sentence_transformers", reason="torch is not installed (extra hf)")
    folder = str(tiny())
    theirs = SentenceTransformersEmbedder(folder, device="cpu").token_states(TEXTS)
    for one, other in zip(OnnxEmbedder(folder).token_states(TEXTS), theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
