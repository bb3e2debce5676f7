"""DRAGIN and our attention score, on constructed attention."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest

from rag.models.attention import Reading
from rag.testing import check_trigger
from rag.trigger.attention_score import AttentionScore
from rag.trigger.base import Written
from rag.trigger.content_words import averaged, received, rows_of, summed, words_of
from rag.trigger.dragin import Dragin, query_of, rind
from rag.types import Query, Token

QUESTION = Query(text="Where did Ann meet Bob?")


class Reader:
    """Reads words as tokens; each attends evenly to those before it, but for `looks`: (who, at what, how much)."""

    def __init__(self, looks: Sequence[tuple[str, str, float]] = (), entropy: float = 1.0) -> None:
        self.looks = looks
        self.entropy = entropy
        self.read_texts: list[str] = []

    def read(self, text: str, *, layers: Sequence[int] = (-1,)) -> Reading:
        self.read_texts.append(text)
        offsets = tuple(match.span() for match in re.finditer(r"\S+", text))
        words = [text[start:end].strip(".?") for start, end in offsets]
        n = len(words)
        attention = np.tril(np.full((n, n), 0.01, np.float32))
        for who, what, weight in self.looks:
            for row in (at for at, word in enumerate(words) if word == who):
                for column in (at for at, word in enumerate(words[: row + 1]) if word == what):
                    attention[row, column] = weight
        entropies = np.full(n, self.entropy, np.float32)
        entropies[0] = np.nan
        maps = np.broadcast_to(attention, (len(layers), 2, n, n)).copy()
        return Reading(offsets, np.zeros(n, np.float32), entropies, maps)


def written(sentence: str, entropies: Sequence[float | None] = (), draft: str = "") -> Written:
    pieces = re.findall(r"\s*\S+", sentence)
    entropies = entropies or [None] * len(pieces)
    tokens = tuple(Token(piece, -0.1, entropy) for piece, entropy in zip(pieces, entropies, strict=True))
    return Written(query=QUESTION, draft=draft, sentence=sentence, tokens=tokens, evidence=(), round=1)


def test_rind_is_attention_normalised_times_entropy_times_the_number_of_words() -> None:
    values = rind(np.array([0.2, 0.6, 0.2]), np.array([0.1, 1.5, 0.3]))
    assert values == pytest.approx([0.06, 2.7, 0.18])
    assert (values > 1).tolist() == [False, True, False]
    assert rind(np.array([2.0, 6.0, 2.0]), np.array([0.1, 1.5, 0.3])) == pytest.approx(values)
    assert rind(np.zeros(2), np.ones(2)).tolist() == [0, 0]


def test_attention_received_is_the_most_from_any_later_token_and_the_mean_over_heads() -> None:
    attention = np.array(
        [
            [[1.0, 0, 0], [0.3, 0.7, 0], [0.5, 0.2, 0.3]],
            [[1.0, 0, 0], [0.1, 0.9, 0], [0.2, 0.6, 0.2]],
        ],
        np.float32,
    )
    assert received(attention) == pytest.approx([(0.5 + 0.2) / 2, (0.2 + 0.6) / 2, 0.0])


def test_sub_words_are_one_word_whose_attention_is_summed_and_entropy_averaged() -> None:
    words = words_of("Ann met Gamlastan. [1]")
    assert [(word.text, word.content) for word in words] == [("Ann", True), ("met", True), ("Gamlastan", True)]
    rows = rows_of(words, [(0, 3), (3, 7), (7, 12), (12, 17), (17, 18), (18, 22)])
    assert [row.tolist() for row in rows] == [[0], [1], [2, 3, 4]]
    values = np.array([np.nan, 1, 1, 2, 3, 9], np.float32)
    assert summed(np.nan_to_num(values), rows).tolist() == [0, 1, 6]
    assert averaged(values, rows).tolist() == [0, 1, 2]


def test_function_words_and_markers_carry_no_content() -> None:
    words = words_of("The dog of the king has 3 bones [12].")
    assert [word.text for word in words if word.content] == ["dog", "king", "3", "bones"]


def test_dragin_finds_the_word_that_is_uncertain_and_looked_at() -> None:
    reader = Reader([("Sweden", "Uppsala", 0.9)])
    moment = written(" Ann met Bob at Uppsala in Sweden.", [0.1, 0.1, 0.1, 0.1, 2.0, 0.1, 0.1])
    decision = Dragin(reader, threshold=1.0).decide(moment)
    assert decision.retrieve
    (doubt,) = decision.doubts
    assert moment.sentence[slice(*doubt)] == "Uppsala"
    assert reader.read_texts[0] == moment.sentence  # without prompt and draft
    # 7 words; attention received: 0.01 each but the last (0) and Uppsala (0.9); entropy 2.
    assert decision.numbers["largest"] == pytest.approx(0.9 / 0.95 * 2.0 * 7, rel=1e-5)


def test_dragin_leaves_alone_what_is_certain_or_not_looked_at() -> None:
    reader = Reader([("Sweden", "Uppsala", 0.9)])
    sure = written(" Ann met Bob at Uppsala in Sweden.", [2.0, 0.1, 0.1, 0.1, 0.1, 0.1, 2.0])
    assert not Dragin(reader, threshold=1.0).decide(sure).retrieve


def test_dragin_filters_function_words_before_the_threshold() -> None:
    reader = Reader([("Sweden", "in", 0.9)])
    moment = written(" Ann met Bob in Sweden.", [0.1, 0.1, 0.1, 9.0, 0.1])
    decision = Dragin(reader, threshold=1.0).decide(moment)
    assert not decision.retrieve
    assert decision.doubts == ()


def test_dragin_takes_the_entropies_of_its_own_reading_where_the_generator_gives_none() -> None:
    reader = Reader([("Sweden", "Uppsala", 0.9)], entropy=2.0)
    assert Dragin(reader, threshold=1.0).decide(written(" Ann met Bob at Uppsala in Sweden.")).retrieve


def test_dragin_asks_with_what_the_word_before_the_doubt_looks_at_in_the_order_of_the_text() -> None:
    reader = Reader([("Sweden", "Uppsala", 0.9), ("at", "Bob", 0.5), ("at", "Ann", 0.4), ("at", "students", 0.3)])
    moment = written(" Ann met Bob at Uppsala in Sweden.", [0.1] * 4 + [2.0] + [0.1] * 2, draft="Both were students.")
    decision = Dragin(reader, threshold=1.0, words=3).decide(moment)
    assert decision.queries == ("Ann Bob students",)
    assert reader.read_texts[1].startswith(QUESTION.text)


def test_the_row_before_the_doubt_is_normalised_over_earlier_tokens_and_averaged_over_doubts() -> None:
    text = "alpha beta gamma delta omega"
    reading = Reader([("gamma", "alpha", 0.6), ("gamma", "beta", 0.2)]).read(text)
    at = text.index("delta")
    assert query_of(reading, words_of(text), [(at, at + 5)], most=1) == "alpha"
    assert query_of(reading, words_of(text), [(at, at + 5)], most=9) == "alpha beta"
    assert query_of(reading, words_of(text), [(0, 5)], most=9) == ""  # nothing stands before the first word


def test_the_attention_score_is_the_mean_over_layers_times_entropy_whatever_the_length() -> None:
    reader = Reader([("Sweden", "Uppsala", 0.9)], entropy=2.0)
    moment = written(" Ann met Bob at Uppsala in Sweden.")
    decision = AttentionScore(reader, threshold=1.0, layers=(-2, -1), words=3).decide(moment)
    assert decision.retrieve
    assert decision.numbers["largest"] == pytest.approx(1.8)
    (doubt,) = decision.doubts
    assert moment.sentence[slice(*doubt)] == "Uppsala"
    assert len(decision.queries[0].split()) == 3
    assert not AttentionScore(reader, threshold=1.9).decide(moment).retrieve


def test_a_sentence_without_content_is_not_read() -> None:
    reader = Reader()
    assert not Dragin(reader).decide(written(" It is. [1]")).retrieve
    assert reader.read_texts == []


def test_both_keep_the_contract_of_triggers() -> None:
    check_trigger(Dragin(Reader([("night", "bark", 0.9)]), threshold=0.01))
    check_trigger(AttentionScore(Reader([("night", "bark", 0.9)]), threshold=0.01))
