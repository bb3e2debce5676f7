from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.metrics_spans import overlap, touches
from rag.types import Span


def test_what_is_found_twice_counts_once_so_recall_is_1_where_the_reference_code_says_2() -> None:
    found = [Span("a", 0, 100), Span("a", 40, 140)]
    measured = overlap(found, [Span("a", 50, 90)])
    assert measured.precision == pytest.approx(40 / 140)
    assert measured.recall == 1.0
    assert measured.iou == pytest.approx(40 / 140)


def test_spans_that_do_not_overlap_give_what_the_reference_code_gives() -> None:
    measured = overlap([Span("a", 0, 100), Span("a", 200, 300)], [Span("a", 50, 150)])
    assert (measured.precision, measured.recall) == (0.25, 0.5)
    assert measured.iou == pytest.approx(50 / 250)


def test_the_same_place_of_another_document_is_wrong() -> None:
    assert overlap([Span("b", 0, 10)], [Span("a", 0, 10)]).recall == 0.0


def test_nothing_found_is_0_and_nothing_to_find_has_no_value() -> None:
    assert overlap([], [Span("a", 0, 1)]).precision == 0.0
    with pytest.raises(ValueError, match="no gold text"):
        overlap([Span("a", 0, 1)], [Span("a", 3, 3)])


def test_touching_needs_a_common_character() -> None:
    assert touches(Span("a", 0, 10), [Span("a", 9, 12)])
    assert not touches(Span("a", 0, 10), [Span("a", 10, 12)])
    assert not touches(Span("a", 0, 10), [Span("b", 0, 10)])


SPANS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 30), st.integers(0, 12)).map(
        lambda parts: Span(parts[0], parts[1], parts[1] + parts[2])
    ),
    max_size=6,
)


@given(found=SPANS, gold=SPANS.filter(lambda spans: any(map(len, spans))))
def test_the_shares_are_those_of_the_sets_of_characters(found: list[Span], gold: list[Span]) -> None:
    ours = {(span.document_id, at) for span in found for at in range(span.start, span.end)}
    right = {(span.document_id, at) for span in gold for at in range(span.start, span.end)}
    measured = overlap(found, gold)
    assert measured.recall == pytest.approx(len(ours & right) / len(right))
    assert measured.precision == pytest.approx(len(ours & right) / len(ours) if ours else 0.0)
    assert measured.iou == pytest.approx(len(ours & right) / len(ours | right))
