"""Late chunking: whole documents are encoded, chunks pooled afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.embed.base import EmbedderIdentity, InDocument, Vectors
from rag.embed.hash import HashEmbedder, WordTokenizer
from rag.embed.late import LateEmbedder, windows
from rag.embed.onnx import OnnxEmbedder
from rag.embed.sentence_transformers import SentenceTransformersEmbedder
from rag.embed.specs import HashSpec, LateSpec, OnnxSpec
from rag.errors import ConfigError, ModelError

from .conftest import Tiny


class Words(WordTokenizer):
    def __init__(self, max_tokens: int) -> None:
        self.max_tokens = max_tokens


class Telling:
    """Words ``w0 w1 ...``; each one's state names the first word of the window it was read in."""

    def __init__(self, *, window: int, pooling: str = "mean", words: int = 64) -> None:
        self.tokenizer = Words(window)
        self.identity = EmbedderIdentity(model="telling", revision="1", dimension=words, pooling=pooling)
        self.read: list[str] = []

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        self.read += texts
        found = []
        for text in texts:
            words = [text[start:end] for start, end in self.tokenizer.offsets(text)]
            assert len(words) <= self.tokenizer.max_tokens
            found.append(np.tile(np.eye(self.identity.dimension, dtype=np.float32)[int(words[0][1:])], (len(words), 1)))
        return found

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.eye(self.identity.dimension, dtype=np.float32)[[-1] * len(texts)]

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def close(self) -> None:
        """Nothing is held."""


class Given(Telling):
    """Gives the states it was made with."""

    def __init__(self, states: Sequence[Sequence[float]]) -> None:
        super().__init__(window=16, words=len(states[0]))
        self.states = np.array(states, np.float32)

    def token_states(self, texts: Sequence[str]) -> list[Vectors]:
        return [self.states for _ in texts]


def test_the_vector_of_a_chunk_is_the_mean_of_its_tokens_states_at_unit_length() -> None:
    # means (0.5, 0.5), (3, 4), (1, 0) and (1.5, 2.5)
    embedder = LateEmbedder(Given([[1, 0], [0, 1], [3, 4]]), overlap=2)
    found = embedder.embed_chunks([("a b c", [(0, 3), (4, 5), (0, 1), (2, 5)])])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[half, half], [0.6, 0.8], [1, 0], [3 / np.sqrt(34), 5 / np.sqrt(34)]], rtol=1e-6)
    assert found.dtype == np.float32


def numbered(count: int) -> tuple[str, list[tuple[int, int]]]:
    words = [f"w{at}" for at in range(count)]
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    return " ".join(words), [(int(end) - len(word), int(end)) for word, end in zip(words, ends, strict=True)]


def test_a_token_is_taken_from_the_window_in_which_it_is_farther_from_the_edge() -> None:
    text, spans = numbered(20)
    telling = Telling(window=8)
    found = LateEmbedder(telling, overlap=2).embed_chunks([(text, spans)])
    # windows w0-w7, w6-w13, w12-w19; of two shared words each side takes one
    assert [read.split()[0] for read in telling.read] == ["w0", "w6", "w12"]
    assert found.argmax(axis=1).tolist() == [0] * 7 + [6] * 6 + [12] * 7


def test_the_last_window_reaches_as_far_back_as_fits() -> None:
    text, spans = numbered(11)
    telling = Telling(window=8)
    found = LateEmbedder(telling, overlap=2).embed_chunks([(text, spans)])
    assert telling.read == ["w0 w1 w2 w3 w4 w5 w6 w7", "w3 w4 w5 w6 w7 w8 w9 w10"]
    assert found.argmax(axis=1).tolist() == [0] * 6 + [3] * 5  # w3 to w7 are shared; their middle is in w5


def test_chunks_of_many_documents_come_in_the_order_given() -> None:
    text, spans = numbered(5)
    other = text.replace("w0", "w9")
    embedder = LateEmbedder(Telling(window=8), overlap=2)
    documents = [(text, spans[:2]), ("", []), (other, spans), (text, [])]
    assert embedder.embed_chunks(documents).argmax(axis=1).tolist() == [0] * 2 + [9] * 5
    assert embedder.embed_chunks([]).shape == (0, 64)


def test_a_chunk_without_a_token_is_embedded_by_itself() -> None:
    embedder = LateEmbedder(Telling(window=8), overlap=2)
    found = embedder.embed_chunks([("w0 👩 w1", [(0, 2), (3, 4)]), ("👩", [(0, 1)])])
    assert found.argmax(axis=1).tolist() == [0, 63, 63]


