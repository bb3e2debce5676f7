from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.compress.sentences import SentenceCompressor
from rag.compress.whole import WholeChunks
from rag.testing import Sample, sample
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span

TEXTS: Mapping[str, str] = {
    "zoo.md": "The zoo opens at nine. Dogs must stay outside. Tickets cost eight euros. Children pay half.",
    "farm.md": "Dogs bark at night. Cows sleep.\n\nThe farm sells milk. Dogs guard it.",
    "emoji.md": "🐕‍🦺 Dogs work. E\u0301tudes of dogs. 狗叫。猫睡。",
}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    with sample(tmp_path_factory.mktemp("compress"), TEXTS) as made:
        yield made


def ranking(chunks: list[Chunk] | tuple[Chunk, ...]) -> Ranking:
    return Ranking(tuple(ScoredChunk(chunk, 9.0 - at, "test") for at, chunk in enumerate(chunks)))


def of(indexed: Sample, *names: str) -> list[Chunk]:
    return [chunk for name in names for chunk in indexed.chunks if chunk.document_id == name]


def kept(
    indexed: Sample, question: str, chunks: list[Chunk], *, tokens: int, duplicate_cosine: float = 0.9
) -> list[str]:
    compressor = SentenceCompressor(indexed.resources, tokens=tokens, duplicate_cosine=duplicate_cosine)
    [evidence] = compressor.compress([Query(text=question)], [ranking(chunks)])
    return [part.text for part in evidence]


def test_whole_chunks_are_the_best_ones_with_their_source_and_score(indexed: Sample) -> None:
    [evidence] = WholeChunks(indexed.resources, keep=2).compress(
        [Query(text="?")], [ranking(of(indexed, "farm.md", "zoo.md"))]
    )
    assert [(part.text, part.source, part.score) for part in evidence] == [
        ("Dogs bark at night. Cows sleep.", "farm.md", 9.0),
        ("The farm sells milk. Dogs guard it.", "farm.md", 8.0),
    ]


def test_the_sentence_nearest_to_the_question_is_kept_first(indexed: Sample) -> None:
    assert kept(indexed, "Tickets cost eight euros", of(indexed, "zoo.md"), tokens=5) == ["Tickets cost eight euros."]


def test_what_is_left_of_the_budget_goes_to_neighbours_and_these_become_one_piece(indexed: Sample) -> None:
    pieces = kept(indexed, "Tickets cost eight euros", of(indexed, "zoo.md"), tokens=8, duplicate_cosine=1e-9)
    assert pieces == ["Dogs must stay outside. Tickets cost eight euros."]


def test_a_best_sentence_longer_than_the_budget_is_kept_alone_and_whole(
    indexed: Sample, caplog: pytest.LogCaptureFixture
) -> None:
    assert kept(indexed, "Tickets cost eight euros", of(indexed, "zoo.md"), tokens=1) == ["Tickets cost eight euros."]
    assert "kept alone" in caplog.text


def test_a_sentence_that_repeats_a_kept_one_is_left_out(indexed: Sample) -> None:
    farm = of(indexed, "farm.md")[0]
    again = Chunk(span=Span("farm.md", 0, 19), text="Dogs bark at night.")
    assert kept(indexed, "Dogs bark at night", [farm, again], tokens=4) == ["Dogs bark at night."]


def test_pieces_come_document_by_document_in_the_order_of_the_text(indexed: Sample) -> None:
    pieces = kept(indexed, "Dogs", of(indexed, "farm.md", "zoo.md"), tokens=1000)
    assert pieces == [TEXTS["farm.md"], TEXTS["zoo.md"]]


def test_an_empty_ranking_leaves_nothing(indexed: Sample) -> None:
    for compressor in (SentenceCompressor(indexed.resources), WholeChunks(indexed.resources, keep=3)):
        assert compressor.compress([Query(text="a"), Query(text="b")], [Ranking(), Ranking()]) == [(), ()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(
    order=st.permutations(range(4)),
    tokens=st.integers(1, 60),
    question=st.sampled_from(["dogs", "狗", "milk sells", "x"]),
)
def test_every_piece_is_the_document_s_text_at_its_span_and_the_budget_holds(
    indexed: Sample, order: list[int], tokens: int, question: str
) -> None:
    chunks = [indexed.chunks[at] for at in order]
    compressor = SentenceCompressor(indexed.resources, tokens=tokens)
    [evidence] = compressor.compress([Query(text=question)], [ranking(chunks)])
    spans = [part.span for part in evidence]
    assert len(spans) == len(set(spans))
    for part in evidence:
        assert indexed.documents[part.span.document_id].text[part.span.start : part.span.end] == part.text
    counts = indexed.resources.embedder.tokenizer.count([part.text for part in evidence])
    assert sum(counts) <= tokens or len(evidence) == 1
