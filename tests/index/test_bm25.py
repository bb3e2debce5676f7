from __future__ import annotations

from math import log
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.index.specs import Bm25Spec, IndexSpec
from rag.types import Document

LETTERS = Bm25Spec(k1=1.5, stem=False, stopwords=False)
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=6).map(" ".join)
EDITS = st.lists(st.tuples(st.sampled_from(["x", "y", "z", "w"]), st.none() | st.lists(WORDS, min_size=1, max_size=3)))


def letters(index, **options):
    """The sparse index over single letters, with other options than the pipeline's."""
    reader = index.directory.reader()
    index.directory.spec = IndexSpec(path=str(index.path), sparse=LETTERS.model_copy(update=options))
    index.directory.close()
    del reader
    return index.directory.reader()


@pytest.fixture
def corpus(open_index):
    index = open_index()
    index.directory.spec = index.spec = IndexSpec(path=str(index.path), sparse=LETTERS)
    index.put(Document(id="d", text="a b a\nb c\na c c d"))
    return index


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("lucene", [0.268573, 0.221178, 0.406062]),
        ("robertson", [0, 0, 0]),
        ("atire", [0.579236, 0.477018, 0.875759]),
        ("bm25l", [1.028133, 0.940007, 1.230962]),
        ("bm25+", [1.683357, 1.508615, 2.190267]),
    ],
)
def test_scores_are_those_worked_out_by_hand(corpus, variant: str, expected: list[float]) -> None:
    (hits,) = letters(corpus, variant=variant).sparse.search(["a c"], k=3, allowed=None)
    assert hits.score(np.arange(3)).tolist() == pytest.approx(expected, abs=1e-6)
    assert hits.mean == pytest.approx(sum(expected) / 3, abs=1e-6)
    assert hits.deviation == pytest.approx(float(np.std(expected)), abs=1e-6)
    if any(expected):
        assert hits.rows.tolist() == [2, 0, 1]
        assert hits.scores.tolist() == pytest.approx(sorted(expected, reverse=True), abs=1e-6)
    else:
        assert hits.rows.tolist() == []


def test_robertson_weighs_a_rare_term(corpus) -> None:
    (hits,) = letters(corpus, variant="robertson", b=0.0).sparse.search(["d"], k=3, allowed=None)
    assert hits.rows.tolist() == [2]
    assert hits.scores[0] == pytest.approx(log((3 - 1 + 0.5) / (1 + 0.5)) / (1 + 1.5))


def test_a_term_twice_in_the_query_counts_twice(corpus) -> None:
    once, twice = corpus.directory.reader().sparse.search(["d", "d d"], k=1, allowed=None)
    assert twice.scores[0] == pytest.approx(2 * once.scores[0])


def test_rows_without_a_term_are_never_hits_and_an_unknown_query_has_none(corpus) -> None:
    sparse = corpus.directory.reader().sparse
    rare, unknown, empty = sparse.search(["d", "zebra", ""], k=10, allowed=None)
    assert rare.rows.tolist() == [2]
    assert rare.size == 3
    for hits in (unknown, empty):
        assert hits.rows.tolist() == []
        assert (hits.mean, hits.deviation, hits.size) == (0, 0, 3)
        assert hits.score(np.array([0, 2])).tolist() == [0, 0]


def test_equal_scores_are_cut_by_row(open_index) -> None:
    index = open_index()
    index.put(Document(id="d", text="\n".join(["same words"] * 80)))
    (hits,) = index.directory.reader().sparse.search(["words"], k=10, allowed=None)
    assert hits.rows.tolist() == list(range(10))


def test_scores_of_any_rows_are_those_of_the_ranking_to_the_last_bit(open_index) -> None:
    index = open_index()
    for start in (0, 40):
        index.put(
            Document(
                id=f"d{start}",
                text="\n".join(f"alpha beta{n % 7} gamma{n % 3} " * (n % 5 + 1) for n in range(start, start + 40)),
            )
        )
    (hits,) = index.directory.reader().sparse.search(["alpha beta3 gamma1 gamma1"], k=80, allowed=None)
    assert hits.score(hits.rows).tolist() == hits.scores.tolist()
    assert hits.score(np.array([-1, int(hits.rows[0])])).tolist() == [np.float32(hits.mean), hits.scores[0]]


def test_a_mask_changes_who_is_ranked_but_not_the_scores(corpus) -> None:
    sparse = corpus.directory.reader().sparse
    (everyone,) = sparse.search(["a c"], k=3, allowed=None)
    (some,) = sparse.search(["a c"], k=3, allowed=np.array([True, True, False]))
    assert some.rows.tolist() == [0, 1]
    assert some.scores.tolist() == everyone.scores[1:].tolist()
    assert (some.size, some.mean) == (2, pytest.approx(float(everyone.scores[1:].mean())))


