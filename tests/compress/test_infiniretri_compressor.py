from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from rag.compress.attention_scores import (
    attended_sentences,
    question_attention,
    row_weights,
    smoothed,
    stretches,
)
from rag.compress.extract import ExtractiveCompressor
from rag.compress.infiniretri import AttendedSentences
from rag.errors import ConfigError
from rag.models.attention import Anatomy, Attended, AttentionPrompt, Head
from rag.testing import Sample
from rag.types import Query, Ranking, ScoredChunk, Usage


def test_heads_and_rows_are_summed_and_rows_can_count_differently() -> None:
    weights = np.array([[[0.1, 0.2, 0.7], [0.3, 0.3, 0.4]], [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]])
    assert question_attention(weights) == pytest.approx([0.9, 1.0, 2.1])
    assert question_attention(weights, rows=np.array([2.0, 0.0])) == pytest.approx([1.2, 1.4, 1.4])


def test_rows_weigh_what_the_question_attends_to_in_itself_squared() -> None:
    weights = np.array([[[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [0.0, 1.0]]])
    assert row_weights(weights).tolist() == [2.5**2, 1.5**2]


def test_attention_is_averaged_over_a_window() -> None:
    assert smoothed(np.array([0.0, 0, 9, 0, 0]), 3).tolist() == [0, 3, 3, 3, 0]


def test_an_even_window_reaches_one_further_back() -> None:
    assert smoothed(np.array([0.0, 0, 4, 0, 0]), 2).tolist() == [0, 0, 2, 2, 0]
    assert smoothed(np.array([6.0]), 8).tolist() == [6.0]


def test_whole_sentences_are_kept_that_hold_one_of_the_best_tokens() -> None:
    tokens = [np.array([0.0, 1.0]), np.array([0.0, 0.0, 5.0]), np.array([3.0])]
    scores, kept = attended_sentences(tokens, tokens=2, width=1)
    assert scores.tolist() == [1.0, 5.0, 3.0]
    assert kept == {1, 2}


def test_what_got_no_attention_or_no_number_is_never_kept() -> None:
    scores, kept = attended_sentences([np.array([np.nan]), np.array([0.0]), np.array([2.0])], tokens=3, width=1)
    assert (scores.tolist(), kept) == ([0.0, 0.0, 2.0], {2})


def test_stretches_cover_all_sentences_and_the_last_two_are_balanced() -> None:
    assert stretches([5, 5, 5, 5, 1], 10) == [range(2), range(2, 3), range(3, 5)]
    assert stretches([50, 1], 10) == [range(1), range(1, 2)]
    assert stretches([3], 10) == [range(1)]


class Looking:
    """Two layers of two heads; the last layer looks at the word `dogs`, the first at the rest. A word is a token."""

    window = 1000

    def __init__(self, window: int = 1000) -> None:
        self.window = window
        self.read: list[str] = []

    def count(self, text: str) -> int:
        return len(text.split())

    @property
    def anatomy(self) -> Anatomy:
        return Anatomy("looking", "", "abc", layers=2, heads=2)

    def attend(self, prompt: AttentionPrompt, *, heads: Sequence[Head] | None = None) -> Attended:
        self.read.append(prompt.shared)
        assert heads is not None
        chosen = [2 * head.layer + head.head for head in heads]
        rows = tuple(self._at(prompt.shared[start:end])[chosen] for start, end in prompt.documents)
        return Attended((rows,) * len(prompt.tails), Usage())

    @staticmethod
    def _at(text: str) -> NDArray[np.float32]:
        dogs = np.array(["dogs" in word.lower() for word in text.split()], np.float32)
        return np.stack([1 - dogs, 1 - dogs, dogs, dogs])


def ranking(indexed: Sample) -> Ranking:
    chunks = [chunk for chunk in indexed.chunks if chunk.document_id in ("zoo.md", "farm.md")]
    return Ranking(tuple(ScoredChunk(chunk, 1.0 - at, "test") for at, chunk in enumerate(chunks)))


def test_what_is_kept_of_one_stretch_is_read_again_with_the_next(indexed: Sample) -> None:
    model = Looking()
    selector = AttendedSentences(model, size=16, width=1)
    [compression] = ExtractiveCompressor(indexed.resources, selector).compress([Query(text="?")], [ranking(indexed)])
    assert model.read == [
        "The zoo opens at nine.\nDogs must stay outside.\nTickets cost eight euros.\n",
        "Dogs must stay outside.\nChildren pay half.\nDogs bark at night.\nCows sleep.\n"
        "The farm sells milk.\nDogs guard it.\n",
    ]
    assert [part.text for part in compression.evidence] == [
        "Dogs must stay outside.",
        "Dogs bark at night.",
        "Dogs guard it.",
    ]
    assert compression.notes["stretches"] == 2


def test_what_is_kept_fills_at_most_half_of_the_window(indexed: Sample) -> None:
    selector = AttendedSentences(Looking(window=9), size=1000, width=1)
    [compression] = ExtractiveCompressor(indexed.resources, selector).compress([Query(text="?")], [ranking(indexed)])
    assert [part.text for part in compression.evidence] == ["Dogs must stay outside."]


def test_in_canonical_order_the_text_read_does_not_depend_on_the_ranking(indexed: Sample) -> None:
    read, kept = [], []
    given = ranking(indexed)
    for hits in (given.hits, given.hits[::-1]):
        model = Looking()
        selector = AttendedSentences(model, order="canonical", size=1000, width=1)
        query = Query(text="?")
        [compression] = ExtractiveCompressor(indexed.resources, selector).compress([query], [Ranking(hits)])
        read.append(model.read)
        kept.append({part.text for part in compression.evidence})
    assert read[0] == read[1]
    assert read[0][0].index("Dogs bark at night.") < read[0][0].index("The zoo opens at nine.")  # farm.md, zoo.md
    assert kept == [{"Dogs bark at night.", "Dogs guard it.", "Dogs must stay outside."}] * 2


def test_a_model_that_hides_its_attention_is_refused_with_a_way_out(indexed: Sample) -> None:
    selector = AttendedSentences(object())
    with pytest.raises(ConfigError, match="shows its attention"):
        ExtractiveCompressor(indexed.resources, selector).compress([Query(text="?")], [ranking(indexed)])
