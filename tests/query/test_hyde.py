from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rag.embed.base import EmbedderIdentity, Tokenizer, Vectors
from rag.embed.hash import WordTokenizer
from rag.models.llm import Sampling
from rag.models.template import Template
from rag.query.asking import Asker
from rag.query.hyde import Hyde
from rag.retrieve.question_vectors import question_vectors
from rag.testing import ScriptedModel
from rag.types import Query

TEMPLATE = Template.parse("<question>{question}</question>", name="t", fields={"question"})


class TableEmbedder:
    """Vectors by text; questions and documents have tables of their own."""

    def __init__(self, questions: Mapping[str, list[float]], documents: Mapping[str, list[float]]) -> None:
        self.questions = questions
        self.documents = documents

    @property
    def identity(self) -> EmbedderIdentity:
        return EmbedderIdentity(model="table", revision="1", dimension=2)

    @property
    def tokenizer(self) -> Tokenizer:
        return WordTokenizer()

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.questions[text] for text in texts], np.float32)

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return np.array([self.documents[text] for text in texts], np.float32)

    def close(self) -> None:
        """Nothing is held."""


def hyde(replies: Sequence[str], *, count: int = 2, beside: bool = False) -> tuple[Hyde, ScriptedModel]:
    model = ScriptedModel(replies)
    asker = Asker(model, TEMPLATE, Sampling(temperature=0.7), concurrency=1)
    return Hyde(asker, count=count, seed=5, beside=beside), model


def test_the_question_keeps_its_text_and_gets_the_passages() -> None:
    transform, model = hyde(["Dogs bark.", "They guard."])
    [made] = transform.transform([Query(text="Why?")])
    assert made.queries == (Query(text="Why?", passages=("Dogs bark.", "They guard.")),)
    assert [sampling.seed for sampling in model.samplings] == [5, 6]


def test_beside_the_passages_the_question_is_searched_as_it_is() -> None:
    transform, _ = hyde(["Dogs bark.", "They guard."], beside=True)
    [made] = transform.transform([Query(text="Why?")])
    assert [query.passages for query in made.queries] == [(), ("Dogs bark.", "They guard.")]


def test_empty_replies_are_left_out_and_counted() -> None:
    transform, _ = hyde([" \n", "They guard."])
    [made] = transform.transform([Query(text="Why?")])
    assert made.queries[0].passages == ("They guard.",)
    assert made.notes["malformed"] == 1


def test_the_vector_is_the_mean_of_the_question_and_the_passages_at_unit_length() -> None:
    embedder = TableEmbedder({"q": [1, 0]}, {"one": [0, 1], "two": [0, 1]})
    [vector] = question_vectors([Query(text="q", passages=("one", "two"))], embedder)
    assert vector == pytest.approx(np.array([1 / 3, 2 / 3]) / np.hypot(1 / 3, 2 / 3))


def test_a_query_without_passages_keeps_its_vector_beside_one_that_has_some() -> None:
    embedder = TableEmbedder({"q": [1, 0]}, {"one": [0, 1]})
    vectors = question_vectors([Query(text="q"), Query(text="q", passages=("one",))], embedder)
    assert vectors[0] == pytest.approx([1, 0])
    assert vectors[1] == pytest.approx([0.5**0.5, 0.5**0.5])


def test_passages_that_cancel_the_question_leave_it_as_it_is() -> None:
    embedder = TableEmbedder({"q": [1, 0]}, {"not q": [-1, 0]})
    assert question_vectors([Query(text="q", passages=("not q",))], embedder)[0] == pytest.approx([1, 0])


def test_a_passage_longer_than_the_window_is_cut() -> None:
    words = [f"w{at}" for at in range(600)]
    embedder = TableEmbedder({"q": [1, 0]}, {" ".join(words[:512]): [0, 1]})
    question_vectors([Query(text="q", passages=(" ".join(words),))], embedder)
