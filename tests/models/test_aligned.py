"""Text that comes late, cut, or otherwise than its tokens are decoded."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.models.aligned import Aligner
from rag.types import Token


def token(text: str, logprob: float = -1.0) -> Token:
    return Token(text, logprob, 0.5)


def test_a_token_gets_its_text_when_text_and_token_come_together() -> None:
    aligner = Aligner()
    assert list(aligner.take("Dogs", [token("Dogs", -0.1)])) == [token("Dogs", -0.1)]
    assert list(aligner.take(" bark", [token(" bark", -0.2)])) == [token(" bark", -0.2)]
    assert list(aligner.end()) == []


def test_text_that_was_held_back_for_a_stop_string_finds_its_tokens_later() -> None:
    aligner = Aligner()
    assert list(aligner.take("", [token("Dogs", -0.1)])) == []
    assert list(aligner.take("Do", [token(" bark", -0.2)])) == []
    assert list(aligner.take("gs b", [token(".", -0.3)])) == [token("Dogs", -0.1)]
    assert list(aligner.take("ark.", [])) == [token(" bark", -0.2), token(".", -0.3)]


def test_tokens_that_a_stop_string_cut_off_are_left_out_and_the_cut_one_keeps_its_rest() -> None:
    aligner = Aligner()
    assert list(aligner.take("", [token("ab"), token("cd"), token("STOP")])) == []
    assert list(aligner.take("abc", [])) == [token("ab")]
    assert list(aligner.end()) == [token("c")]


def test_the_space_that_a_decoder_drops_before_the_first_word_does_not_lose_the_token() -> None:
    aligner = Aligner()
    assert list(aligner.take("Dogs bark", [token(" Dogs", -0.1), token(" bark", -0.2)])) == [
        token("Dogs", -0.1),
        token(" bark", -0.2),
    ]


def test_half_a_character_waits_for_its_other_half() -> None:
    aligner = Aligner()
    assert list(aligner.take("", [token("\ufffd", -0.1)])) == []
    assert list(aligner.take("é", [token("\ufffd", -0.2)])) == [token("é", -0.1)]
    assert list(aligner.take("!", [token("!", -0.3)])) == [token("", -0.2), token("!", -0.3)]


def test_text_without_tokens_is_given_at_once() -> None:
    aligner = Aligner()
    assert list(aligner.take("Dogs", [])) == [Token("Dogs")]


@given(st.lists(st.tuples(st.text(max_size=4), st.lists(st.text(max_size=4), max_size=3)), max_size=12))
def test_the_texts_joined_are_the_text_taken_in(pieces: list[tuple[str, list[str]]]) -> None:
    aligner = Aligner()
    out = [each for text, names in pieces for each in aligner.take(text, [token(name) for name in names])]
    out += aligner.end()
    assert "".join(each.text for each in out) == "".join(text for text, _ in pieces)


@given(st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=10), st.data())
def test_whatever_way_the_text_is_cut_each_token_gets_its_own(names: list[str], data: st.DataObject) -> None:
    text = "".join(names)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=5)))
    aligner = Aligner()
    out = list(aligner.take("", [token(name, float(-at)) for at, name in enumerate(names)]))
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        out += aligner.take(text[start:end], [])
    out += aligner.end()
    assert [(each.text, each.logprob) for each in out] == [(name, float(-at)) for at, name in enumerate(names)]
