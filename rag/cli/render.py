"""How results look: plain text that pipes, and JSON with a stable shape (docs/json-output.md)."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from rag.cli.options import colours
from rag.cli.terminal import plain, plain_values
from rag.types import CacheKept, Reuse

if TYPE_CHECKING:
    from rag.index.reader import Reader
    from rag.pipeline.pipeline import SearchResult
    from rag.types import (
        Answer,
        Citation,
        Evidence,
        FieldCitation,
        Location,
        Meta,
        Ranking,
        Span,
        StageRecord,
        Support,
        Trace,
        Verdict,
    )

Locate: TypeAlias = "Callable[[Span], Location]"

DOUBT: Mapping[Verdict, str] = {"weak": "weakly supported", "unsupported": "unsupported"}

VERSION = 1  # of the JSON shapes; raised when a field changes its meaning or goes away


def to_json(value: object) -> str:
    plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, indent=2)


# ---- answers


def answer(result: Answer, *, locate: Locate, with_text: bool = True) -> str:
    """The answer, then each cited source with its place and the quoted text, and what is not well supported."""
    result = replace(result, text=plain(result.text), evidence=plain_values(result.evidence))
    lines = [marked(result).rstrip()] if with_text else []
    naming: list[Citation | FieldCitation] = [*result.citations, *result.fields]
    cited = sorted({number for each in naming for number in each.evidence})
    shown = cited or (range(1, min(3, len(result.evidence)) + 1) if result.abstained else [])
    if shown:
        lines += ["", _dim("nearest passages:")] if result.abstained else [""]
    for number in shown:
        evidence = result.evidence[number - 1]
        spans = _spans(result, number) or [evidence.span]
        place = plain(", ".join(dict.fromkeys(str(locate(span)) for span in spans)))
        lines.append(f"{_bold(f'[{number}]')} {evidence.source}{', ' if place else ''}{place}")
        lines += _quote(
            [evidence.text[span.start - evidence.span.start : span.end - evidence.span.start] for span in spans]
        )
    lines += doubts(result)
    lines.append("")
    facts = [f"mode: {result.mode}", count(len(cited), "source"), f"{result.trace.seconds * 1000:.0f} ms"]
    if result.usage.requests:
        facts.append(f"{result.usage.prompt_tokens}+{result.usage.completion_tokens} tokens")
    if result.usage.price:
        facts.append(f"price {result.usage.price:.6g}")
    facts += checked(result)
    if result.dropped_citations:
        facts.append(f"{count(result.dropped_citations, 'invented citation')} dropped")
    if result.abstained:
        facts.insert(1, f"abstained: {result.reason}")
    lines.append(_dim(" · ".join(facts)))
    return "\n".join(lines)


def marked(result: Answer) -> str:
    """The answer's text with a word behind each cited sentence that its source does not clearly support."""
    text = result.text
    for citation in reversed(result.citations):
        if citation.support and citation.support.verdict != "supported":
            text = f"{text[: citation.end]} ({DOUBT[citation.support.verdict]}){text[citation.end :]}"
    return text


def doubts(result: Answer) -> list[str]:
    """A line for each sentence that is not clearly supported: which one, and why."""
    lines = []
    for citation in result.citations:
        if citation.support and citation.support.verdict != "supported":
            sentence = textwrap.shorten(result.text[citation.start : citation.end], 60, placeholder=" …")
            lines.append(f'{DOUBT[citation.support.verdict]}: "{sentence}" {reason(citation.support)}')
    for start, end in result.uncited:
        lines.append(f'without a source: "{textwrap.shorten(result.text[start:end], 60, placeholder=" …")}"')
    return ["", *lines] if lines else []


def reason(support: Support) -> str:
    """What speaks against a sentence, in words: ``not in its source: 1998``."""
    said = []
    if support.missing:
        said.append(f"not in its source: {', '.join(support.missing)}")
    if support.contrary:
        said.append(f"one of the two denies: {', '.join(support.contrary)}")
    if support.swapped:
        said.append(f"its source has another name for: {', '.join(support.swapped)}")
    if support.entailment is not None:
        said.append(f"implied with probability {support.entailment:.2f}")
    return "; ".join(said or [f"{support.words:.0%} of its words are in its source"])


def checked(result: Answer) -> list[str]:
    """For the summary: how many cited sentences are supported, nothing where none was checked or all are quotes."""
    verdicts = [citation.support.verdict for citation in result.citations if citation.support]
    facts = []
    if verdicts and not all(citation.support and citation.support.quoted for citation in result.citations):
        facts.append(f"{verdicts.count('supported')} of {len(verdicts)} cited sentences supported")
    moved = sum(bool(citation.moved_from) for citation in result.citations)
    if moved:
        facts.append(f"{count(moved, 'citation')} moved to a better source")
    if result.uncited:
        facts.append(f"{count(len(result.uncited), 'sentence')} without a source")
    return facts


