"""What every component of a stage that a question goes through must do, as checks that can be run against any: built
in, plug-in or one's own. `rag.testing.documents` has those of ingest.

Each check raises `AssertionError` with a sentence that says what was broken, and gives nothing when all holds.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from rag.cite.base import Citer
from rag.compress.base import Compression, Compressor
from rag.expand.base import Expander
from rag.generate.base import Generator, Outcome
from rag.query.base import QueryTransform
from rag.rerank.base import Reranker
from rag.retrieve.base import Fuser, Retriever
from rag.testing.expect import expect
from rag.testing.sample import QUESTIONS, TEXTS, paragraphs
from rag.text.sentences import sentences
from rag.types import (
    Background,
    Chunk,
    Condition,
    Document,
    Evidence,
    Prompt,
    Query,
    Ranking,
    ScoredChunk,
    Span,
)

CHUNKS: tuple[Chunk, ...] = tuple(
    chunk for key, text in TEXTS.items() for chunk in paragraphs(Document(id=key, text=text, source=key))
)
"""Chunks for components that look at nothing but what they are given."""


def check_retriever(retriever: Retriever, *, questions: Sequence[str] = QUESTIONS, k: int | None = None) -> None:
    """Order and size of the batch, best first, no chunk twice, same again, at most `k`, honest background."""
    queries = [Query(text=question) for question in questions]
    rankings = retriever.retrieve(queries)
    _same_length(queries, rankings)
    expect(retriever.retrieve([]) == [], "no queries must give no rankings")
    expect(any(rankings), "none of the questions found anything: the check needs an index that has something on them")
    for query, ranking in zip(queries, rankings, strict=True):
        check_order(ranking)
        expect(k is None or len(ranking) <= k, f"{len(ranking)} chunks, asked for at most {k}")
        _same_ranking(ranking, retriever.retrieve([query])[0], "alone and in a batch")
        _check_background(ranking)


def check_fuser(fuser: Fuser, *, rankings: int = 2, keep: int | None = None) -> None:
    """No new chunk, none twice, best first with ties by id, same again, at most `keep`, empty stays empty.

    A score that is not a number changes nothing but the place of its own chunk.

    Args:
        rankings: how many the fuser takes.
    """
    several = [_ranked(CHUNKS[at:] + CHUNKS[:at], origin=f"list {at}") for at in range(rankings)]
    fused = fuser.fuse(several)
    check_order(fused)
    expect(len(fused) > 0, "several full rankings gave none")
    expect(keep is None or len(fused) <= keep, f"{len(fused)} chunks, keep is {keep}")
    _no_new_chunks(several, fused)
    _same_ranking(fused, fuser.fuse(several), "twice the same")
    expect(len(fuser.fuse([_ranked((), origin="empty")] * rankings)) == 0, "empty rankings must give an empty one")
    one_empty = [several[0], *[_ranked((), origin="empty")] * (rankings - 1)]
    expect(len(fuser.fuse(one_empty)) > 0, "one full ranking beside empty ones must give chunks")
    ties = [_ranked(CHUNKS, origin="ties", score=lambda at: 1.0) for _ in range(rankings)]
    check_order(fuser.fuse(ties))
    broken = [_ranked(CHUNKS, origin="broken", score=lambda at: math.nan if at == 1 else float(-at))] * rankings
    check_order(fuser.fuse(broken))


def check_transform(transform: QueryTransform, *, questions: Sequence[str] = QUESTIONS) -> None:
    """Order and size of the batch, at least one query each, filter and access kept on every one, usable weights.

    Args:
        questions: each is asked once in a batch; a model behind the transform must have replies for all.
    """
    condition = Condition(op="exists", field="kept")
    queries = [Query(text=text, filter=condition, principals=frozenset({"kept"})) for text in questions]
    made = transform.transform(queries)
    _same_length(queries, made)
    expect(transform.transform([]) == [], "no queries must give nothing")
    for rewritten in made:
        expect(len(rewritten.queries) > 0, "a question without any query")
        for each in rewritten.queries:
            kept = each.filter == condition and each.principals == frozenset({"kept"})
            expect(kept, f"the filter or the principals are lost: {each}")
            expect(bool(each.text.strip()), "a query without text")
            expect(math.isfinite(each.weight) and each.weight >= 0, f"weight {each.weight}")


def check_reranker(
    reranker: Reranker,
    *,
    chunks: Sequence[Chunk] = CHUNKS,
    questions: Sequence[str] = QUESTIONS,
    keep: int | None = None,
    falling: bool = True,
) -> None:
    """Order and size of the batch, no new chunk, none twice, falling scores, same again, at most `keep`, empty.

    Args:
        chunks: what to rank; a component that looks things up in an index needs chunks of that index.
        falling: false for one that lays out for reading, so that its scores do not fall along the ranking.
    """
    queries = [Query(text=question) for question in questions]
    rankings = [_ranked([*chunks[at:], *chunks[:at]], origin="given") for at in range(len(queries))]
    reranked = reranker.rerank(queries, rankings)
    _same_length(queries, reranked)
    expect(reranker.rerank([], []) == [], "an empty batch must give an empty list")
    for query, before, after in zip(queries, rankings, reranked, strict=True):
        _once(after)
        if falling:
            _falling(after)
        _no_new_chunks([before], after)
        expect(len(after) > 0, "a full ranking became empty")
        expect(keep is None or len(after) <= keep, f"{len(after)} chunks, keep is {keep}")
        _same_ranking(after, reranker.rerank([query], [before])[0], "alone and in a batch")
    empty = reranker.rerank(queries[:1], [Ranking()])
    expect(len(empty) == 1 and len(empty[0]) == 0, "an empty ranking must stay empty")


def check_expander(
    expander: Expander,
    *,
    documents: Mapping[str, Document],
    chunks: Sequence[Chunk],
    questions: Sequence[str] = QUESTIONS,
) -> None:
    """Each chunk is in exactly one stretch, each stretch the document's text, with the best score of its chunks.

    Order and size of the batch, the places kept, no two stretches of a document overlap, same again, empty.

    Args:
        documents: by id, those of `chunks`.
        chunks: chunks of the index that the expander reads, no two of which overlap.
    """
    queries = [Query(text=question) for question in questions]
    rankings = [_ranked([*chunks[at:], *chunks[:at]], origin="given") for at in range(len(queries))]
    expanded = expander.expand(queries, rankings)
    _same_length(queries, expanded)
    expect(expander.expand([], []) == [], "an empty batch must give an empty list")
    for query, before, after in zip(queries, rankings, expanded, strict=True):
        _falling(after)
        held: list[int] = []
        places: list[int] = []
        for hit in after:
            span = hit.chunk.span
            text = documents[span.document_id].text
            expect(text[span.start : span.end] == hit.chunk.text, f"not the document's text at {span}")
            inside = [at for at, given in enumerate(before) if _holds(span, given.chunk.span)]
            expect(bool(inside), f"a stretch without a chunk: {span}")
            expect(hit.score == max(before[at].score for at in inside), f"not the best score at {span}")
            expect(hit.origin == before[inside[0]].origin, f"another origin at {span}")
            held += inside
            places.append(inside[0])
        expect(sorted(held) == list(range(len(before))), "a chunk is in no stretch, or in two")
        expect(places == sorted(places), "the order changed")
        _same_ranking(after, expander.expand([query], [before])[0], "alone and in a batch")
    expect(expander.expand(queries[:1], [Ranking()]) == [Ranking()], "an empty ranking must stay empty")


def check_compressor(
    compressor: Compressor,
    *,
    documents: Mapping[str, Document],
    chunks: Sequence[Chunk],
    questions: Sequence[str] = QUESTIONS,
) -> None:
    """Whole sentences of the given chunks, none twice, those of a document in its order; batch order; same again.

    What is kept and what was dropped do not overlap, and together are no more than what was given.

    Args:
        documents: by id, those of `chunks`.
        chunks: chunks of the index that the compressor reads.
    """
    queries = [Query(text=question) for question in questions]
    rankings = [_ranked([*chunks[at:], *chunks[:at]], origin="given") for at in range(len(queries))]
    kept = compressor.compress(queries, rankings)
    _same_length(queries, kept)
    expect(compressor.compress([], []) == [], "an empty batch must give an empty list")
    for query, ranking, compression in zip(queries, rankings, kept, strict=True):
        expect(len(compression.evidence) > 0, "a full ranking left no evidence")
        _check_evidence(compression.evidence, documents, chunks)
        _check_dropped(compression, documents, chunks)
        alone = compressor.compress([query], [ranking])[0]
        spans = [part.span for part in compression.evidence]
        expect([part.span for part in alone.evidence] == spans, "differs alone and in a batch")
    nothing = compressor.compress(queries[:1], [Ranking()])
    expect(len(nothing) == 1 and not nothing[0].evidence, "an empty ranking must give no evidence")


def _check_evidence(parts: Sequence[Evidence], documents: Mapping[str, Document], chunks: Sequence[Chunk]) -> None:
    given = {chunk.id for chunk in chunks}
    for part in parts:
        text = documents[part.span.document_id].text
        expect(text[part.span.start : part.span.end] == part.text, f"not the document's text at {part.span}")
        expect(bool(part.text.strip()), f"evidence without text at {part.span}")
        expect(math.isfinite(part.score), f"a score that is not finite at {part.span}")
        expect(part.chunk_id in given, f"evidence of a chunk that was not given: {part.chunk_id}")
        expect(bool(part.source), f"evidence without a source at {part.span}")
    for chunk in chunks:
        for start, end in sentences(chunk.text):
            start, end = chunk.span.start + start, chunk.span.start + end
            cut = [part.span for part in parts if part.span.document_id == chunk.document_id and part.span.end > start]
            whole = all(span.start <= start and end <= span.end for span in cut if span.start < end)
            expect(whole, f"a sentence is cut: [{start}, {end}) of {chunk.document_id}")


def _check_dropped(compression: Compression, documents: Mapping[str, Document], chunks: Sequence[Chunk]) -> None:
    spans = [part.span for part in compression.evidence]
    left_out = [dropped.span for dropped in compression.dropped]
    for document in documents:
        kept = [span for span in spans if span.document_id == document]
        expect(kept == sorted(kept), f"not in the order of the text: {kept}")
        both = sorted([*kept, *(span for span in left_out if span.document_id == document)])
        apart = all(one.end <= other.start for one, other in pairwise(both))
        expect(apart, f"evidence and dropped sentences overlap in {document}")
    given, kept_characters = (sum(map(_visible, texts)) for texts in (chunks, compression.evidence))
    expect(kept_characters <= given, f"{kept_characters} characters kept of {given}")


def _visible(part: Chunk | Evidence) -> int:
    """Characters that are not white space."""
    return sum(map(len, part.text.split()))


def check_generator(generator: Generator, *, evidence: Sequence[Evidence], question: str) -> None:
    """Cites given evidence alone, abstains without any, tells how each ended; alone and in a batch the same.

    Args:
        evidence: answers `question`.
    """
    answerable = Prompt(question=question, evidence=tuple(evidence))
    nothing = Prompt(question=question)
    batch = [answerable, nothing, answerable]
    texts, outcomes = _written(generator, batch)
    expect(_written(generator, []) == ([], []), "no prompts must give nothing")
    expect(texts[0] == texts[2], "the same prompt twice in a batch gave two answers")
    expect(outcomes[1].abstained and bool(outcomes[1].reason), "without evidence it must abstain and say why")
    expect(all(text.strip() for text in texts), "an answer without text")
    expect(not outcomes[0].abstained, f"abstained on a question that its evidence answers: {outcomes[0].reason}")
    numbers = [int(number) for number in re.findall(r"\[(\d+)\]", texts[0])]
    expect(bool(numbers), f"an answer without a citation: {texts[0]!r}")
    expect(all(1 <= number <= len(evidence) for number in numbers), f"cites what was not given: {texts[0]!r}")
    alone, _ = _written(generator, [answerable])
    expect(alone[0] == texts[0], "differs alone and in a batch")


def check_citer(citer: Citer, *, evidence: Sequence[Evidence]) -> None:
    """Citations are ranges of the final text, in order, apart, and name given evidence; text without markers stays."""
    count = len(evidence)
    for text in ("", "No marker.", "One [1].", f"Out of range [{count + 1}]. In range [{count}].", "[1] [0] [99999]"):
        cited = citer.cite(text, evidence)
        for citation in cited.citations:
            inside = 0 <= citation.start < citation.end <= len(cited.text)
            expect(inside, f"[{citation.start}, {citation.end}) is no range of {cited.text!r}")
            expect(bool(citation.evidence), "a citation without evidence")
            known = all(1 <= number <= count for number in citation.evidence)
            expect(known, f"cites {citation.evidence}, given are 1..{count}")
        apart = all(one.end <= other.start for one, other in pairwise(cited.citations))
        expect(apart, f"citations overlap or are out of order in {cited.text!r}")
        if "[" not in text:
            expect(cited.text == text, f"changed a text without markers: {text!r} to {cited.text!r}")


def check_order(ranking: Ranking) -> None:
    """Best first, equal scores by chunk id, no chunk twice, all scores finite."""
    _falling(ranking)
    keys = [(-hit.score, hit.chunk.id) for hit in ranking]
    expect(keys == sorted(keys), "equal scores are not in the order of chunk ids")


def _falling(ranking: Ranking) -> None:
    scores = [hit.score for hit in ranking]
    expect(all(one >= other for one, other in pairwise(scores)), f"scores do not fall: {scores}")
    _once(ranking)


def _once(ranking: Ranking) -> None:
    scores = [hit.score for hit in ranking]
    expect(all(math.isfinite(score) for score in scores), f"scores that are not finite: {scores}")
    ids = [hit.chunk.id for hit in ranking]
    expect(len(ids) == len(set(ids)), f"a chunk stands twice: {ids}")


def _check_background(ranking: Ranking) -> None:
    background = ranking.background
    if background is None or not ranking:
        return
    expect(background.deviation >= 0 and background.size >= len(ranking), f"impossible background: {background}")
    again = background.score([hit.chunk for hit in ranking])
    for hit, score in zip(ranking, again, strict=True):
        same = math.isclose(hit.score, score, rel_tol=1e-4, abs_tol=1e-5)
        expect(same, f"scores {hit.chunk.id} {hit.score} in the ranking and {score} in its background")


def _ranked(
    chunks: Sequence[Chunk], *, origin: str, score: Callable[[int], float] = lambda at: 10.0 - at / 2
) -> Ranking:
    hits = tuple(ScoredChunk(chunk, score(at), origin) for at, chunk in enumerate(chunks))
    known = {hit.chunk.id: hit.score for hit in hits}

    def score_of(asked: Sequence[Chunk]) -> list[float]:
        return [known.get(chunk.id, 0.0) for chunk in asked]

    return Ranking(hits, Background(mean=0.1, deviation=1.0, size=1000, score=score_of))


def _written(generator: Generator, prompts: Sequence[Prompt]) -> tuple[list[str], list[Outcome]]:
    decoding = generator.start(prompts)
    texts = [""] * len(prompts)
    for at, token in decoding:
        texts[at] += token.text
    return texts, [decoding.outcome(at) for at in range(len(prompts))]


def _holds(outer: Span, inner: Span) -> bool:
    same = outer.document_id == inner.document_id
    return same and outer.start <= inner.start and inner.end <= outer.end


def _no_new_chunks(before: Sequence[Ranking], after: Ranking) -> None:
    given = {hit.chunk.id for ranking in before for hit in ranking}
    added = [hit.chunk.id for hit in after if hit.chunk.id not in given]
    expect(not added, f"chunks that were not given: {added}")


def _same_ranking(one: Ranking, other: Ranking, when: str) -> None:
    ids = [hit.chunk.id for hit in one], [hit.chunk.id for hit in other]
    expect(ids[0] == ids[1], f"{when}: {ids[0]} and {ids[1]}")
    close = all(math.isclose(a.score, b.score, rel_tol=1e-4, abs_tol=1e-5) for a, b in zip(one, other, strict=True))
    expect(close, f"{when}: other scores")


def _same_length(given: Sequence[object], got: Sequence[object]) -> None:
    expect(len(given) == len(got), f"{len(got)} results for {len(given)} questions")
