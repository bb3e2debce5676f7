"""What a query adapter is trained and judged on: questions, what is relevant, and what retrieval mistakes for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rag.embed.adapter import AdaptedEmbedder
from rag.embed.around import EmbedderAround, query_side
from rag.embed.asymmetric import AsymmetricEmbedder
from rag.embed.base import Embedder, EmbedderIdentity, Vectors
from rag.embed.routed import RoutedEmbedder
from rag.errors import ConfigError
from rag.evaluate.datasets import Dataset, Question
from rag.evaluate.metrics import ndcg
from rag.index.base import Rows
from rag.index.exact import ExactIndex
from rag.index.reader import Reader
from rag.index.segments import SegmentedVectors
from rag.pipeline.pipeline import Pipeline

DEEP = 200  # chunks searched for a question: enough to hold ten documents
LOST = 0.05  # of the judged documents may be absent: sets judge documents that have no text
MINED = 100  # nearest chunks, and best by terms, from which hard negatives come


@dataclass(frozen=True, slots=True)
class Example:
    """A question and rows of the index: for each relevant document its chunk nearest to the question; the wrong ones.

    `negatives` are chunks of other documents that dense and sparse retrieval rank highest, the two lists in turns.
    """

    question: Question
    positives: Rows
    negatives: Rows


class Examples:
    """The questions of a set that have relevant documents in a pipeline's index, and the vectors of both.

    Attributes:
        identity: that of the encoder of the questions, which what is trained is bound to.
        vectors: (questions, d), the encoder's.

    Raises:
        ConfigError: the index has no vectors, or lacks more than 5 % of the judged documents, so it is of another set,
            or the embedder changes queries already.
    """

    def __init__(self, pipeline: Pipeline, dataset: Dataset) -> None:
        self.identity = _plain(pipeline.embedder)
        self.reader = reader = pipeline.index.reader()
        pipeline.index.check(pipeline.embedder.identity)
        self.segmented = _vectors(reader)
        judged = [question for question in dataset.questions if question.answerable and question.documents]
        if not judged:
            raise ConfigError(f"{dataset.path}: no question has a relevant document")
        self.rows_of = _judged_rows(reader, judged, dataset)
        questions = [question for question in judged if question.documents & self.rows_of.keys()]
        self.vectors = pipeline.embedder.embed_queries([question.text for question in questions])
        self.examples = [
            self._example(question, vector, near)
            for question, vector, near in zip(questions, self.vectors, self._nearest(self.vectors), strict=True)
        ]

    def __len__(self) -> int:
        return len(self.examples)

    def ndcg(self, at: NDArray[np.int64], vectors: Vectors) -> list[float]:
        """nDCG@10 of dense retrieval for some questions, a document counting as its best chunk.

        Args:
            at: (n,) which questions.
            vectors: (n, d) their vectors, as they are or changed.
        """
        return [
            self._ndcg(self.examples[place].question, rows)
            for place, rows in zip(at, self._nearest(vectors), strict=True)
        ]

    def _ndcg(self, question: Question, rows: Rows) -> float:
        names = {int(self.reader.document_ids[self.rows_of[name][0]]): name for name in self._held(question)}
        ranked = dict.fromkeys(int(document) for document in self.reader.document_ids[rows])
        return ndcg([names.get(document, f"\0{document}") for document in ranked], question.relevant, k=10)

    def _held(self, question: Question) -> list[str]:
        """The question's judged documents that are in the index."""
        return sorted(question.relevant.keys() & self.rows_of.keys())

    def _nearest(self, vectors: Vectors) -> list[Rows]:
        return [hits.rows for hits in ExactIndex(self.segmented).search(vectors, k=DEEP, allowed=None)]

    def _example(self, question: Question, vector: Vectors, near: Rows) -> Example:
        positives = [
            rows[int(np.argmax(np.vecdot(self.segmented.take(rows), vector)))]
            for rows in (self.rows_of[name] for name in self._held(question) if question.relevant[name] > 0)
        ]
        lists = [near[:MINED]]
        if self.reader.sparse is not None:
            lists.append(self.reader.sparse.search([question.text], k=MINED, allowed=None)[0].rows)
        relevant = {int(self.reader.document_ids[row]) for row in positives}
        negatives = [row for row in _in_turns(lists) if int(self.reader.document_ids[row]) not in relevant]
        return Example(question, np.array(positives, np.int64), np.array(negatives, np.int64))


def _plain(embedder: Embedder) -> EmbedderIdentity:
    """The identity of what makes the query vectors, which nothing trained may change yet."""
    around = embedder
    while isinstance(around, EmbedderAround):
        if isinstance(around, AdaptedEmbedder | RoutedEmbedder):
            raise ConfigError(
                f"ingest.embed: training starts from the plain encoder, this one has {around.path} already",
                hint="leave it out: --set ingest.embed.adapter=null",
            )
        around = around.query if isinstance(around, AsymmetricEmbedder) else around.embedder
    return query_side(embedder).identity


def _vectors(reader: Reader) -> SegmentedVectors:
    if reader.segmented is None or not reader.size:
        raise ConfigError(f"{reader.path}: the index has no vectors", hint="`rag ingest` with ingest.index.dense set")
    return reader.segmented


def _judged_rows(reader: Reader, questions: Sequence[Question], dataset: Dataset) -> dict[str, Rows]:
    """The rows of each judged document's chunks, without the documents that have none."""
    judged = sorted({name for question in questions for name in question.relevant})
    found = {name: reader.rows_of(reader.chunks_of(name)) for name in judged}
    lost = [name for name, rows in found.items() if not len(rows)]
    if len(lost) > LOST * len(judged):
        raise ConfigError(
            f"{reader.path}: {len(lost)} of {len(judged)} judged documents of {dataset.path} are not in the index, "
            f"such as {lost[0]!r}",
            hint="ingest the set's corpus.jsonl first (ingest.load: {use: rows, path: .../corpus.jsonl})",
        )
    return {name: rows for name, rows in found.items() if len(rows)}


def _in_turns(lists: Sequence[Rows]) -> list[int]:
    """The first of each list, the second of each, and so on; none twice."""
    longest = max(map(len, lists))
    return list(dict.fromkeys(int(rows[at]) for at in range(longest) for rows in lists if at < len(rows)))
