"""What a reranking head is trained and judged on: the candidates that a pipeline retrieves, and their signs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset, Question
from rag.evaluate.metrics import ndcg
from rag.pipeline.pipeline import Pipeline
from rag.rerank.signs import OF_TOKENS, SIGNS, Signs
from rag.rerank.token_matches import TokenMatches
from rag.rerank.trained import first_stage
from rag.train.head import Case, CaseSet, Floats
from rag.types import Query, Ranking

METRIC = "nDCG@10"
WITHOUT_TOKENS = tuple(name for name in SIGNS if name not in OF_TOKENS)
"""The signs that encode nothing but the question."""


def reranking_cases(
    pipeline: Pipeline, dataset: Dataset, tokens: TokenMatches, *, signs: Sequence[str] = SIGNS, depth: int
) -> CaseSet:
    """The judged questions of a set, each with the first `depth` candidates that the pipeline retrieves.

    The wrong candidates are hard negatives: what the pipeline's own retrievers rank high. The first chunk of each
    relevant document is right, as much as its grade; what else of it was retrieved may or may not answer, and teaches
    nothing. The figure is nDCG@10 over documents, each at the place of its best chunk.

    Raises:
        ConfigError: the pipeline reranks already, or no question has a relevant document.
    """
    if pipeline.spec.ask.rerank:
        raise ConfigError(
            f"ask.rerank: training starts from the fused ranking, the pipeline reranks it with "
            f"{pipeline.spec.ask.rerank[0].use!r}",
            hint="leave it out: --set ask.rerank=[]",
        )
    questions = [question for question in dataset.questions if question.answerable and question.documents]
    if not questions:
        raise ConfigError(f"{dataset.path}: no question has a relevant document")
    made = Signs(pipeline.resources, tokens)
    cases: list[Case] = []
    for question in questions:
        hits = [
            hit for hit in pipeline.search(question.text).ranking if hit.chunk.document_id not in question.excluded
        ][:depth]
        if hits:
            cases.append(_case(question, Ranking(tuple(hits)), made, signs))
    return CaseSet(dataset.name, cases)


def _case(question: Question, ranking: Ranking, made: Signs, signs: Sequence[str]) -> Case:
    documents = [hit.chunk.document_id for hit in ranking]
    right = np.zeros(len(documents))
    taught = np.ones(len(documents), np.bool_)
    seen: set[str] = set()
    for at, document in enumerate(documents):
        grade = max(0, question.relevant.get(document, 0))
        taught[at] = not grade or document not in seen
        right[at] = grade if taught[at] else 0
        seen.add(document)

    def figure(scores: Floats) -> float:
        order = np.argsort(-scores, kind="stable")
        return ndcg(list(dict.fromkeys(documents[at] for at in order)), question.relevant, k=10)

    return Case(
        untrained=first_stage([hit.score for hit in ranking]),
        signs=made.of(Query(text=question.text), [hit.chunk for hit in ranking], names=signs),
        right=right,
        taught=taught,
        figure=figure,
    )
