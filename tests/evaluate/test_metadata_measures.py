from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.metadata import best_chunk, chunk_grades, metadata_consistency
from rag.types import Chunk, Scalar, Span


def chunk(start: int, end: int, document: str = "d") -> Chunk:
    return Chunk(span=Span(document, start, end), text="x" * (end - start))


def test_a_chunk_is_graded_by_the_gold_characters_it_has() -> None:
    one, two, three, other = chunk(0, 10), chunk(10, 20), chunk(20, 30), chunk(0, 30, "other")
    grades = chunk_grades([one, two, three, other], [Span("d", 8, 14), Span("d", 19, 21)])
    assert grades == {one.id: 2, two.id: 5, three.id: 1}
    assert best_chunk(grades) == two.id


def test_chunks_that_only_touch_gold_text_have_none_of_it() -> None:
    assert chunk_grades([chunk(0, 5), chunk(9, 12)], [Span("d", 5, 9)]) == {}


def test_of_equally_good_chunks_the_first_by_id_is_best_and_of_none_there_is_none() -> None:
    assert best_chunk({"b": 2, "a": 2, "c": 1}) == "a"
    assert best_chunk({"a": 0}) is None
    assert best_chunk({}) is None


@pytest.mark.parametrize(
    ("found", "wanted", "k", "expected"),
    [
        (["faq", "policy", "faq", "faq"], "faq", 4, 0.75),
        (["faq", "policy", "faq", "faq"], "faq", 2, 0.5),
        (["policy", None], "faq", 10, 0.0),
        (["faq"], "faq", 10, 1.0),
        ([1, True, 1.0], 1, 3, 1 / 3),
        ([], "faq", 10, None),
        (["faq"], None, 10, None),
    ],
)
def test_consistency_is_the_share_of_the_first_chunks_of_the_right_kind(
    found: list[Scalar], wanted: Scalar, k: int, expected: float | None
) -> None:
    assert metadata_consistency(found, wanted, k=k) == expected


@given(st.lists(st.sampled_from(["a", "b", None]), min_size=1), st.integers(1, 20))
def test_consistency_is_a_share_and_what_stands_below_k_does_not_count(found: list[Scalar], k: int) -> None:
    value = metadata_consistency(found, "a", k=k)
    assert value is not None
    assert 0 <= value <= 1
    assert value == metadata_consistency(found[:k], "a", k=k)
