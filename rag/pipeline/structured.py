"""Answers in a schema, and what their values rest on.

A list of numbers in a field `sources` names evidence for the values beside it and under it. Numbers that name no given
evidence are taken out and counted, as invented markers are. Of each text and number in the value it is looked up
whether the evidence has it word for word: that named for it, or all that was given.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel

from rag.errors import ConfigError
from rag.generate.abstain import SENTENCE
from rag.generate.base import StructuringGenerator
from rag.generate.shape import Problems, Shape, of_model, of_schema
from rag.pipeline.run import Run, Work
from rag.types import Answer, Evidence, FieldCitation, Span, Trace

if TYPE_CHECKING:
    from rag.models.llm import Json

SOURCES = "sources"
"""The field whose numbers name evidence."""

Schema = type[BaseModel] | Mapping[str, "Json"]


def answer_in(run: Run, work: Work, schema: Schema) -> Answer:
    """Answer one question with a value that fits `schema`.

    Raises:
        ConfigError: the generator does not write in a schema; with ``ask.dynamic`` or ``ask.abstain``.
        StructureError: what the model wrote does not fit, also after a second try.
    """
    generator = run.stages.generator
    if not isinstance(generator.run, StructuringGenerator):
        reason = "quotes sentences" if generator.run.mode == "extractive" else "does not offer it"
        raise ConfigError(
            f"ask.generate: {generator.use!r} cannot answer in a schema: it {reason}",
            hint="set `llm: {...}` and `ask.generate: {use: llm}`",
        )
    if run.stages.dynamic is not None:
        raise ConfigError("ask.dynamic: an answer in a schema is written in one go", hint="leave ask.dynamic out")
    if run.stages.doubt is not None:
        raise ConfigError("ask.abstain: it judges answers in text, not in a schema", hint="leave ask.abstain out")
    shape = of_model(schema) if isinstance(schema, type) else of_schema(schema)
    for _ in (*run.retrieve([work]), *run.compress([work])):
        pass
    started = perf_counter()
    with run.tracer.span("rag.generate", prompts=1, use=generator.use):
        written = generator.run.structure(work.prompt(), shape)
    outcome = written.outcome
    run.record_writing(work, outcome, perf_counter() - started)
    given = range(1, len(work.evidence) + 1) if outcome.given is None else outcome.given
    grounded = _grounded(written.value, shape, work.evidence, given)
    return Answer(
        query=work.query.text,
        text=SENTENCE if outcome.abstained else grounded.text,
        evidence=work.evidence,
        mode=generator.run.mode,
        usage=outcome.usage,
        abstained=outcome.abstained,
        reason=outcome.reason,
        dropped_citations=grounded.dropped,
        prompt=outcome.prompt,
        data=grounded.value,
        fields=grounded.fields,
        trace=Trace(tuple(work.records)),
    )


@dataclass(frozen=True, slots=True)
class _Grounded:
    value: object
    text: str
    fields: tuple[FieldCitation, ...]
    dropped: int


def _grounded(value: object, shape: Shape, evidence: Sequence[Evidence], given: Sequence[int]) -> _Grounded:
    """The value without invented sources, its JSON, and what its parts rest on.

    Where the schema does not allow to leave an invented number out, the value stays as it is.
    """
    if value is None:
        return _Grounded(None, "", (), 0)
    plain = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else cast("Json", value)
    kept, dropped = _without_invented(plain, frozenset(given))
    if dropped:
        again = shape.check(kept)
        value = value if isinstance(again, Problems) else again
    fields = tuple(_cited(kept, evidence, tuple(given), (), ()))
    return _Grounded(value, json.dumps(kept, ensure_ascii=False), fields, dropped)


def _without_invented(value: Json, given: frozenset[int]) -> tuple[Json, int]:
    if isinstance(value, list):
        parts = [_without_invented(each, given) for each in value]
        return [part for part, _ in parts], sum(count for _, count in parts)
    if not isinstance(value, dict):
        return value, 0
    kept: dict[str, Json] = {}
    dropped = 0
    for key, each in value.items():
        if key == SOURCES and (numbers := _numbers(each)) is not None:
            valid: list[Json] = [number for number in numbers if number in given]
            kept[key], count = valid, len(numbers) - len(valid)
        else:
            kept[key], count = _without_invented(each, given)
        dropped += count
    return kept, dropped


def _cited(
    value: Json, evidence: Sequence[Evidence], given: tuple[int, ...], named: tuple[int, ...], path: tuple[str, ...]
) -> Iterator[FieldCitation]:
    if isinstance(value, dict):
        own = _numbers(value.get(SOURCES))
        for key, each in value.items():
            if key != SOURCES or own is None:
                yield from _cited(each, evidence, given, tuple(own or named), (*path, key))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _cited(each, evidence, given, named, (*path, str(at)))
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        where = ".".join(path)
        quoting = tuple(_quoting(str(value), evidence, named or given))
        if quoting:
            spans = tuple(span for _, span in quoting)
            yield FieldCitation(where, tuple(number for number, _ in quoting), spans, quoted=True)
        elif named:
            yield FieldCitation(where, named, tuple(evidence[number - 1].span for number in named))


def _quoting(text: str, evidence: Sequence[Evidence], numbers: Sequence[int]) -> Iterator[tuple[int, Span]]:
    """The evidence that has the text, its case aside and as whole words, and where it first does."""
    words = text.split()
    if not words:
        return
    written = r"\s+".join(map(re.escape, words))
    pattern = re.compile(rf"(?<!\w){written}(?!\w)", re.IGNORECASE)
    for number in numbers:
        part = evidence[number - 1]
        if match := pattern.search(part.text):
            start = part.span.start
            yield number, replace(part.span, start=start + match.start(), end=start + match.end())


def _numbers(value: Json) -> list[int] | None:
    """The numbers in a list of nothing else."""
    if not isinstance(value, list) or not all(isinstance(each, int) and not isinstance(each, bool) for each in value):
        return None
    return [each for each in value if isinstance(each, int)]
