from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.compress.base import Compression
from rag.compress.specs import SentencesSpec, WholeChunksSpec
from rag.testing import Sample
from rag.types import Chunk, Query, Ranking, ScoredChunk, Span


def ranking(chunks: list[Chunk] | tuple[Chunk, ...]) -> Ranking:
    return Ranking(tuple(ScoredChunk(chunk, 9.0 - at, "test") for at, chunk in enumerate(chunks)))


def of(indexed: Sample, *names: str) -> list[Chunk]:
    return [chunk for name in names for chunk in indexed.chunks if chunk.document_id == name]


def compressed(indexed: Sample, spec: SentencesSpec, question: str, chunks: list[Chunk]) -> Compression:
    [compression] = spec.build(indexed.resources).compress([Query(text=question)], [ranking(chunks)])
    return compression


def kept(indexed: Sample, spec: SentencesSpec, question: str, chunks: list[Chunk]) -> list[str]:
    return [part.text for part in compressed(indexed, spec, question, chunks).evidence]


def test_whole_chunks_are_the_best_ones_with_their_source_and_score(indexed: Sample) -> None:
    [compression] = (
        WholeChunksSpec(keep=2)
        .build(indexed.resources)
        .compress([Query(text="?")], [ranking(of(indexed, "farm.md", "zoo.md"))])
    )
    assert [(part.text, part.source, part.score) for part in compression.evidence] == [
        ("Dogs bark at night. Cows sleep.", "farm.md", 9.0),
        ("The farm sells milk. Dogs guard it.", "farm.md", 8.0),
    ]


def test_the_sentence_nearest_to_the_question_is_kept_first(indexed: Sample) -> None:
    chunks = of(indexed, "zoo.md")
    assert kept(indexed, SentencesSpec(tokens=5), "Tickets cost eight euros", chunks) == ["Tickets cost eight euros."]


def test_what_is_left_of_the_budget_goes_to_neighbours_and_these_become_one_piece(indexed: Sample) -> None:
    spec = SentencesSpec(tokens=8, duplicate_cosine=1e-9)
    pieces = kept(indexed, spec, "Tickets cost eight euros", of(indexed, "zoo.md"))
    assert pieces == ["Dogs must stay outside. Tickets cost eight euros."]


def test_a_best_sentence_longer_than_the_budget_is_kept_alone_and_whole_and_the_trace_says_so(indexed: Sample) -> None:
    compression = compressed(indexed, SentencesSpec(tokens=1), "Tickets cost eight euros", of(indexed, "zoo.md"))
    assert [part.text for part in compression.evidence] == ["Tickets cost eight euros."]
    assert compression.notes == {"sentences_in": 4, "sentences_out": 1, "over_budget": True}


def test_a_sentence_that_repeats_a_kept_one_is_left_out(indexed: Sample) -> None:
    farm = of(indexed, "farm.md")[0]
    again = Chunk(span=Span("farm.md", 0, 19), text="Dogs bark at night.")
    assert kept(indexed, SentencesSpec(tokens=4), "Dogs bark at night", [farm, again]) == ["Dogs bark at night."]


def test_pieces_come_document_by_document_in_the_order_of_the_text(indexed: Sample) -> None:
    pieces = kept(indexed, SentencesSpec(tokens=1000), "Dogs", of(indexed, "farm.md", "zoo.md"))
    assert pieces == [indexed.documents["farm.md"].text, indexed.documents["zoo.md"].text]


def test_what_was_dropped_comes_with_its_scores_in_the_order_of_the_text(indexed: Sample) -> None:
    compression = compressed(indexed, SentencesSpec(tokens=5), "Tickets cost eight euros", of(indexed, "zoo.md"))
    text = indexed.documents["zoo.md"].text
    assert [text[dropped.span.start : dropped.span.end] for dropped in compression.dropped] == [
        "The zoo opens at nine.",
        "Dogs must stay outside.",
        "Children pay half.",
    ]
    assert all(dropped.score < compression.evidence[0].score for dropped in compression.dropped)


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
    evidence = compressed(indexed, SentencesSpec(tokens=tokens), question, chunks).evidence
    spans = [part.span for part in evidence]
    assert len(spans) == len(set(spans))
    for part in evidence:
        assert indexed.documents[part.span.document_id].text[part.span.start : part.span.end] == part.text
    counts = indexed.resources.embedder.tokenizer.count([part.text for part in evidence])
    assert sum(counts) <= tokens or len(evidence) == 1
