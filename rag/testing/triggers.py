"""What every trigger and query builder must do, as checks that can be run against any."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

from rag.testing.contracts import CHUNKS
from rag.testing.expect import expect
from rag.trigger.base import (
    Asked,
    Decision,
    Finished,
    Found,
    Moment,
    MomentName,
    QueryBuilder,
    Trigger,
    Written,
)
from rag.types import Condition, Evidence, Query, Ranking, ScoredChunk, Token

_QUERY = Query(
    text="Do dogs bark at night?", filter=Condition(op="exists", field="kept"), principals=frozenset({"kept"})
)
_EVIDENCE = tuple(
    Evidence(span=chunk.span, text=chunk.text, score=1.0, chunk_id=chunk.id, source=chunk.document_id)
    for chunk in CHUNKS[:2]
)
_WORDS = (" Dogs", " bark", " at", " night", ".", " [1]")
_SENTENCE = "".join(_WORDS)

MOMENTS: Sequence[Moment] = (
    Asked(query=_QUERY),
    Found(
        query=_QUERY,
        ranking=Ranking(tuple(ScoredChunk(chunk, 1.0 - at / 10, "given") for at, chunk in enumerate(CHUNKS))),
        round=1,
    ),
    Found(query=_QUERY, ranking=Ranking(), round=2, elsewhere=True),
    *(
        Written(
            query=_QUERY,
            draft=draft,
            sentence=_SENTENCE,
            tokens=tuple(Token(word, logprob, 0.5) for word, logprob in zip(_WORDS, logprobs, strict=True)),
            evidence=_EVIDENCE,
            round=1,
        )
        for draft, logprobs in (("", (-0.01,) * 6), ("Cats meow. [2]", (-0.01, -5.0, -0.01, -2.0, -0.1, -9.0)))
    ),
    Finished(query=_QUERY, draft="Dogs bark at night. [1]", evidence=_EVIDENCE, round=1),
    Finished(query=_QUERY, draft="", evidence=_EVIDENCE, round=2, abstained=True),
)
"""One or two of each kind, in doubt and not."""


def check_trigger(trigger: Trigger, *, moments: Sequence[Moment] = MOMENTS) -> list[Decision]:
    """Speaks at some moments, the same ones always; decides alike alone and from many threads, within what it is given.

    Args:
        moments: what it is asked at, those it does not speak at left out; a model behind it must have replies for
            three times as many.

    Returns:
        the decisions, for further checks.
    """
    known: set[MomentName] = set(get_args(MomentName))
    expect(bool(trigger.moments) and trigger.moments <= known, f"speaks at {sorted(trigger.moments)}")
    asked = [moment for moment in moments if moment.name in trigger.moments]
    expect(bool(asked), "none of the moments is one at which it speaks")
    decisions = [trigger.decide(moment) for moment in asked]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(trigger.decide, asked))
    for moment, decision, other, again in zip(asked, decisions, together, map(trigger.decide, asked), strict=True):
        expect(decision == other == again, f"decides in two ways at {moment.name}")
        _check_decision(moment, decision)
    return decisions


def _check_decision(moment: Moment, decision: Decision) -> None:
    sentence = moment.sentence if isinstance(moment, Written) else ""
    for start, end in decision.doubts:
        expect(0 <= start < end <= len(sentence), f"[{start}, {end}) is no range of the sentence {sentence!r}")
    written = moment.draft if isinstance(moment, Written | Finished) else ""
    if decision.keep is not None:
        expect(0 <= decision.keep <= len(written + sentence), f"keeps {decision.keep} characters of fewer")
    expect(all(text.strip() for text in decision.queries), "a query without text")
    for name, value in decision.numbers.items():
        expect(isinstance(value, str | int | float | bool | None), f"{name} is no scalar: {value!r}")
    if decision.found is not None:
        ranking = moment.ranking if isinstance(moment, Found) else Ranking()
        spans = [hit.chunk.span for hit in ranking]
        for hit in decision.found:
            inside = any(
                span.document_id == hit.chunk.document_id
                and span.start <= hit.chunk.span.start
                and hit.chunk.span.end <= span.end
                for span in spans
            )
            expect(inside, f"a chunk that was not found: {hit.chunk.span}")


def check_query_builder(builder: QueryBuilder, *, moments: Sequence[Moment] = MOMENTS) -> None:
    """Queries have text, and the filter and the principals of the question; same again.

    Args:
        moments: a model behind it must have replies for twice as many.
    """
    for moment in moments:
        doubts = ((1, 5),) if isinstance(moment, Written) else ()
        decision = Decision(retrieve=True, doubts=doubts)
        queries = list(builder.build(moment, decision))
        for query in queries:
            kept = query.filter == moment.query.filter and query.principals == moment.query.principals
            expect(kept, f"the filter or the principals are lost: {query}")
            expect(bool(query.text.strip()), "a query without text")
        expect(queries == list(builder.build(moment, decision)), f"builds in two ways at {moment.name}")
