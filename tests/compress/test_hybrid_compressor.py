from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rag.compress.hybrid import bridge, lead
from rag.compress.passages import Sentence
from rag.compress.specs import Bm25Spec, HybridSpec
from rag.compress.terms import Terms
from rag.embed.base import Vectors
from rag.testing import Sample
from rag.text.analyze import Analyzer
from rag.types import Query, Ranking, ScoredChunk, Span


def sentence(document: str, text: str, *, chunk: int, heading: str = "", place: int | None = None) -> Sentence:
    return Sentence(Span(document, 0, len(text)), text, chunk, heading, place)


ALBUM = sentence("album", "Counterparts is an album by Rush.", chunk=0, heading="Counterparts", place=0)
BAND = sentence("band", "Its drummer was Peart.", chunk=1, heading="Rush", place=3)
CITY = sentence("city", "Its mayor was Ford.", chunk=2, heading="Toronto")
QUESTION = "Who drummed on Counterparts?"


def test_lead_falls_with_the_place_under_the_heading_and_is_0_without_one() -> None:
    assert lead([ALBUM, BAND, CITY]).tolist() == [1.0, 0.25, 0.0]


def test_a_heading_that_a_better_sentence_of_another_document_names_is_a_bridge() -> None:
    terms = Terms(QUESTION, [ALBUM, BAND, CITY], Analyzer())
    assert bridge(np.array([0.9, 0.2, 0.3]), [ALBUM, BAND, CITY], terms).tolist() == [0.0, 1.0, 0.0]


def test_what_the_question_names_itself_is_no_bridge() -> None:
    other = sentence("other", "Counterparts sold well.", chunk=1, heading="Sales")
    terms = Terms(QUESTION, [ALBUM, other], Analyzer())
    assert bridge(np.array([0.1, 0.9]), [ALBUM, other], terms).tolist() == [0.0, 0.0]


def test_half_of_a_heading_is_half_a_bridge() -> None:
    """ "Rush tour": each word is in one of three chunks, so both weigh the same."""
    tour = sentence("tour", "It began in May.", chunk=1, heading="Rush tour")
    first = sentence("album", "An album by Rush.", chunk=0)
    terms = Terms("May?", [first, tour, CITY], Analyzer())
    # "rush" is in two of three chunks, "tour" in one: ln(1 + 1.5/2.5) and ln(1 + 2.5/1.5)
    expected = np.log(1.6) / (np.log(1.6) + np.log(1 + 2.5 / 1.5))
    assert bridge(np.array([0.9, 0.1, 0.0]), [first, tour, CITY], terms)[1] == pytest.approx(expected)


def test_bm25_of_sentences_by_hand() -> None:
    """Two chunks; "peart" in one: idf ln(1 + 1.5/1.5). BAND has 2 terms ("drummer", "peart"), CITY 2, the mean is 2."""
    terms = Terms("Peart", [BAND, CITY], Analyzer())
    assert [len(each) for each in terms.sentences] == [2, 2]
    assert terms.bm25(k1=1.5, b=0.75) == pytest.approx([np.log(2) * 1 / (1 + 1.5), 0.0])


def test_without_weights_for_vectors_nothing_is_embedded(indexed: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(texts: object) -> None:
        raise AssertionError("embedded")

    monkeypatch.setattr(indexed.resources.embedder, "embed_queries", refuse)
    monkeypatch.setattr(indexed.resources.embedder, "embed_documents", refuse)
    ranking = Ranking(tuple(ScoredChunk(chunk, 1.0, "test") for chunk in indexed.chunks))
    for spec in (HybridSpec(nearness_weight=0, chunk_weight=0, tokens=4), Bm25Spec(tokens=4)):
        [compression] = spec.build(indexed.resources).compress([Query(text="Tickets cost")], [ranking])
        assert [part.text for part in compression.evidence] == ["Tickets cost eight euros."]


def test_only_so_many_sentences_are_embedded_as_asked_for(indexed: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded: list[str] = []
    embed = indexed.resources.embedder.embed_documents

    def watched(texts: Sequence[str]) -> Vectors:
        embedded.extend(texts)
        return embed(texts)

    monkeypatch.setattr(indexed.resources.embedder, "embed_documents", watched)
    ranking = Ranking(tuple(ScoredChunk(chunk, 1.0, "test") for chunk in indexed.chunks))
    HybridSpec(embed=3).build(indexed.resources).compress([Query(text="dogs")], [ranking])
    assert len(set(embedded) - {"dogs"}) == 3  # beside the question
