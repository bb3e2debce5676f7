"""The metrics of what was retrieved: documents against qrels, chunks against gold spans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rag.evaluate import metrics
from rag.evaluate.measures import At, Case, Found, Measure, has_quotes, has_relevant
from rag.evaluate.metrics_context import context_precision
from rag.evaluate.metrics_spans import overlap, touches
from rag.evaluate.report import Metric
from rag.types import Chunk


def _ranking(name: str, meaning: str, score: Callable[[Sequence[str], metrics.Grades, int | None], float]) -> At:
    def at(depth: int | None) -> Measure:
        return Measure(
            metric=Metric(name=_at(name, depth), group="retrieval", meaning=meaning),
            applies=has_relevant,
            score=lambda case, found: score(found.documents, case.question.relevant, depth),
            depth=depth,
        )

    return at


def _spans(name: str, meaning: str, part: str) -> At:
    def at(depth: int | None) -> Measure:
        def score(case: Case, found: Found) -> float:
            value: float = getattr(overlap((chunk.span for chunk in found.chunks[:depth]), case.spans), part)
            return value

        metric = Metric(name=_at(name, depth), group="spans", meaning=meaning)
        return Measure(metric=metric, applies=has_quotes, score=score, depth=depth)

    return at


def _context(name: str, meaning: str, score: Callable[[Case, Sequence[Chunk]], float]) -> At:
    def at(depth: int | None) -> Measure:
        return Measure(
            metric=Metric(name=_at(name, depth), group="context", meaning=meaning),
            applies=lambda question: has_relevant(question) or has_quotes(question),
            score=lambda case, found: score(case, found.chunks[:depth]),
            depth=depth,
        )

    return at


def _context_precision(case: Case, chunks: Sequence[Chunk]) -> float:
    """A chunk is right if it touches a gold span; where there are none, if its document is relevant."""
    documents = case.question.documents
    return context_precision(
        [touches(chunk.span, case.spans) if case.spans else chunk.document_id in documents for chunk in chunks]
    )


def _context_recall(case: Case, chunks: Sequence[Chunk]) -> float:
    """The share of gold spans that a chunk touches; where there are none, of relevant documents with a chunk."""
    if case.spans:
        return sum(any(touches(chunk.span, [span]) for chunk in chunks) for span in case.spans) / len(case.spans)
    documents = case.question.documents
    return len(documents & {chunk.document_id for chunk in chunks}) / len(documents)


def _at(name: str, depth: int | None) -> str:
    return name if depth is None else f"{name}@{depth}"


RETRIEVAL: Mapping[str, At] = {
    "ndcg": _ranking("nDCG", "gain of the ranking over that of the ideal one", lambda r, g, k: metrics.ndcg(r, g, k=k)),
    "recall": _ranking("Recall", "share of the relevant documents found", lambda r, g, k: metrics.recall(r, g, k=k)),
    "precision": _ranking("Precision", "share of the places relevant", lambda r, g, k: metrics.precision(r, g, k=k)),
    "hit-rate": _ranking(
        "HitRate", "whether a relevant document is found", lambda r, g, k: metrics.hit_rate(r, g, k=k)
    ),
    "mrr": _ranking("MRR", "1 / rank of the first relevant", lambda r, g, k: metrics.reciprocal_rank(r, g, k=k)),
    "map": _ranking("MAP", "mean precision at the relevant", lambda r, g, k: metrics.average_precision(r, g, k=k)),
    "span-recall": _spans("SpanRecall", "share of the right characters in the first chunks", "recall"),
    "span-precision": _spans("SpanPrecision", "share of the first chunks' characters that are right", "precision"),
    "span-iou": _spans("SpanIoU", "right characters found over all right or found", "iou"),
    "context-precision": _context("ContextPrecision", "whether the right chunks stand first", _context_precision),
    "context-recall": _context("ContextRecall", "share of what is right that the first chunks touch", _context_recall),
}
"""Makers of measures by name."""
