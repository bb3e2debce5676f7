"""Log-odds of scores calibrated by their background."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import ConfigError
from rag.pipeline.spec import AskSpec, PipelineSpec
from rag.retrieve.logodds import LogOddsFuser, log_odds
from rag.retrieve.specs import LogOddsSpec
from rag.testing import check_fuser, check_order
from rag.types import Background, Chunk, Ranking, ScoredChunk, Span


def ranking(scores: Mapping[str, float], *, mean: float = 0.0, deviation: float = 1.0) -> Ranking:
    """All chunks of a collection with their scores, and a background that is given."""

    def score(chunks: Sequence[Chunk]) -> list[float]:
        return [scores[chunk.document_id] for chunk in chunks]

    hits = [ScoredChunk(Chunk(span=Span(name, 0, 1), text=name[:1]), value, "test") for name, value in scores.items()]
    return Ranking.of(hits, keep=100, background=Background(mean, deviation, len(scores), score))


def fused(*rankings: Ranking, **options: float) -> dict[str, float]:
    fuser = LogOddsFuser(keep=10, **options)  # type: ignore[arg-type]  # degrees is whole, weights are not given here
    return {hit.chunk.document_id: hit.score for hit in fuser.fuse(rankings)}


def test_with_four_degrees_the_odds_are_those_worked_out_by_hand() -> None:
    # P(T < t) = 1/2 + 3/8 * u * (1 - u^2 / 12), u = t / sqrt(1 + t^2 / 4); one deviation is t = sqrt(2): u = 1.1547
    u = math.sqrt(2) / math.sqrt(1.5)
    p = 0.5 + 3 / 8 * u * (1 - u * u / 12)
    assert p == pytest.approx(0.88490, abs=1e-5)
    assert log_odds(1.0, degrees=4, clip=1e-12) == pytest.approx(math.log(p / (1 - p)))
    assert log_odds(-1.0, degrees=4, clip=1e-12) == pytest.approx(-math.log(p / (1 - p)))


def test_with_many_degrees_the_odds_are_those_of_the_normal_distribution() -> None:
    for deviations in (0.5, 1.0, 2.0):
        p = 0.5 * (1 + math.erf(deviations / math.sqrt(2)))
        assert log_odds(deviations, degrees=1000, clip=1e-12) == pytest.approx(math.log(p / (1 - p)), rel=0.01)


@given(st.floats(-50, 50), st.floats(-50, 50), st.sampled_from([4, 8, 12, 30]))
def test_odds_rise_with_the_score_and_mirror_at_the_mean(one: float, other: float, degrees: int) -> None:
    values = sorted((one, other))
    low, high = (log_odds(value, degrees=degrees, clip=1e-12) for value in values)
    assert low <= high
    assert log_odds(-one, degrees=degrees, clip=1e-12) == -log_odds(one, degrees=degrees, clip=1e-12)
    assert abs(high) <= math.log(1e12)


def test_scores_are_standardised_by_their_background_and_the_odds_add_up() -> None:
    one = ranking({"a": 12.0, "b": 10.0}, mean=10.0, deviation=2.0)
    other = ranking({"a": 0.1, "b": 0.3}, mean=0.1, deviation=0.1)
    result = fused(one, other)
    assert result == pytest.approx({"a": log_odds(1, degrees=12, clip=1e-12), "b": log_odds(2, degrees=12, clip=1e-12)})
    assert list(result) == ["b", "a"]


def test_two_good_scores_beat_one_very_good_one_with_the_same_sum_of_deviations() -> None:
    one = ranking({"both": 5.0, "single": 10.0})
    other = ranking({"both": 5.0, "single": 0.0})
    assert list(fused(one, other, degrees=4)) == ["both", "single"]


def test_a_clip_levels_what_lies_beyond_it() -> None:
    result = fused(ranking({"a": 9.0, "b": 40.0}), clip=0.01)
    assert result["a"] == result["b"] == pytest.approx(math.log(99))


def test_a_retriever_that_tells_nothing_apart_adds_nothing() -> None:
    blind = ranking({"a": 0.5, "b": 0.5}, mean=0.5, deviation=0.0)
    assert fused(ranking({"a": 1.0, "b": 2.0}), blind) == fused(ranking({"a": 1.0, "b": 2.0}))


def test_a_score_that_is_no_number_counts_as_the_lowest(caplog: pytest.LogCaptureFixture) -> None:
    result = fused(ranking({"a": 1.0, "b": 2.0}), ranking({"a": 1.0, "b": math.nan}))
    assert result["b"] == pytest.approx(log_odds(2, degrees=12, clip=1e-12) + log_odds(1, degrees=12, clip=1e-12))
    assert "not finite" in caplog.text


def test_order_weights_and_an_empty_ranking() -> None:
    one, other = ranking({"a": 3.0, "b": 1.0}), ranking({"a": 1.0, "b": 3.0})
    check_order(LogOddsFuser(keep=10).fuse([one, other]))
    assert [hit.chunk.document_id for hit in LogOddsFuser(keep=1, weights=(1, 2)).fuse([one, other])] == ["b"]
    assert len(LogOddsFuser(keep=10).fuse([ranking({}), ranking({})])) == 0


def test_it_holds_to_the_contract_of_a_fuser() -> None:
    check_fuser(LogOddsFuser(keep=5), keep=5)


def test_a_ranking_without_a_background_is_refused() -> None:
    with pytest.raises(ConfigError, match="`logodds` over the collection needs"):
        LogOddsFuser(keep=10).fuse([Ranking(ranking({"a": 1.0}).hits)])


def test_odd_degrees_and_a_wrong_number_of_weights_are_refused_when_the_pipeline_is_read() -> None:
    with pytest.raises(ValueError, match="multiple of 2"):
        LogOddsSpec(degrees=5)
    with pytest.raises(ValueError, match="one weight for each of 2 retrievers"):
        PipelineSpec(ask=AskSpec(fuse=LogOddsSpec(weights=(1.0,))))
