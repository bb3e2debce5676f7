from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rag.embed.base import Vectors
from rag.generate.abstain import SENTENCE
from rag.generate.agreement import Agreement, SameMeaning, SameWords
from rag.generate.base import Outcome
from rag.generate.consistent import ConsistentGenerator
from rag.generate.llm import LanguageModelGenerator
from rag.generate.prompt import FIELDS
from rag.models.template import Template
from rag.testing import ScriptedModel, check_generator
from rag.types import Evidence, Prompt, Span, Token

TEMPLATE = Template.parse("{evidence}\n{question}", name="t", fields=FIELDS)
EVIDENCE = (Evidence(span=Span("a", 0, 10), text="Dogs bark.", score=1.0, chunk_id="a", source="a.md"),)

Reply = str | Sequence[Token]


class InTurn(ScriptedModel):
    """One request after the other, so that replies have the order of the script."""

    window, concurrency = 8192, 1

    def count(self, text: str) -> int:
        return len(text.split())


class Placed:
    """An embedder with a vector for each text it knows."""

    def __init__(self, vectors: Mapping[str, Sequence[float]]) -> None:
        self.vectors = vectors

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        rows = np.array([self.vectors[text] for text in texts], np.float32)
        unit: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


def asked(
    *replies: Reply, samples: int = 3, agreement: Agreement | None = None, questions: int = 1, draft: str = ""
) -> tuple[list[str], list[Outcome], ScriptedModel]:
    model = InTurn(replies)
    generator = ConsistentGenerator(
        LanguageModelGenerator(model, TEMPLATE, max_tokens=9),
        agreement or SameWords(),
        samples=samples,
        temperature=0.5,
        seed=10,
    )
    prompts = [Prompt(question=f"{at}?", evidence=EVIDENCE, draft=draft) for at in range(questions)]
    decoding = generator.start(prompts, logprobs=True)
    texts = ["" for _ in prompts]
    for at, token in decoding:
        texts[at] += token.text
    return texts, [decoding.outcome(at) for at in range(questions)], model


def test_the_majority_of_normalised_answers_wins_and_its_share_is_the_agreement() -> None:
    [text], [outcome], _ = asked("Paris", "paris.", "Rome")
    assert text == "Paris"
    assert outcome.signals["agreement"] == pytest.approx(2 / 3)


def test_an_answer_that_came_first_does_not_win_against_a_majority() -> None:
    [text], [outcome], _ = asked("Rome [1]", "Paris [1]", "Oslo [1]", "the Paris [1]", samples=4)
    assert (text, outcome.signals["agreement"]) == ("Paris [1]", 0.5)


def test_samples_are_drawn_from_one_prompt_at_a_temperature_each_with_a_seed_of_its_own() -> None:
    _, _, model = asked("a", "b", "c")
    assert len(set(model.asked)) == 1
    assert [(each.temperature, each.seed, each.max_tokens) for each in model.samplings] == [
        (0.5, 10, 9),
        (0.5, 11, 9),
        (0.5, 12, 9),
    ]


def test_an_answer_costs_all_its_samples() -> None:
    _, [outcome], _ = asked("one two three", "one", "one")
    assert (outcome.usage.requests, outcome.usage.completion_tokens) == (3, 5)


def test_a_tie_goes_to_the_answer_whose_tokens_were_more_probable() -> None:
    [text], _, _ = asked([Token("Rome", -1.5)], [Token("Par", -0.4), Token("is", -0.2)], samples=2)
    assert text == "Paris"


def test_a_tie_goes_to_the_first_where_probabilities_are_not_known_of_all() -> None:
    [text], _, _ = asked([Token("Rome", -9.0)], "Paris", samples=2)
    assert text == "Rome"


def test_the_citations_are_those_that_most_of_the_agreeing_samples_set() -> None:
    [text], [outcome], _ = asked("Paris. [1]", "Paris. [2]", "Paris. [2]")
    assert (text, outcome.signals["agreement"]) == ("Paris. [2]", 1.0)


