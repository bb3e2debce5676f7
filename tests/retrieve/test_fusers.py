from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.retrieve.base import Fuser
from rag.retrieve.dbsf import DbsfFuser
from rag.retrieve.rrf import RrfFuser
from rag.retrieve.single import SingleFuser
from rag.retrieve.specs import BUILT_IN_FUSERS, RrfSpec, SingleSpec, ZScoreSpec
from rag.retrieve.weighted import WeightedFuser
from rag.retrieve.zscore import CollectionZScoreFuser, ListZScoreFuser
from rag.testing import check_order
from rag.types import Background, Chunk, Ranking, ScoredChunk, Span


def chunk(name: str) -> Chunk:
    return Chunk(span=Span(name, 0, 1), text=name[:1])


def ranking(scores: Mapping[str, float], *, origin: str = "test", background: Background | None = None) -> Ranking:
    return Ranking(tuple(ScoredChunk(chunk(name), score, origin) for name, score in scores.items()), background)


def background(collection: Mapping[str, float]) -> Background:
    """The distribution of one query's scores over a whole collection, worked out from all of them."""
    values = list(collection.values())
    mean = sum(values) / len(values)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))

    def score(chunks: Sequence[Chunk]) -> list[float]:
        return [collection[each.document_id] for each in chunks]

    return Background(mean, deviation, len(values), score)


def fused(fuser: Fuser, *rankings: Ranking) -> dict[str, float]:
    return {hit.chunk.document_id: hit.score for hit in fuser.fuse(rankings)}


FIRST = ranking({"a": 3, "b": 2, "c": 1})
SECOND = ranking({"b": 0.9, "d": 0.8, "a": 0.1})


def test_reciprocal_ranks_add_up_to_the_known_answer() -> None:
    given_lists = ranking({"a": 9, "b": 8, "c": 7}), ranking({"b": 3, "d": 2, "a": 1})
    result = fused(RrfFuser(keep=10), *given_lists)
    assert list(result) == ["b", "a", "d", "c"]
    assert result == pytest.approx({"b": 0.0325225, "a": 0.0322665, "d": 0.0161290, "c": 0.0158730}, abs=1e-7)


def test_reciprocal_ranks_ignore_scores() -> None:
    other_scale = ranking({"a": 0.003, "b": 0.002, "c": 0.001})
    assert fused(RrfFuser(keep=9), FIRST, SECOND) == fused(RrfFuser(keep=9), other_scale, SECOND)


def test_a_chunk_given_twice_counts_once_at_its_best_rank() -> None:
    twice = Ranking((*FIRST.hits, FIRST.hits[0]))
    assert fused(RrfFuser(keep=9), twice) == fused(RrfFuser(keep=9), FIRST)


def test_min_max_scaled_scores_add_up_to_the_known_answer() -> None:
    result = fused(WeightedFuser(keep=10), FIRST, SECOND)
    assert result == pytest.approx({"b": 1.5, "a": 1.0, "d": 0.875, "c": 0.0})
    assert list(result) == ["b", "a", "d", "c"]


def test_min_max_gives_one_to_every_chunk_of_a_list_with_equal_scores() -> None:
    assert fused(WeightedFuser(keep=10), ranking({"b": 0.3, "a": 0.3})) == {"a": 1.0, "b": 1.0}


def test_dbsf_scales_by_three_population_deviations() -> None:
    result = fused(DbsfFuser(keep=10), FIRST)
    assert result == pytest.approx({"a": 0.704124, "b": 0.5, "c": 0.295876}, abs=1e-6)


def test_dbsf_gives_zero_where_all_scores_are_equal() -> None:
    assert fused(DbsfFuser(keep=10), ranking({"a": 0.1, "b": 0.1, "c": 0.1})) == {"a": 0.0, "b": 0.0, "c": 0.0}


