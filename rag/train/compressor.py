"""What a compression head is trained and judged on: the sentences of retrieved chunks, and which of them are needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.compress.budget import Budget
from rag.compress.passages import Sentence, sentences_of
from rag.compress.trained import sentence_signs
from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset
from rag.index.reader import Reader
from rag.pipeline.pipeline import Pipeline
from rag.train.head import Case, CaseSet, Floats
from rag.train.support import Support, supports
from rag.types import Chunk, Query, Span

METRIC = "recall of needed sentences"


def compression_cases(pipeline: Pipeline, dataset: Dataset, *, keep: int = 20, ratio: float = 0.35) -> CaseSet:
    """The questions of a set of which it is known what answers them, with the sentences of their best `keep` chunks.

    The figure is the share of what is needed, of that which was retrieved at all, that is there whole after sentences
    were kept up to `ratio` of the characters. Questions for which nothing needed was retrieved are left out.

    Raises:
        ConfigError: as `supports`; or nothing needed was retrieved for any question.
    """
    reader = pipeline.index.reader()
    needed = supports(dataset, reader)
    cases: list[Case] = []
    for question in dataset.questions:
        if question.id in needed:
            chunks = [hit.chunk for hit in pipeline.search(question.text).ranking.hits[:keep]]
            case = _case(Query(text=question.text), chunks, needed[question.id], pipeline, reader, ratio)
            if case is not None:
                cases.append(case)
    if not cases:
        raise ConfigError(f"{dataset.path}: for no question anything was retrieved that answers it")
    return CaseSet(dataset.name, cases)


def _case(
    query: Query, chunks: Sequence[Chunk], needed: Support, pipeline: Pipeline, reader: Reader, ratio: float
) -> Case | None:
    sentences = sentences_of(chunks, reader)
    pieces = [ways for piece in needed if (ways := _ways(piece, sentences))]
    if not pieces:
        return None
    right = np.zeros(len(sentences))
    for ways in pieces:
        right[[at for way in ways for at in way]] = 1
    untrained, signs = sentence_signs(query, sentences, chunks, reader, pipeline.resources)
    budget, tokenizer = Budget(tokens=None, ratio=ratio), pipeline.embedder.tokenizer

    def figure(scores: Floats) -> float:
        kept = budget.select(scores, sentences, chunks, tokenizer).kept
        return float(np.mean([any(kept >= way for way in ways) for ways in pieces]))

    return Case(untrained=untrained, signs=signs, right=right, taught=np.ones(len(right), np.bool_), figure=figure)


def _ways(piece: Sequence[Span], sentences: Sequence[Sentence]) -> list[frozenset[int]]:
    """The sets of sentences that hold a span of the piece whole; none of a span that was not retrieved whole."""
    ways: list[frozenset[int]] = []
    for span in piece:
        touched = [
            at
            for at, sentence in enumerate(sentences)
            if sentence.span.document_id == span.document_id
            and sentence.span.start < span.end
            and span.start < sentence.span.end
        ]
        if touched:
            first = min(sentences[at].span.start for at in touched)
            last = max(sentences[at].span.end for at in touched)
            if first <= span.start and span.end <= last:
                ways.append(frozenset(touched))
    return ways
