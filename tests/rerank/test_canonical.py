from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.pipeline.spec import PipelineSpec
from rag.rerank.canonical import CanonicalOrderReranker
from rag.rerank.specs import CanonicalOrderSpec
from rag.testing.contracts import check_reranker
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span


def ranking(names: str) -> Ranking:
    """A chunk a letter, best first."""
    chunks = [Chunk(span=Span(name, 0, 4), text="text", meta={}) for name in names]
    return Ranking(tuple(ScoredChunk(chunk, float(-at), "given") for at, chunk in enumerate(chunks)))


def order(reranker: CanonicalOrderReranker, names: str) -> str:
    [found] = reranker.rerank([Query(text="?")], [ranking(names)])
    return "".join(hit.chunk.span.document_id for hit in found)


def notes(reranker: CanonicalOrderReranker, names: str) -> tuple[object, object]:
    [found] = reranker.rerank([Query(text="?")], [ranking(names)])
    return found.notes["prefix"], found.notes["moved"]


def test_chunks_that_were_served_together_stand_first_and_in_that_order_again() -> None:
    reranker = CanonicalOrderReranker(keep=4, displacement=None)
    assert order(reranker, "abc") == "abc"
    assert order(reranker, "cxab") == "abcx"  # the three in the order served, then what is new
    assert order(reranker, "bax") == "abx"


def test_where_orders_part_the_one_served_more_often_is_followed() -> None:
    reranker = CanonicalOrderReranker(keep=3, displacement=None)
    for served in ("abc", "abc", "axc"):
        reranker._remember(tuple(hit.chunk.id for hit in ranking(served)))
    assert order(reranker, "xab") == "abx"


def test_no_chunk_moves_further_than_its_bound() -> None:
    reranker = CanonicalOrderReranker(keep=5, displacement=1)
    reranker._remember(tuple(hit.chunk.id for hit in ranking("bdace")))
    # b was first before; then it would be d, but a cannot move down any further, and so on
    assert order(reranker, "abcde") == "bacde"


def test_the_notes_say_what_was_served_before_and_what_moved() -> None:
    reranker = CanonicalOrderReranker(keep=4, displacement=None)
    assert notes(reranker, "abcd") == (0, 0)
    assert notes(reranker, "dcba") == (4, 3)
    assert notes(reranker, "xabc") == (3, 3)


def test_a_longer_known_beginning_goes_before_one_served_more_often() -> None:
    reranker = CanonicalOrderReranker(keep=3, displacement=None)
    for served in ("abc", "bxy", "bxy", "bxy"):
        reranker._remember(tuple(hit.chunk.id for hit in ranking(served)))
    assert order(reranker, "bca") == "abc"  # a greedy walk would begin with b and be lost


def test_by_frequency_alone_the_chunk_served_most_often_stands_first() -> None:
    reranker = CanonicalOrderReranker(keep=3, displacement=None, policy="frequency")
    for names in ("ab", "cb", "db"):
        order(reranker, names)
    assert order(reranker, "xcb") == "bcx"


def test_an_order_not_seen_for_longest_is_forgotten_first() -> None:
    reranker = CanonicalOrderReranker(keep=2, displacement=None, remembered=2)
    for names in ("ab", "cd", "ab", "ef"):
        order(reranker, names)
    assert notes(reranker, "ba")[0] == 2
    assert notes(reranker, "cd")[0] == 0


def test_it_meets_the_contract_of_rerankers() -> None:
    check_reranker(CanonicalOrderReranker(keep=3), keep=3)


@given(st.lists(st.permutations("abcdefgh").map("".join), min_size=1, max_size=12), st.integers(0, 8) | st.none())
def test_every_chunk_is_kept_once_and_within_its_bound(orders: list[str], displacement: int | None) -> None:
    reranker = CanonicalOrderReranker(keep=8, displacement=displacement)
    for names in orders:
        found = order(reranker, names)
        assert sorted(found) == sorted(names)
        if displacement is not None:
            assert all(abs(found.index(name) - names.index(name)) <= displacement for name in names)


@given(st.lists(st.text("abcd", min_size=1, max_size=4).filter(lambda x: len(set(x)) == len(x)), max_size=40))
def test_what_is_remembered_is_counted_and_nothing_else(orders: list[str]) -> None:
    reranker = CanonicalOrderReranker(keep=4, remembered=3)
    for names in orders:
        order(reranker, names)
    kept = reranker._orders
    assert len(kept) <= 3
    assert sum(node.count for node in reranker._root.children.values()) == sum(kept.values())
    served = {name for each in kept for name in each}
    assert set(reranker._served) == served


@pytest.mark.parametrize("keep", [1, 2])
def test_no_more_than_keep_are_given(keep: int) -> None:
    assert len(order(CanonicalOrderReranker(keep=keep), "abc")) == keep


def test_it_must_stand_last_and_keep_no_more_than_the_compressor() -> None:
    with pytest.raises(ConfigError, match="'canonical-order' must be the last"):
        PipelineSpec.from_yaml("extends: hybrid\nask: {rerank: [{use: canonical-order}, {use: mmr}]}", environ={})
    with pytest.raises(ConfigError, match="expected at most 4, got 8"):
        PipelineSpec.from_yaml(
            "extends: hybrid\nask: {rerank: [{use: canonical-order, keep: 8}], compress: {use: none, keep: 4}}",
            environ={},
        )


def test_the_order_is_shared_by_questions_and_by_threads() -> None:
    reranker = CanonicalOrderSpec(displacement=None).build(None)  # type: ignore[arg-type]  # it needs no resources
    assert isinstance(reranker, CanonicalOrderReranker)
    with ThreadPoolExecutor(8) as pool:
        orders = set(pool.map(lambda at: order(reranker, "abcd" if at % 2 else "dcba"), range(64)))
    assert len(orders) == 1