def test_list_z_scores_complete_a_list_with_its_smallest_value() -> None:
    # z of (3, 2, 1) is (1.224745, 0, -1.224745); z of (.9, .8, .1) is (.842927, .561951, -1.404879).
    result = fused(ListZScoreFuser(keep=10), FIRST, SECOND)
    expected = {"b": 0.842927, "a": 1.224745 - 1.404879, "d": -1.224745 + 0.561951, "c": -1.224745 - 1.404879}
    assert result == pytest.approx(expected, abs=1e-5)
    assert list(result) == ["b", "a", "d", "c"]


def test_collection_z_scores_use_the_true_score_of_a_chunk_a_retriever_did_not_return() -> None:
    one = {"a": 4.0, "b": 2.0, "c": 0.0, "d": 2.0}  # mean 2, deviation sqrt(2)
    two = {"a": 0.5, "b": 0.5, "c": 0.5, "d": 0.9}  # mean .6, deviation sqrt(.03)
    result = fused(
        CollectionZScoreFuser(keep=10),
        ranking({"a": 4.0}, background=background(one)),
        ranking({"d": 0.9}, background=background(two)),
    )
    a = 2 / math.sqrt(2) + (0.5 - 0.6) / math.sqrt(0.03)
    d = 0.0 + 0.3 / math.sqrt(0.03)
    assert result == pytest.approx({"d": d, "a": a})


def test_a_retriever_that_tells_nothing_apart_does_not_move_the_other() -> None:
    seeing = {"a": 9.0, "b": 5.0, "c": 1.0}
    result = fused(
        CollectionZScoreFuser(keep=10),
        ranking(seeing, background=background(seeing)),
        ranking({"c": 0.7, "b": 0.7, "a": 0.7}, background=Background(0.7, 0.0, 3, lambda chunks: [0.7] * len(chunks))),
    )
    assert list(result) == ["a", "b", "c"]


def test_collection_z_scores_refuse_a_ranking_without_background_instead_of_guessing() -> None:
    with pytest.raises(ConfigError, match="ranking 2 has none") as caught:
        CollectionZScoreFuser(keep=3).fuse([ranking({"a": 1}, background=background({"a": 1})), ranking({"b": 1})])
    assert "over: list" in caught.value.hint


def test_a_single_ranking_passes_unchanged() -> None:
    assert SingleFuser(keep=2).fuse([FIRST]).hits == FIRST.hits[:2]


def test_single_refuses_two_rankings() -> None:
    with pytest.raises(ConfigError, match="got 2"):
        SingleFuser(keep=2).fuse([FIRST, SECOND])


def test_a_weight_of_zero_silences_a_retriever() -> None:
    assert fused(RrfFuser(keep=9, weights=(1, 0)), FIRST, SECOND)["d"] == 0.0


def test_weights_repeat_with_each_query_of_a_question() -> None:
    once = fused(RrfFuser(keep=9, weights=(2, 1)), FIRST, SECOND)
    twice = fused(RrfFuser(keep=9, weights=(2, 1)), FIRST, SECOND, FIRST, SECOND)
    assert twice == pytest.approx({key: 2 * value for key, value in once.items()})


def test_a_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(ConfigError, match="got 3 for 2 rankings"):
        RrfFuser(keep=9, weights=(1, 2, 3)).fuse([FIRST, SECOND])


FUSERS: list[Fuser] = [
    RrfFuser(keep=50),
    WeightedFuser(keep=50),
    DbsfFuser(keep=50),
    ListZScoreFuser(keep=50),
    CollectionZScoreFuser(keep=50),
]


@pytest.mark.parametrize("fuser", FUSERS, ids=lambda fuser: type(fuser).__name__)
def test_a_score_that_is_not_a_number_is_left_out_and_counted_in_the_log(
    fuser: Fuser, caplog: pytest.LogCaptureFixture
) -> None:
    scores = {"a": 2.0, "b": math.nan, "c": 1.0}
    broken = ranking(scores, origin="dense", background=Background(1.0, 1.0, 9, lambda chunks: [1.0] * len(chunks)))
    with caplog.at_level(logging.WARNING):
        result = fuser.fuse([broken])
    assert [hit.chunk.document_id for hit in result] == ["a", "c"]
    assert "1 of 3 scores of dense are not finite" in caplog.text


