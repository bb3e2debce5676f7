from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from rag.generate.abstain import SENTENCE
from rag.generate.extractive import ExtractiveGenerator, confidence
from rag.generate.select import Candidate, by_words
from rag.generate.terms import QuestionTerms
from rag.index.specs import IndexSpec
from rag.testing import Sample, sample
from rag.types import Evidence, Prompt

TEXTS: Mapping[str, str] = {
    "leave.md": "# Annual leave\n\nEmployees have 27 days of annual leave a year. Unused days lapse in March.",
    "copy.md": "Employees have 27 days of annual leave a year.",
    "faq.md": "How do I claim a hotel?\n\nSend the receipt to finance within 60 days.",
    "birds.md": "Owls hoot after dark. They hunt mice in the barn.",
    "wiki.md": "The barn was built in 1890.[12] It burned down.",
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("extractive"), TEXTS) as made:
        yield made


def evidence(indexed: Sample, *names: str) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(span=replace(chunk.span), text=chunk.text, score=-float(rank), chunk_id=chunk.id, source=name)
        for rank, name in enumerate(names)
        for chunk in indexed.chunks
        if chunk.document_id == name
    )


def answer(indexed: Sample, question: str, *names: str, sentences: int = 3) -> tuple[str, str]:
    """The text, and why there is none."""
    generator = ExtractiveGenerator(indexed.resources, sentences=sentences)
    text, outcome = generator.answer(Prompt(question=question, evidence=evidence(indexed, *names)))
    return text, outcome.reason


def test_the_best_sentence_is_quoted_with_its_source(indexed: Sample) -> None:
    text, _ = answer(indexed, "When do unused days lapse?", "birds.md", "leave.md", sentences=1)
    assert text == "Unused days lapse in March. [3]"  # the heading above it is a chunk of its own, [2]


def test_a_sentence_that_two_sources_have_is_quoted_once_and_cites_both(indexed: Sample) -> None:
    text, _ = answer(
        indexed, "How many days of annual leave do employees have a year?", "copy.md", "leave.md", sentences=1
    )
    assert text == "Employees have 27 days of annual leave a year. [1][3]"


def test_the_question_of_a_list_of_questions_is_not_its_own_answer(indexed: Sample) -> None:
    chunks = [chunk for chunk in indexed.chunks if chunk.document_id == "faq.md"]
    text = indexed.documents["faq.md"].text
    whole = Evidence(
        span=replace(chunks[0].span, end=len(text)), text=text, score=1.0, chunk_id=chunks[0].id, source="faq.md"
    )
    prompt = Prompt(question="How do I claim a hotel?", evidence=(whole,))
    assert ExtractiveGenerator(indexed.resources).answer(prompt)[0] == "Send the receipt to finance within 60 days. [1]"


def test_a_heading_is_only_quoted_where_there_is_nothing_else(indexed: Sample) -> None:
    parts = evidence(indexed, "leave.md")
    assert parts[0].text == "# Annual leave"
    both = ExtractiveGenerator(indexed.resources).answer(Prompt(question="annual leave", evidence=parts))[0]
    assert "#" not in both
    alone = ExtractiveGenerator(indexed.resources).answer(Prompt(question="annual leave", evidence=parts[:1]))[0]
    assert alone == "# Annual leave [1]"


def test_a_bracketed_number_of_the_source_does_not_become_a_citation(indexed: Sample) -> None:
    text, _ = answer(indexed, "When was the barn built?", "wiki.md", sentences=1)
    assert text == "The barn was built in 1890.(12) [1]"


def test_a_question_the_sources_are_not_about_is_declined(indexed: Sample) -> None:
    assert answer(indexed, "What is the capital of Mars?", "birds.md", "leave.md") == (SENTENCE, "weak-evidence")


def test_without_evidence_there_is_no_answer(indexed: Sample) -> None:
    assert answer(indexed, "Do owls hoot?") == (SENTENCE, "no-evidence")


