"""The metrics of what was answered, cited and left unanswered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rag.evaluate.datasets import Question
from rag.evaluate.measures import Case, Found, Measure, any_question, has_answers, has_quotes, has_relevant
from rag.evaluate.metrics_answers import contains_answer, exact_match, f1
from rag.evaluate.metrics_citations import Words, attribution, statements
from rag.evaluate.metrics_spans import overlap
from rag.evaluate.report import Group, Metric
from rag.types import Span

Score = Callable[[Case, Found], float | None]
_WORDS = Words()


def _measure(
    name: str,
    group: Group,
    meaning: str,
    score: Score,
    applies: Callable[[Question], bool],
    *,
    by_question: bool = True,
) -> Measure:
    metric = Metric(name=name, group=group, meaning=meaning, by_question=by_question)
    return Measure(metric=metric, applies=applies, score=score, answers=True)


def _answer(score: Callable[[str, Sequence[str]], float]) -> Score:
    """The answer without its citation markers against the references; an abstention is wrong."""

    def scored(case: Case, found: Found) -> float:
        if found.answer is None or found.abstained:
            return 0.0
        return score(" ".join(statement.text for statement in statements(found.answer)), case.question.answers)

    return scored


def _cited(found: Found) -> list[Span]:
    return [span for citation in found.answer.citations for span in citation.spans] if found.answer else []


def _doc_precision(case: Case, found: Found) -> float | None:
    """Undefined for an abstention; 0 for an answer that cites nothing."""
    cited = {span.document_id for span in _cited(found)}
    if found.abstained:
        return None
    return len(cited & case.question.documents) / len(cited) if cited else 0.0


def _doc_recall(case: Case, found: Found) -> float:
    documents = case.question.documents
    return len(documents & {span.document_id for span in _cited(found)}) / len(documents)


def _span_precision(case: Case, found: Found) -> float | None:
    return None if found.abstained else overlap(_cited(found), case.spans).precision


def _attributed(part: str) -> Score:
    """ALCE's citation metrics, where words in common stand for entailment; undefined without a statement."""

    def scored(case: Case, found: Found) -> float | None:
        answer = found.answer
        parts = statements(answer) if answer is not None and not answer.abstained else []
        if answer is None or not parts:
            return None
        evidence = answer.evidence

        def supports(at: int, numbers: tuple[int, ...]) -> bool:
            return _WORDS.support(parts[at].text, "\n".join(evidence[number - 1].text for number in numbers))

        value: float = getattr(attribution([statement.cited for statement in parts], supports), part)
        return value

    return scored


def _supported(case: Case, found: Found) -> float | None:
    """Of the sentences that cite or ought to; undefined for an abstention, and where the pipeline checks nothing."""
    answer = found.answer
    if answer is None or answer.abstained or any(citation.support is None for citation in answer.citations):
        return None
    verdicts = [citation.support.verdict for citation in answer.citations if citation.support]
    stating = len(verdicts) + len(answer.uncited)
    return verdicts.count("supported") / stating if stating else None


def _faithful(case: Case, found: Found) -> float | None:
    answer = found.answer
    parts = statements(answer) if answer is not None and not answer.abstained else []
    if answer is None or not parts:
        return None
    evidence = "\n".join(part.text for part in answer.evidence)
    return sum(_WORDS.support(statement.text, evidence) for statement in parts) / len(parts)


def _abstention_f1(results: Sequence[tuple[Case, Found]]) -> float | None:
    """``None`` where no question is unanswerable."""
    abstained = sum(found.abstained for _, found in results)
    unanswerable = sum(not case.question.answerable for case, _ in results)
    right = sum(found.abstained and not case.question.answerable for case, found in results)
    return 2 * right / (abstained + unanswerable) if unanswerable else None


ANSWERS: Mapping[str, Measure] = {
    "em": _measure("EM", "answers", "the answer is a reference, both normalised", _answer(exact_match), has_answers),
    "f1": _measure("F1", "answers", "words in common with the nearest reference", _answer(f1), has_answers),
    "contains": _measure(
        "Contains", "answers", "a reference stands in the answer", _answer(contains_answer), has_answers
    ),
    "faithfulness-lexical": _measure(
        "Faithfulness_lexical", "answers", "share of sentences the evidence supports, by words", _faithful, any_question
    ),
    "cited-doc-precision": _measure(
        "CitedDocPrecision", "citations", "share of cited documents that are relevant", _doc_precision, has_relevant
    ),
    "cited-doc-recall": _measure(
        "CitedDocRecall", "citations", "share of relevant documents that are cited", _doc_recall, has_relevant
    ),
    "cited-span-precision": _measure(
        "CitedSpanPrecision", "citations", "share of cited characters that are right", _span_precision, has_quotes
    ),
    "cited-span-recall": _measure(
        "CitedSpanRecall",
        "citations",
        "share of right characters that are cited",
        lambda case, found: overlap(_cited(found), case.spans).recall,
        has_quotes,
    ),
    "cited-span-iou": _measure(
        "CitedSpanIoU",
        "citations",
        "right characters cited over all right or cited",
        lambda case, found: overlap(_cited(found), case.spans).iou,
        has_quotes,
    ),
    "citation-precision-lexical": _measure(
        "CitationPrecision_lexical",
        "citations",
        "share of citations that are needed, by words",
        _attributed("precision"),
        any_question,
    ),
    "citation-recall-lexical": _measure(
        "CitationRecall_lexical",
        "citations",
        "share of sentences that their citations support, by words",
        _attributed("recall"),
        any_question,
    ),
    "supported-sentences": _measure(
        "SupportedSentences",
        "citations",
        "share of sentences that the pipeline's citer found supported",
        _supported,
        any_question,
    ),
    "abstention-precision": _measure(
        "AbstentionPrecision",
        "abstention",
        "share of abstentions on unanswerable questions",
        lambda case, found: float(not case.question.answerable) if found.abstained else None,
        any_question,
        by_question=False,
    ),
    "abstention-recall": _measure(
        "AbstentionRecall",
        "abstention",
        "share of unanswerable questions abstained on",
        lambda case, found: float(found.abstained),
        lambda question: not question.answerable,
    ),
    "abstention-f1": Measure(
        metric=Metric(name="AbstentionF1", group="abstention", meaning="harmonic mean of the two", by_question=False),
        applies=any_question,
        score=lambda case, found: None,
        answers=True,
        whole=_abstention_f1,
    ),
}
"""Measures by name."""
