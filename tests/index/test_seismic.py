"""The learned sparse index: exact products, Seismic against them, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rag.index import learned_sparse
from rag.index.learned_sparse import LearnedSparseIndex
from rag.index.parts import rowed
from rag.index.seismic import SeismicOptions
from rag.index.term_weights import TermPostings, products
from rag.models.sparse_encoder import WeightedTerms
from rag.types import Document

NAMES = ("cat", "dog", "fish", "bird")
TERMS = 300


def weighted(weights: Mapping[int, float]) -> WeightedTerms:
    terms = sorted(weights)
    return WeightedTerms(np.array(terms, np.int32), np.array([weights[term] for term in terms], np.float32))


class Given:
    """Reads ``cat=2 17=0.5``: terms by name or number, and their weights; counts what it encodes."""

    terms = TERMS

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> list[WeightedTerms]:
        return [weighted(dict(map(self._pair, text.split()))) for text in texts]

    def encode_documents(self, texts: Sequence[str]) -> list[WeightedTerms]:
        self.encoded += texts
        return self.encode_queries(texts)

    def tokens(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        return [terms.terms for terms in self.encode_queries(texts)]

    def _pair(self, text: str) -> tuple[int, float]:
        name, _, weight = text.partition("=")
        return NAMES.index(name) if name in NAMES else int(name), float(weight)


def made(count: int, *, seed: int = 0) -> str:
    """Documents of about 20 terms, frequent ones first, of ten topics."""
    random = np.random.default_rng(seed)
    lines = []
    for _ in range(count):
        topic = random.integers(10)
        numbers = np.unique(
            np.concatenate([random.zipf(1.3, 12) % 100, 100 + 20 * topic + random.integers(20, size=8)])
        )
        lines.append(" ".join(f"{number}={random.uniform(0.1, 3):.3f}" for number in numbers))
    return "\n".join(lines)


Build = Callable[..., LearnedSparseIndex]


@pytest.fixture
def build() -> Build:
    def build_(index: object, encoder: Given, **options: object) -> LearnedSparseIndex:
        reader = index.directory.reader()  # type: ignore[attr-defined]  # the fixture's class cannot be imported
        return LearnedSparseIndex(rowed(reader, "learned-sparse", "given"), encoder, **options)  # type: ignore[arg-type]

    return build_


@pytest.fixture
def always_seismic(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("seismic", reason="pyseismic-lsr is not installed (extra seismic)")
    monkeypatch.setattr(learned_sparse, "EXACT_ROWS", 0)


CARD = "cat=2 dog=1\ndog=3 fish=.5\ncat=.5 fish=2"


@pytest.mark.parametrize("options", [None, SeismicOptions()])
def test_three_documents_score_as_worked_out_by_hand(
    open_index: Callable, build: Build, always_seismic: None, options: SeismicOptions | None
) -> None:
    index = open_index()
    index.put(Document(id="a", text=CARD))
    [hits] = build(index, Given(), options=options).search(["cat=1 fish=2"], k=2, allowed=None)
    assert hits.rows.tolist() == [2, 0]  # .5 + 4, 2, and 1 for the second
    assert hits.scores.tolist() == [4.5, 2.0]
    assert hits.score(np.array([1, -1])).tolist() == [1.0, 2.5]
    assert (hits.mean, hits.size) == (2.5, 3)
    assert hits.deviation == pytest.approx(((2**2 + 0.5**2 + 1.5**2) / 3) ** 0.5)


def test_chunks_without_a_shared_term_are_no_hits_and_score_nothing(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text=CARD))
    none, some = build(index, Given()).search(["bird=1", "bird=9 dog=1"], k=5, allowed=None)
    assert (none.rows.tolist(), none.mean, none.deviation) == ([], 0, 0)
    assert some.rows.tolist() == [1, 0]
    assert some.score(np.array([2])).tolist() == [0]


def test_idf_queries_weigh_each_term_by_how_few_chunks_have_it(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text=CARD + "\ndog=1"))
    searched = build(index, Given(), by_idf=True)
    # Of four chunks three have "dog", two "cat", none "bird"; what the query says of their weights does not count.
    cat, dog = log(1 + 2.5 / 2.5), log(1 + 1.5 / 3.5)
    [hits] = searched.search(["cat=7 dog=1 bird=3"], k=4, allowed=None)
    assert dict(zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)) == pytest.approx(
        {0: 2 * cat + dog, 1: 3 * dog, 2: 0.5 * cat, 3: dog}
    )


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.dictionaries(st.integers(0, 9), st.floats(0.0625, 5, width=32), max_size=6), max_size=8),
    st.dictionaries(st.integers(0, 9), st.floats(0.0625, 5, width=32), max_size=6),
)
def test_postings_and_documents_give_the_same_products(
    documents: list[dict[int, float]], query: dict[int, float]
) -> None:
    made, asked = [weighted(document) for document in documents], weighted(query)
    expected = [sum(query.get(term, 0) * weight for term, weight in document.items()) for document in documents]
    forward = products(asked, made, terms=10)
    assert forward == pytest.approx(expected, rel=1e-5)
    inverted = TermPostings.of(made, terms=10).scores(asked, size=len(made)).astype(np.float32)
    assert inverted.tolist() == forward.tolist()


@pytest.mark.usefixtures("always_seismic")
def test_seismic_finds_what_exact_search_does(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text=made(600)))
    encoder = Given()
    queries = made(20, seed=1).split("\n")
    exact = build(index, encoder).search(queries, k=10, allowed=None)
    near = build(index, encoder, options=SeismicOptions(query_terms=30)).search(queries, k=10, allowed=None)
    found = [len(set(one.rows.tolist()) & set(other.rows.tolist())) for one, other in zip(exact, near, strict=True)]
    assert sum(found) >= 0.97 * 200
    for one, other in zip(exact, near, strict=True):
        assert other.scores.tolist() == other.score(other.rows).tolist()
        assert (other.mean, other.deviation) == pytest.approx((one.mean, one.deviation), rel=1e-6)


@pytest.mark.usefixtures("always_seismic")
def test_under_a_filter_search_is_exact(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text=made(100)))
    allowed = np.arange(100) % 3 == 0
    queries = made(5, seed=2).split("\n")
    encoder = Given()
    exact = build(index, encoder).search(queries, k=10, allowed=allowed)
    near = build(index, encoder, options=SeismicOptions()).search(queries, k=10, allowed=allowed)
    for one, other in zip(exact, near, strict=True):
        assert allowed[other.rows].all()
        assert (one.rows.tolist(), one.scores.tolist()) == (other.rows.tolist(), other.scores.tolist())


@pytest.mark.usefixtures("always_seismic")
def test_a_few_new_chunks_are_found_without_a_new_index_and_deleted_ones_never(
    open_index: Callable, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "rag.index.learned_sparse")
    index = open_index()
    index.put(*(Document(id=f"{at}", text=made(10, seed=at)) for at in range(10)), Document(id="old", text="299=9"))
    encoder = Given()

    def search() -> list[str]:
        options = SeismicOptions(query_terms=30)
        [hits] = build(index, encoder, options=options).search(["299=1 1=.5 2=.5 3=.1"], k=5, allowed=None)
        return [chunk.text for chunk in index.directory.reader().chunks(hits.rows.tolist())]

    assert search()[0] == "299=9"
    assert "making" in caplog.text
    caplog.clear()
    encoder.encoded.clear()
    index.put(Document(id="new", text="299=7"), remove=["old"])
    assert search()[0] == "299=7"
    assert encoder.encoded == ["299=7"]
    assert "making" not in caplog.text
    index.put(Document(id="more", text=made(20, seed=77)))
    search()
    assert "making" in caplog.text


@pytest.mark.usefixtures("always_seismic")
def test_terms_that_no_document_has_do_not_reach_the_library(open_index: Callable, build: Build) -> None:
    index = open_index()
    index.put(Document(id="a", text="0=1\n1=2\n1=1"))  # the library ends at term 1, and panics beyond
    [hits] = build(index, Given(), options=SeismicOptions()).search(["299=5 1=1"], k=1, allowed=None)
    assert hits.rows.tolist() == [1]


@pytest.mark.usefixtures("always_seismic")
def test_building_prints_nothing(open_index: Callable, build: Build, capfd: pytest.CaptureFixture[str]) -> None:
    index = open_index()
    index.put(Document(id="a", text=made(50)))
    build(index, Given(), options=SeismicOptions()).search(["1=1 2=1"], k=3, allowed=None)
    assert capfd.readouterr().out == ""
