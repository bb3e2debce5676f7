from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import ir_measures
import pytest
from ir_measures import RR, R, nDCG

from rag import Components, Pipeline, PipelineSpec, Query, Ranking
from rag.errors import BackendError, ConfigError, UnknownNameError
from rag.evaluate import evaluate
from rag.evaluate.datasets import load_dataset
from rag.evaluate.report import EvalReport
from rag.evaluate.run import run
from rag.evaluate.systems import System, candidates, open_systems
from rag.evaluate.table import to_text
from rag.models.prices import Price
from rag.rerank.base import Reranker
from rag.testing.models import ScriptedModel
from rag.types import ScoredChunk

HASH = "ingest.embed={use: hash, dimension: 64}"


@pytest.fixture
def measured(beir: Path) -> Callable[..., EvalReport]:
    """``measured("rrf:ask.fuse.use=rrf", k=[5])``: hybrid with hashed vectors, and variations."""

    def run_it(*vary: str, **options: object) -> EvalReport:
        dataset = load_dataset(beir)
        with open_systems(candidates(["hybrid"], changes=[HASH], vary=vary), dataset) as systems:
            return run(systems, dataset, **options)  # type: ignore[arg-type]  # options of `run`

    return run_it


def test_the_means_are_those_of_ir_measures_on_the_same_run(measured: Callable[..., EvalReport], beir: Path) -> None:
    report = measured(k=[1, 3])
    judged = {question.id: dict(question.relevant) for question in load_dataset(beir).questions if question.relevant}
    found = {
        each.id: {document: -float(rank) for rank, document in enumerate(each.documents)}
        for each in report.baseline.runs
        if each.id in judged
    }
    theirs = ir_measures.calc_aggregate([nDCG @ 1, nDCG @ 3, R @ 3, RR @ 3], judged, found)
    for measure, name in ((nDCG @ 1, "nDCG@1"), (nDCG @ 3, "nDCG@3"), (R @ 3, "Recall@3"), (RR @ 3, "MRR@3")):
        assert report.baseline.results[name].mean == pytest.approx(theirs[measure], abs=1e-9)


def test_unanswerable_questions_count_in_no_retrieval_metric(measured: Callable[..., EvalReport]) -> None:
    report = measured()
    assert {question.id: question.kind for question in report.questions}["q3"] == "unanswerable"
    assert report.baseline.results["nDCG@10"].values.keys() == {"q1", "q2"}
    assert len(report.baseline.runs) == 3  # its time counts
    assert (report.dataset.judged, report.dataset.unanswerable) == (2, 1)
    assert report.baseline.runs[0].answer is None  # nothing was generated


def test_spans_of_a_text_without_its_title_are_found_in_the_document_with_it(
    measured: Callable[..., EvalReport],
) -> None:
    report = measured(metrics=["span-recall", "span-precision"], k=[1])
    values = report.baseline.results
    assert values["SpanRecall@1"].values == {"q2": 1.0}
    # the chunk is the whole document, title and all: 74 characters, 42 of them right
    assert values["SpanPrecision@1"].values["q2"] == pytest.approx(42 / 74)
    # the first chunk of each of three questions, in the words of the hash embedder
    assert report.baseline.cost.read.keys() == {"@1"}
    assert 8 < report.baseline.cost.read["@1"] < 20


def test_answers_are_generated_where_they_are_asked_for(measured: Callable[..., EvalReport]) -> None:
    report = measured(answers=True)
    names = [metric.name for metric in report.metrics]
    assert {"nDCG@10", "EM", "F1", "Contains", "CitedDocPrecision", "CitedSpanRecall", "AbstentionF1"} <= set(names)
    assert report.baseline.results["Contains"].values.keys() == {"q1", "q2"}
    assert report.baseline.results["Contains"].mean == 1.0  # the default generator quotes the sentence
    assert all(each.answer for each in report.baseline.runs)


def test_a_set_of_answers_alone_has_answers_generated(write: Callable[..., Path], tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "dogs.md").write_text("Dogs bark at night.\n")
    path = write("mine.jsonl", [{"question": "When do dogs bark?", "answer": "at night"}])
    with Pipeline.from_yaml("hybrid", overrides=[HASH, f"ingest.load.0.root={docs}"]) as pipeline:
        pipeline.ingest()
        report = evaluate(pipeline, path)
    assert report.baseline.results["Contains"].mean == 1.0
    assert "nDCG@10" not in report.baseline.results
    assert report.dataset.documents is None


