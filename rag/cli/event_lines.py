"""The events of a question as JSON, one line each (docs/json-output.md)."""

from __future__ import annotations

import json

from rag.cli.render import Locate, answer_record, citation_record, evidence_record
from rag.events import Answered, Cited, Compressed, Decided, Event, Retracted, Retrieved, Wrote
from rag.types import Ranking


def event_line(event: Event, locate: Locate, *, explain: bool = False) -> str:
    """``{"event": "wrote", "text": "Dogs", ...}``: the event's name in small letters, then what it says."""
    record = {"event": type(event).__name__.lower(), **_record(event, locate, explain=explain)}
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _record(event: Event, locate: Locate, *, explain: bool) -> dict[str, object]:
    if isinstance(event, Wrote):
        return {"text": event.text, "provisional": event.provisional}
    if isinstance(event, Retracted):
        return {"keep": event.keep}
    if isinstance(event, Cited):
        return {"citation": citation_record(event.citation, locate), "written": event.written}
    if isinstance(event, Answered):
        return answer_record(event.answer, locate, explain=explain)
    if isinstance(event, Compressed):
        return {"evidence": [evidence_record(number, part) for number, part in enumerate(event.evidence, 1)]}
    if isinstance(event, Decided):
        queries = [query.text for query in event.queries]
        said: dict[str, object] = {"moment": event.moment, "round": event.round, "retrieve": event.retrieve}
        return said | {"why": event.why, "numbers": dict(event.numbers), "queries": queries, "settled": event.settled}
    hits: dict[str, object] = {"hits": _hits(event.ranking)}
    return {"queries": [query.text for query in event.queries], **hits} if isinstance(event, Retrieved) else hits


def _hits(ranking: Ranking) -> list[dict[str, object]]:
    return [{"chunk_id": hit.chunk.id, "score": hit.score, "origin": hit.origin} for hit in ranking]
