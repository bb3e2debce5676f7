"""Metrics by name: what a metric needs to know of a question, and its value for what a pipeline gave."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rag.errors import UnknownNameError
from rag.evaluate.datasets import Dataset, Question
from rag.evaluate.report import Metric
from rag.registry import unknown
from rag.types import Answer, Chunk, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A question, with its quotes as spans of the documents that the pipeline has."""

    question: Question
    spans: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a pipeline gave: chunks and their documents, best first, and the answer if one was asked for.

    `documents` are those of `chunks`, each at its best chunk's place. A question that failed has found nothing.
    """

    chunks: tuple[Chunk, ...] = ()
    documents: tuple[str, ...] = ()
    answer: Answer | None = None

    @property
    def abstained(self) -> bool:
        return self.answer is not None and self.answer.abstained


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A metric that needs no judge.

    Attributes:
        applies: whether a question can be scored; only those count.
        score: its value for one question; ``None`` where it is undefined there.
        depth: how many documents or chunks it looks at; ``None``: all, or none.
        answers: whether it looks at the answer, so that one has to be generated.
        whole: its value for the whole set, where that is not the mean of the questions' values.
    """

    metric: Metric
    applies: Callable[[Question], bool]
    score: Callable[[Case, Found], float | None]
    depth: int | None = None
    answers: bool = False
    whole: Callable[[Sequence[tuple[Case, Found]]], float | None] | None = None


At = Callable[[int | None], Measure]
"""Makes the measure with that cut-off; ``None`` is none."""


JUDGED = (
    Metric(name="Faithfulness", group="judged", meaning="share of the answer's claims that the evidence supports"),
    Metric(name="AnswerRelevancy", group="judged", meaning="how near the questions it answers are to the one asked"),
    Metric(name="AnswerCorrectness", group="judged", meaning="0.75 F1 of claims and 0.25 similarity to the reference"),
    Metric(name="ContextPrecision_judged", group="judged", meaning="whether the useful evidence stands first"),
    Metric(name="ContextRecall_judged", group="judged", meaning="share of the reference's claims in the evidence"),
    Metric(name="CitationPrecision_judged", group="judged", meaning="share of citations that are needed"),
    Metric(name="CitationRecall_judged", group="judged", meaning="share of sentences that their citations support"),
)
"""What `rag.evaluate.judge.Judge` judges, by a language model."""


def chosen(names: Sequence[str], *, k: Sequence[int]) -> list[Measure]:
    """The measures of these names, in their order, each once.

    ``ndcg@10`` has its own cut-off, ``ndcg`` is meant at each of `k`, ``map@all`` looks at the whole ranking. Case and
    hyphens do not matter.

    Raises:
        UnknownNameError: a metric of that name does not exist; near names are offered.
    """
    found: dict[str, Measure] = {}
    for name in names:
        for measure in _named(name, k):
            found.setdefault(measure.metric.name, measure)
    return list(found.values())


def suitable(dataset: Dataset, *, answers: bool) -> list[str]:
    """The names of the metrics that say most about a set, given whether answers are generated."""
    asked = dataset.questions
    relevant, quoted, answered = (any(map(test, asked)) for test in (has_relevant, has_quotes, has_answers))
    names = ["ndcg", "recall", "mrr", "hit-rate"] if relevant else []
    if quoted:
        names += ["span-recall", "span-precision", "span-iou"]
    if not answers:
        return names
    if answered:
        names += ["em", "f1", "contains"]
    if relevant:
        names += ["cited-doc-precision", "cited-doc-recall"]
    if quoted:
        names += ["cited-span-precision", "cited-span-recall"]
    names += ["citation-precision-lexical", "citation-recall-lexical", "supported-sentences"]
    if not all(question.answerable for question in asked):
        names += ["abstention-precision", "abstention-recall", "abstention-f1"]
    return names


def known() -> list[str]:
    """The names that `chosen` knows."""
    cut, whole = _tables()
    return [*cut, *whole]


def documents_of(chunks: Iterable[Chunk]) -> tuple[str, ...]:
    """The documents of ranked chunks, each at the place of its best chunk."""
    return tuple(dict.fromkeys(chunk.document_id for chunk in chunks))


def has_relevant(question: Question) -> bool:
    return question.answerable and bool(question.documents)


def has_quotes(question: Question) -> bool:
    return question.answerable and bool(question.quotes)


def has_answers(question: Question) -> bool:
    return question.answerable and bool(question.answers)


def any_question(question: Question) -> bool:
    return True


def _named(name: str, k: Sequence[int]) -> list[Measure]:
    cut, whole = _tables()
    stem, _, depth = name.strip().partition("@")
    by_key = {key(known): known for known in (*cut, *whole)}
    found = by_key.get(_ALIASES.get(key(stem), key(stem)))
    if found is None or (depth and (found in whole or not re.fullmatch(r"[1-9]\d*|all", depth))):
        raise UnknownNameError(unknown("metric", name, known()), hint="a cut-off is written @10, or @all")
    if found in whole:
        return [whole[found]]
    cuts: list[int | None] = list(k) if not depth else [None if depth == "all" else int(depth)]
    return [cut[found](at) for at in cuts]


_ALIASES = {"r": "recall", "p": "precision", "hit": "hitrate", "hits": "hitrate", "success": "hitrate", "rr": "mrr"}
_ALIASES |= {"ap": "map", "exactmatch": "em"}


def key(name: str) -> str:
    """A metric's name without what does not matter in it: case, hyphens, underscores, spaces."""
    return re.sub(r"[-_ ]", "", name.lower())


def _tables() -> tuple[Mapping[str, At], Mapping[str, Measure]]:
    from rag.evaluate.measures_of_answers import ANSWERS
    from rag.evaluate.measures_of_retrieval import RETRIEVAL

    return RETRIEVAL, ANSWERS