def test_a_background_score_that_is_not_a_number_counts_as_the_lowest(caplog: pytest.LogCaptureFixture) -> None:
    scores = {"a": 2.0, "b": 0.0}
    seen = ranking(scores, background=background(scores))
    torn = ranking({"a": 1.0}, background=Background(0.0, 1.0, 2, lambda chunks: [math.nan] * len(chunks)))
    result = fused(CollectionZScoreFuser(keep=9), seen, torn)
    assert result == pytest.approx({"a": 1.0 + 1.0, "b": -1.0 + 1.0})
    assert "not finite" in caplog.text


names = st.sampled_from([f"d{at}" for at in range(12)])
scores = st.floats(-100, 100, allow_nan=False) | st.just(math.nan) | st.just(1.0)
score_maps = st.dictionaries(names, scores, max_size=10)


def best_first(given_scores: Mapping[str, float]) -> Ranking:
    finite = {key: value for key, value in given_scores.items() if not math.isnan(value)}
    ordered = sorted(finite, key=lambda key: (-finite[key], key))
    broken = [key for key in given_scores if key not in finite]
    known = {**dict.fromkeys(broken, 0.0), **finite}

    def score(chunks: Sequence[Chunk]) -> list[float]:
        return [known.get(each.document_id, 0.0) for each in chunks]

    deviation = 0.0 if len(set(known.values())) < 2 else 1.5
    return ranking(
        {key: given_scores[key] for key in (*ordered, *broken)}, background=Background(0.2, deviation, 99, score)
    )


@pytest.mark.parametrize("fuser", FUSERS, ids=lambda fuser: type(fuser).__name__)
@given(lists=st.lists(score_maps, min_size=1, max_size=4))
def test_fusing_gives_the_finite_union_best_first_with_ties_by_id(fuser: Fuser, lists: list[dict[str, float]]) -> None:
    result = fuser.fuse([best_first(each) for each in lists])
    check_order(result)
    union = {key for each in lists for key, value in each.items() if not math.isnan(value)}
    assert {hit.chunk.document_id for hit in result} == union


@given(lists=st.lists(score_maps, min_size=1, max_size=3), keep=st.integers(1, 12))
def test_keeping_fewer_gives_the_first_of_all_by_collection_z_score(lists: list[dict[str, float]], keep: int) -> None:
    rankings = [best_first(each) for each in lists]
    everything = CollectionZScoreFuser(keep=50).fuse(rankings)
    assert CollectionZScoreFuser(keep=keep).fuse(rankings).hits == everything.hits[:keep]


def test_a_background_is_asked_only_for_chunks_that_its_ranking_lacks() -> None:
    asked: list[str] = []

    def score(chunks: Sequence[Chunk]) -> list[float]:
        asked.extend(each.document_id for each in chunks)
        return [0.0] * len(chunks)

    own = ranking({"a": 2.0, "b": 1.0}, background=Background(0.0, 1.0, 9, score))
    other = ranking({"b": 3.0, "c": 2.0}, background=Background(0.0, 1.0, 9, lambda chunks: [0.0] * len(chunks)))
    assert fused(CollectionZScoreFuser(keep=9), own, other) == {"b": 4.0, "a": 2.0, "c": 2.0}
    assert asked == ["c"]


def test_every_spec_builds_its_fuser_and_states_its_name() -> None:
    assert [spec.model_fields["use"].default for spec in BUILT_IN_FUSERS] == [
        "zscore",
        "logodds",
        "rrf",
        "weighted",
        "dbsf",
        "single",
    ]
    assert RrfSpec(constant=20).constant == 20
    assert SingleSpec().keep == 20
    assert ZScoreSpec().over == "collection"