def test_a_threshold_of_zero_answers_everything_and_of_one_almost_nothing(indexed: Sample) -> None:
    prompt = Prompt(question="What do owls hunt?", evidence=evidence(indexed, "birds.md"))
    assert not ExtractiveGenerator(indexed.resources, threshold=0.0).answer(prompt)[1].abstained
    assert ExtractiveGenerator(indexed.resources, threshold=1.0).answer(prompt)[1].abstained


def test_rare_words_of_the_question_weigh_more(indexed: Sample) -> None:
    terms = QuestionTerms("days in the barn in March", indexed.resources.index.reader())
    # "days" is in 3 of the 6 paragraphs that have any of them, "march" in one: the rarer word covers more.
    assert terms.coverage("March") > terms.coverage("days") > 0
    assert terms.coverage("days barn march") == pytest.approx(1.0)
    assert terms.coverage("") == 0.0


def test_an_unknown_name_weighs_more_than_an_unknown_word(indexed: Sample) -> None:
    reader = indexed.resources.index.reader()
    known = "barn"
    assert QuestionTerms("the barn on Mars", reader).coverage(known) < QuestionTerms(
        "the barn on mars", reader
    ).coverage(known)


def test_an_index_without_vectors_is_answered_from_by_words_alone(tmp_path: Path) -> None:
    with sample(tmp_path, TEXTS) as made:
        parts = evidence(made, "birds.md", "leave.md")
        made.resources.index.close()
        words_only = IndexSpec(path=str(tmp_path / "index"), dense=None)
        from rag.index.directory import IndexDirectory

        resources = replace(made.resources, index=IndexDirectory(words_only))
        text, outcome = ExtractiveGenerator(resources, sentences=1).answer(
            Prompt(question="When do unused days lapse?", evidence=parts)
        )
        resources.index.close()
    assert text == "Unused days lapse in March. [3]"
    assert not outcome.abstained


def scored(indexed: Sample, question: str, *names: str) -> dict[str, Candidate]:
    """The candidates by words alone, by their text."""
    reader = indexed.resources.index.reader()
    prompt = Prompt(question=question, evidence=evidence(indexed, *names))
    return {each.quote.text: each for each in by_words(prompt, QuestionTerms(question, reader), reader)}


def test_a_sentence_is_credited_with_what_its_passage_says_before_it_and_not_after(indexed: Sample) -> None:
    found = scored(indexed, "What do owls hunt?", "birds.md")
    hoot, hunt = found["Owls hoot after dark."], found["They hunt mice in the barn."]
    assert hoot.so_far == hoot.coverage < 1.0
    assert hunt.coverage < hunt.so_far == pytest.approx(1.0)  # the owls are in the sentence before it


def test_a_sentence_with_a_number_is_preferred_where_one_is_asked_for(indexed: Sample) -> None:
    asked, plain = (scored(indexed, question, "wiki.md") for question in ("When was the barn?", "Why was the barn?"))
    built = "The barn was built in 1890.[12]"
    assert asked[built].expected
    assert not asked["It burned down."].expected
    assert asked[built].by_words - plain[built].by_words == pytest.approx(0.2)


def test_confidence_counts_the_words_that_are_quoted_however_few_sentences_are_given(indexed: Sample) -> None:
    prompt = Prompt(question="Where do owls hunt mice?", evidence=evidence(indexed, "birds.md"))
    signals = [
        ExtractiveGenerator(indexed.resources, sentences=most).answer(prompt)[1].signals["confidence"]
        for most in (1, 2, 3, 5)
    ]
    assert signals == [signals[0]] * 4


def test_words_next_to_the_quotes_that_are_not_in_them_add_little_confidence(indexed: Sample) -> None:
    found = scored(indexed, "What do owls hunt?", "birds.md")
    terms = QuestionTerms("What do owls hunt?", indexed.resources.index.reader())
    alone = [replace(found["They hunt mice in the barn."], nearness=0.5)]
    both = [*alone, found["Owls hoot after dark."]]
    assert confidence(both, terms) == pytest.approx(0.6 * 0.5 + 0.3 + 0.1)
    assert confidence(alone, terms) == pytest.approx(0.6 * 0.5 + 0.3 * alone[0].coverage + 0.1)