def test_the_second_run_embeds_nothing_and_a_new_way_of_cutting_takes_over_the_vectors(
    measured: Callable[..., EvalReport],
) -> None:
    first = measured("whole:ingest.chunk={use: whole}")
    one, other = (system.cost.ingest for system in first.systems)
    assert one is not None
    assert other is not None
    assert (one.embedded, one.cached, one.documents) == (4, 0, 4)
    assert (other.embedded, other.cached) == (0, 4)  # the same texts: these documents are one chunk either way
    again = measured().baseline.cost.ingest
    assert again is not None
    assert (again.embedded, again.unchanged) == (0, 4)


def test_systems_that_ingest_alike_share_an_index(measured: Callable[..., EvalReport]) -> None:
    shared = measured("rrf:ask.fuse.use=rrf").systems[1].cost.ingest
    assert shared is not None
    assert (shared.unchanged, shared.chunks) == (4, 0)


def test_a_system_that_shares_an_index_finds_there_what_it_alone_reads(measured: Callable[..., EvalReport]) -> None:
    report = measured("late:ask.rerank=[{use: late-interaction, stored: true}]")
    plain, late = (system.cost.ingest for system in report.systems)
    assert plain is not None
    assert late is not None
    assert late.chunks == 0
    assert late.bytes > plain.bytes  # the token vectors
    assert not report.systems[1].failures


def test_a_named_index_must_hold_the_set_alone(beir: Path, tmp_path: Path) -> None:
    dataset, index = load_dataset(beir), tmp_path / "index"
    hybrid = candidates(["hybrid"], changes=[HASH])
    with open_systems(hybrid, dataset, index=index) as systems:
        assert systems[0].pipeline.index.path == index
    with (beir / "corpus.jsonl").open() as file:
        rows = file.readlines()
    (beir / "corpus.jsonl").write_text("".join(rows[1:]))
    with (
        pytest.raises(ConfigError, match="holds 1 documents that are not of the set"),
        open_systems(hybrid, dataset, index=index),
    ):
        pass
    different = candidates(["hybrid"], changes=[HASH], vary=["whole:ingest.chunk={use: whole}"])
    with pytest.raises(ConfigError, match="ingest differently"), open_systems(different, dataset, index=index):
        pass


def test_variations_are_named_or_name_themselves() -> None:
    found = candidates(
        ["hybrid", "sparse"],
        changes=["ask.fuse.keep=50"],
        vary=["a:ask.fuse.use=rrf", "a:ask.fuse.keep=9", "ingest.index.path=c:/x"],
    )
    assert [(each.name, each.source, each.changes) for each in found] == [
        ("hybrid", "hybrid", ("ask.fuse.keep=50",)),
        ("sparse", "sparse", ("ask.fuse.keep=50",)),
        ("a", "hybrid", ("ask.fuse.keep=50", "ask.fuse.use=rrf", "ask.fuse.keep=9")),
        ("ingest.index.path=c:/x", "hybrid", ("ask.fuse.keep=50", "ingest.index.path=c:/x")),
    ]
    with pytest.raises(ConfigError, match="two pipelines are called 'sparse'"):
        candidates(["hybrid"], vary=["sparse:ask.fuse.use=rrf", "sparse:ask.fuse.keep=1"]) and candidates(
            ["hybrid", "sparse"], vary=["sparse:ask.fuse.use=rrf"]
        )
    with pytest.raises(ConfigError, match="expected NAME:path=value"):
        candidates(["hybrid"], vary=["rrf"])


def test_depth_raises_what_the_stages_give_and_lowers_nothing() -> None:
    (found,) = candidates(["hybrid"], changes=["ask.retrieve.0.k=500"], depth=200)
    assert found.changes == ("ask.retrieve.0.k=500", "ask.retrieve.1.k=200", "ask.fuse.keep=200")