TEXTS = st.lists(
    st.sampled_from(
        ["dogs", "bark", "İstanbul", "e\u0301tude", "小猫喜欢吃鱼。", "👩\u200d👧", "كلب", "\r\n\r\n", "ß", "a,b"]
    ),
    max_size=60,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, window=st.integers(5, 30), overlap=st.integers(0, 2), data=st.data())
def test_of_states_that_know_no_context_the_vector_is_that_of_the_chunk_alone(
    text: str, window: int, overlap: int, data: st.DataObject
) -> None:
    class Narrow(HashEmbedder):
        @property
        def tokenizer(self) -> Words:
            return Words(window)

    words = [(start, end) for start, end in WordTokenizer().offsets(text)]
    spans = []
    for _ in range(data.draw(st.integers(0, 4)) if words else 0):
        first = data.draw(st.integers(0, len(words) - 1))
        last = data.draw(st.integers(first, len(words) - 1))
        spans.append((words[first][0], words[last][1]))
    plain = Narrow(dimension=64)
    found = LateEmbedder(plain, overlap=overlap).embed_chunks([(text, spans)])
    alone = plain.embed_documents([text[start:end] for start, end in spans])
    np.testing.assert_allclose(found, alone, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(text=TEXTS, window=st.integers(5, 30), overlap=st.integers(0, 2))
def test_windows_fit_the_encoder_and_cover_every_token(text: str, window: int, overlap: int) -> None:
    tokenizer = Words(window)
    ranges = windows(text, tokenizer, overlap=overlap)
    assert all(count <= window for count in tokenizer.count([text[start:end] for start, end in ranges]))
    for start, end in tokenizer.offsets(text):
        assert any(first <= start and end <= last for first, last in ranges)
    assert ranges == sorted(ranges)


def test_with_onnx_a_chunk_is_the_mean_of_the_encoders_own_states(tiny: Tiny) -> None:
    plain = OnnxEmbedder(str(tiny()))
    text = "dogs bark. a cat"
    [states] = plain.token_states([text])  # dog ##s bark . a cat
    mean = states[:4].mean(axis=0)
    found = LateEmbedder(plain, overlap=2).embed_chunks([(text, [(0, 10)])])
    np.testing.assert_allclose(found[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_the_same_chunk_has_another_vector_in_another_document(tiny: Tiny) -> None:
    embedder = LateEmbedder(OnnxEmbedder(str(tiny())), overlap=2)
    one, other = embedder.embed_chunks([("a cat . dogs", [(0, 5)]), ("a cat bark bark", [(0, 5)])])
    assert np.linalg.norm(one) == pytest.approx(1)
    assert float(one @ other) < 0.9999


@pytest.mark.slow
def test_sentence_transformers_and_onnx_make_the_same_late_vectors(tiny: Tiny) -> None:
    pytest.importorskip("sentence_transformers", reason="torch is not installed (extra hf)")
    folder = str(tiny())
    text = "dogs bark . a cat b c " * 5  # longer than the window
    chunks = [(0, 9), (10, 40), (38, 90)]
    ours = LateEmbedder(OnnxEmbedder(folder), overlap=4).embed_chunks([(text, chunks)])
    theirs = LateEmbedder(SentenceTransformersEmbedder(folder, device="cpu"), overlap=4).embed_chunks([(text, chunks)])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_queries_and_texts_that_are_no_chunks_are_embedded_as_ever() -> None:
    plain, late = HashEmbedder(), LateEmbedder(HashEmbedder())
    assert late.embed_queries(["dogs bark"]).tolist() == plain.embed_queries(["dogs bark"]).tolist()
    assert late.embed_documents(["dogs bark"]).tolist() == plain.embed_documents(["dogs bark"]).tolist()
    assert isinstance(late, InDocument)
    assert not isinstance(plain, InDocument)


def test_the_identity_says_how_the_vectors_were_made() -> None:
    identity = LateEmbedder(Telling(window=8), overlap=3).identity
    assert identity.pooling == "late mean, overlap 3"
    assert (identity.model, identity.dimension) == ("telling", 64)


def test_an_encoder_that_does_not_pool_by_the_mean_is_refused() -> None:
    with pytest.raises(ModelError, match="pools by 'cls'"):
        _ = LateEmbedder(Telling(window=8, pooling="cls")).identity


def test_an_overlap_of_half_a_window_is_refused() -> None:
    with pytest.raises(ConfigError, match="less than half of the encoder's window of 8 tokens, got 4"):
        LateEmbedder(Telling(window=8), overlap=4).embed_chunks([("w0 w1", [(0, 2)])])


def test_an_embedder_without_token_states_is_refused_when_the_pipeline_is_read() -> None:
    assert LateSpec(base=HashSpec()).build().identity.pooling == "late sum, overlap 64"
    with pytest.raises(ValueError, match="which 'onnx' as set does not give"):
        LateSpec(base=OnnxSpec(dimension=128))