def _spans(result: Answer, number: int) -> list[Span]:
    """The stretches of evidence `number` that the answer cites, in the order of the source."""
    naming: list[Citation | FieldCitation] = [*result.citations, *result.fields]
    found = {span for each in naming for cited, span in zip(each.evidence, each.spans, strict=True) if cited == number}
    return sorted(found)


def answer_record(result: Answer, locate: Locate, *, explain: bool = False) -> dict[str, object]:
    """The documented JSON of an answer."""
    record: dict[str, object] = {
        "version": VERSION,
        "query": result.query,
        "answer": result.text,
        "mode": result.mode,
        "abstained": result.abstained,
        "reason": result.reason,
        "signals": {name: round(value, 6) for name, value in result.signals.items()},
        "citations": [citation_record(part, locate) for part in result.citations],
        "dropped_citations": result.dropped_citations,
        "uncited": [{"start": start, "end": end} for start, end in result.uncited],
        "evidence": [evidence_record(number, part) for number, part in enumerate(result.evidence, 1)],
        "prompt": result.prompt,
        "data": json.loads(result.text) if result.data is not None else None,
        "fields": [field_record(part, locate) for part in result.fields],
        "usage": asdict(result.usage),
        "milliseconds": round(result.trace.seconds * 1000, 3),
    }
    if explain:
        record["trace"] = trace_record(result.trace)
    return record


def citation_record(citation: Citation, locate: Locate) -> dict[str, object]:
    return {
        "start": citation.start,
        "end": citation.end,
        "sources": _sources(citation.evidence, citation.spans, locate),
        "support": asdict(citation.support) if citation.support else None,
        "moved_from": list(citation.moved_from),
    }


def field_record(field: FieldCitation, locate: Locate) -> dict[str, object]:
    return {"path": field.path, "quoted": field.quoted, "sources": _sources(field.evidence, field.spans, locate)}


def _sources(numbers: Sequence[int], spans: Sequence[Span], locate: Locate) -> list[dict[str, object]]:
    return [
        {
            "evidence": number,
            "document_id": span.document_id,
            "start": span.start,
            "end": span.end,
            "location": location_record(locate(span)),
        }
        for number, span in zip(numbers, spans, strict=True)
    ]


def evidence_record(number: int, evidence: Evidence) -> dict[str, object]:
    return {
        "number": number,
        "source": evidence.source,
        "document_id": evidence.span.document_id,
        "chunk_id": evidence.chunk_id,
        "start": evidence.span.start,
        "end": evidence.span.end,
        "location": location_record(evidence.location),
        "score": evidence.score,
        "text": evidence.text,
    }


def location_record(location: Location) -> dict[str, object]:
    """Only what the format has: pages, slides, sheet, lines, headings, boxes."""
    record: dict[str, object] = {}
    for name in ("pages", "slides", "lines"):
        pair = getattr(location, name)
        if pair:
            record[name] = list(pair)
    if location.sheet is not None:
        record["sheet"] = location.sheet
    if location.headings:
        record["headings"] = list(location.headings)
    if location.boxes:
        record["boxes"] = [asdict(box) for box in location.boxes]
    return record


# ---- search


def search_records(result: SearchResult, reader: Reader, k: int) -> list[dict[str, Any]]:
    """The best `k` chunks with source and place, and each retriever's rank and score."""
    retrievers = [record for record in result.trace.stages if record.stage == "retrieve"]
    places = [_places(record) for record in retrievers]
    records = []
    for rank, hit in enumerate(result.ranking.hits[:k], 1):
        chunk = hit.chunk
        document = reader.document(chunk.document_id)
        location = document.locate(chunk.span.start, chunk.span.end)
        records.append(
            {
                "rank": rank,
                "score": hit.score,
                "origin": hit.origin,
                "retrievers": {
                    record.use: place[chunk.id]
                    for record, place in zip(retrievers, places, strict=True)
                    if chunk.id in place
                },
                "source": document.source,
                "document_id": chunk.document_id,
                "chunk_id": chunk.id,
                "start": chunk.span.start,
                "end": chunk.span.end,
                "location": location_record(location),
                "place": str(location),
                "text": chunk.text,
            }
        )
    return records


def _places(record: StageRecord) -> dict[str, dict[str, float]]:
    """The best rank, and the score there, of each chunk in a retriever's rankings."""
    places: dict[str, dict[str, float]] = {}
    for ranking in record.rankings:
        for rank, hit in enumerate(ranking, 1):
            before = places.get(hit.chunk.id)
            if before is None or rank < before["rank"]:
                places[hit.chunk.id] = {"rank": rank, "score": hit.score}
    return places