def test_a_metric_of_another_name_or_for_another_set_is_refused(measured: Callable[..., EvalReport]) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'ndcg'"):
        measured(metrics=["ndgc"])
    with pytest.raises(UnknownNameError, match="unknown metric 'em@10'"):
        measured(metrics=["em@10"])
    with pytest.raises(ConfigError, match="EM needs answers"):
        measured(metrics=["em"], answers=False)


class Given:
    """A retriever that gives the scores it is told, by document, or raises."""

    def __init__(self, scores: dict[str, float], error: Exception | None = None, fail: Sequence[str] = ()) -> None:
        self.scores = scores
        self.error = error
        self.fail = fail
        self.pipeline: Pipeline | None = None

    def retrieve(self, queries: Sequence[Query]) -> list[Ranking]:
        assert self.pipeline is not None
        if self.error is not None and (not self.fail or queries[0].text in self.fail):
            raise self.error
        reader = self.pipeline.index.reader()
        chunks = [chunk for document in self.scores for chunk in reader.chunks_of(document)]
        hits = [ScoredChunk(chunk, self.scores[chunk.document_id], "given") for chunk in chunks]
        return [Ranking(tuple(hits)) for _ in queries]


@pytest.fixture
def given(beir: Path) -> Iterator[Callable[[Given], System]]:
    """A pipeline over the small set whose one retriever is given."""
    dataset = load_dataset(beir)
    opened: list[Pipeline] = []
    with open_systems(candidates(["hybrid"], changes=[HASH]), dataset) as systems:
        path = systems[0].pipeline.index.path

    def build(retriever: Given, name: str = "given", rerankers: Sequence[Reranker] = ()) -> System:
        overrides = [HASH, f"ingest.index.path={json.dumps(str(path))}", "ask.fuse={use: single}"]
        overrides.append("ask.retrieve=[{use: dense}]")
        retriever.pipeline = Pipeline.from_yaml(
            "hybrid", overrides=overrides, components=Components(retrievers=[retriever], rerankers=rerankers)
        )
        opened.append(retriever.pipeline)
        return System(name=name, pipeline=retriever.pipeline)

    yield build
    for pipeline in opened:
        pipeline.close()


class Unsure:
    """A reranker that has no number for one document."""

    def rerank(self, queries: Sequence[Query], rankings: Sequence[Ranking]) -> list[Ranking]:
        return [
            Ranking(tuple(replace(hit, score=math.nan if hit.chunk.document_id == "dogs" else 1.0) for hit in ranking))
            for ranking in rankings
        ]


def test_a_chunk_whose_score_is_no_number_is_left_out_and_counted(given: Callable[..., System], beir: Path) -> None:
    system = given(Given({"dogs": 3.0, "owls": 1.0, "vasa": 0.5}), rerankers=[Unsure()])
    report = run([system], load_dataset(beir))
    assert report.baseline.runs[0].documents == ("owls", "vasa")
    assert "given: 3 chunks had a score that is no number; they are left out" in report.notes


def test_a_question_that_fails_counts_as_nothing_found_and_is_reported(
    given: Callable[..., System], beir: Path
) -> None:
    broken = Given({"vasa": 1.0, "dogs": 0.5}, BackendError("no connection"), fail=["Do dogs bark at night?"])
    report = run([given(broken)], load_dataset(beir), metrics=["recall"], k=[1])
    assert report.baseline.results["Recall@1"].values == {"q1": 0.0, "q2": 1.0}
    assert report.baseline.results["Recall@1"].mean == 0.5  # a crashed question does not raise the mean
    assert report.baseline.failures == 1
    assert report.notes[-1].startswith("given: 1 of 3 questions failed and count as nothing found")


def test_an_excluded_document_is_taken_out_before_the_cut(given: Callable[..., System], beir: Path) -> None:
    dataset = load_dataset(beir)
    first = replace(dataset.questions[0], excluded=frozenset({"owls"}), relevant={"dogs": 1})
    system = given(Given({"owls": 3.0, "dogs": 2.0}))
    report = run([system], replace(dataset, questions=(first,)), metrics=["mrr"], k=[1])
    assert report.baseline.results["MRR@1"].mean == 1.0