def test_frequencies_and_phrases_are_counted_over_all_segments(corpus) -> None:
    corpus.put(Document(id="e", text="a b c d\nc d c d"))
    sparse = corpus.directory.reader().sparse
    assert [sparse.df(term) for term in "abcdz"] == [3, 3, 4, 3, 0]
    assert sparse.phrase_count(["c", "d"]) == 1 + 1 + 2
    assert sparse.phrase_count(["a", "b", "c"]) == 1
    assert sparse.phrase_count(["c"]) == 1 + 2 + 1 + 2
    assert sparse.phrase_count(["b", "b"]) == 0
    assert sparse.phrase_count(["a", "z"]) == sparse.phrase_count([]) == 0
    corpus.put(remove=["e"])
    assert corpus.directory.reader().sparse.phrase_count(["c", "d"]) == 1
    assert corpus.directory.reader().sparse.df("d") == 1


def test_counts_and_positions_beyond_a_byte_survive_a_merge(open_index) -> None:
    index = open_index()
    index.directory.spec = index.spec = IndexSpec(path=str(index.path), sparse=LETTERS)
    long = " ".join(["x"] * 300 + ["y"] + [f"w{n}" for n in range(70_000)] + ["y", "end"])
    index.put(Document(id="short", text="x y\ny end"))
    index.put(Document(id="long", text=long))
    for n in range(6):
        index.put(Document(id=f"more{n}", text=f"x v{n}"), compact=True)
    reader = index.directory.reader()
    assert len(reader.segments) < 5
    sparse = reader.sparse
    assert sparse.phrase_count(["y", "end"]) == 2
    assert sparse.phrase_count(["x", "x"]) == 299
    assert sparse.postings.find(["x"])["x"][1].max() == 300
    assert sparse.phrase_count(["w69998", "w69999", "y", "end"]) == 1


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS, compact=st.booleans(), query=WORDS)
def test_an_edited_index_ranks_as_one_made_at_once(
    open_index, tmp_path: Path, edits, compact: bool, query: str
) -> None:
    import uuid

    edited, fresh = open_index(None, uuid.uuid4().hex), open_index(None, uuid.uuid4().hex)
    for index in (edited, fresh):
        index.directory.spec = index.spec = IndexSpec(path=str(index.path), dense=None, sparse=LETTERS)
    wanted: dict[str, Document] = {}
    for name, texts in edits:
        if texts is not None:
            wanted[name] = Document(id=name, text="\n".join(texts))
            edited.put(wanted[name], compact=compact)
        elif name in wanted:
            del wanted[name]
            edited.put(remove=[name], compact=compact)
    edited.put()
    fresh.put(*wanted.values())

    def ranked(index):
        reader = index.directory.reader()
        (hits,) = reader.sparse.search([query], k=100, allowed=None)
        chunks = reader.chunks(hits.rows.tolist())
        order = sorted(zip((-score for score in hits.scores.tolist()), (chunk.id for chunk in chunks), strict=True))
        return order, pytest.approx(hits.mean), pytest.approx(hits.deviation), hits.size

    assert ranked(edited) == ranked(fresh)
    terms = query.split()
    assert edited.directory.reader().sparse.phrase_count(terms) == fresh.directory.reader().sparse.phrase_count(terms)
    assert edited.directory.reader().check(deep=True) == [
        problem for problem in edited.directory.reader().check(deep=True) if problem.kind == "duplicate-chunk"
    ]
    for index in (edited, fresh):
        index.directory.close()


@pytest.mark.parametrize("variant", ["lucene", "robertson", "atire", "bm25l", "bm25+"])
@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS, query=WORDS)
def test_warming_up_changes_no_bit_of_any_ranking(open_index, variant: str, edits, query: str) -> None:
    index = open_index(name=f"warm-{variant}-{uuid4().hex}")
    index.directory.spec = index.spec = IndexSpec(path=str(index.path), sparse=LETTERS)
    index.put(Document(id="first", text="a b a\nb c\na c c d\ne\nd d a"))
    for name, lines in edits:
        if lines is None:
            index.put(remove=[name] if name in {d.id for d in index.directory.reader().documents()} else [])
        else:
            index.put(Document(id=name, text="\n".join(lines)))
    reader = letters(index, variant=variant)
    cold, warm = (reader.spec.sparse.build(reader.sparse.postings) for _ in range(2))
    warm.warm_up()
    rows = np.arange(-1, len(cold.postings.live))
    for one, other in zip(*(i.search([query, "a unknown"], k=4, allowed=None) for i in (cold, warm)), strict=True):
        assert other.rows.tolist() == one.rows.tolist()
        assert other.scores.tolist() == one.scores.tolist()
        assert (other.mean, other.deviation) == (one.mean, one.deviation)
        assert other.score(rows).tolist() == one.score(rows).tolist()


def test_a_warm_index_asks_the_database_for_no_postings_and_a_large_one_stays_as_it_is(
    corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most, expected in ((9, 0), (8, 1)):  # the three chunks have nine terms
        monkeypatch.setattr("rag.index.bm25.WARMED", most)
        reader = letters(corpus)
        reader.sparse.warm_up()
        statements: list[str] = []
        reader.connection.set_trace_callback(statements.append)
        reader.sparse.search(["a d"], k=3, allowed=None)
        assert len(statements) == expected
