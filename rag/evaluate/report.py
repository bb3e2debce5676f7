"""What an evaluation found: plain values, for the terminal, JSON and HTML.

How it hangs together::

    EvalReport
      .dataset      what was asked: name, counts
      .questions    every question that was asked, in order; id -> text through `EvalReport.text`
      .metrics      the columns, in order: name, group, meaning
      .systems      one a pipeline, in the order given; the first is the baseline of every comparison
        .results      metric name -> MetricResult: mean, interval, and the value of each question
        .runs         one a question: milliseconds, documents found, answer, failure
        .cost         latency of a question and of each stage, tokens, requests, price, what ingest did
      .comparisons  one a (metric, other system): difference, interval, p, Holm-adjusted p, wins, losses, ties
      .notes        what a reader must know before trusting a figure; one sentence each

A figure that does not exist is ``None``, never NaN: a question without claims to judge, a mean over nothing. Everything
here is a frozen value of the standard library's types, so `dataclasses.asdict` gives the JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

from rag.types import Usage

Group: TypeAlias = Literal["retrieval", "spans", "context", "answers", "citations", "abstention", "judged"]
"""What a metric looks at; tables and pages show the groups in this order."""

Kind: TypeAlias = Literal["judged", "unanswerable", "unjudged"]
"""``judged``: there is a right result to compare with. ``unanswerable``: the right answer is to say so; no retrieval
metric counts it. ``unjudged``: nothing is known of it; only its cost counts."""

VERSION = 1
"""Of the JSON shape; raised when a field changes its meaning or goes away."""

NOTHING = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A column: ``nDCG@10`` and what it means, one sentence. Higher is better for every metric.

    `by_question` is false where only the whole set has a value (F1 of abstention); such metrics are not compared.
    """

    name: str
    group: Group
    meaning: str
    by_question: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricResult:
    """One metric of one system.

    Attributes:
        mean: over the questions with a value; ``None`` where there is none.
        low, high: bootstrap 95 % interval of the mean; ``None`` for fewer than two questions, or by no question.
        values: question id -> value; ``None`` where it is undefined there (no claim to check) or its judge failed.
        failed: how many of the ``None`` are failures of the judge.
    """

    mean: float | None
    low: float | None = None
    high: float | None = None
    values: Mapping[str, float | None] = field(default_factory=dict)
    failed: int = 0

    @property
    def counted(self) -> int:
        """How many questions the mean is over."""
        return sum(value is not None for value in self.values.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds a question: median, 95th percentile (linear interpolation), mean, and the sum in seconds."""

    p50_ms: float
    p95_ms: float
    mean_ms: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """The latency of one stage, as the traces have it. `at` is its place in the pipeline, from 0.

    Two retrievers are two stages. Stages come in the order in which they ran.
    """

    at: int
    stage: str
    use: str
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestCost:
    """What bringing the index up to date took: `embedded` chunks were computed, `cached` found in the cache.

    `bytes` is the size of the index folder. A system whose index was shared with an earlier one in the list has
    ``unchanged == documents`` and ``chunks == 0``: `chunks` counts what this run cut.
    """

    documents: int
    unchanged: int
    failed: int
    chunks: int
    embedded: int
    cached: int
    seconds: float
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What answering took.

    Attributes:
        latency: of a whole question, first try; a failed question is left out.
        stages: of each stage.
        usage: tokens and requests of the pipeline, over all questions.
        judge: tokens and requests of the judge, not the pipeline's.
        price: of `usage` by the price table; ``None`` without one.
        ingest: ``None`` where the pipeline's own index was used as it is.
        read: what a reader of the first chunks has to read, by cut-off: ``"@10"`` -> mean tokens of the encoder. Only
            for the cut-offs of metrics on spans and context.
    """

    latency: Latency | None
    stages: tuple[StageCost, ...] = ()
    usage: Usage = NOTHING
    judge: Usage = NOTHING
    price: float | None = None
    ingest: IngestCost | None = None
    read: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionRun:
    """What one system did with one question.

    Attributes:
        documents: ids found, best first, up to the deepest cut-off asked for.
        answer: ``None`` where no answer was asked for.
        failure: why it failed, empty if it did not; a failed question counts as nothing found.
    """

    id: str
    milliseconds: float
    documents: tuple[str, ...] = ()
    answer: str | None = None
    abstained: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemResult:
    """One pipeline on the whole set.

    Attributes:
        name: short and unique in the report.
        pipeline: the file or name it was read from; empty for one built in Python.
        changes: the overrides on top, ``ask.fuse.use=rrf``.
        yaml: the pipeline in full, so that the figure can be made again.
    """

    name: str
    pipeline: str
    changes: tuple[str, ...]
    yaml: str
    results: Mapping[str, MetricResult]
    runs: tuple[QuestionRun, ...]
    cost: Cost

    @property
    def failures(self) -> int:
        """How many questions failed."""
        return sum(bool(run.failure) for run in self.runs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`system` against `baseline` on one metric, paired by question: only questions where both have a value.

    Attributes:
        difference: mean of ``system - baseline``; `low` and `high` its bootstrap 95 % interval.
        p: two-sided paired randomisation (sign-flip) test.
        p_holm: adjusted over every comparison of the same metric (Holm), so over the systems tried.
        p_t: paired t-test, for comparison with papers that use it; ``None`` where it is undefined.
        effect: mean difference over its sample standard deviation (Cohen's d of paired values); ``None`` where all
            differences are equal.
        wins, losses, ties: questions where `system` is higher, lower, the same (to 1e-12).
    """

    metric: str
    baseline: str
    system: str
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    p_t: float | None
    effect: float | None
    wins: int
    losses: int
    ties: int

    @property
    def significant(self) -> bool:
        """``p_holm < 0.05``."""
        return self.p_holm < 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQuestion:
    """A question of the set."""

    id: str
    text: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSummary:
    """What was asked. `documents` is ``None`` where the pipeline's own index was used."""

    name: str
    path: str
    documents: int | None
    questions: int
    judged: int
    unanswerable: int
    unjudged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalReport:
    """One evaluation. See the module for how the parts hang together.

    Attributes:
        seed: of every random draw; the same seed gives the same figures, times apart.
        made: when, ISO 8601 in UTC. `environment`: versions and machine, as text by name.
    """

    dataset: DatasetSummary
    questions: tuple[AskedQuestion, ...]
    metrics: tuple[Metric, ...]
    systems: tuple[SystemResult, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    seed: int
    made: str
    environment: Mapping[str, str]
    version: int = VERSION

    @property
    def baseline(self) -> SystemResult:
        return self.systems[0]

    def system(self, name: str) -> SystemResult:
        """Raises `KeyError` where there is none of that name."""
        for found in self.systems:
            if found.name == name:
                return found
        raise KeyError(name)

    def metric(self, name: str) -> Metric:
        """Raises `KeyError` where there is none of that name."""
        for found in self.metrics:
            if found.name == name:
                return found
        raise KeyError(name)

    def text(self, question: str) -> str:
        """The text of a question by its id; raises `KeyError`."""
        for found in self.questions:
            if found.id == question:
                return found.text
        raise KeyError(question)

    def comparison(self, metric: str, system: str) -> Comparison | None:
        """`system` against the baseline on `metric`; ``None`` where the two have no question in common."""
        for found in self.comparisons:
            if (found.metric, found.system) == (metric, system):
                return found
        return None

    def differences(self, metric: str, system: str) -> list[tuple[str, float]]:
        """(question id, `system` minus baseline) where both have a value: the greatest gain first, ties by id."""
        ours, base = self.system(system).results[metric].values, self.baseline.results[metric].values
        found = []
        for question, value in ours.items():
            before = base.get(question)
            if value is not None and before is not None:
                found.append((question, value - before))
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))

    def as_dict(self) -> dict[str, object]:
        """Plain dictionaries, lists and numbers: the JSON."""
        return asdict(self)