def test_where_most_samples_find_no_answer_there_is_none() -> None:
    [text], [outcome], _ = asked("NOT_IN_SOURCES", "Paris", "NOT_IN_SOURCES.")
    assert (text, outcome.abstained, outcome.reason) == (SENTENCE, True, "not-in-sources")
    assert outcome.signals["agreement"] == pytest.approx(2 / 3)


def test_a_minority_that_finds_no_answer_is_outvoted() -> None:
    [text], [outcome], _ = asked("Paris", "NOT_IN_SOURCES", "Paris")
    assert (text, outcome.abstained) == ("Paris", False)


def test_questions_of_a_batch_are_voted_on_apart() -> None:
    texts, outcomes, _ = asked("a", "b", "b", "c", "c", "d", questions=2)
    assert texts == ["b", "c"]
    assert [outcome.usage.requests for outcome in outcomes] == [3, 3]


def test_behind_a_draft_the_continuations_are_voted_on() -> None:
    [text], _, _ = asked(" sleep.", " bark.", " bark.", draft="Dogs")
    assert text == " bark."


def test_a_stopped_answer_gives_no_further_token() -> None:
    model = InTurn(["one two", "one two"])
    generator = ConsistentGenerator(LanguageModelGenerator(model, TEMPLATE, max_tokens=9), SameWords(), samples=2)
    decoding = generator.start([Prompt(question="?", evidence=EVIDENCE)])
    seen = []
    for at, token in decoding:
        seen.append(token.text)
        assert decoding.given(at) == (1,)
        decoding.stop(at)
    assert seen == ["one"]
    assert decoding.outcome(0).usage.requests == 2


def test_without_evidence_no_sample_is_asked_for() -> None:
    model = InTurn([])
    generator = ConsistentGenerator(LanguageModelGenerator(model, TEMPLATE, max_tokens=9), SameWords())
    decoding = generator.start([Prompt(question="?")])
    assert [token.text for _, token in decoding] == [SENTENCE]
    assert decoding.outcome(0).reason == "no-evidence"


def test_by_meaning_near_sentences_are_one_group_and_its_medoid_speaks() -> None:
    placed = Placed({"A cat sat.": (1, 0), "The cat was sitting.": (1, 0.3), "A cat sits.": (1, 0.2), "No.": (0, 1)})
    answers = ["No. [1]", "A cat sat. [1]", "The cat was sitting. [2]", "A cat sits. [1]"]
    groups = SameMeaning(lambda: placed, cosine=0.9).groups(answers)  # type: ignore[arg-type,return-value]
    # cosines within the group: 1 with 2 .958, 1 with 3 .981, 2 with 3 .995; sums 2.939, 2.953, 2.976
    assert groups == [[0], [3, 2, 1]]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("It sank in 1628.", "It sank in 1629.", False),
        ("The owner was Ada Berg.", "The owner was Ida Holm.", False),
        ("The owner was Ada Berg.", "The owner was Ada Berg of Oslo.", True),
        ("The owner slept.", "The owner was asleep.", True),
    ],
)
def test_by_meaning_a_number_or_a_name_tells_near_sentences_apart(one: str, other: str, same: bool) -> None:
    placed = Placed({one: (1, 0), other: (1, 0.1)})
    groups = SameMeaning(lambda: placed).groups([one, other])  # type: ignore[arg-type,return-value]
    assert (len(groups) == 1) == same


def test_by_meaning_equal_texts_need_no_embedder() -> None:
    def none() -> Placed:
        raise AssertionError("asked for")

    assert SameMeaning(none).groups(["a. [2]", "a. [1]", "a. [1]"]) == [[1, 0, 2]]  # type: ignore[arg-type]


def test_it_keeps_the_contract_of_generators() -> None:
    once = LanguageModelGenerator(InTurn(["Dogs bark. [1]"] * 100), TEMPLATE, max_tokens=9)
    check_generator(ConsistentGenerator(once, SameWords()), evidence=EVIDENCE, question="Do dogs bark?")
