from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.compress.budget import Budget, Selection, near
from rag.compress.passages import Sentence
from rag.embed.hash import HashEmbedder
from rag.types import Chunk, Span

TOKENIZER = HashEmbedder(dimension=8).tokenizer  # a token is a word


def sentences(*texts: str, chunk: int = 0) -> list[Sentence]:
    """Sentences of one chunk, one behind the other."""
    starts = np.cumsum([0, *(len(text) + 1 for text in texts)])
    return [
        Sentence(Span("a", int(start), int(start) + len(text)), text, chunk)
        for start, text in zip(starts, texts, strict=False)
    ]


def selected(scores: list[float], given: list[Sentence], budget: Budget) -> Selection:
    text = " ".join(sentence.text for sentence in given)
    return budget.select(np.array(scores), given, [Chunk(span=Span("a", 0, len(text)), text=text)], TOKENIZER)


def test_the_best_that_fit_are_taken_and_what_does_not_fit_is_passed_over() -> None:
    given = sentences("a a a a", "b b b b b b", "c c", chunk=0)
    assert selected([3, 2, 1], given, Budget(tokens=7)).kept == {0, 2}


def test_one_long_sentence_goes_before_two_short_ones_with_a_larger_sum() -> None:
    given = sentences("a a a a", "b b", "c c")
    assert selected([3, 2, 2], given, Budget(tokens=4)).kept == {0}


def test_both_limits_hold() -> None:
    given = sentences("aaaa", "bbbb", "cccc", "dddd")  # 19 characters with the spaces
    assert selected([4, 3, 2, 1], given, Budget(tokens=2)).kept == {0, 1}
    assert selected([4, 3, 2, 1], given, Budget(tokens=None, ratio=0.5)).kept == {0, 1}  # 9.5 characters
    assert selected([4, 3, 2, 1], given, Budget(tokens=1, ratio=0.5)).kept == {0}


def test_a_best_sentence_over_the_budget_is_kept_alone_and_noted() -> None:
    selection = selected([2, 1], sentences("a a a", "b"), Budget(tokens=2))
    assert (selection.kept, selection.notes) == ({0}, {"over_budget": True})


def test_equal_texts_are_taken_once() -> None:
    apart = [*sentences("same here", chunk=0), *sentences("same here", chunk=1), *sentences("c", chunk=2)]
    assert selected([3, 2, 1], apart, Budget(tokens=3)).kept == {0, 2}


def test_what_is_left_goes_to_neighbours_in_the_same_chunk() -> None:
    given = [*sentences("a", "b b", chunk=0), *sentences("c c", "d", chunk=1)]
    vectors = np.ones((4, 2), np.float32) / np.sqrt(2)
    chunks = [Chunk(span=Span("a", 0, 11), text="a b b c c d")]
    redundant = near(vectors.astype(np.float32), cosine=0.9)
    selection = Budget(tokens=4).select(np.array([1, 9, 3, 2]), given, chunks, TOKENIZER, redundant=redundant)
    assert selection.kept == {0, 1}  # "b b" is the best, the others say the same; "c c" stands in another chunk


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.integers(1, 9)), min_size=1, max_size=12),
    st.integers(1, 30),
)
def test_the_budget_holds_and_the_best_is_always_kept(given_: list[tuple[float, int]], tokens: int) -> None:
    texts = [" ".join([f"w{at}"] * length) for at, (_, length) in enumerate(given_)]
    scores = [score for score, _ in given_]
    selection = selected(scores, sentences(*texts), Budget(tokens=tokens))
    assert scores.index(max(scores)) in selection.kept
    spent = sum(given_[at][1] for at in selection.kept)
    assert spent <= tokens or (len(selection.kept) == 1 and selection.notes == {"over_budget": True})


@pytest.mark.parametrize("share", [0.1, 0.35, 1.0])
def test_the_ratio_is_of_the_characters_given(share: float) -> None:
    given = sentences(*(f"sentence {at}" for at in range(10)))  # 10 characters each, 109 in all
    kept = selected([float(-at) for at in range(10)], given, Budget(tokens=None, ratio=share)).kept
    assert len(kept) == int(share * 109 // 10)