def search(records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return "nothing found"
    lines = []
    for record in plain_values(list(records)):
        parts = "  ".join(
            f"{name} #{place['rank']} {place['score']:.3f}" for name, place in record["retrievers"].items()
        )
        where = f"{record['source']}, {record['place']}" if record["place"] else record["source"]
        lines.append(f"{_bold(str(record['rank']) + '.')} {record['score']:.4f}  {where}  {_dim(parts)}")
        lines += _quote([record["text"]], limit=3)
    return "\n".join(lines)


# ---- traces


def trace(value: Trace) -> str:
    """A table: each stage, candidates in and out, milliseconds, and what it moved."""
    rows = [("stage", "use", "in", "out", "ms", "")]
    before: Ranking | None = None
    for record in value.stages:
        remark = _remark(record, before)
        if record.rankings and record.stage in ("fuse", "rerank"):
            before = record.rankings[-1]
        rows.append(
            (record.stage, record.use, str(record.taken), str(record.given), f"{record.seconds * 1000:.2f}", remark)
        )
    rows.append(("total", "", "", "", f"{value.seconds * 1000:.2f}", ""))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = []
    for row in rows:
        left = "  ".join(row[column].ljust(widths[column]) for column in range(2))
        right = "  ".join(row[column].rjust(widths[column]) for column in range(2, 5))
        lines.append(f"{left}  {right}  {row[5]}".rstrip())
    return "\n".join([_dim(lines[0]), *lines[1:]])


def _remark(record: StageRecord, before: Ranking | None) -> str:
    if record.stage in ("transform", "retrieve", "trigger"):
        return _noted(record.notes)
    reuse = Reuse.of(record.notes)
    if record.stage in ("expand", "compress"):
        return _compressed(record.notes) + (f"; {reuse}" if reuse else "")
    if record.stage == "generate":
        tokens = record.notes["prompt_tokens"], record.notes["completion_tokens"]
        if not any(tokens):
            return "no model tokens"
        said = f"{tokens[0]} + {tokens[1]} tokens"
        if reuse is not None:
            said += f": {reuse}"
        elif record.notes.get("cached_tokens"):
            said += f", {record.notes['cached_tokens']} from the cache"
        kept = CacheKept.of(record.notes)
        said += f", {kept}" if kept else ""
        return said + (f", price {record.notes['price']:.6g}" if record.notes.get("price") else "")
    if record.stage == "cite":
        return _noted(record.notes)
    if record.stage == "rerank" and before is not None and record.rankings:
        moved = ", ".join(moves(before, record.rankings[-1])[:4])
        said_of_reuse = str(reuse) if reuse else ""
        notes = {name: value for name, value in record.notes.items() if not reuse or name not in asdict(reuse)}
        return "; ".join(said for said in (_noted(notes), said_of_reuse, moved) if said)
    return ""


def _noted(notes: Meta) -> str:
    """What is not zero and short enough for a line, a reasoning step is not."""
    said = {name.replace("_", " "): plain(str(value)) for name, value in notes.items() if value}
    return ", ".join(f"{name} {value}" for name, value in said.items() if len(value) <= 40)


def _compressed(notes: Meta) -> str:
    said = f"{notes['characters_in']} -> {notes['characters_out']} characters"
    if "sentences_in" in notes:
        said += f", {notes['sentences_in']} -> {notes['sentences_out']} sentences"
    return f"{said}, the best one is over the budget" if notes.get("over_budget") else said


def moves(before: Ranking, after: Ranking) -> list[str]:
    """``3>1 docs/a.md#0-80-…``: the chunks whose rank changed, in their new order."""
    ranks = {hit.chunk.id: rank for rank, hit in enumerate(before, 1)}
    return [
        f"{ranks[hit.chunk.id]}>{rank} {hit.chunk.id}"
        for rank, hit in enumerate(after, 1)
        if ranks[hit.chunk.id] != rank
    ]


def trace_record(value: Trace) -> list[dict[str, object]]:
    return [
        {
            "stage": record.stage,
            "use": record.use,
            "milliseconds": round(record.seconds * 1000, 3),
            "in": record.taken,
            "out": record.given,
            "notes": dict(record.notes),
            "rankings": [
                [{"chunk_id": hit.chunk.id, "score": hit.score, "origin": hit.origin} for hit in ranking]
                for ranking in record.rankings
            ],
        }
        for record in value.stages
    ]


# ---- words


def _quote(texts: Sequence[str], limit: int = 4) -> list[str]:
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 30), 110) - 6
    lines = []
    for text in texts:
        wrapped = textwrap.wrap(" ".join(text.split()), width) or [""]
        if len(wrapped) > limit:
            wrapped = [*wrapped[: limit - 1], wrapped[limit - 1][: width - 2] + " …"]
        lines += [f'    "{wrapped[0]}', *(f"     {line}" for line in wrapped[1:])]
        lines[-1] += '"'
    return lines


def count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if colours() else text


def _dim(text: str) -> str:
    return f"\033[2m{text}\033[0m" if colours() else text
