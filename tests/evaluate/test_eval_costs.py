from __future__ import annotations

from pathlib import Path

import pytest

from rag.errors import ConfigError
from rag.evaluate.compare import compared, summary
from rag.evaluate.costs import latency, price_of, read_prices, spent, stage_costs, tokens_read
from rag.evaluate.report import Cost, Metric, SystemResult
from rag.models.prices import Price
from rag.types import Answer, Chunk, Span, StageRecord, Trace, Usage


def _record(stage: str, use: str, seconds: float, **notes: int) -> StageRecord:
    return StageRecord(stage=stage, use=use, seconds=seconds, taken=0, given=0, notes=notes)


def test_percentiles_are_interpolated_linearly() -> None:
    found = latency([10.0, 20.0, 30.0, 40.0])
    assert (found.p50_ms, found.p95_ms, found.mean_ms, found.seconds) == pytest.approx((25.0, 38.5, 25.0, 0.1))


def test_a_stage_is_its_place_so_two_retrievers_of_one_kind_are_two_stages() -> None:
    trace = Trace((_record("retrieve", "dense", 0.001), _record("retrieve", "dense", 0.003)))
    found = stage_costs([trace, trace])
    assert [(stage.at, stage.use, stage.latency.p50_ms) for stage in found] == [(0, "dense", 1.0), (1, "dense", 3.0)]


def test_usage_is_the_answers_and_what_other_stages_noted_once() -> None:
    trace = Trace(
        (
            _record("transform", "hyde", 0.0, prompt_tokens=5, completion_tokens=2, requests=1),
            _record("generate", "openai", 0.0, prompt_tokens=100, completion_tokens=10),
        )
    )
    answer = Answer(query="?", text="", usage=Usage(100, 10, 1))
    assert spent(trace, answer) == Usage(105, 12, 2)
    assert spent(trace, None) == Usage(5, 2, 1)


def test_prices_are_by_model_and_of_a_million_tokens(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("small: {prompt: 0.5, completion: 1.5}\n'*': {prompt: 1, completion: 1}\n")
    prices = read_prices(path)
    assert price_of("small", prices) == Price(prompt=0.5, completion=1.5)
    assert price_of("other", prices) == Price(prompt=1, completion=1)
    assert price_of("other", {}) is None
    assert Price(prompt=0.5, completion=1.5).of(Usage(1_000_000, 2_000_000)) == 3.5


@pytest.mark.parametrize("text", ["small: 3", "small: {prompt: 1}", "small: {prompt: -1, completion: 1}", "- a", "{"])
def test_a_table_of_prices_that_is_written_wrong_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"prices\.yaml"):
        read_prices(path)


def test_tokens_read_are_those_of_the_first_chunks_on_average() -> None:
    chunks = [Chunk(span=Span("d", at, at + 1), text="x " * at) for at in range(1, 4)]
    found = tokens_read([chunks, chunks[:1]], [1, 10], lambda texts: [len(text.split()) for text in texts])
    assert found == {"@1": 1.0, "@10": (1 + 2 + 3 + 1) / 2}
    assert tokens_read([], [1], lambda texts: []) == {}


def test_undefined_values_are_in_no_mean_and_in_no_comparison() -> None:
    def system(name: str, values: dict[str, float | None]) -> SystemResult:
        results = {"m": summary(values, seed=0)}
        return SystemResult(
            name=name, pipeline="", changes=(), yaml="", results=results, runs=(), cost=Cost(latency=None)
        )

    one = system("one", {"a": 1.0, "b": None, "c": 0.0})
    other = system("other", {"a": 0.5, "b": 1.0, "c": None})
    assert (one.results["m"].mean, one.results["m"].counted) == (0.5, 2)
    (found,) = compared([Metric(name="m", group="judged", meaning="")], [one, other], seed=0)
    assert (found.difference, found.wins, found.losses, found.ties) == (-0.5, 0, 1, 0)
    nothing = system("nothing", {"a": None})
    assert nothing.results["m"].mean is None
    assert list(compared([Metric(name="m", group="judged", meaning="")], [one, nothing], seed=0)) == []


def test_several_systems_are_adjusted_together() -> None:
    def system(name: str, gain: float) -> SystemResult:
        results = {"m": summary({str(at): gain for at in range(8)}, seed=0)}
        return SystemResult(
            name=name, pipeline="", changes=(), yaml="", results=results, runs=(), cost=Cost(latency=None)
        )

    metric = Metric(name="m", group="retrieval", meaning="")
    found = list(compared([metric], [system("a", 0.0), system("b", 0.1), system("c", 0.2)], seed=0))
    # eight equal gains: 2 of 256 sign patterns; twice that for two systems
    assert [comparison.p for comparison in found] == [2 / 256] * 2
    assert [comparison.p_holm for comparison in found] == [4 / 256] * 2
    whole = Metric(name="m", group="abstention", meaning="", by_question=False)
    assert list(compared([whole], [system("a", 0.0), system("b", 0.1)], seed=0)) == []
