from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from rag.chunk.semantic import SemanticChunker, cuts
from rag.chunk.specs import SemanticSpec
from rag.embed.base import EmbedderIdentity, Tokenizer, Vectors
from rag.embed.hash import WordTokenizer
from rag.types import Document

FIVE = np.array([0.1, 0.2, 0.9, 0.15, 0.3])


class PlacedEmbedder:
    """Puts each text at an angle of its own on the unit circle; keeps what it was asked to embed."""

    def __init__(self, angles: Mapping[str, float], tokenizer: Tokenizer | None = None) -> None:
        self.angles = angles
        self.tokenizer = tokenizer or WordTokenizer()
        self.identity = EmbedderIdentity(model="placed", revision="1", dimension=2)
        self.asked: list[str] = []

    def embed_documents(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        angles = np.array([self.angles[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    def embed_queries(self, texts: Sequence[str]) -> Vectors:
        return self.embed_documents(texts)

    def close(self) -> None:
        """Nothing is held."""


def at_distances(distances: Sequence[float], sentences: Sequence[str]) -> PlacedEmbedder:
    """Each sentence at ``1 - cosine`` of `distances` from the one before."""
    angles = np.concatenate([[0.0], np.cumsum(np.arccos(1 - np.array(distances)))])
    return PlacedEmbedder(dict(zip(sentences, angles.tolist(), strict=True)))


def texts(chunker: SemanticChunker, text: str) -> list[str]:
    return [chunk.text for chunk in chunker.chunk(Document(id="d", text=text))]


@pytest.mark.parametrize(
    ("rule", "threshold", "expected"),
    [
        ("percentile", None, [3]),  # 0.3 + 0.8 * 0.6 = 0.78
        ("percentile", 80.0, [3]),  # 0.3 + 0.2 * 0.6 = 0.42
        ("percentile", 50.0, [3, 5]),  # the median, 0.2; strictly greater
        ("percentile", 100.0, []),
        ("deviation", None, []),  # 0.33 + 3 * 0.29257
        ("deviation", 1.9, [3]),  # 0.33 + 1.9 * 0.29257 = 0.88588 with the population's; 0.95151 with the sample's
        ("interquartile", None, [3]),  # 0.33 + 1.5 * (0.3 - 0.15) = 0.555
        ("gradient", None, [2]),  # 0.1, 0.4, -0.025, -0.3, 0.15: above 0.35
    ],
)
def test_the_breakpoints_of_five_distances(rule: str, threshold: float | None, expected: list[int]) -> None:
    assert cuts(FIVE, rule, threshold) == expected  # type: ignore[arg-type]  # a plain string here


@pytest.mark.parametrize("rule", ["percentile", "deviation", "interquartile", "gradient"])
def test_equal_distances_and_a_single_one_give_no_break(rule: str) -> None:
    for distances in ([0.3] * 7, [0.0] * 7, [0.9], []):
        assert cuts(np.array(distances), rule) == []  # type: ignore[arg-type]  # a plain string here


SIX = ["One a.", "Two a.", "Three a.", "Four b.", "Five b.", "Six b."]


def test_the_text_is_cut_after_the_sentence_before_the_largest_distance() -> None:
    embedder = at_distances(FIVE.tolist(), SIX)
    chunker = SemanticChunker(embedder, unit="words", size=100, buffer=0)
    assert texts(chunker, "  ".join(SIX)) == ["One a.  Two a.  Three a.", "Four b.  Five b.  Six b."]
    assert embedder.asked == SIX


def test_each_sentence_is_embedded_with_its_neighbours() -> None:
    windows = ["One a. Two a.", "One a. Two a. Three a.", "Two a. Three a. Four b.", "Three a. Four b."]
    embedder = PlacedEmbedder(dict(zip(windows, [0.0, 0.1, 1.5, 1.6], strict=True)))
    chunker = SemanticChunker(embedder, unit="words", size=100, buffer=1)
    assert texts(chunker, "One a. Two a. Three a. Four b.") == ["One a. Two a.", "Three a. Four b."]
    assert embedder.asked == windows


def test_a_window_longer_than_the_encoders_loses_its_outer_sentences(tokenizer_by_name: dict[str, Tokenizer]) -> None:
    tokenizer = tokenizer_by_name["wordpiece"]  # leaves 30 tokens
    long, short = "The" + " the" * 24 + ".", "The the."  # 26 and 3 tokens
    sentences = [short, long, short, short]
    windows = [f"{short} {long}", long, f"{short} {short}"]
    embedder = PlacedEmbedder({**dict.fromkeys(windows, 0.0), short: 0.0, f"{long} {short} {short}": 0.0}, tokenizer)
    texts(SemanticChunker(embedder, unit="tokens", size=30, buffer=1), " ".join(sentences))
    # with both neighbours the long one has 32 tokens; the third sentence has 32 with both of its own
    assert embedder.asked == [f"{short} {long}", long, short, f"{short} {short}"]


def test_a_short_chunk_is_put_to_the_nearer_neighbour() -> None:
    sentences = ["A b c d.", "E f g h.", "Oh.", "J k l m.", "N o p q."]
    embedder = at_distances([0.1, 0.8, 0.9, 0.1], sentences)
    chunker = SemanticChunker(embedder, unit="words", size=100, buffer=0, least=2, threshold=49)
    # the median is 0.45: cuts before and after Oh, which is nearer to what stands before it
    assert texts(chunker, " ".join(sentences)) == ["A b c d. E f g h. Oh.", "J k l m. N o p q."]
    tight = SemanticChunker(embedder, unit="words", size=8, buffer=0, least=2, threshold=49)
    assert texts(tight, " ".join(sentences)) == ["A b c d. E f g h.", "Oh.", "J k l m. N o p q."]


def test_a_chunk_that_is_too_long_is_cut_between_sentences() -> None:
    embedder = at_distances(FIVE.tolist(), SIX)
    chunker = SemanticChunker(embedder, unit="words", size=4, buffer=0)
    assert texts(chunker, " ".join(SIX)) == ["One a. Two a.", "Three a.", "Four b. Five b.", "Six b."]


@pytest.mark.parametrize("text", ["", " \n\u3000", "One sentence.", "Two. Of them."])
def test_too_little_text_to_compare_needs_no_vectors(text: str) -> None:
    embedder = PlacedEmbedder({})
    assert texts(SemanticChunker(embedder, unit="words", size=9), text) == ([text] if text.strip() else [])
    assert embedder.asked == []


def test_a_threshold_that_is_a_percentile_is_at_most_100() -> None:
    SemanticSpec(breakpoints="percentile", threshold=100)
    with pytest.raises(ValueError, match="at most 100"):
        SemanticSpec(breakpoints="gradient", threshold=101)
