from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.pipeline.spec import PipelineSpec
from rag.rerank.order import OrderReranker, ends, last
from rag.rerank.specs import OrderSpec
from rag.testing import check_reranker, sample
from rag.types import Query

from .conftest import names, ranked


@pytest.mark.parametrize(("count", "ranks"), [(5, [1, 3, 5, 4, 2]), (4, [1, 3, 4, 2]), (2, [1, 2]), (1, [1]), (0, [])])
def test_the_best_stand_at_both_ends_as_in_the_known_answer(count: int, ranks: list[int]) -> None:
    assert [at + 1 for at in ends(count)] == ranks


@given(st.integers(0, 50))
def test_the_position_of_each_rank_is_that_of_the_formula(count: int) -> None:
    order = ends(count)
    for rank in range(1, count + 1):
        position = (rank + 1) // 2 if rank % 2 else count + 1 - rank // 2
        assert order[position - 1] == rank - 1
    assert sorted(order) == sorted(last(count)) == list(range(count))


def test_it_cuts_before_it_lays_out_and_leaves_scores_alone() -> None:
    [after] = OrderReranker(keep=4).rerank([Query(text="q")], [ranked("1", "2", "3", "4", "5")])
    assert names(after) == "acdb"
    assert [hit.score for hit in after] == [10.0, 8.0, 7.0, 9.0]
    assert {hit.origin for hit in after} == {"first"}


def test_the_best_can_stand_last() -> None:
    [after] = OrderReranker(keep=2, layout="last").rerank([Query(text="q")], [ranked("1", "2", "3")])
    assert names(after) == "ba"


@pytest.mark.parametrize("layout", ["ends", "last"])
def test_the_contract_holds_but_for_falling_scores(tmp_path: Path, layout: str) -> None:
    with sample(tmp_path) as indexed:
        for keep in (1, 4, 100):
            reranker = OrderSpec(keep=keep, layout=layout).build(indexed.resources)  # type: ignore[arg-type]
            check_reranker(reranker, chunks=indexed.chunks, keep=keep, falling=False)


def test_a_layout_that_is_reordered_or_cut_afterwards_is_refused() -> None:
    with pytest.raises(Exception, match="'order' must be the last"):
        PipelineSpec.from_yaml("version: 1\nask: {rerank: [{use: order}, {use: mmr}]}")
    with pytest.raises(Exception, match="would cut from the end"):
        PipelineSpec.from_yaml("version: 1\nask: {rerank: [{use: order, keep: 10}], compress: {use: none, keep: 4}}")
    PipelineSpec.from_yaml("version: 1\nask: {rerank: [{use: mmr}, {use: order}]}")
