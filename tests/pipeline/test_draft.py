"""Cutting an answer into sentences while it is written."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.pipeline.draft import Draft
from rag.types import Token


def written(text: str) -> Draft:
    draft = Draft()
    for word in re.findall(r"\s*\S+|\s+", text):
        draft.add(Token(word))
    return draft


def cut(text: str) -> list[str]:
    """The sentences, in the order they close as the text grows by words."""
    draft, found = Draft(), []
    for word in re.findall(r"\s*\S+|\s+", text):
        draft.add(Token(word))
        while tokens := draft.closed():
            found.append("".join(token.text for token in tokens))
            draft.accept(tokens)
    while tokens := draft.closed(final=True):
        found.append("".join(token.text for token in tokens))
        draft.accept(tokens)
    return found


def test_a_sentence_is_closed_once_the_next_word_is_surely_there() -> None:
    draft = written("Dogs bark. Cats")
    assert draft.closed() == ()  # "Cats" may become a longer word
    draft.add(Token(" sleep"))
    assert [token.text for token in draft.closed()] == ["Dogs", " bark."]


def test_markers_behind_the_full_stop_belong_to_the_sentence_before() -> None:
    assert cut("Dogs bark. [1] [2, 3] Cats sleep [4]. Owls hunt.[5] They fly.") == [
        "Dogs bark. [1] [2, 3]",
        " Cats sleep [4].",
        " Owls hunt.[5]",
        " They fly.",
    ]


def test_a_marker_that_opens_a_line_belongs_to_the_sentence_after() -> None:
    assert cut("Dogs bark.\n[1] Cats sleep all day.") == ["Dogs bark.", "\n[1] Cats sleep all day."]


def test_a_marker_that_is_half_written_closes_nothing() -> None:
    draft = Draft()
    for piece in ("Dogs bark", ".", " [", "1", "]", " Cats", " sleep"):
        draft.add(Token(piece))
        if piece != " sleep":
            assert draft.closed() == ()
    assert "".join(token.text for token in draft.closed()) == "Dogs bark. [1]"


def test_an_abbreviation_closes_nothing() -> None:
    assert cut("Dr. Ng left at 3.15 p.m. yesterday. She was late.") == [
        "Dr. Ng left at 3.15 p.m. yesterday.",
        " She was late.",
    ]


def test_a_token_that_reaches_over_the_border_is_cut_and_keeps_its_probability() -> None:
    draft = Draft(pending=[Token("Dogs bark", -0.1), Token(". Cats", -0.7, 1.5), Token(" sleep", -0.2)])
    first = draft.closed()
    assert first == (Token("Dogs bark", -0.1), Token(".", -0.7, 1.5))
    draft.accept(first)
    assert draft.accepted == "Dogs bark."
    assert draft.pending == [Token(" Cats", -0.7, 1.5), Token(" sleep", -0.2)]


@pytest.mark.parametrize(
    ("draft", "continued", "whole"),
    [
        ("Dogs bark.", "Cats sleep.", "Dogs bark. Cats sleep."),
        ("Dogs bark. [1]", "Cats sleep.", "Dogs bark. [1] Cats sleep."),
        ("Dogs bark.", " Cats sleep.", "Dogs bark. Cats sleep."),
        ("Dogs bark.", "[1] Cats sleep.", "Dogs bark.[1] Cats sleep."),
        ("小狗喜欢骨头。", "小猫喜欢吃鱼。", "小狗喜欢骨头。小猫喜欢吃鱼。"),
    ],
)
def test_a_continuation_gets_a_space_where_words_would_run_together(draft: str, continued: str, whole: str) -> None:
    made = Draft(accepted=draft)
    made.add(Token(continued))
    assert made.text == whole


@given(st.lists(st.sampled_from(["Dogs", " bark", ".", " [1]", "\n", " Dr.", " 3.", "。", "!", " [", "12", "] "])))
def test_sentences_and_the_rest_are_the_text_however_it_is_cut(pieces: list[str]) -> None:
    draft = Draft()
    for piece in pieces:
        draft.add(Token(piece))
        if tokens := draft.closed():
            before = draft.text
            draft.accept(tokens)
            assert draft.text == before
    while tokens := draft.closed(final=True):
        draft.accept(tokens)
    assert draft.text == "".join(pieces)
    assert not "".join(token.text for token in draft.pending).strip(" \n[]12")
