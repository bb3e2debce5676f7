"""The multi-vector index: what is kept, when it is made again, and that the scores are MaxSim."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.index import multivector, parts
from rag.index.multivector import MultiVectorIndex, Refinement
from rag.index.muvera import FixedDimensionalEncoding
from rag.index.parts import rowed
from rag.index.specs import BinarySpec, DenseIndexSpec, ExactSpec
from rag.index.token_codes import coded, maxsim_of_codes
from rag.models.token_encoder import TokenVectors, maxsim
from rag.types import Document

WIDTH = 16
DEFAULT, EXACT = Refinement(), ExactSpec()


def unit(random: np.random.Generator, count: int) -> TokenVectors:
    made = random.standard_normal((count, WIDTH)).astype(np.float32)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


class Words:
    """A fixed random vector for each word; counts what it encodes."""

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> list[TokenVectors]:
        return [self._vectors(text) for text in texts]

    def encode_documents(self, texts: Sequence[str]) -> list[TokenVectors]:
        self.encoded += texts
        return self.encode_queries(texts)

    def _vectors(self, text: str) -> TokenVectors:
        seeds = [int.from_bytes(word.encode(), "big") for word in text.split() if word != "-"]
        return np.concatenate([unit(np.random.default_rng(seed), 1) for seed in seeds] or [np.empty((0, WIDTH), "f4")])


def lines(count: int, *, start: int = 0) -> str:
    return "\n".join(f"w{at % 7} w{at % 11} w{at % 13} only{at}" for at in range(start, start + count))


Build = Callable[..., MultiVectorIndex]


@pytest.fixture
def build() -> Build:
    def build_(
        index: object, encoder: Words, refinement: Refinement = DEFAULT, first: DenseIndexSpec = EXACT
    ) -> MultiVectorIndex:
        reader = index.directory.reader()  # type: ignore[attr-defined]  # the fixture's class cannot be imported
        return MultiVectorIndex(
            rowed(reader, "multivector", "words"),
            encoder,
            encoding=lambda width: FixedDimensionalEncoding(width, repetitions=8, planes=3, inner=8),
            first=first.build,
            refinement=refinement,
        )

    return build_


def test_codes_keep_maxsim_to_a_hundredth_of_a_token() -> None:
    random = np.random.default_rng(1)
    query, documents = unit(random, 6), [unit(random, count) for count in (1, 5, 40)]
    scores = maxsim_of_codes(coded(query), [coded(document) for document in documents])
    assert scores == pytest.approx(maxsim(query, documents), abs=6 * 0.01)


def test_maxsim_of_vectors_that_codes_hold_exactly_is_worked_out_by_hand() -> None:
    eye = coded(np.eye(2, dtype=np.float32))
    document = coded(np.array([[1, 0], [127 / 127, 64 / 127]], np.float32))  # not of unit length: codes do not mind
    assert maxsim_of_codes(eye, [document])[0] == pytest.approx(1 + 64 / 127)
    assert np.isnan(maxsim_of_codes(eye, [coded(np.empty((0, 2), np.float32))])).all()
    assert np.isnan(maxsim_of_codes(coded(np.empty((0, 2), np.float32)), [document])).all()


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 150))
def test_a_score_is_the_same_to_the_last_bit_alone_and_among_others(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    query = coded(unit(random, int(random.integers(1, 40))))
    documents = [coded(unit(random, int(random.integers(0, 30)))) for _ in range(count)]
    together = maxsim_of_codes(query, documents)
    alone = [float(maxsim_of_codes(query, [document])[0]) for document in documents]
    assert np.array_equal(together, np.array(alone, np.float32), equal_nan=True)


def test_scores_mean_and_deviation_are_those_of_maxsim_over_all_chunks(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text=lines(60)))
    encoder = Words()
    reader = index.directory.reader()
    texts = [chunk.text for chunk in reader.chunks(range(60))]
    [query] = encoder.encode_queries(["w3 w6 only17"])
    expected = maxsim(query, encoder.encode_documents(texts))
    [hits] = build(index, encoder).search_vectors([query], k=10, allowed=None)
    assert hits.rows[0] == 17
    assert hits.scores == pytest.approx(np.sort(expected)[::-1][:10], abs=0.03)
    assert (hits.mean, hits.deviation) == pytest.approx((expected.mean(), expected.std()), abs=0.03)
    assert hits.score(np.array([3, -1])) == pytest.approx([expected[3], hits.mean], abs=0.03)
    assert hits.score(hits.rows).tolist() == hits.scores.tolist()


@pytest.mark.parametrize("first", [ExactSpec(), BinarySpec()])
@pytest.mark.parametrize("refinement", [Refinement(40), Refinement(40, prune=2.0, patience=20)])
def test_candidates_of_the_encodings_hold_what_maxsim_ranks_first(
    open_index: Callable, build: Build, monkeypatch: pytest.MonkeyPatch, refinement: Refinement, first: DenseIndexSpec
) -> None:
    monkeypatch.setattr(multivector, "SAMPLE", 20)
    index = open_index()
    index.put(Document(id="a", text=lines(200)))
    encoder = Words()
    searched = build(index, encoder, refinement, first)
    queries = encoder.encode_queries([f"w{at % 7} w{at % 11} only{at}" for at in range(0, 200, 17)])
    allowed = np.arange(200) % 2 == 0
    for mask in (None, allowed):
        for query, hits in zip(queries, searched.search_vectors(queries, k=5, allowed=mask), strict=True):
            scores = searched.maxsim(query, np.arange(200))
            scores[~allowed] = np.where(mask is None, scores[~allowed], -1)
            assert hits.rows[0] == scores.argmax()
            assert hits.scores.tolist() == scores[hits.rows].tolist()
            assert mask is None or allowed[hits.rows].all()
            assert hits.size == (200 if mask is None else 100)


def test_only_new_chunks_are_encoded_and_deleted_ones_are_never_found(
    open_index: Callable, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 8)
    monkeypatch.setattr(multivector, "SAMPLE", 1)
    index = open_index()
    index.put(Document(id="a", text=lines(20)), Document(id="b", text=lines(10, start=20)))
    encoder, few = Words(), Refinement(4)
    [query] = encoder.encode_queries(["only3 w3"])
    build(index, encoder, few).search_vectors([query], k=3, allowed=None)
    assert len(encoder.encoded) == 30
    assert len(list((index.path / "multivector").rglob("tokens/*.safetensors"))) == 4
    index.put(Document(id="c", text=lines(5, start=30)), remove=["a"])
    encoder.encoded.clear()
    searched = build(index, encoder, few)
    [hits] = searched.search_vectors([query], k=15, allowed=None)
    assert sorted(encoder.encoded) == sorted(lines(5, start=30).split("\n"))
    reader = index.directory.reader()
    assert len(hits.rows) == reader.size == 15
    assert hits.scores.tolist() == searched.maxsim(query, hits.rows).tolist()
    encoder.encoded.clear()
    build(index, encoder, few).search_vectors([query], k=3, allowed=None)
    assert encoder.encoded == []


def test_a_damaged_part_is_encoded_again(open_index: Callable, build: Build, caplog: pytest.LogCaptureFixture) -> None:
    index = open_index()
    index.put(Document(id="a", text=lines(4)))
    encoder = Words()
    [query] = encoder.encode_queries(["only2"])
    [before] = build(index, encoder).search_vectors([query], k=4, allowed=None)
    [path] = (index.path / "multivector").rglob("tokens/*.safetensors")
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 0xFF
    path.write_bytes(damaged)
    encoder.encoded.clear()
    [after] = build(index, encoder).search_vectors([query], k=4, allowed=None)
    assert "damaged" in caplog.text
    assert len(encoder.encoded) == 4
    assert (after.rows.tolist(), after.scores.tolist()) == (before.rows.tolist(), before.scores.tolist())


def test_what_was_kept_for_another_index_at_the_same_place_is_not_used(
    open_index: Callable, build: Build, tmp_path: Path
) -> None:
    encoder = Words()
    [query] = encoder.encode_queries(["only1"])
    one = open_index(name="one")
    one.put(Document(id="a", text=lines(3)))
    build(one, encoder).search_vectors([query], k=3, allowed=None)
    other = open_index(name="other")
    other.put(Document(id="a", text="only1"))
    (one.path / "multivector").rename(other.path / "multivector")
    [hits] = build(other, encoder).search_vectors([query], k=3, allowed=None)
    assert (len(hits.rows), float(hits.scores[0])) == (1, pytest.approx(1, abs=0.02))
    assert encoder.encoded[-1] == "only1"


def test_a_chunk_or_a_question_without_tokens_is_no_evidence(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text="one two\n- -\nthree"))
    encoder = Words()
    searched = build(index, encoder)
    some, none = searched.search_vectors([*encoder.encode_queries(["two", "-"])], k=3, allowed=None)
    assert some.rows.tolist() == [0, 2]
    assert some.score(np.array([1]))[0] == pytest.approx(some.mean)
    assert (none.rows.tolist(), none.mean, none.deviation) == ([], 0, 0)