def test_five_failures_in_a_row_end_the_run(given: Callable[..., System], beir: Path, tmp_path: Path) -> None:
    dataset = load_dataset(beir)
    many = replace(dataset, questions=tuple(replace(dataset.questions[0], id=str(at)) for at in range(9)))
    with pytest.raises(BackendError, match="no connection") as raised:
        run([given(Given({}, BackendError("no connection")))], many)
    assert raised.value.__notes__ == ["given: 5 questions in a row failed"]


def test_an_index_of_other_documents_is_refused(given: Callable[..., System], beir: Path) -> None:
    rows = ["q1\tnowhere\t1"]
    (beir / "qrels.tsv").write_text("\n".join(rows))
    with pytest.raises(ConfigError, match="none of the 1 relevant documents is in its index"):
        run([given(Given({"dogs": 1.0}))], load_dataset(beir))


def test_two_systems_are_compared_question_by_question(given: Callable[..., System], beir: Path) -> None:
    right = given(Given({"dogs": 3.0, "vasa": 2.0, "owls": 1.0}), "right")
    other = given(Given({"vasa": 3.0, "owls": 2.0, "dogs": 1.0}), "other")
    report = run([right, other], load_dataset(beir), metrics=["mrr"], k=[10])
    # q1: dogs first against owls second; q2: vasa second against first
    assert report.differences("MRR@10", "other") == [("q2", 0.5), ("q1", -0.5)]
    found = report.comparison("MRR@10", "other")
    assert found is not None
    assert (found.wins, found.losses, found.ties, found.difference, found.p) == (1, 1, 0, 0.0, 1.0)
    assert not found.significant
    assert report.comparison("MRR@10", "right") is None
    shown = to_text(report, examples=1)
    assert [line.split()[:2] for line in shown.splitlines() if line[:2] in ("+0", "-0")] == [
        ["+0.5000", "q2"],
        ["-0.5000", "q1"],
    ]


def test_the_same_seed_gives_the_same_report_times_apart(measured: Callable[..., EvalReport]) -> None:
    one, other = (measured("rrf:ask.fuse.use=rrf", seed=7) for _ in range(2))
    assert one.comparisons == other.comparisons
    assert [system.results for system in one.systems] == [system.results for system in other.systems]


def test_every_stage_has_its_time_and_the_report_is_json(measured: Callable[..., EvalReport]) -> None:
    report = measured()
    stages = [(stage.stage, stage.use) for stage in report.baseline.cost.stages]
    assert stages == [("retrieve", "dense"), ("retrieve", "sparse"), ("fuse", "zscore")]
    assert report.baseline.cost.latency is not None
    assert PipelineSpec.from_yaml(report.baseline.yaml).ask.fuse.use == "zscore"
    text = json.dumps(report.as_dict(), allow_nan=False)
    assert json.loads(text)["systems"][0]["results"]["nDCG@10"]["mean"] == report.baseline.results["nDCG@10"].mean


def test_tokens_are_summed_over_the_stages_and_priced(beir: Path) -> None:
    dataset = load_dataset(beir)
    with open_systems(candidates(["hybrid"], changes=[HASH]), dataset) as systems:
        path = systems[0].pipeline.index.path
    model = ScriptedModel(['{"queries": ["barking dogs"]}', "Dogs bark at night. [1]"] * 3)
    overrides = [HASH, f"ingest.index.path={json.dumps(str(path))}", "ask.transform=[{use: multi-query}]"]
    components = Components(llm=model)
    overrides += ["llm={use: given}"]
    with Pipeline.from_yaml("hybrid", overrides=overrides, components=components) as pipeline:
        report = run(
            [System(name="given", pipeline=pipeline)],
            dataset,
            metrics=["recall"],
            prices={"*": Price(prompt=1e6, completion=0.0)},
        )
    usage = report.baseline.cost.usage
    assert usage.requests == 3
    assert usage.prompt_tokens > 0
    assert report.baseline.cost.price == usage.prompt_tokens


def test_by_name_the_baseline_is_the_first(beir: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(f"version: 1\nextends: hybrid\ningest:\n  {HASH[7:].replace('=', ': ', 1)}\n")
    report = evaluate([tmp_path / "mine.yaml"], beir, k=[2])
    assert report.baseline.name == "mine"
    assert report.baseline.results["Recall@2"].mean is not None
