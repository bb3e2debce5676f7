from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from rag.embed.hash import WordTokenizer
from rag.expand.parent import ParentExpander
from rag.expand.stretch import widened
from rag.expand.window import WindowExpander
from rag.types import Chunk, Document, Layout, Part, Ranking, ScoredChunk, Span

ALPHABET = "ab .!?\n\r\t\u2028\u3000e\u0301ß👩\u200d👧🏽🇩🇪今天。日本א\u05b0مرحبا\u202b۔"
TEXTS = st.text(st.sampled_from(ALPHABET), min_size=1, max_size=200).filter(str.strip) | st.lists(
    st.sampled_from(["One two.", "Three!", "\n\n", "\r\n\r\n", "# Four\n", "五。六。", "مرحبا؟", "👧🏽 e\u0301."]),
    min_size=1,
    max_size=30,
).map(" ".join).filter(str.strip)


@dataclass
class OneDocument:
    """Stands for a reader and for resources with one document and its chunks."""

    held: Document
    spans: list[tuple[int, int]]
    tokenizer = WordTokenizer()

    @property
    def index(self) -> OneDocument:
        return self

    embedder = index

    def reader(self) -> OneDocument:
        return self

    def document(self, document_id: str) -> Document:
        assert document_id == self.held.id
        return self.held

    def chunks_of(self, document_id: str) -> list[Chunk]:
        return [_chunk(self.document(document_id), *span) for span in sorted(self.spans)]


def _chunk(document: Document, start: int, end: int) -> Chunk:
    return Chunk(span=Span(document.id, start, end), text=document.text[start:end])


@st.composite
def cases(draw: st.DrawFn) -> tuple[OneDocument, Ranking]:
    text = draw(TEXTS)
    place = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted)
    parts = tuple(
        Part(draw(st.sampled_from(["heading", "page", "table"])), start, end, name="1", level=draw(st.integers(1, 3)))
        for start, end in sorted(draw(st.lists(place, max_size=5)))
    )
    found = draw(st.lists(place, min_size=1, max_size=6, unique_by=tuple))
    spans = []
    for start, end in found:
        piece = text[start:end]
        if piece.strip():
            spans.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
    spans = list(dict.fromkeys(spans))
    document = Document(id="d", text=text, layout=Layout(parts=parts))
    hits = [ScoredChunk(_chunk(document, *span), float(-at), "given") for at, span in enumerate(spans)]
    return OneDocument(document, spans), Ranking(tuple(hits))


@settings(max_examples=300, deadline=None)
@given(case=cases(), reach=st.integers(1, 4), tokens=st.integers(1, 40), data=st.data())
def test_stretches_are_exact_hold_their_chunks_do_not_overlap_and_keep_best_score_and_order(
    case: tuple[OneDocument, Ranking], reach: int, tokens: int, data: st.DataObject
) -> None:
    held, ranking = case
    expander = data.draw(
        st.sampled_from(
            [
                WindowExpander(held, unit="sentences", reach=reach),  # type: ignore[arg-type]  # what it needs of them
                WindowExpander(held, unit="chunks", reach=reach),  # type: ignore[arg-type]
                *(ParentExpander(held, kind=kind, tokens=tokens) for kind in ("section", "page", "tokens")),  # type: ignore[arg-type]
            ]
        )
    )
    (after,) = expander.expand([], [ranking])
    text = held.held.text
    taken = []
    for hit in after:
        span = hit.chunk.span
        assert text[span.start : span.end] == hit.chunk.text == hit.chunk.text.strip() != ""
        inside = [at for at, given in enumerate(ranking) if _in(given.chunk.span, span)]
        assert hit.score == max(ranking[at].score for at in inside)
        taken.append(inside)
    assert sorted(at for inside in taken for at in inside) == list(range(len(ranking)))
    assert [min(inside) for inside in taken] == sorted(min(inside) for inside in taken)
    spans = sorted(hit.chunk.span for hit in after)
    assert all(one.end <= other.start for one, other in pairwise(spans))


@settings(max_examples=100, deadline=None)
@given(case=cases())
def test_widening_by_nothing_changes_only_chunks_that_overlap(case: tuple[OneDocument, Ranking]) -> None:
    held, ranking = case
    after = widened(ranking, held, lambda document, chunk: (chunk.span.start, chunk.span.end))  # type: ignore[arg-type]
    alone = [
        hit
        for hit in ranking
        if not any(_touch(hit.chunk.span, other.chunk.span) for other in ranking if other is not hit)
    ]
    assert [hit for hit in after if hit in alone] == alone


def _in(inner: Span, outer: Span) -> bool:
    return outer.start <= inner.start and inner.end <= outer.end


def _touch(one: Span, other: Span) -> bool:
    return one.start < other.end and other.start < one.end
