from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.text.dates import spellings
from rag.text.entities import entities, named
from rag.text.triples import Triple, triples


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Were Scott Derrickson and Ed Wood of the same nationality?", ["Scott Derrickson", "Ed Wood"]),
        ("Do Lawrence S. Wittner and George R. R. Martin write?", ["Lawrence S. Wittner", "George R. R. Martin"]),
        ("Who founded J. Barbour And Sons?", ["J. Barbour And Sons"]),
        ("Which film came first, The Rack or It Was So Nice?", ["The Rack", "It Was So Nice"]),
        ('Who sang "Wonderland by Night" in 1968?', ["Wonderland by Night"]),  # no bare numbers
        ("Titanic was directed by whom?", ["Titanic"]),  # one word first, with a verb behind it
        ("Dogs bark. She was born on 10 October 1924.", ["10 October 1924"]),
        ("Ed Wood is Ed Wood", ["Ed Wood"]),
        ("印度教是宗教。Москва была столицей.", []),  # Latin script alone
        ("", []),
    ],
)
def test_what_a_question_names(text: str, expected: list[str]) -> None:
    assert named(text) == expected


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("16 August 1954", ["16 August 1954", "August 16, 1954", "1954-08-16"]),
        ("1954-08-16", ["1954-08-16", "16 August 1954", "August 16, 1954"]),
        ("August 1954", ["August 1954"]),
        ("1954-08", ["1954-08"]),
        ("on 16 August 1954", ["on 16 August 1954"]),
        ("1954", ["1954"]),
    ],
)
def test_a_day_is_spelt_in_three_ways(text: str, forms: list[str]) -> None:
    assert spellings(text) == forms


@given(st.text(st.sampled_from("Aa B.b'\"“” 12,(and of)\n")))
def test_entities_stand_where_they_say_and_never_overlap(text: str) -> None:
    end = 0
    for entity in entities(text):
        assert text[entity.start : entity.end] == entity.text
        assert entity.start >= end
        end = entity.end


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "Titanic was directed by James Cameron, who was born in Canada on 16 August 1954.",
            [
                Triple("Titanic", "was directed by", "James Cameron"),
                Triple("James Cameron", "was born in", "Canada"),
                Triple("James Cameron", "was born on", "16 August 1954"),
            ],
        ),
        ("The director of Titanic is James Cameron. [1]", [Triple("Titanic", "director", "James Cameron")]),
        ("In Paris, Ed Wood met Bela Lugosi.", [Triple("Ed Wood", "met", "Bela Lugosi")]),
        (
            "Titanic (1997) stars Kate Winslet and Leonardo DiCaprio.",
            [Triple("Titanic", "stars", "Kate Winslet"), Triple("Titanic", "stars", "Leonardo DiCaprio")],
        ),
        ("Ed Wood was a filmmaker.", [Triple("Ed Wood", "was filmmaker")]),  # two parts
        ("He was born in Paris, France.", []),  # about nobody with a name
        ("It premiered in Cannes.", []),
        ("So the answer is Paris.", []),
        ("Paris", []),
        ("", []),
    ],
)
def test_what_a_sentence_states(sentence: str, expected: list[Triple]) -> None:
    assert triples(sentence) == expected


@given(st.text(st.sampled_from("Aa B.b, was by 12 of who\n")))
def test_any_sentence_gives_triples_with_a_head_and_a_relation(sentence: str) -> None:
    for triple in triples(sentence):
        assert triple.head
        assert triple.relation
